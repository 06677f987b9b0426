"""Multiply-accumulates and parameters of the operators of .tflite files."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from keras_rbcn._counting import INT8_BITS, REAL_BITS, ParameterCount
from keras_rbcn.profiling.macs import Product
from keras_rbcn.profiling.sizes import Shape, Sizes, UnknownSizeError
from keras_rbcn.tflite.flatbuffer import LCE_OPERATORS, Graph, Operator, Tensor


@dataclass(frozen=True)
class _Call:
    """An operator, and what is needed to count its multiply-accumulates."""

    graph: Graph
    sizes: Sizes
    operator: Operator
    position: int

    @property
    def source(self) -> Shape:
        """Shape of what is multiplied with the kernel."""
        return self.sizes.of(self.operator.inputs[self.position])

    @property
    def kernel(self) -> Shape:
        """Shape of the kernel, or of the second one of two matrices."""
        return self.sizes.of(self.operator.inputs[1])

    @property
    def result(self) -> Shape:
        """Shape of the output."""
        return self.sizes.undilated(self.operator)

    @property
    def bits(self) -> int:
        """Bits of the wider one of what is multiplied."""
        if self.operator.name == "LceBconv2d":
            return 1
        source, kernel = (
            self.graph.tensors[self.operator.inputs[position]].dtype
            for position in (self.position, 1)
        )
        integers = source.kind in "iu" and kernel.kind in "iu"
        return INT8_BITS if integers and kernel.itemsize == 1 else REAL_BITS


def product_of(graph: Graph, sizes: Sizes, operator: Operator) -> Product | None:
    """What an operator multiplies; None if it sums up no products."""
    if operator.custom and operator.name not in LCE_OPERATORS:
        reason = f"what the custom operator '{operator.name}' does is not known"
        return Product(None, reason=reason)
    if operator.name in _NOT_COUNTED:
        return Product(None, reason=f"what {operator.name} takes is not known")
    if operator.name not in _COUNTS:
        return None
    position, count = _COUNTS[operator.name]
    call = _Call(graph, sizes, operator, position)
    try:
        return Product(count(call), call.bits)
    except UnknownSizeError:
        reason = "a size is not in the file; convert the model with a fixed batch"
        return Product(None, reason=reason)


def _convolution(call: _Call) -> int:
    return math.prod(call.result) * math.prod(call.kernel[1:])  # (filters, ..., inputs)


def _convolution_3d(call: _Call) -> int:
    return math.prod(call.result) * math.prod(call.kernel[:-1])  # (..., filters)


def _depthwise_convolution(call: _Call) -> int:
    _, height, width, _ = call.kernel
    return math.prod(call.result) * height * width


def _transposed_convolution(call: _Call) -> int:
    # Products that a crop at the border drops are counted. (..., inputs)
    return math.prod(call.source) * math.prod(call.kernel[:-1])


def _fully_connected(call: _Call) -> int:
    return math.prod(call.result) * call.kernel[-1]  # (outputs, inputs)


def _matrix_product(call: _Call) -> int:
    # Of the source's last two axes, the one that is not in the result is summed over.
    rows = call.result[-2]
    return math.prod(call.result) * (math.prod(call.source[-2:]) // max(rows, 1))


def _binary_convolution(call: _Call) -> int:
    # The channels of kernel and result may be packed into words.
    filters, height, width, _ = call.kernel
    summed = height * width * call.operator.options["channels_in"]
    return math.prod(call.result[:-1]) * filters * summed


def _long_short_term_memory(call: _Call) -> int:
    # Four kernels for the inputs, four for the state, and that of a projection.
    kernels = [call.operator.inputs[position] for position in (*range(1, 9), 16)]
    sizes = [
        math.prod(call.graph.tensors[index].shape) for index in kernels if index >= 0
    ]
    return math.prod(call.source[:-1]) * sum(sizes)


# For each operator, which input is multiplied with input 1, and how to count.
_COUNTS: dict[str, tuple[int, Callable[[_Call], int]]] = {
    "BATCH_MATMUL": (0, _matrix_product),
    "CONV_2D": (0, _convolution),
    "CONV_3D": (0, _convolution_3d),
    "CONV_3D_TRANSPOSE": (2, _transposed_convolution),
    "DEPTHWISE_CONV_2D": (0, _depthwise_convolution),
    "FULLY_CONNECTED": (0, _fully_connected),
    "LceBconv2d": (0, _binary_convolution),
    "TRANSPOSE_CONV": (2, _transposed_convolution),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (0, _long_short_term_memory),
}
# What else sums up products: to be named rather than to count as nothing.
_NOT_COUNTED = frozenset(
    {
        "BIDIRECTIONAL_SEQUENCE_LSTM",
        "BIDIRECTIONAL_SEQUENCE_RNN",
        "DELEGATE",
        "LSTM",
        "RNN",
        "STABLEHLO_CONVOLUTION",
        "STABLEHLO_DOT_GENERAL",
        "SVDF",
        "UNIDIRECTIONAL_SEQUENCE_RNN",
    }
)


@dataclass(frozen=True)
class Storage:
    """What a file stores for parameters.

    Attributes:
        parameters: How many there are.
        bits: What they take.
        stored_bits: What is stored, with what fills up 1-bit kernels.
    """

    parameters: ParameterCount
    bits: int
    stored_bits: int


def storage_of(
    graph: Graph, operator: Operator, counted: Collection[int] = ()
) -> Storage:
    """Counts the parameters among the constants that an operator reads.

    Shapes, axes and other integers that say what to do are no parameters.

    Args:
        graph: The file.
        operator: The operator.
        counted: Indices of the constants that were counted before.
    """
    total = Storage(ParameterCount(0, 0), 0, 0)
    for position, index in enumerate(operator.inputs):
        constant = index >= 0 and graph.tensors[index].data is not None
        if not constant or index in counted or index in operator.inputs[:position]:
            continue
        count = _parameters(operator, position, graph.tensors[index])
        if count.total:
            tensor = graph.tensors[index]
            stored = tensor.bits * math.prod(tensor.shape)
            bits = count.binary or stored
            total = Storage(
                total.parameters + count, total.bits + bits, total.stored_bits + stored
            )
    return total


# Inputs that hold integers in int8 networks, and thresholds in 1-bit ones.
_BIASES = {
    "CONV_2D": (2,),
    "CONV_3D": (2,),
    "DEPTHWISE_CONV_2D": (2,),
    "FULLY_CONNECTED": (2,),
    "LceBconv2d": (4,),
    "TRANSPOSE_CONV": (3,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (12, 13, 14, 15),
}


def _parameters(operator: Operator, position: int, tensor: Tensor) -> ParameterCount:
    size = math.prod(tensor.shape)
    if operator.name == "LceBconv2d" and position == 1:
        filters, height, width, _ = tensor.shape
        binary = filters * height * width * operator.options["channels_in"]
        return ParameterCount(binary, 0)
    if operator.name == "LceBconv2d" and position == 2:
        return ParameterCount(0, size, scale=size)
    if tensor.dtype.kind == "f" or position in _BIASES.get(operator.name, ()):
        return ParameterCount(0, size)
    if tensor.dtype.kind in "iu" and tensor.dtype.itemsize == 1:
        return ParameterCount(0, 0, int8=size)
    return ParameterCount(0, 0)
