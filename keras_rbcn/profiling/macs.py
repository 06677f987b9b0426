"""Multiply-accumulates of TensorFlow's operations, and the bits of what they multiply.

They are counted where sums of products are: in convolutions and matrix products.
Elementwise arithmetic, such as that of a batch normalisation, is not counted, as in the
literature.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from keras_rbcn._counting import INT8_BITS, REAL_BITS


class Product(NamedTuple):
    """What an operation multiplies.

    Attributes:
        macs: Multiply-accumulates; None if they are not known.
        bits: Of the wider one of the two things multiplied: 1, 8 or 32.
        reason: Why they are not known.
    """

    macs: int | None
    bits: int = REAL_BITS
    reason: str = ""


def multiplies(operation_type: str) -> bool:
    """Whether operations of this type sum up products."""
    return operation_type in _COUNTS or operation_type in _NOT_COUNTED


def product_of(operation: Any, binary: Collection[Any]) -> Product | None:
    """What an operation of a graph multiplies.

    Args:
        operation: A `tf.Operation`.
        binary: References of the tensors that hold two values.

    Returns:
        None if it sums up no products.
    """
    if operation.type in _NOT_COUNTED:
        return Product(None, reason=f"what {operation.type} takes is not known")
    if operation.type not in _COUNTS:
        return None
    if operation.type == "Einsum" and len(operation.inputs) < 2:
        return None  # It only rearranges, or sums.
    positions, count = _COUNTS[operation.type]
    operands = [operation.inputs[position] for position in positions]
    ranks = [tensor.shape.rank for tensor in (*operands, operation.outputs[0])]
    macs = None if None in ranks else count(operation)
    if macs is None:
        return Product(None, reason="a size depends on the data")
    return Product(macs, max(_bits(operand, binary) for operand in operands))


def _times(*factors: int | None) -> int | None:
    return None if None in factors else math.prod(factors)  # type: ignore[arg-type]


def _convolution(operation: Any) -> int | None:
    # A kernel (..., inputs of the group, filters); every output sums over the former.
    *summed, _ = operation.inputs[1].shape.as_list()
    return _times(_outputs(operation), *summed)


def _depthwise_convolution(operation: Any) -> int | None:
    height, width, _, _ = operation.inputs[1].shape.as_list()
    return _times(_outputs(operation), height, width)


def _transposed_convolution(operation: Any) -> int | None:
    # A kernel (..., filters, inputs); every input is multiplied with all of its own.
    # Products that a crop at the border drops are counted.
    *spread, _ = operation.inputs[1].shape.as_list()
    return _times(_times(*_undilated(operation.inputs[2]).shape.as_list()), *spread)


def _matrix_product(operation: Any) -> int | None:
    shape = operation.inputs[0].shape.as_list()
    flag = "transpose_a" if operation.type == "MatMul" else "adj_x"
    summed = shape[-2] if operation.get_attr(flag) else shape[-1]
    return _times(_times(*operation.outputs[0].shape.as_list()), summed)


def _einsum(operation: Any) -> int | None:
    sources, _, target = operation.get_attr("equation").decode().partition("->")
    sizes: dict[str, int | None] = {}
    for labels, operand in zip(sources.split(","), operation.inputs, strict=True):
        shape = operand.shape.as_list()
        head, _, tail = labels.partition("...")
        sizes.update(zip(head, shape, strict=False))
        sizes.update(zip(reversed(tail), reversed(shape), strict=False))
    summed = [size for label, size in sizes.items() if label not in target]
    return _times(_times(*operation.outputs[0].shape.as_list()), *summed)


_COUNTS: dict[str, tuple[tuple[int, int], Callable[[Any], int | None]]] = {
    "Conv2D": ((0, 1), _convolution),
    "Conv3D": ((0, 1), _convolution),
    "DepthwiseConv2dNative": ((0, 1), _depthwise_convolution),
    "Conv2DBackpropInput": ((2, 1), _transposed_convolution),
    "Conv3DBackpropInputV2": ((2, 1), _transposed_convolution),
    "MatMul": ((0, 1), _matrix_product),
    "BatchMatMul": ((0, 1), _matrix_product),
    "BatchMatMulV2": ((0, 1), _matrix_product),
    "BatchMatMulV3": ((0, 1), _matrix_product),
    "Einsum": ((0, 1), _einsum),
}
# What else sums up products: to be named rather than to count as nothing.
_NOT_COUNTED = frozenset(
    {
        "BlockLSTM",
        "BlockLSTMV2",
        "Conv",
        "Conv2DBackpropFilter",
        "Conv2DBackpropInputV2",
        "CudnnRNN",
        "CudnnRNNV2",
        "CudnnRNNV3",
        "DepthwiseConv2dNativeBackpropInput",
        "GRUBlockCell",
        "LSTMBlockCell",
        "QuantizedConv2D",
        "QuantizedMatMul",
        "SparseMatMul",
        "SparseMatrixMatMul",
        "SparseTensorDenseMatMul",
        "XlaConv",
        "XlaConvV2",
        "XlaDot",
        "XlaDotV2",
        "XlaEinsum",
    }
)


def _outputs(operation: Any) -> int | None:
    """How many outputs a convolution has.

    TensorFlow computes a dilated one on interleaved parts of its input, some of which
    need padding: what is cropped again is not counted.
    """
    result = operation.outputs[0]
    if _undilated(operation.inputs[0]) is not operation.inputs[0]:
        readers = _readers(result)
        if "Squeeze" in readers:  # Of a convolution over one axis.
            readers = _readers(readers["Squeeze"].outputs[0])
        if "BatchToSpaceND" in readers:
            result = readers["BatchToSpaceND"].outputs[0]
    return _times(*result.shape.as_list())


def _undilated(tensor: Any) -> Any:
    """The input of a dilated convolution before it is taken apart."""
    source = tensor
    if source.op.type == "ExpandDims":
        source = source.op.inputs[0]
    return source.op.inputs[0] if source.op.type == "SpaceToBatchND" else tensor


def _readers(tensor: Any) -> dict[str, Any]:
    return {reader.type: reader for reader in tensor.consumers()}


# Operations that pass on the values of one input, which one it is.
_PASSED_ON = {
    **dict.fromkeys(
        (
            "BatchToSpaceND",
            "BroadcastTo",
            "Cast",
            "CheckNumerics",
            "DepthToSpace",
            "EnsureShape",
            "ExpandDims",
            "GatherV2",
            "Identity",
            "MaxPool",
            "MaxPool3D",
            "MirrorPad",
            "Pad",
            "PadV2",
            "PreventGradient",
            "Reshape",
            "ReverseV2",
            "Slice",
            "SpaceToBatchND",
            "SpaceToDepth",
            "SplitV",
            "Squeeze",
            "StopGradient",
            "StridedSlice",
            "Tile",
            "Transpose",
            "Unpack",
        ),
        0,
    ),
    "Split": 1,
}


def _bits(tensor: Any, binary: Collection[Any]) -> int:
    """Bits of the tensor's values, as far as the operations in front of it tell."""
    while tensor.ref() not in binary:
        operation = tensor.op
        if operation.type in _PASSED_ON:
            tensor = operation.inputs[_PASSED_ON[operation.type]]
        elif operation.type == "IdentityN":
            tensor = operation.inputs[tensor.value_index]
        elif operation.type in ("ConcatV2", "Pack"):
            last = -1 if operation.type == "ConcatV2" else None
            return max(_bits(part, binary) for part in operation.inputs[:last])
        else:
            return INT8_BITS if is_int8(operation) else REAL_BITS
    return 1


def is_int8(operation: Any) -> bool:
    """Whether the operation rounds its first input to at most 8 bits."""
    return (
        operation.type.startswith("FakeQuantWithMinMax")
        and operation.get_attr("num_bits") <= INT8_BITS
    )
