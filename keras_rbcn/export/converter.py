"""From a Keras model to the bytes of a .tflite file."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import larq
import larq_compute_engine

from keras_rbcn._backend import keras, tf
from keras_rbcn._samples import Signature
from keras_rbcn.export.calls import (
    ConvolutionCall,
    is_quantized_convolution,
    is_required,
)
from keras_rbcn.export.emulation import emulated_signs, with_packed_kernels
from keras_rbcn.export.padding import split_padding, strided_convolutions
from keras_rbcn.export.report import ExportError
from keras_rbcn.layers.binary_inputs import (
    binary_layers,
    watched,
    without_cached_functions,
)
from keras_rbcn.tflite.packing import finish

logger = logging.getLogger("keras_rbcn.export")

LCE, LITERT = "lce", "litert"


@dataclass(frozen=True)
class Conversion:
    """A converted model, and the binary convolutions that it must hold."""

    content: bytes
    calls: list[ConvolutionCall]


def check_policies(model: Any) -> None:
    """Checks that every layer computes in float32.

    Raises:
        ValueError: If one does not; names the layers.
    """
    wrong = {
        layer.name: layer.dtype_policy.name
        for layer in [model, *model.submodules]
        if isinstance(layer, keras.layers.Layer)
        and not isinstance(layer, larq.quantizers.Quantizer)
        and (layer.compute_dtype or "float32") != "float32"
        and tf.as_dtype(layer.compute_dtype).is_floating
    }
    if wrong:
        listed = ", ".join(f"'{name}' ({wrong[name]})" for name in list(wrong)[:5])
        if len(wrong) > 5:
            listed += f", ... ({len(wrong)} in total)"
        raise ValueError(
            "Expected every layer to have the dtype policy 'float32', the one that the "
            f"converter carries, received: {listed}. Build the same model under "
            "keras.mixed_precision.set_global_policy('float32') and copy the weights "
            "with `set_weights(model.get_weights())`."
        )


def convert(model: Any, signature: Signature, runtime: str = LCE) -> Conversion:
    """Converts the model for a runtime, one of `RUNTIMES`.

    Raises:
        ValueError: If a binary convolution has inputs of undefined height or width.
        ExportError: If the converter fails.
    """
    emulated = emulated_signs(model) if runtime == LITERT else contextlib.nullcontext()
    with emulated:
        function, calls = _trace_all(model, signature)
    _check_sizes(calls)
    logger.info("Converting model '%s' for the runtime '%s'", model.name, runtime)
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        # Not convert_keras_model: it tries a second way of conversion if the first
        # fails, so that the first failure, which says what is wrong, is lost. The
        # module holds the variables and not the model, whose layers Keras would trace
        # and save one by one.
        module = tf.Module()
        module.used_variables = function.variables
        try:
            tf.saved_model.save(module, folder, signatures=function)
            content = _CONVERTERS[runtime](folder, calls)
        except Exception as error:
            raise ExportError(
                f"The converter for the runtime '{runtime}' could not convert model "
                f"'{model.name}': {_first_lines(error)}"
            ) from error
    output_names = _output_names(model, len(function.structured_outputs))
    return Conversion(finish(content, signature.names, output_names), calls)


def _converted_by_larq(folder: str, calls: list[ConvolutionCall]) -> bytes:
    return bytes(larq_compute_engine.convert_saved_model(folder, target="arm"))


def _converted_by_tensorflow(folder: str, calls: list[ConvolutionCall]) -> bytes:
    content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    return with_packed_kernels(content, [call.signs for call in calls if call.one_bit])


_CONVERTERS = {LCE: _converted_by_larq, LITERT: _converted_by_tensorflow}
# Larq Compute Engine's, with operators for 1-bit convolutions, and the stock one.
RUNTIMES = tuple(_CONVERTERS)


def _trace_all(model: Any, signature: Signature) -> tuple[Any, list[ConvolutionCall]]:
    """As `_trace`, with what the user has wrapped into functions of TensorFlow."""
    function, calls = _trace(model, signature)
    seen = {id(call.layer) for call in calls}
    if any(is_required(layer) and id(layer) not in seen for layer in model.submodules):
        # Called inside of a `tf.function` that had been traced before, or not at all.
        with without_cached_functions():
            _, calls = _trace(model, signature)
    return function, calls


def _trace(model: Any, signature: Signature) -> tuple[Any, list[ConvolutionCall]]:
    """The model as one function of a batch of one, and its convolutions' calls."""
    calls: list[ConvolutionCall] = []
    seen = set()

    def note(layer: Any, inputs: Any) -> Any:
        # The same layer on the same tensor is computed once.
        if is_quantized_convolution(layer) and (layer.name, inputs.name) not in seen:
            seen.add((layer.name, inputs.name))
            calls.append(ConvolutionCall(layer, tuple(inputs.shape)))
        return inputs

    def run(*arrays: Any) -> dict[str, Any]:
        outputs = signature.call(model, list(arrays))
        return {f"output_{number}": value for number, value in enumerate(outputs)}

    with (
        watched(binary_layers(model), note),
        watched(strided_convolutions(model), split_padding),
    ):
        function = tf.function(run, input_signature=signature.specs)
        return function.get_concrete_function(), calls


def _check_sizes(calls: list[ConvolutionCall]) -> None:
    for call in calls:
        if None in call.input_shape:
            raise ValueError(
                f"Expected the inputs of layer '{call.name}' to have a defined height "
                "and width, without which it is no 1-bit convolution on the device. "
                f"Received: shape={call.input_shape}. Replace what makes the size "
                "depend on the data in front of it."
            )


def _output_names(model: Any, count: int) -> list[str]:
    names = list(getattr(model, "output_names", None) or ())
    if len(set(names)) != count:
        names = [f"output_{number + 1}" for number in range(count)]
    return names


def _first_lines(error: Exception, count: int = 6) -> str:
    return "\n".join(str(error).strip().splitlines()[:count])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back the chatter of TensorFlow and of the converter.

    Errors still come through: they are exceptions, or logged at a higher level.
    """
    variable = "TF_CPP_MIN_LOG_LEVEL"
    before = os.environ.get(variable)
    tensorflow_logger = tf.get_logger()
    level = tensorflow_logger.level
    # The converter's own copy of TensorFlow reads it when it first logs.
    os.environ.setdefault(variable, "2")
    tensorflow_logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        tensorflow_logger.setLevel(level)
        if before is None:
            os.environ.pop(variable, None)
