"""Checks what the interpreter takes for granted about a parsed graph.

The C++ interpreters trust their input: an index out of range, or a buffer smaller than
its tensor's shape, ends the process. Found here, it is an error message.
"""

from __future__ import annotations

import numpy as np

from keras_rbcn.tflite.flatbuffer import (
    CHANNELS_PER_WORD,
    LCE_OPERATORS,
    SAME_PADDING,
    Graph,
    InvalidModelError,
    Operator,
    Tensor,
    check_indices,
)

# What a tensor, and all tensors together, may take: more is no model for a phone,
# but a corrupted dimension.
_MAX_TENSOR_BYTES = 2**30
_MAX_TOTAL_BYTES = 2**32


def check(graph: Graph) -> None:
    """Checks all that the interpreter takes for granted about a parsed graph.

    Raises:
        InvalidModelError: If something is inconsistent; names the tensor or operator.
    """
    for index, tensor in enumerate(graph.tensors):
        _check_tensor(index, tensor)
    total = sum(tensor.size for tensor in graph.tensors)
    if total > _MAX_TOTAL_BYTES:
        raise InvalidModelError(
            f"is corrupted, or too large: its tensors take {total:,} bytes, more than "
            f"{_MAX_TOTAL_BYTES:,}."
        )
    _check_data_flow(graph)
    for index, operator in enumerate(graph.operators):
        if operator.name in _LCE_CHECKS:
            try:
                _LCE_CHECKS[operator.name](graph, operator)
            except InvalidModelError as error:
                raise InvalidModelError(
                    f"is corrupted: operator {index} ({operator.name}) {error}"
                ) from None
    for other in graph.others:
        check(other)


def check_operators(graph: Graph) -> None:
    """Checks that the interpreter knows every operator.

    Raises:
        InvalidModelError: If it does not; names the operator.
    """
    for operator in graph.operators:
        if operator.custom and operator.name not in LCE_OPERATORS:
            raise InvalidModelError(
                f"holds the custom operator '{operator.name}', which this interpreter "
                "does not know. It runs the operators of TensorFlow Lite and of Larq "
                f"Compute Engine ({', '.join(sorted(LCE_OPERATORS))})."
            )
    for other in graph.others:
        check_operators(other)


def _check_tensor(index: int, tensor: Tensor) -> None:
    where = f"tensor {index} ('{tensor.name}')"
    if len(tensor.shape) > 8 or any(dimension < 0 for dimension in tensor.shape):
        raise InvalidModelError(f"is corrupted: {where} has shape {tensor.shape}.")
    if tensor.size > _MAX_TENSOR_BYTES:
        raise InvalidModelError(
            f"is corrupted, or too large: {where} of shape {tensor.shape} takes "
            f"{tensor.size:,} bytes, more than {_MAX_TENSOR_BYTES:,}."
        )
    if tensor.data is not None and len(tensor.data) != tensor.size:
        raise InvalidModelError(
            f"is corrupted: {where} of shape {tensor.shape} and type {tensor.dtype} "
            f"needs {tensor.size:,} bytes, and its buffer holds "
            f"{len(tensor.data):,}."
        )


