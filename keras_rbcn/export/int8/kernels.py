"""Which of the layers that should compute in int8 do so in the file."""

from __future__ import annotations

import numpy as np

from keras_rbcn.quantization.layers import QuantizedLayer
from keras_rbcn.tflite.flatbuffer import Graph

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
