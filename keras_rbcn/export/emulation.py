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
from keras_rbcn.tflite.editing import BUILTIN, INT4, Editor
from keras_rbcn.tflite.flatbuffer import pack_int4

# The first version of DEQUANTIZE that makes 4 bits real.
_DEQUANTIZE_INT4 = 6


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
    packer = _Packer(Editor(content))
    packer.pack_kernels(signs)
    return packer.editor.content()


class _Packer:
    """Packs the kernels of a file.

    Args:
        editor: Of the file.
    """

    def __init__(self, editor: Editor) -> None:
        self.editor = editor

    def pack_kernels(self, signs: list[np.ndarray]) -> None:
        """Packs each kernel, and scales the convolutions that read it if it must."""
        editor = self.editor
        users: dict[int, list[Any]] = {}
        for operator in editor.graph.operators:
            if editor.code(operator) == BUILTIN.CONV_2D:
                users.setdefault(operator.inputs[1], []).append(operator)
        before: dict[int, list[Any]] = {}
        after: dict[int, list[Any]] = {}
        for index, convolutions in users.items():
            kernel = editor.constant(index)
            if kernel is None or not _is_one_of(kernel, signs):
                continue
            scale = np.abs(kernel).reshape(len(kernel), -1).max(1)
            if any((self._bias(one) == 0).any() for one in convolutions):
                for one in convolutions:
                    after[id(one)] = self._scaled_behind(one, scale)
                scale = np.ones_like(scale)
            before[id(convolutions[0])] = [self._packed(index, kernel, scale)]
        editor.insert(before, after)

    def _packed(self, index: int, kernel: np.ndarray, scale: np.ndarray) -> Any:
        """Replaces a constant by its signs, and returns what makes it real again."""
        editor, real = self.editor, self.editor.graph.tensors[index]
        tensor = schema.TensorT()
        tensor.name = (real.name or b"") + b"/signs"
        tensor.shape, tensor.type = list(kernel.shape), INT4
        tensor.buffer = editor.add_buffer(pack_int4(np.sign(kernel)))
        tensor.quantization = schema.QuantizationParametersT()
        # A filter of zeros has zeros for signs.
        tensor.quantization.scale = np.where(scale > 0, scale, 1.0).tolist()
        tensor.quantization.zeroPoint = [0] * len(scale)
        tensor.quantization.quantizedDimension = 0
        editor.free(index)
        stored = editor.add(tensor)
        return editor.operator("DEQUANTIZE", [stored], index, _DEQUANTIZE_INT4)

    def _scaled_behind(self, convolution: Any, scale: np.ndarray) -> list[Any]:
        """Takes scale, bias and activation out of a convolution, to behind it."""
        editor = self.editor
        bias, target = self._bias(convolution), convolution.outputs[0]
        options = convolution.builtinOptions
        activation = options.fusedActivationFunction
        options.fusedActivationFunction = schema.ActivationFunctionType.NONE
        steps = [("MUL", scale)] + ([("ADD", bias)] if bias.any() else [])
        no_bias = editor.float_constant(0 * bias, b"scale")
        convolution.inputs = [*convolution.inputs[:2], no_bias]
        convolution.outputs = [value := editor.like(target)]
        operators = []
        for number, (name, vector) in enumerate(steps, start=1):
            result = target if number == len(steps) else editor.like(target)
            inputs = [value, editor.float_constant(vector, b"scale")]
            operators.append(editor.operator(name, inputs, result))
            value = result
        operators[-1].builtinOptions.fusedActivationFunction = activation
        return operators

    def _bias(self, convolution: Any) -> np.ndarray:
        bias = self.editor.constant(convolution.inputs[2])
        assert bias is not None  # The converter gives zeros to one without.
        return bias


def _is_one_of(kernel: np.ndarray, signs: list[np.ndarray]) -> bool:
    """Whether a kernel of the file is one of the kernels, but for a scale each."""
    size = np.abs(kernel).reshape(len(kernel), -1)
    if not (size.max(1) == size.min(1)).all():
        return False
    found = kernel.transpose(1, 2, 3, 0)
    return any(equal_up_to_scale(found, negative) for negative in signs)