def _check_data_flow(graph: Graph) -> None:
    """Every tensor is written once, before it is read."""
    count = len(graph.tensors)
    known = {i for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    # Readable before they are written: state, and constants without elements.
    started = {i for i, t in enumerate(graph.tensors) if t.variable or 0 in t.shape}
    for index in graph.inputs:
        if index in known:
            raise InvalidModelError(
                f"is corrupted: its input, tensor {index}, is a constant or listed "
                "twice."
            )
        known.add(index)
    for number, operator in enumerate(graph.operators):
        where = f"operator {number} ({operator.name})"
        check_indices(where, operator.inputs, count, lowest=-1)
        check_indices(where, operator.outputs, count)
        for index in operator.inputs:
            if index >= 0 and index not in known and index not in started:
                raise InvalidModelError(
                    f"is corrupted: {where} reads tensor {index} before it is written."
                )
        for index in operator.outputs:
            if index in known:
                raise InvalidModelError(
                    f"is corrupted: {where} writes tensor {index}, which is an input, "
                    "a constant or written already."
                )
            known.add(index)
    for index in graph.outputs:
        if index not in known and index not in started:
            raise InvalidModelError(
                f"is corrupted: its output, tensor {index}, is never written."
            )


def _words(channels: int) -> int:
    return -(-channels // CHANNELS_PER_WORD)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise InvalidModelError(message)


def _operand(graph: Graph, indices: tuple[int, ...], position: int) -> Tensor:
    _require(
        position < len(indices) and indices[position] >= 0,
        f"lacks operand {position}.",
    )
    return graph.tensors[indices[position]]


def _check_packing(graph: Graph, operator: Operator) -> None:
    """LceQuantize and LceDequantize: channels to 32-bit words, and back."""
    real = _operand(graph, operator.inputs, 0)
    packed = _operand(graph, operator.outputs, 0)
    if operator.name == "LceDequantize":
        real, packed = packed, real
    _require(
        len(real.shape) >= 1
        and packed.dtype == np.int32
        and real.dtype in (np.float32, np.int8, np.bool_)
        and packed.shape == (*real.shape[:-1], _words(real.shape[-1])),
        f"packs shape {real.shape} ({real.dtype}) into {packed.shape} "
        f"({packed.dtype}).",
    )


_BCONV_OPTIONS = {
    "channels_in": (1, 2**20),
    "dilation_height_factor": (1, 2**16),
    "dilation_width_factor": (1, 2**16),
    "fused_activation_function": (0, 5),
    "pad_values": (0, 1),
    "padding": (0, 1),
    "stride_height": (1, 2**16),
    "stride_width": (1, 2**16),
}
_POOL_OPTIONS = {
    "filter_height": (1, 2**16),
    "filter_width": (1, 2**16),
    "padding": (0, 1),
    "stride_height": (1, 2**16),
    "stride_width": (1, 2**16),
}


def _check_options(operator: Operator, ranges: dict[str, tuple[int, int]]) -> None:
    for key, (low, high) in ranges.items():
        value = operator.options.get(key)
        _require(
            value is not None and low <= value <= high,
            f"has the option {key}={value}, expected {low} to {high}.",
        )


def _windows(size: int, kernel: int, stride: int, dilation: int, padding: int) -> int:
    """Output size of a convolution or pooling."""
    if padding == SAME_PADDING:
        return -(-size // stride)
    return -(-(size - (kernel - 1) * dilation) // stride)


def _check_bconv(graph: Graph, operator: Operator) -> None:
    _check_options(operator, _BCONV_OPTIONS)
    options = operator.options
    source = _operand(graph, operator.inputs, 0)
    kernel = _operand(graph, operator.inputs, 1)
    target = _operand(graph, operator.outputs, 0)
    _require(
        kernel.data is not None
        and kernel.dtype == source.dtype == np.int32
        and len(source.shape) == len(kernel.shape) == len(target.shape) == 4
        and min((*source.shape, *kernel.shape, *target.shape)) > 0,
        f"has a filter of shape {kernel.shape} on inputs {source.shape}.",
    )
    channels = options["channels_in"]
    _require(
        kernel.shape[3] == source.shape[3] == _words(channels),
        f"reads {channels} channels through a filter of shape {kernel.shape} from "
        f"{source.shape}.",
    )
    bitpacked = target.dtype == np.int32
    height, width = (
        _windows(
            source.shape[axis],
            kernel.shape[axis],
            options[f"stride_{side}"],
            options[f"dilation_{side}_factor"],
            options["padding"],
        )
        for axis, side in ((1, "height"), (2, "width"))
    )
    filters = kernel.shape[0]
    expected = (
        source.shape[0],
        height,
        width,
        _words(filters) if bitpacked else filters,
    )
    _require(
        target.shape == expected,
        f"writes shape {target.shape}, expected {expected}.",
    )
    # Multipliers and biases for real outputs, thresholds for bit-packed ones.
    for position in (4,) if bitpacked else (2, 3):
        constant = _operand(graph, operator.inputs, position)
        _require(
            constant.shape == (filters,)
            and constant.data is not None
            and constant.dtype.itemsize == 4,
            f"has operand {position} of shape {constant.shape}, expected {(filters,)}.",
        )


def _check_pool(graph: Graph, operator: Operator) -> None:
    _check_options(operator, _POOL_OPTIONS)
    options = operator.options
    source = _operand(graph, operator.inputs, 0)
    target = _operand(graph, operator.outputs, 0)
    _require(
        len(source.shape) == 4
        and source.dtype == target.dtype == np.int32
        and min(source.shape) > 0,
        f"reads shape {source.shape} ({source.dtype}).",
    )
    height, width = (
        _windows(
            source.shape[axis],
            options[f"filter_{side}"],
            options[f"stride_{side}"],
            1,
            options["padding"],
        )
        for axis, side in ((1, "height"), (2, "width"))
    )
    expected = (source.shape[0], height, width, source.shape[3])
    _require(
        target.shape == expected and min(expected) > 0,
        f"writes shape {target.shape}, expected {expected}.",
    )


_LCE_CHECKS = {
    "LceQuantize": _check_packing,
    "LceDequantize": _check_packing,
    "LceBconv2d": _check_bconv,
    "LceBMaxPool2d": _check_pool,
}
