"""Which of the layers that should compute in int8 do so in the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_rbcn.conversion.graph import is_functional, read_graph
from keras_rbcn.export.wording import listed
from keras_rbcn.quantization.layers import QuantizedLayer
from keras_rbcn.tflite.flatbuffer import Graph, Operator

# A factor that leaves next to nothing of a channel, and 8 bits a scale that is not so
# small that the bias, which counts in it, goes beyond 32 bits.
_SMALL_GAMMA = 1e-3
_ENDS = np.iinfo(np.int32)
# Of each operator, which of its inputs are the values.
_OPERATORS = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 0,
    "FULLY_CONNECTED": 0,
    "TRANSPOSE_CONV": 2,
}


def layers_without_int8(
    graph: Graph, layers: list[QuantizedLayer]
) -> list[QuantizedLayer]:
    """The layers whose kernel no operator of the file multiplies with in int8.

    They are known by their kernels, so that no name needs to survive the conversion.
    """
    kernels = _kernels(graph)
    return [
        layer
        for layer in layers
        if layer.kernel is not None
        and not any(_equal(kernel, layer.kernel_integers()) for kernel in kernels)
    ]


def why_without_int8(layer: QuantizedLayer, student: Any) -> str:
    """Why a layer does not compute in int8, as far as that is known, and what to do.

    Args:
        layer: The layer.
        student: The model that it is in.
    """
    calls = read_graph(student).calls_of(layer) if is_functional(student) else []
    for call in calls:
        for reader in call.output.consumers:
            behind = getattr(reader.layer, "layer", reader.layer)
            gamma = getattr(behind, "gamma", None)
            if gamma is None:
                continue
            zero = np.flatnonzero(gamma.numpy() == 0)
            if zero.size:
                return (
                    f"the gamma of '{reader.name}' behind it is zero for channel(s) "
                    f"{listed(zero)}, which leaves 8 bits no scale. Set them to a "
                    f"small number that is not zero, such as {_SMALL_GAMMA}."
                )
    return "no cause is known. Keep real layers in float32, or replace it."


def overflowing(graph: Graph, operator: Operator) -> str | None:
    """What is wrong with an operator whose bias does not fit into 32 bits, or None."""
    if operator.name not in _OPERATORS or len(operator.inputs) < 3:
        return None
    bias = graph.tensors[operator.inputs[2]]
    if bias.dtype != np.int32 or bias.data is None:
        return None
    beyond = np.flatnonzero(np.isin(bias.value, (_ENDS.min, _ENDS.max)))
    if not beyond.size:
        return None
    return (
        f"the bias of its channel(s) {listed(beyond)} does not fit into 32 bits, as "
        "their kernels, batch normalisation taken in, are next to zero. Set a gamma "
        f"that is next to zero to {_SMALL_GAMMA}."
    )


def _kernels(graph: Graph) -> list[np.ndarray]:
    """The int8 kernels of operators that compute in int8, outputs on the last axis."""
    found = []
    for operator in graph.operators:
        if operator.name not in _OPERATORS:
            continue
        inputs = graph.tensors[operator.inputs[_OPERATORS[operator.name]]]
        kernel = graph.tensors[operator.inputs[1]]
        if inputs.dtype != np.int8 or kernel.dtype != np.int8 or kernel.data is None:
            continue
        value = kernel.value
        if operator.name == "TRANSPOSE_CONV":
            value = np.moveaxis(value, 0, 2)  # As in Keras, filters and then inputs.
        elif operator.name != "DEPTHWISE_CONV_2D":
            value = np.moveaxis(value, 0, -1)
        found.append(value.reshape(-1, value.shape[-1]).astype(int))
    return found


def _equal(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Whether kernels are the same integers, or within each filter the opposite ones.

    The converter takes batch normalisation into a kernel: that changes its scales, and
    their sign.
    """
    wanted = wanted.reshape(-1, wanted.shape[-1])
    if found.size != wanted.size:
        return False
    found = found.reshape(-1, found.shape[-1])
    if found.shape != wanted.shape:
        wanted = wanted.reshape(found.shape)
    # By one, where a kernel lies in the middle between two integers.
    same = (np.abs(found - wanted) <= 1).all(0)
    opposite = (np.abs(found + wanted) <= 1).all(0)
    return bool((same | opposite).all())
