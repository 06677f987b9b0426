"""What a profile says: one row for each layer, and totals."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from keras_rbcn._counting import INT8_BITS, REAL_BITS, ParameterCount
from keras_rbcn._files import replacing
from keras_rbcn._report import Report, save_figure

# A 64-bit processor does as many binary multiply-accumulates in one operation.
BINARY_PER_OPERATION = 64
_SUMMED = (
    "calls",
    "binary_parameters",
    "int8_parameters",
    "real_parameters",
    "scale_parameters",
    "memory_bits",
    "stored_bits",
    "binary_macs",
    "int8_macs",
    "real_macs",
)
_ITSELF = "the same network with kernels of 32 bits and without their scales"


@dataclass(frozen=True)
class LayerProfile:
    """Memory and operations of a layer, or of an operator of a .tflite file.

    Attributes:
        name: The layer's name, with those of the nested models that it is part of:
            `"encoder/conv1"`. Of a file, the name of the operator's output.
        kind: Class of the layer, or kind of the operator.
        output_shape: Shape of its first output, with a batch of one for Keras models
            and that of the file otherwise; None if it is never called.
        calls: How many times the model calls it.
        binary_parameters: Parameters of 1 bit.
        int8_parameters: Parameters of 8 bits.
        real_parameters: All others: floats, and the wider integers of a file's biases.
        scale_parameters: Those of the real ones that scale binary kernels, which the
            full-precision network does not have.
        memory_bits: What the parameters take: 1, 8 or 32 bits each; in a file real
            ones take what their type takes. Parameters that layers share are counted
            where they are used first.
        stored_bits: What a file stores for them. It is more where 1-bit kernels are
            filled up to a multiple of 32 channels.
        binary_macs: Multiply-accumulates of 1-bit inputs with 1-bit kernels, of all
            calls on one sample.
        int8_macs: Those of 8-bit inputs with 8-bit (or 1-bit) kernels.
        real_macs: All others; such as those of 1-bit kernels with real inputs.
        not_counted: Why multiply-accumulates are missing; empty if none are.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> layer = profile(model).layers[0]
        >>> layer.kind, layer.real_parameters, layer.real_macs
        ('Dense', 10, 8)
    """

    name: str
    kind: str
    output_shape: tuple[int | None, ...] | None
    calls: int = 1
    binary_parameters: int = 0
    int8_parameters: int = 0
    real_parameters: int = 0
    scale_parameters: int = 0
    memory_bits: int = 0
    stored_bits: int = 0
    binary_macs: int = 0
    int8_macs: int = 0
    real_macs: int = 0
    not_counted: str = ""

    @property
    def parameters(self) -> int:
        """Parameters of every kind."""
        return self.binary_parameters + self.int8_parameters + self.real_parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates of every kind."""
        return self.binary_macs + self.int8_macs + self.real_macs

    @property
    def operations(self) -> float:
        """Multiply-accumulates, of which 64 binary ones count as one."""
        return self.macs - self.binary_macs + self.binary_macs / BINARY_PER_OPERATION

    def to_dict(self) -> dict[str, Any]:
        """The attributes, and the operations."""
        values = asdict(self)
        reason = values.pop("not_counted")
        return {**values, "operations": self.operations, "not_counted": reason}


def make_row(
    name: str,
    kind: str,
    output_shape: tuple[int | None, ...] | None,
    parameters: ParameterCount,
    macs: Mapping[int, int],
    calls: int = 1,
    memory_bits: int | None = None,
    stored_bits: int | None = None,
    not_counted: str = "",
) -> LayerProfile:
    """A row of multiply-accumulates by bits, with the memory of a Keras model."""
    return LayerProfile(
        name=name,
        kind=kind,
        output_shape=output_shape,
        calls=calls,
        binary_parameters=parameters.binary,
        int8_parameters=parameters.int8,
        real_parameters=parameters.real,
        scale_parameters=parameters.scale,
        memory_bits=parameters.bits if memory_bits is None else memory_bits,
        stored_bits=parameters.bits if stored_bits is None else stored_bits,
        binary_macs=macs.get(1, 0),
        int8_macs=macs.get(INT8_BITS, 0),
        real_macs=macs.get(REAL_BITS, 0),
        not_counted=not_counted,
    )


@dataclass(frozen=True)
class FullPrecision:
    """The full-precision network that a profile compares with.

    Attributes:
        name: Which one.
        memory_bits: What its parameters take.
        operations: Its operations.
        not_counted: Why layers of it lack multiply-accumulates, by name: `operations`
            is then too small, and so is `operations_ratio`.
    """

    name: str
    memory_bits: int
    operations: float
    not_counted: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of_reference(cls, name: str, layers: tuple[LayerProfile, ...]) -> FullPrecision:
        """A network that was given to compare with."""
        total = total_of(layers)
        missing = _not_counted(layers)
        return cls(name, total.memory_bits, total.operations, missing)

    @classmethod
    def of_itself(cls, layers: tuple[LayerProfile, ...]) -> FullPrecision:
        """What a network would be in full precision."""
        total = total_of(layers)
        bits = REAL_BITS * (total.parameters - total.scale_parameters)
        return cls(_ITSELF, bits, float(total.macs), _not_counted(layers))


