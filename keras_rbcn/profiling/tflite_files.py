"""The operators of a .tflite file: what it stores for them, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from keras_rbcn.profiling.operators import product_of, storage_of
from keras_rbcn.profiling.report import LayerProfile, make_row
from keras_rbcn.profiling.sizes import Sizes
from keras_rbcn.tflite.flatbuffer import Graph, InvalidModelError, Operator, parse
from keras_rbcn.tflite.packing import check_checksum
from keras_rbcn.tflite.structure import check

# What the converter calls the outputs of a file.
_NAMELESS = "StatefulPartitionedCall"


def profile_operators(content: bytes, path: Path) -> tuple[LayerProfile, ...]:
    """Profiles every operator of a .tflite file, in order of execution.

    Args:
        content: The file.
        path: Where it is, for messages.

    Returns:
        One row for each operator. A file with a batch counts for one of its samples.

    Raises:
        ValueError: If it is no .tflite file, damaged, or has inputs of undefined size.
    """
    try:
        check_checksum(content)
        graph = parse(content)
        check(graph)
    except InvalidModelError as error:
        raise ValueError(
            f"Expected a .tflite model, but file '{path}' {error}"
        ) from None
    _check_inputs(graph, path)
    try:
        rows = list(_rows(graph, _batch(graph)))
        # How often the graphs run that others call is not in the file.
        for other in graph.others:
            inner = _rows(other, None)
            rows += [row for row in inner if row.parameters or row.not_counted]
    except (IndexError, ValueError) as error:
        raise ValueError(
            f"Expected a .tflite model, but file '{path}' is corrupted: an operator "
            f"and the shapes of what it reads do not fit ({error})."
        ) from error
    return tuple(rows)


def _check_inputs(graph: Graph, path: Path) -> None:
    for index, name in zip(graph.inputs, graph.input_names, strict=True):
        tensor = graph.tensors[index]
        if set(tensor.dynamic) - {0}:
            sizes = [
                None if axis in tensor.dynamic else size
                for axis, size in enumerate(tensor.shape)
            ]
            raise ValueError(
                f"Expected every size of input '{name}' of file '{path}' but the batch "
                "to be defined, because the number of operations depends on it. "
                f"Received: shape={tuple(sizes)}. Convert the model with a fixed input "
                "shape."
            )


def _batch(graph: Graph) -> int:
    """The leading size that all inputs and outputs share; 1 if they share none."""
    shapes = [graph.tensors[index].shape for index in (*graph.inputs, *graph.outputs)]
    sizes = {shape[0] if shape else 1 for shape in shapes}
    return max(sizes.pop(), 1) if len(sizes) == 1 else 1


def _rows(graph: Graph, batch: int | None) -> Iterator[LayerProfile]:
    """A row for each operator; without a batch, nothing is known of how it is run."""
    sizes = Sizes(graph)
    counted: set[int] = set()
    for operator, name in zip(graph.operators, _names(graph), strict=True):
        storage = storage_of(graph, operator, counted)
        counted.update(operator.inputs)
        macs, reason = _macs(graph, sizes, operator, batch)
        yield make_row(
            name,
            operator.name,
            sizes.unpacked(operator.outputs[0]) if operator.outputs else None,
            storage.parameters,
            macs,
            memory_bits=storage.bits,
            stored_bits=storage.stored_bits,
            not_counted=reason,
        )


def _macs(
    graph: Graph, sizes: Sizes, operator: Operator, batch: int | None
) -> tuple[dict[int, int], str]:
    product = product_of(graph, sizes, operator)
    if product is None:
        return {}, ""
    if batch is None:
        return {}, "it runs inside of a loop or a branch"
    if product.macs is None:
        return {}, product.reason
    # What is not a multiple of the batch does not depend on it.
    share = 1 if product.macs % batch else batch
    return {product.bits: product.macs // share}, ""


def _names(graph: Graph) -> list[str]:
    """Names of the operators' outputs, without that of the model in front."""
    outputs = dict(zip(graph.outputs, graph.output_names, strict=True))
    names = []
    for operator in graph.operators:
        index = operator.outputs[0] if operator.outputs else -1
        name = graph.tensors[index].name.partition(";")[0] if index >= 0 else ""
        names.append(outputs.get(index, name) if _NAMELESS in name else name)
    scopes = {name.partition("/")[0] for name in names if "/" in name}
    if len(scopes) == 1:
        scope = f"{scopes.pop()}/"
        names = [name.removeprefix(scope) for name in names]
    return names
