"""1-bit convolutions for runtimes that know none.

The stock runtime of TensorFlow Lite (LiteRT) multiplies real numbers. There a 1-bit
convolution is a real one of the signs of its inputs with +1 and -1 times one scale for
each filter: the same values, and so the same outputs but for rounding.

Its kernel is stored in 4 bits a value, the fewest that the format has had for years,
and is made real on the device by a `DEQUANTIZE` in front of the convolution. It must
not become the kernel of the convolution itself: the runtime would then round the inputs
to 8 bits, each of its implementations in its own way, and the outputs were off by up to
0.3 in a trial (docs/export.md).

Sums of as many +1 as -1 are zero on a device that counts, and their sign is +1. Sums of
scales miss zero by rounding. So where nothing is added behind, the kernel keeps to +1
and -1, and the scale is multiplied afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from keras_rbcn._backend import tf
from keras_rbcn.export.matching import equal_up_to_scale
from keras_rbcn.layers.binary_inputs import binary_layers
from keras_rbcn.layers.rectified_conv2d import EXPORTABLE_QUANTIZERS
from keras_rbcn.tflite.flatbuffer import pack_int4
from keras_rbcn.tflite.packing import pack, unpack

_OPERATOR = schema.BuiltinOperator
# Of the operators that are added; this is the first to make 4 bits real.
_VERSIONS = {"Dequantize": 6, "Mul": 1, "Add": 1}


@contextlib.contextmanager
def emulated_signs(model: Any) -> Iterator[None]:
    """Within it, layers take signs by a comparison, which every runtime can do."""
    layers = [
        layer
        for layer in binary_layers(model)
        if type(layer.input_quantizer) in EXPORTABLE_QUANTIZERS.values()
    ]
    before = [layer.input_quantizer for layer in layers]
    try:
        for layer in layers:
            # Past Keras, which would take the function for a part of the layer.
            object.__setattr__(layer, "input_quantizer", _sign)
        yield
    finally:
        for layer, quantizer in zip(layers, before, strict=True):
            object.__setattr__(layer, "input_quantizer", quantizer)


def _sign(inputs: Any) -> Any:
    one = tf.ones((), inputs.dtype)
    return tf.where(inputs >= 0, one, -one)


def with_packed_kernels(content: bytes, signs: list[np.ndarray]) -> bytes:
    """Stores the kernels of 1-bit convolutions in 4 bits a value.

    Args:
        content: A file of real convolutions.
        signs: For each kernel that is to be found in it, where it is negative, in the
            layout of Keras.

    Returns:
        The file with `DEQUANTIZE` in front of these convolutions. Kernels that are not
        plus or minus one scale within each filter are left as they are.
    """
    editor = _Editor(unpack(content))
    editor.pack_kernels(signs)
    return pack(editor.model, len(content))


class _Editor:
    """Changes the main graph of a file.

    Args:
        model: What `unpack` returned; it is changed.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, model.subgraphs[0]
        self._codes: dict[int, int] = {}

    def pack_kernels(self, signs: list[np.ndarray]) -> None:
        """Packs each kernel, and scales the convolutions that read it if it must."""
        users: dict[int, list[Any]] = {}
        for operator in self.graph.operators:
            if self._builtin(operator) == _OPERATOR.CONV_2D:
                users.setdefault(operator.inputs[1], []).append(operator)
        before: dict[int, list[Any]] = {}
        after: dict[int, list[Any]] = {}
        for index, convolutions in users.items():
            kernel = self._constant(index)
            if kernel is None or not _is_one_of(kernel, signs):
                continue
            scale = np.abs(kernel).reshape(len(kernel), -1).max(1)
            if any((self._bias(one) == 0).any() for one in convolutions):
                for one in convolutions:
                    after[id(one)] = self._scaled_behind(one, scale)
                scale = np.ones_like(scale)
            before[id(convolutions[0])] = [self._packed(index, kernel, scale)]
        self.graph.operators = [
            new
            for one in self.graph.operators
            for new in (*before.get(id(one), ()), one, *after.get(id(one), ()))
        ]

    def _packed(self, index: int, kernel: np.ndarray, scale: np.ndarray) -> Any:
        """Replaces a constant by its signs, and returns what makes it real again."""
        real = self.graph.tensors[index]
        tensor = schema.TensorT()
        tensor.name = (real.name or b"") + b"/signs"
        tensor.shape, tensor.type = list(kernel.shape), schema.TensorType.INT4
        tensor.buffer = self._add_buffer(pack_int4(np.sign(kernel)))
        tensor.quantization = schema.QuantizationParametersT()
        # A filter of zeros has zeros for signs.
        tensor.quantization.scale = np.where(scale > 0, scale, 1.0).tolist()
        tensor.quantization.zeroPoint = [0] * len(scale)
        tensor.quantization.quantizedDimension = 0
        self._free(real)
        return self._operator("Dequantize", [self._add(tensor)], index)

    def _scaled_behind(self, convolution: Any, scale: np.ndarray) -> list[Any]:
        """Takes scale, bias and activation out of a convolution, to behind it."""
        bias, target = self._bias(convolution), convolution.outputs[0]
        options = convolution.builtinOptions
        activation = options.fusedActivationFunction
        options.fusedActivationFunction = schema.ActivationFunctionType.NONE
        steps = [("Mul", scale)] + ([("Add", bias)] if bias.any() else [])
        convolution.inputs = [*convolution.inputs[:2], self._vector(0 * bias)]
        convolution.outputs = [value := self._like(target)]
        operators = []
        for number, (name, vector) in enumerate(steps, start=1):
            result = target if number == len(steps) else self._like(target)
            inputs = [value, self._vector(vector)]
            operators.append(self._operator(name, inputs, result))
            value = result
        operators[-1].builtinOptions.fusedActivationFunction = activation
        return operators

    def _builtin(self, operator: Any) -> int:
        return int(self.model.operatorCodes[operator.opcodeIndex].builtinCode)

    def _constant(self, index: int) -> np.ndarray | None:
        tensor = self.graph.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        if data is None or tensor.type != schema.TensorType.FLOAT32:
            return None
        values = np.frombuffer(bytes(bytearray(data)), "<f4")
        return values.reshape([int(size) for size in tensor.shape])

    def _bias(self, convolution: Any) -> np.ndarray:
        bias = self._constant(convolution.inputs[2])
        assert bias is not None  # The converter gives zeros to one without.
        return bias

    def _vector(self, values: np.ndarray) -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape = b"scale", [len(values)]
        tensor.type = schema.TensorType.FLOAT32
        data = values.astype("<f4").tobytes()
        tensor.buffer = self._add_buffer(np.frombuffer(data, np.uint8))
        return self._add(tensor)

    def _like(self, index: int) -> int:
        """A new tensor of the shape of another one."""
        other, tensor = self.graph.tensors[index], schema.TensorT()
        tensor.name, tensor.shape = other.name, list(other.shape)
        tensor.type, tensor.buffer = other.type, 0
        return self._add(tensor)

    def _add(self, tensor: Any) -> int:
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def _add_buffer(self, data: np.ndarray) -> int:
        buffer = schema.BufferT()
        buffer.data = data
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def _free(self, tensor: Any) -> None:
        """Makes a constant one that an operator writes."""
        number, tensor.buffer = tensor.buffer, 0
        tensors = (one for graph in self.model.subgraphs for one in graph.tensors)
        if all(one.buffer != number for one in tensors):
            self.model.buffers[number].data = None

    def _operator(self, name: str, inputs: list[int], output: int) -> Any:
        code = getattr(_OPERATOR, name.upper())
        if code not in self._codes:
            new = schema.OperatorCodeT()
            new.builtinCode = new.deprecatedBuiltinCode = code
            new.version = _VERSIONS[name]
            self.model.operatorCodes.append(new)
            self._codes[code] = len(self.model.operatorCodes) - 1
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes[code]
        operator.inputs, operator.outputs = inputs, [output]
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, f"{name}Options")
        operator.builtinOptions = getattr(schema, f"{name}OptionsT")()
        return operator


def _is_one_of(kernel: np.ndarray, signs: list[np.ndarray]) -> bool:
    """Whether a kernel of the file is one of the kernels, but for a scale each."""
    size = np.abs(kernel).reshape(len(kernel), -1)
    if not (size.max(1) == size.min(1)).all():
        return False
    found = kernel.transpose(1, 2, 3, 0)
    return any(equal_up_to_scale(found, negative) for negative in signs)
