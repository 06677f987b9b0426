"""Compares what a profile of the student promises with the bytes of its file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.conversion.graph import has_kernel, is_functional, read_graph
from keras_rbcn.export.document.promise import LayerPromise, Promise
from keras_rbcn.export.document.report import OperatorReport
from keras_rbcn.profiling import LayerProfile, profile
from keras_rbcn.profiling.tflite_files import profile_operators


def account(
    student: Any, content: bytes, path: Path, operators: Sequence[OperatorReport]
) -> Promise:
    """Says of each layer, and in total, what was promised and what the file stores.

    Args:
        student: Keras model.
        content: Its file.
        path: What the file is called.
        operators: One entry for each operator of the file's main graph.
    """
    promised = profile(student).layers
    rows = profile_operators(content, path)
    # Behind them come those of graphs that operators call, such as loops.
    main, inner = rows[: len(operators)], rows[len(operators) :]
    stored = sum(row.stored_bits for row in rows)
    constants = sum(operator.bytes for operator in operators)
    own = sum(_bytes(row) for row in main)
    return Promise(
        layers=tuple(_layers(student, promised, operators, main, inner)),
        promised_bits=sum(row.memory_bits for row in promised),
        stored_bits=stored,
        padding_bits=sum(_padding(row) for row in rows),
        other_bytes=constants - own,
        structure_bytes=len(content) - constants - sum(map(_bytes, inner)),
    )


def _bytes(row: LayerProfile) -> int:
    return -(-row.stored_bits // 8)


def _padding(row: LayerProfile) -> int:
    return row.stored_bits - row.memory_bits


@dataclass
class _Row:
    """What is gathered of layers that the file holds together."""

    layers: list[str] = field(default_factory=list)
    kinds: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    promised: int = 0
    stored: int = 0
    padding: int = 0

    def add_stored(self, row: LayerProfile, kind: str) -> None:
        """Adds what an operator stores."""
        self.stored += row.stored_bits
        self.padding += _padding(row)
        self.kinds[kind] += row.stored_bits

    def finished(self, name: str) -> LayerPromise:
        """The entry of the report; named `name` if no layer was promised."""
        # A kernel that is emulated is made real by an operator of real numbers.
        one_bit = [kind for kind in self.kinds if kind.startswith("1-bit")]
        kinds = one_bit or list(self.kinds)
        kind = max(kinds, key=lambda kind: self.kinds[kind], default="")
        layers = tuple(self.layers) or (name,)
        return LayerPromise(layers, kind, self.promised, self.stored, self.padding)


def _layers(
    student: Any,
    promised: Sequence[LayerProfile],
    operators: Sequence[OperatorReport],
    main: Sequence[LayerProfile],
    inner: Sequence[LayerProfile],
) -> list[LayerPromise]:
    holding = {
        operator.name
        for operator, row in zip(operators, main, strict=True)
        if operator.name and row.stored_bits
    }
    neighbours = _Neighbours(student, holding)
    found: defaultdict[str, _Row] = defaultdict(_Row)
    for row in promised:
        if row.memory_bits:
            # Of nested models, the file tells the innermost name alone.
            held = found[neighbours.holder(row.name.rpartition("/")[2])]
            held.promised += row.memory_bits
            name = _without_repetition(row.name)
            held.layers += [] if name in held.layers else [name]
    for operator, row in zip(operators, main, strict=True):
        if row.stored_bits:
            found[operator.name or operator.operator].add_stored(row, operator.kind)
    for row in inner:
        if row.stored_bits:
            found[row.name].add_stored(row, "")
    return [row.finished(name) for name, row in found.items()]


def _without_repetition(name: str) -> str:
    """The name of a layer without that of its wrapper, if this has the same."""
    *outer, last = name.split("/")
    return "/".join([*(outer[:-1] if outer[-1:] == [last] else outer), last])


class _Neighbours:
    """Finds the layer beside one under whose name the file holds both.

    The converter folds what follows a convolution into it, and names the operator by
    any one of them.

    Args:
        model: Keras model.
        holding: Names of layers that operators with parameters bear.
    """

    def __init__(self, model: Any, holding: set[str]) -> None:
        self._holding = holding
        self._kernels = {
            layer.name
            for layer in model.submodules
            if isinstance(layer, keras.layers.Layer) and has_kernel(layer)
        }
        self._before: defaultdict[str, set[str]] = defaultdict(set)
        self._after: defaultdict[str, set[str]] = defaultdict(set)
        for part in (model, *model.submodules):
            if isinstance(part, keras.Model) and is_functional(part):
                self._read(part)

    def _read(self, model: Any) -> None:
        for call in read_graph(model).calls:
            for value in call.inputs:
                source = value.producer
                if source is not None and source.layer is not call.layer:
                    self._before[call.name].add(source.name)
                    self._after[source.name].add(call.name)

    def holder(self, name: str) -> str:
        """The name under which the file holds a layer; its own if it is not found."""
        if name in self._holding:
            return name
        ways = [self._before, self._after]
        if name in self._kernels:
            ways.reverse()
        return self._walk(name, ways[0]) or self._walk(name, ways[1]) or name

    def _walk(self, name: str, way: Mapping[str, set[str]]) -> str | None:
        """Goes from one layer to its only neighbour until there is one held."""
        passed = {name}
        while len(way.get(name, ())) == 1:
            (name,) = way[name]
            if name in self._holding:
                return name
            if name in self._kernels or name in passed:
                return None
            passed.add(name)
        return None
