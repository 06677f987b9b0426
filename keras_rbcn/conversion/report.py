"""What binarize did, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from keras_rbcn._backend import keras
from keras_rbcn._counting import count_parameters
from keras_rbcn._report import Report
from keras_rbcn.conversion.graph import Call, has_kernel
from keras_rbcn.conversion.operations import activation_name, is_activation
from keras_rbcn.conversion.plan import Plan
from keras_rbcn.conversion.shortcuts import Shortcuts
from keras_rbcn.conversion.student import Made
from keras_rbcn.layers import RectifiedConv2D

UNCHANGED = "unchanged"


@dataclass(frozen=True)
class LayerChange:
    """What became of a layer.

    Attributes:
        name: Name in the student; in the model, if it is left out.
        kind_before: Class of the layer in the model; empty if it is new.
        kind_after: Class of the layer in the student; empty if it is left out.
        reason: Why.
        parameters: Parameters in the student, as the literature counts them: without
            moving statistics.
        bits_before: What the layer's parameters take in the model, 32 bits each.
        bits: What they take in the student: 1 bit per binary weight, 32 per real one.
    """

    name: str
    kind_before: str
    kind_after: str
    reason: str
    parameters: int
    bits_before: int
    bits: int


@dataclass(frozen=True)
class BinarizationReport(Report):
    """What `binarize` did to each layer, and why.

    `str(report)` is a table, `print(report)` prints it, and a notebook shows it.
    Layers that were copied as they are and have no parameters are not in the table.

    Attributes:
        model: Name of the model.
        student: Name of the student.
        style: The block style.
        layers: One entry for each layer of model and student.

    Example:
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     keras.layers.Conv2D(4, 3, name="a"),
        ...     keras.layers.Conv2D(4, 3, name="b"),
        ...     keras.layers.Flatten(),
        ...     keras.layers.Dense(2),
        ... ])
        >>> student, report = binarize(model, return_report=True)
        >>> report.binary_convolutions
        ('b',)
        >>> report.layers[1].reason
        'first convolution'
    """

    model: str
    student: str
    style: str
    layers: tuple[LayerChange, ...]

    _WIDTH = 120

    @property
    def binary_convolutions(self) -> tuple[str, ...]:
        """Names of the convolutions that are 1-bit in the student."""
        return tuple(
            row.name for row in self.layers if row.kind_after == "RectifiedConv2D"
        )

    @property
    def bits_before(self) -> int:
        """What the model's parameters take."""
        return sum(row.bits_before for row in self.layers)

    @property
    def bits(self) -> int:
        """What the student's parameters take."""
        return sum(row.bits for row in self.layers)

    def __rich__(self) -> Group:
        table = Table(
            title=f"{escape(self.model)} to {escape(self.student)}, "
            f"style '{self.style}'"
        )
        for column in ("layer", "kind", "why"):
            table.add_column(column, overflow="fold")
        table.add_column("parameters", justify="right")
        table.add_column("bits", justify="right")
        for row in self.layers:
            if row.reason != UNCHANGED or row.parameters:
                table.add_row(
                    escape(row.name),
                    _change(row),
                    escape(row.reason),
                    f"{row.parameters:,}",
                    f"{row.bits:,}",
                )
        return Group(table, self._summary())

    def _summary(self) -> Table:
        table = Table(show_header=False, box=None, padding=(0, 1))
        table.add_column()
        table.add_column(overflow="fold")
        table.add_row("1-bit convolutions", str(len(self.binary_convolutions)))
        table.add_row(
            "parameters take",
            f"{self.bits / 1e6:,.3f} Mbit instead of {self.bits_before / 1e6:,.3f} "
            f"({self.bits_before / max(self.bits, 1):.2f} times less)",
        )
        return table


def make_report(
    model: Any, student: Any, style: str, plan: Plan, shortcuts: Shortcuts, made: list
) -> BinarizationReport:
    """Describes every layer of the student, and those that were left out."""
    rows: list[LayerChange] = []
    counted: set[int] = set()
    for item in made:
        first = item.source is not None and id(item.source) not in counted
        counted.add(id(item.source))
        rows.append(_row(item, plan, first))
    kept = {id(item.source) for item in made}
    for call in plan.graph.calls:
        layer = call.layer
        reason = _why_left_out(call, plan, shortcuts)
        if reason and (call.node is None or id(layer) not in kept):
            kept.add(id(layer))
            kind = activation_name(call) if call.node is None else _kind(layer)
            bits = 0 if call.node is None else count_parameters(layer).bits
            rows.append(LayerChange(layer.name, kind, "", reason, 0, bits, 0))
    order = {layer.name: n for n, layer in enumerate(student.layers)}
    rows.sort(key=lambda row: order.get(row.name, len(order)))
    return BinarizationReport(model.name, student.name, style, tuple(rows))


def _change(row: LayerChange) -> str:
    if not row.kind_before:
        return f"+ {row.kind_after}"
    if not row.kind_after:
        return f"- {row.kind_before}"
    if row.kind_before == row.kind_after:
        return row.kind_after
    return f"{row.kind_before} > {row.kind_after}"


def _row(item: Made, plan: Plan, first: bool) -> LayerChange:
    count = count_parameters(item.layer)
    return LayerChange(
        name=item.layer.name,
        kind_before="" if item.is_new else _kind(item.source),
        kind_after=_kind(item.layer),
        reason=_reason(item, plan),
        parameters=count.total,
        bits_before=count_parameters(item.source).bits if first else 0,
        bits=count.bits,
    )


def _reason(item: Made, plan: Plan) -> str:
    if item.source is None:
        return item.role
    if item.role == "depthwise":
        return "real depthwise part of a separable convolution"
    if item.role == "normalization":
        return "added: the convolution has none"
    if item.role == "activation":
        return "the convolution's own activation"
    if isinstance(item.layer, RectifiedConv2D):
        return _rectified_reason(item.source, plan)
    if item.source in plan.absorbed.values():
        biased = [la for la, norm in plan.absorbed.items() if norm is item.source]
        if any(layer.use_bias for layer in biased):
            return "takes the convolution's bias"
    if any(item.source is call.layer for call in plan.swapped):
        return "pools behind the normalisation"
    if has_kernel(item.source):
        return plan.choices[item.source].reason
    if isinstance(item.source, keras.layers.Wrapper) or item.source.submodules:
        return "kept as it is, with the layers inside"
    return UNCHANGED


def _rectified_reason(layer: Any, plan: Plan) -> str:
    reason = plan.choices[layer].reason
    calls = plan.graph.calls_of(layer)
    if any(call.inputs[0].producer in plan.folded for call in calls):
        reason += "; pads the signs itself"
    if hasattr(layer, "pointwise_kernel"):
        reason += ", the 1x1 part of a separable one"
    if any(call in plan.gated for call in calls):
        reason += "; a gate alone would change no sign, so a threshold is in front"
    return reason


def _why_left_out(call: Call, plan: Plan, shortcuts: Shortcuts) -> str:
    if call in plan.folded:
        return "the 1-bit convolution behind pads itself"
    if call in shortcuts.replaced:
        return "the block's shortcut joins earlier"
    if is_activation(call) and any(
        (call.output, reader) in plan.bypassed for reader in call.output.consumers
    ):
        return "left out in front of signs"
    return ""


def _kind(layer: Any) -> str:
    return type(layer).__name__
