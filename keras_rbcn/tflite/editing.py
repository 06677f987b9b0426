"""Changes the operators of a file."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from keras_rbcn.tflite.packing import pack, unpack
from keras_rbcn.tflite.pruning import drop_unused

BUILTIN = schema.BuiltinOperator
FLOAT32, FLOAT64, INT4, INT8 = (
    schema.TensorType.FLOAT32,
    schema.TensorType.FLOAT64,
    schema.TensorType.INT4,
    schema.TensorType.INT8,
)
# Of operators that are added: the first versions that know float32 and int8.
_VERSIONS = {"ADD": 1, "DEQUANTIZE": 2, "MUL": 1, "QUANTIZE": 1}


def _option_names() -> dict[str, str]:
    kinds = [name for name in vars(schema.BuiltinOptions) if name.endswith("Options")]
    return {name.removesuffix("Options").upper(): name for name in kinds}


_OPTIONS = _option_names()


class Editor:
    """Changes the main graph of a file.

    Args:
        content: The bytes of a valid file.

    Attributes:
        graph: Its main graph, of the converter's own objects.
    """

    def __init__(self, content: bytes) -> None:
        self._size = len(content)
        self._model = unpack(content)
        self.graph = self._model.subgraphs[0]
        for one in (self.graph, *self.graph.operators):
            # Arrays that cannot be changed.
            one.inputs = [int(index) for index in one.inputs]
            one.outputs = [int(index) for index in one.outputs]

    @property
    def signature(self) -> Any:
        """The names of inputs and outputs."""
        return self._model.signatureDefs[0]

    def content(self) -> bytes:
        """The bytes of the file as it is now, without what is not used any more."""
        drop_unused(self._model)
        return pack(self._model, self._size)

    def code(self, operator: Any) -> int:
        """What an operator is, one of `BUILTIN`."""
        code = self._model.operatorCodes[operator.opcodeIndex]
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))

    def is_int8(self, index: int) -> bool:
        """Whether a tensor has 8 bits that stand for real numbers."""
        tensor = self.graph.tensors[index]
        parameters = tensor.quantization
        return (
            tensor.type == INT8
            and parameters is not None
            and parameters.scale is not None
        )

    def quantization(self, index: int) -> tuple[float, int]:
        """Scale and zero point of a tensor of int8."""
        parameters = self.graph.tensors[index].quantization
        return float(parameters.scale[0]), int(parameters.zeroPoint[0])

    def readers(self, index: int) -> list[Any]:
        """The operators that read a tensor."""
        return [one for one in self.graph.operators if index in one.inputs]

    def writer(self, index: int) -> Any:
        """The operator that writes a tensor, or None."""
        found = [one for one in self.graph.operators if index in one.outputs]
        return found[0] if found else None

    def reconnect(self, old: int, new: int) -> None:
        """Lets what reads one tensor read another one."""
        for one in self.readers(old):
            one.inputs = [new if index == old else index for index in one.inputs]

    def insert(self, before: dict[int, list[Any]], after: dict[int, list[Any]]) -> None:
        """Puts operators in front of others and behind them, known by their `id`."""
        self.graph.operators = [
            new
            for one in self.graph.operators
            for new in (*before.get(id(one), ()), one, *after.get(id(one), ()))
        ]

    def constant(self, index: int) -> np.ndarray | None:
        """The value of a float32 constant; None for any other tensor."""
        tensor = self.graph.tensors[index]
        data = self._model.buffers[tensor.buffer].data
        if data is None or tensor.type != FLOAT32:
            return None
        values = np.frombuffer(bytes(bytearray(data)), "<f4")
        return values.reshape([int(size) for size in tensor.shape])

    def is_constant(self, index: int) -> bool:
        """Whether a tensor is a constant, of whatever type."""
        data = self._model.buffers[self.graph.tensors[index].buffer].data
        return data is not None and len(data) > 0

    def real_constant(self, index: int) -> int:
        """Adds a float32 constant of what one of int8 stands for."""
        tensor = self.graph.tensors[index]
        data = bytes(bytearray(self._model.buffers[tensor.buffer].data))
        scale, zero_point = self.quantization(index)
        integers = np.frombuffer(data, np.int8).astype(np.int32)
        values = ((integers - zero_point) * scale).reshape(
            [int(size) for size in tensor.shape]
        )
        return self.float_constant(values, tensor.name)

    def float_constant(self, values: np.ndarray, name: bytes) -> int:
        """Adds a float32 constant."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(values.shape), FLOAT32
        data = values.astype("<f4").tobytes()
        tensor.buffer = self.add_buffer(np.frombuffer(data, np.uint8))
        return self.add(tensor)

    def like(self, index: int, **changes: Any) -> int:
        """Adds a tensor like another one, for an operator to write."""
        tensor = copy.copy(self.graph.tensors[index])
        tensor.buffer = 0
        for name, value in changes.items():
            setattr(tensor, name, value)
        return self.add(tensor)

    def add(self, tensor: Any) -> int:
        """Adds a tensor."""
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def add_buffer(self, data: np.ndarray) -> int:
        """Adds the bytes of a constant."""
        buffer = schema.BufferT()
        buffer.data = data
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def free(self, index: int) -> None:
        """Makes a constant one that an operator writes."""
        tensor = self.graph.tensors[index]
        number, tensor.buffer = tensor.buffer, 0
        tensors = (one for graph in self._model.subgraphs for one in graph.tensors)
        if all(one.buffer != number for one in tensors):
            self._model.buffers[number].data = None

    def operator(
        self, name: str, inputs: list[int], output: int, version: int | None = None
    ) -> Any:
        """A new operator.

        Args:
            name: One of `ADD`, `DEQUANTIZE`, `MUL` and `QUANTIZE`.
            inputs: The tensors that it reads.
            output: The tensor that it writes.
            version: The first that does what is wanted; the first for float32 and int8
                if None.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code_index(name, version or _VERSIONS[name])
        operator.inputs, operator.outputs = inputs, [output]
        options = _OPTIONS[name]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        return operator

    def _code_index(self, name: str, version: int) -> int:
        code = getattr(BUILTIN, name)
        codes = self._model.operatorCodes
        for index, one in enumerate(codes):
            if one.builtinCode == code and one.version == version:
                return index
        new = schema.OperatorCodeT()
        new.builtinCode = new.deprecatedBuiltinCode = code
        new.version = version
        codes.append(new)
        return len(codes) - 1
