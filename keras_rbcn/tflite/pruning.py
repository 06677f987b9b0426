"""Drops from a file what none of its operators uses any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

# Each is all that an operator lists by the index of a tensor.
_LISTS = ("inputs", "outputs", "intermediates")
_NO_TENSOR = -1


def drop_unused(model: Any) -> None:
    """Drops tensors, constants and kinds of operators that nothing refers to.

    A converter leaves none of them, but whoever takes out operators does, and each
    tensor takes some hundred bytes.

    Args:
        model: What `packing.unpack` returned.
    """
    for number, graph in enumerate(model.subgraphs):
        signatures = [
            one for one in model.signatureDefs or () if one.subgraphIndex == number
        ]
        _drop_tensors(graph, signatures)
    _drop_buffers(model)
    _drop_codes(model)


def _drop_tensors(graph: Any, signatures: list[Any]) -> None:
    users: list[tuple[Any, tuple[str, ...]]] = [(graph, ("inputs", "outputs"))]
    users += [(operator, _LISTS) for operator in graph.operators]
    used = {
        int(index)
        for owner, names in users
        for name in names
        for index in _listed(owner, name)
    }
    moved = _moved(len(graph.tensors), used)
    graph.tensors = [graph.tensors[index] for index in moved]
    moved[_NO_TENSOR] = _NO_TENSOR
    for owner, names in users:
        for name in names:
            if getattr(owner, name) is not None:
                indices = [moved[int(index)] for index in _listed(owner, name)]
                setattr(owner, name, indices)
    for signature in signatures:
        # They name inputs and outputs of the graph.
        for item in (*(signature.inputs or ()), *(signature.outputs or ())):
            item.tensorIndex = moved[int(item.tensorIndex)]


def _drop_buffers(model: Any) -> None:
    owners = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    owners += model.metadata or ()
    used = {int(owner.buffer) for owner in owners} | set(
        _listed(model, "metadataBuffer")
    )
    moved = _moved(len(model.buffers), used | {0})  # The first is always empty.
    model.buffers = [model.buffers[index] for index in moved]
    for owner in owners:
        owner.buffer = moved[int(owner.buffer)]
    if model.metadataBuffer is not None:
        model.metadataBuffer = [
            moved[index] for index in _listed(model, "metadataBuffer")
        ]


def _drop_codes(model: Any) -> None:
    operators = [one for graph in model.subgraphs for one in graph.operators]
    used = {int(one.opcodeIndex) for one in operators}
    moved = _moved(len(model.operatorCodes), used)
    model.operatorCodes = [model.operatorCodes[index] for index in moved]
    for one in operators:
        one.opcodeIndex = moved[int(one.opcodeIndex)]


def _listed(owner: Any, name: str) -> list[int]:
    found = getattr(owner, name)
    return [] if found is None else [int(index) for index in found]


def _moved(count: int, used: Iterable[int]) -> dict[int, int]:
    """Where what is used gets to if all else is left out, by where it was."""
    kept = set(used)
    return {old: new for new, old in enumerate(i for i in range(count) if i in kept)}