@dataclass(frozen=True)
class Profile(Report):
    """Memory and operations of a network, layer by layer and in total.

    `str(profile)` is a table, `print(profile)` prints it, and a notebook shows it.
    Layers with neither parameters nor multiply-accumulates are not in the table.

    Attributes:
        name: Name of the model, or of the file.
        layers: One row for each layer of the model, or operator of the file.
        full_precision: What `memory_ratio` and `operations_ratio` compare with.
        file_bytes: Size of the file; None for a Keras model.

    Example:
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     keras.layers.Conv2D(16, 3, name="first"),
        ...     RectifiedConv2D(32, 3, name="conv"),
        ... ])
        >>> result = profile(model)
        >>> result.total.binary_parameters, result.total.real_parameters
        (4608, 480)
        >>> result.memory_mbit
        0.019968
        >>> round(result.memory_ratio, 2)
        8.1
        >>> result.to_csv("model.csv")
        >>> figure = result.plot("model.png")
    """

    _WIDTH = 104  # Up to eight columns of numbers.

    name: str
    layers: tuple[LayerProfile, ...]
    full_precision: FullPrecision
    file_bytes: int | None = None

    @cached_property
    def total(self) -> LayerProfile:
        """The sums over the layers, as a row named "total"."""
        return total_of(self.layers)

    @property
    def parameters(self) -> int:
        """Parameters of every kind."""
        return self.total.parameters

    @property
    def memory_bits(self) -> int:
        """What the parameters take."""
        return self.total.memory_bits

    @property
    def memory_mbit(self) -> float:
        """What the parameters take, in 10**6 bits."""
        return self.memory_bits / 1e6

    @property
    def memory_mib(self) -> float:
        """What the parameters take, in 2**20 bytes."""
        return self.memory_bits / 8 / 2**20

    @property
    def macs(self) -> int:
        """Multiply-accumulates of every kind."""
        return self.total.macs

    @property
    def operations(self) -> float:
        """Multiply-accumulates, of which 64 binary ones count as one."""
        return self.total.operations

    @property
    def memory_ratio(self) -> float | None:
        """How many times less memory than in full precision; None without memory."""
        return _ratio(self.full_precision.memory_bits, self.memory_bits)

    @property
    def operations_ratio(self) -> float | None:
        """How many times fewer operations; None if there are none."""
        return _ratio(self.full_precision.operations, self.operations)

    @property
    def not_counted(self) -> dict[str, str]:
        """Why layers lack multiply-accumulates, by name: the totals are too small.

        For those of a reference, see `full_precision.not_counted`.
        """
        return _not_counted(self.layers)

    def to_dict(self) -> dict[str, Any]:
        """The profile as dictionaries, lists, strings and numbers."""
        return {
            **super().to_dict(),
            "layers": [_plain(row) for row in self.layers],
            "total": _plain(self.total),
            "memory_mbit": self.memory_mbit,
            "memory_mib": self.memory_mib,
            "operations": self.operations,
            "memory_ratio": self.memory_ratio,
            "operations_ratio": self.operations_ratio,
        }

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes one line for each layer, and a last one for the total.

        Args:
            path: The file to write.
        """
        rows = [row.to_dict() for row in (*self.layers, self.total)]
        for row in rows:
            row["output_shape"] = _shape(row["output_shape"])
        with replacing(Path(path)) as beside, beside.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draws a bar for the memory and one for the operations of each layer.

        Layers with neither are left out. The scale is logarithmic where the layers
        differ by more than a factor of 100.

        Args:
            path: A file to save the figure in as well, such as "profile.png" or
                "profile.pdf". How its name ends tells the format.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            ValueError: If the name ends in no format that matplotlib writes.
        """
        # Here, since matplotlib takes its time to start.
        from keras_rbcn.profiling.plot import Bars, plot_bars

        rows = [row for row in self.layers if row.memory_bits or row.macs]
        names = [row.name for row in rows]
        memory = Bars(
            "Memory [bits]",
            [row.memory_bits for row in rows],
            [_kind(row, "parameters") for row in rows],
        )
        operations = Bars(
            "Operations",
            [row.operations for row in rows],
            [_kind(row, "macs") for row in rows],
        )
        figure = plot_bars(self.name, names, memory, operations)
        if path is not None:
            save_figure(figure, path)
        return figure

    def __rich__(self) -> Group:
        return Group(self._layer_table(), self._summary())

    def _layer_table(self) -> Table:
        table = Table(title=escape(self.name), box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for title in ("layer", "kind", "output"):
            table.add_column(title, overflow="fold")
        columns = [
            (title, value) for title, value in _COLUMNS.items() if value(self.total)
        ]
        for title, _ in columns:
            table.add_column(title, justify="right", no_wrap=True)
        for row in self.layers:
            if not (row.parameters or row.macs or row.not_counted):
                continue
            cells = [_short(value(row)) for _, value in columns]
            if row.not_counted:
                cells.append("?")
            table.add_row(
                escape(row.name),
                row.kind,
                _shape(row.output_shape and row.output_shape[1:]),
                *cells,
            )
        return table

    def _summary(self) -> Table:
        table = Table(show_header=False, box=None, padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        total = self.total
        for title in ("parameters", "macs"):
            table.add_row(title.replace("macs", "MACs"), _by_kind(total, title))
        table.add_row(
            "memory",
            f"{_decimal(self.memory_mbit)} Mbit = {_decimal(self.memory_mib)} MiB",
        )
        table.add_row(
            "operations",
            f"{_count(self.operations)} = real + int8 MACs + 1-bit MACs / 64",
        )
        for row in self._comparison():
            table.add_row(*row)
        if self.file_bytes is not None:
            table.add_row("file", _file(self.file_bytes, total))
        for name, reason in self.not_counted.items():
            table.add_row("not counted", f"{escape(name)}: {escape(reason)}")
        return table

    def _comparison(self) -> Iterator[tuple[str, str]]:
        """Lines on the network to compare with; none where it is the very same."""
        full = self.full_precision
        given = full.name != _ITSELF
        same = (self.memory_bits, self.operations)
        if not given and (full.memory_bits, full.operations) == same:
            return
        yield (
            "full precision",
            f"{_decimal(full.memory_bits / 1e6)} Mbit{_times(self.memory_ratio)}, "
            f"{_count(full.operations)} operations{_times(self.operations_ratio)}: "
            + escape(full.name),
        )
        if given:
            for name, reason in full.not_counted.items():
                where = escape(f"{name} of {full.name}")
                yield "not counted", f"{where}: {escape(reason)}"


_COLUMNS: dict[str, Callable[[LayerProfile], float]] = {
    "1-bit\nparams": lambda row: row.binary_parameters,
    "int8\nparams": lambda row: row.int8_parameters,
    "real\nparams": lambda row: row.real_parameters,
    "memory\nbits": lambda row: row.memory_bits,
    "1-bit\nMACs": lambda row: row.binary_macs,
    "int8\nMACs": lambda row: row.int8_macs,
    "real\nMACs": lambda row: row.real_macs,
    "opera-\ntions": lambda row: row.operations,
}


def total_of(layers: tuple[LayerProfile, ...]) -> LayerProfile:
    """The sums over the layers, as a row named "total"."""
    sums = {name: sum(getattr(row, name) for row in layers) for name in _SUMMED}
    missing = sum(bool(row.not_counted) for row in layers)
    reason = f"{missing} layer(s) are not counted" if missing else ""
    return LayerProfile("total", "", None, **sums, not_counted=reason)


def _not_counted(layers: tuple[LayerProfile, ...]) -> dict[str, str]:
    return {row.name: row.not_counted for row in layers if row.not_counted}


def _plain(row: LayerProfile) -> dict[str, Any]:
    shape = row.output_shape
    return {**row.to_dict(), "output_shape": None if shape is None else list(shape)}


def _ratio(full_precision: float, own: float) -> float | None:
    return full_precision / own if own else None


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f" ({ratio:,.2f} times)"


def _count(number: float) -> str:
    return f"{number:,.0f}" if number < 1e6 else f"{number:.3e}"


def _kind(row: LayerProfile, what: str) -> str:
    """Which kind most of a layer's parameters or multiply-accumulates are of."""
    kinds = ("real", "int8", "binary")
    return max(kinds, key=lambda kind: getattr(row, f"{kind}_{what}"))


def _by_kind(total: LayerProfile, what: str) -> str:
    parts = [
        f"{getattr(total, f'{kind}_{what}'):,} {title}"
        for kind, title in (("binary", "1-bit"), ("int8", "int8"), ("real", "real"))
    ]
    return ", ".join(parts)


def _file(size: int, total: LayerProfile) -> str:
    text = f"{size:,} bytes = {_decimal(8 * size / 1e6)} Mbit"
    filling = total.stored_bits - total.memory_bits
    if filling:
        text += f", {_decimal(filling / 1e6)} Mbit of them to fill up 1-bit kernels"
    return text


def _shape(shape: tuple[int | None, ...] | None) -> str:
    if shape is None:
        return ""
    return "x".join("?" if size is None else str(size) for size in shape)


def _decimal(number: float) -> str:
    return f"{number:,.2f}" if number >= 1 else f"{number:.3g}"


def _short(number: float) -> str:
    """Three digits and a unit; nothing for zero."""
    if not number:
        return ""
    power = min(max(math.floor(math.log10(number)) // 3, 0), 3)
    number /= 1000**power
    decimals = max(0, 2 - math.floor(math.log10(number))) if number % 1 else 0
    return f"{number:.{min(decimals, 3)}f}{('', 'k', 'M', 'G')[power]}"
