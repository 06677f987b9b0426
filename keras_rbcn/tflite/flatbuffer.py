"""Reads the bytes of a .tflite file into plain objects."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from larq_compute_engine.mlir.python import tflite_schema as schema

from keras_rbcn._backend import tf

FILE_IDENTIFIER = b"TFL3"
LCE_OPERATORS = frozenset(
    {"LceQuantize", "LceDequantize", "LceBconv2d", "LceBMaxPool2d"}
)
# Channels that Larq Compute Engine packs into one 32-bit integer.
CHANNELS_PER_WORD = 32
# The option `padding` of its operators; 1 is "valid".
SAME_PADDING = 0

_TYPES: dict[int, Any] = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.FLOAT16: np.float16,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.BOOL: np.bool_,
    schema.TensorType.INT16: np.int16,
    schema.TensorType.COMPLEX64: np.complex64,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.FLOAT64: np.float64,
    schema.TensorType.UINT32: np.uint32,
    schema.TensorType.INT4: np.int8,
}
_BUILTIN_NAMES = {
    code: name for name, code in vars(schema.BuiltinOperator).items() if name.isupper()
}


@dataclass(frozen=True)
class Tensor:
    """A tensor of the file.

    Attributes:
        name: Its name.
        shape: Its shape.
        dtype: Its element type.
        bits: What an element takes; fewer than `dtype` has, if two share a byte.
        data: Its bytes if it is a constant, else None.
        variable: Whether it keeps its value from one inference to the next.
        dynamic: Axes whose size is not in the file: `shape` has a 1 there.
        quantization: Scale and zero point, if its integers stand for real numbers,
            `(integer - zero point) * scale`, with one scale for the whole tensor.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    bits: int
    data: bytes | None = field(repr=False)
    variable: bool = False
    dynamic: tuple[int, ...] = ()
    quantization: tuple[float, int] | None = None

    @property
    def size(self) -> int:
        """Bytes that all elements take."""
        return -(-math.prod(self.shape) * self.bits // 8)

    @property
    def value(self) -> np.ndarray:
        """The constant's values."""
        assert self.data is not None
        if self.bits == 4:
            return unpack_int4(self.data, self.shape)
        return np.frombuffer(self.data, self.dtype).reshape(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operator of the file; tensors by index, -1 for an absent optional input.

    A custom one may be unknown to the interpreter.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, int]
    custom: bool = False


@dataclass(frozen=True)
class Graph:
    """The main graph of a .tflite file, in order of execution.

    Attributes:
        inputs: Indices of the input tensors.
        outputs: Indices of the output tensors.
        input_names: What the user calls the inputs.
        output_names: What the user calls the outputs.
        tensors: All tensors.
        operators: All operators.
        others: Graphs that operators call, such as the body of a loop.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    others: tuple[Graph, ...] = ()

    def constants_of(self, operator: Operator) -> list[int]:
        """Indices of the constants that the operator reads."""
        return [
            index
            for index in operator.inputs
            if index >= 0 and self.tensors[index].data is not None
        ]


def pack_int4(values: np.ndarray) -> np.ndarray:
    """Integers from -8 to 7 as bytes, two in each, the first in the lower half."""
    flat = values.astype(np.int8).ravel()
    halves = np.append(flat, np.zeros(flat.size % 2, np.int8)).view(np.uint8) & 15
    return halves[0::2] | (halves[1::2] << 4)


def unpack_int4(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """What `pack_int4` has packed."""
    packed = np.frombuffer(data, np.int8)
    # Shifted to the left and back, which repeats the sign.
    halves = np.stack([packed << 4, packed], axis=-1) >> 4
    return halves.ravel()[: math.prod(shape)].reshape(shape)


class InvalidModelError(Exception):
    """What is wrong with the bytes; completes a sentence whose subject is the file."""


def parse(content: bytes) -> Graph:
    """Reads the bytes of a .tflite file.

    Raises:
        InvalidModelError: If they are not a .tflite model, or hold what cannot be run.
    """
    model = _load(content)
    if not model.subgraphs:
        raise InvalidModelError("is corrupted: it holds no graph.")
    main, *others = [_to_graph(model, number) for number in range(len(model.subgraphs))]
    return replace(main, others=tuple(others))


def _load(content: bytes) -> Any:
    if len(content) < 8 or content[4:8] != FILE_IDENTIFIER:
        raise InvalidModelError(
            f"is not one: its bytes 4 to 8 are {content[4:8]!r}, not "
            f"{FILE_IDENTIFIER!r} ({len(content):,} bytes)."
        )
    # TensorFlow's interpreter runs the flatbuffer verifier in its constructor, and
    # Larq Compute Engine's does not. Parsing unverified bytes in Python could take
    # for ever, since lengths are read from them.
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tf.lite.Interpreter(
                model_content=content,
                experimental_op_resolver_type=(
                    tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                ),
            )
        return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    except Exception as error:
        raise InvalidModelError(
            "is truncated or corrupted: its structure is not valid "
            f"({str(error).strip() or type(error).__name__})."
        ) from None


def _to_graph(model: Any, number: int) -> Graph:
    subgraph = model.subgraphs[number]
    tensors = tuple(
        _to_tensor(model, index, tensor)
        for index, tensor in enumerate(subgraph.tensors or ())
    )
    inputs, outputs = _indices(subgraph.inputs), _indices(subgraph.outputs)
    for kind, indices in (("input", inputs), ("output", outputs)):
        if not indices and number == 0:
            raise InvalidModelError(f"is corrupted: its graph has no {kind}.")
        check_indices(f"its list of {kind}s", indices, len(tensors))
    operators = tuple(
        _to_operator(model, index, operator)
        for index, operator in enumerate(subgraph.operators or ())
    )
    signatures = (model.signatureDefs or ()) if number == 0 else ()
    names = [
        {item.tensorIndex: to_text(item.name) for item in items or ()}
        for items in (
            (signatures[0].inputs, signatures[0].outputs) if signatures else ((), ())
        )
    ]
    return Graph(
        inputs,
        outputs,
        tuple(names[0].get(index, tensors[index].name) for index in inputs),
        tuple(names[1].get(index, tensors[index].name) for index in outputs),
        tensors,
        operators,
    )


def _to_tensor(model: Any, index: int, tensor: Any) -> Tensor:
    name = to_text(tensor.name)
    if tensor.type not in _TYPES:
        raise InvalidModelError(
            f"cannot be run: tensor {index} ('{name}') has element type {tensor.type}, "
            "which is unknown or not supported."
        )
    if not 0 <= tensor.buffer < len(model.buffers or ()):
        raise InvalidModelError(
            f"is corrupted: tensor {index} ('{name}') refers to buffer {tensor.buffer} "
            f"of {len(model.buffers or ())}."
        )
    if tensor.sparsity is not None:
        raise InvalidModelError(
            f"cannot be run: tensor {index} ('{name}') is sparse, which is not "
            "supported."
        )
    data = model.buffers[tensor.buffer].data
    dtype = np.dtype(_TYPES[tensor.type])
    return Tensor(
        name,
        _indices(tensor.shape),
        dtype,
        4 if tensor.type == schema.TensorType.INT4 else 8 * dtype.itemsize,
        None if data is None or len(data) == 0 else bytes(bytearray(data)),
        bool(tensor.isVariable),
        tuple(np.flatnonzero(np.asarray(_indices(tensor.shapeSignature)) < 0).tolist()),
        _quantization(tensor.quantization),
    )


def _quantization(parameters: Any) -> tuple[float, int] | None:
    if parameters is None or parameters.scale is None or len(parameters.scale) != 1:
        return None
    zero_points = _indices(parameters.zeroPoint)
    return float(parameters.scale[0]), zero_points[0] if zero_points else 0


def _to_operator(model: Any, index: int, operator: Any) -> Operator:
    codes = model.operatorCodes or ()
    if not 0 <= operator.opcodeIndex < len(codes):
        raise InvalidModelError(
            f"is corrupted: operator {index} has code {operator.opcodeIndex} of "
            f"{len(codes)}."
        )
    name, custom = _operator_name(codes[operator.opcodeIndex])
    options: dict[str, int] = {}
    if name in LCE_OPERATORS and len(_indices(operator.customOptions)):
        # A valid flexbuffer is small; what the library raises on others varies.
        try:
            loaded = flexbuffers.Loads(bytes(bytearray(operator.customOptions)))
            options = {str(key): int(value) for key, value in dict(loaded).items()}
        except Exception:
            raise InvalidModelError(
                f"is corrupted: operator {index} ({name}) has unreadable options."
            ) from None
    return Operator(
        name, _indices(operator.inputs), _indices(operator.outputs), options, custom
    )


def _operator_name(code: Any) -> tuple[str, bool]:
    """The operator's name in a report, and whether it is a custom one.

    Raises:
        InvalidModelError: If TensorFlow Lite does not know the code.
    """
    # Old files hold the code in a field of one byte.
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    if builtin == schema.BuiltinOperator.CUSTOM:
        return to_text(code.customCode), True
    if builtin not in _BUILTIN_NAMES:
        raise InvalidModelError(
            f"holds operator code {builtin}, which is unknown to TensorFlow Lite: it "
            "is corrupted, or was written for a newer version."
        )
    return _BUILTIN_NAMES[builtin], False


def to_text(value: Any) -> str:
    """A name in the file as a string."""
    return (value or b"").decode("utf-8", "replace")


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(int(value) for value in values)


def check_indices(
    where: str, indices: tuple[int, ...], count: int, lowest: int = 0
) -> None:
    """Checks that tensor indices are in range."""
    for index in indices:
        if not lowest <= index < count:
            raise InvalidModelError(
                f"is corrupted: {where} refers to tensor {index} of {count}."
            )
