"""From a Keras model to the bytes of a .tflite file."""

from __future__ import annotations

import contextlib
import dataclasses
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
from keras_rbcn.export.document.report import ExportError
from keras_rbcn.export.emulation import emulated_signs, with_packed_kernels
from keras_rbcn.export.int8.element_types import INT8, ElementTypes
from keras_rbcn.export.int8.integers import with_float_operators, with_int8_ends
from keras_rbcn.export.int8.roundings import Rounding, RoundingNotes, kept_apart
from keras_rbcn.export.padding import split_padding, strided_convolutions
from keras_rbcn.export.wording import listed
from keras_rbcn.layers.binary_inputs import (
    binary_layers,
    watched,
    without_cached_functions,
)
from keras_rbcn.quantization.calibration import watched_rounding
from keras_rbcn.quantization.layers import quantized_layers
from keras_rbcn.quantization.quantize import layers_left_real
from keras_rbcn.tflite.packing import finish

logger = logging.getLogger("keras_rbcn.export")

LCE, LITERT = "lce", "litert"


@dataclass(frozen=True)
class Conversion:
    """A converted model, and what it must hold.

    Attributes:
        content: The bytes of the file.
        calls: The binary convolutions.
        roundings: Where values are rounded to 8 bits.
    """

    content: bytes
    calls: list[ConvolutionCall]
    roundings: list[Rounding]


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
        policies = (f"'{name}' ({policy})" for name, policy in wrong.items())
        raise ValueError(
            "Expected every layer to have the dtype policy 'float32', the one that the "
            f"converter carries, received: {listed(policies, 5)}. Build the same model "
            "under keras.mixed_precision.set_global_policy('float32') and copy the "
            "weights with `set_weights(model.get_weights())`."
        )


def convert(
    model: Any,
    signature: Signature,
    runtime: str = LCE,
    types: ElementTypes = ElementTypes(),  # noqa: B008 - it cannot be changed.
) -> Conversion:
    """Converts the model for a runtime, one of `RUNTIMES`.

    Args:
        model: The model.
        signature: Its inputs.
        runtime: What the file is for.
        types: What its inputs and outputs are to be.

    Raises:
        ValueError: If a binary convolution has inputs of undefined height or width.
        ExportError: If the converter fails.
    """
    int8 = types.real_layers == INT8
    emulated = emulated_signs(model) if runtime == LITERT else contextlib.nullcontext()
    with emulated:
        trace = _trace_all(model, signature)
    function, calls, roundings = trace.function, trace.calls, trace.roundings
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
            content = _CONVERTERS[runtime](folder, calls, int8)
        except Exception as error:
            raise ExportError(
                f"The converter for the runtime '{runtime}' could not convert model "
                f"'{model.name}': {_first_lines(error)}"
            ) from error
    if int8:
        content = with_float_operators(content, trace.rounded_outputs)
        content = _with_ends(content, model, types)
    output_names = _output_names(model, len(function.structured_outputs))
    named = finish(content, signature.names, output_names)
    return Conversion(named, calls, roundings)


def _with_ends(content: bytes, model: Any, types: ElementTypes) -> bytes:
    try:
        return with_int8_ends(
            content, types.input_type == INT8, types.output_type == INT8
        )
    except ValueError as error:
        raise ExportError(
            f"Model '{model.name}' cannot be given int8, or give it: {error} Bring it "
            "to int8 by quantize_real_layers(..., int8_inputs=True, int8_outputs=True)."
        ) from None


def _converted_by_larq(folder: str, calls: list[ConvolutionCall], int8: bool) -> bytes:
    return bytes(larq_compute_engine.convert_saved_model(folder, target="arm"))


def _converted_by_tensorflow(
    folder: str, calls: list[ConvolutionCall], int8: bool
) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if int8:
        # Without this it keeps the ranges and computes in float32 between them.
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = converter.convert()
    return with_packed_kernels(content, [call.signs for call in calls if call.one_bit])


_CONVERTERS = {LCE: _converted_by_larq, LITERT: _converted_by_tensorflow}
# Larq Compute Engine's, with operators for 1-bit convolutions, and the stock one.
RUNTIMES = tuple(_CONVERTERS)


@dataclass(frozen=True)
class _Trace:
    """A model as a function of a batch of one, and what is called in it.

    Attributes:
        function: A concrete function of TensorFlow.
        calls: The binary convolutions.
        roundings: Where values are rounded to 8 bits.
        rounded_outputs: Of each output, whether it is rounded so.
    """

    function: Any
    calls: list[ConvolutionCall]
    roundings: list[Rounding]
    rounded_outputs: list[bool]


def _trace_all(model: Any, signature: Signature) -> _Trace:
    """As `_trace`, with what the user has wrapped into functions of TensorFlow."""
    trace = _trace(model, signature)
    seen = {id(call.layer) for call in trace.calls}
    if any(is_required(layer) and id(layer) not in seen for layer in model.submodules):
        # Called inside of a `tf.function` that had been traced before, or not at all.
        with without_cached_functions():
            calls = _trace(model, signature).calls
        return dataclasses.replace(trace, calls=calls)
    return trace


def _trace(model: Any, signature: Signature) -> _Trace:
    notes = RoundingNotes()
    quantized = quantized_layers(model)
    left_real = layers_left_real(model) if quantized else []
    calls: list[ConvolutionCall] = []
    rounded: list[bool] = []
    seen = set()

    def note(layer: Any, inputs: Any) -> Any:
        # The same layer on the same tensor is computed once.
        if is_quantized_convolution(layer) and (layer.name, inputs.name) not in seen:
            seen.add((layer.name, inputs.name))
            calls.append(ConvolutionCall(layer, tuple(inputs.shape)))
        return inputs

    def run(*arrays: Any) -> dict[str, Any]:
        outputs = signature.call(model, list(arrays))
        rounded[:] = [_is_rounded(value) for value in outputs]
        return {f"output_{number}": value for number, value in enumerate(outputs)}

    with (
        watched(binary_layers(model), note),
        watched(strided_convolutions(model), split_padding),
        watched_rounding(quantized, notes.note),
        watched(left_real, lambda _, inputs: kept_apart(inputs)),
        watched(_joining(model, quantized, left_real), _apart),
    ):
        function = tf.function(run, input_signature=signature.specs)
        concrete = function.get_concrete_function()
    return _Trace(concrete, calls, notes.found, rounded)


def _joining(model: Any, quantized: list[Any], left_real: list[Any]) -> list[Any]:
    """Beside layers in int8, those of several inputs, such as a concatenation.

    To all inputs of one the converter would give the range of one of them.
    """
    return [
        one
        for one in model.submodules
        if quantized and _has_several_inputs(one) and one not in left_real
    ]


def _has_several_inputs(layer: Any) -> bool:
    nodes = getattr(layer, "inbound_nodes", ())
    return any(len(node.keras_inputs) > 1 for node in nodes)


def _apart(_: Any, inputs: Any) -> Any:
    def apart(one: Any) -> Any:
        real = tf.is_tensor(one) and one.dtype == tf.float32
        return kept_apart(one) if real else one

    return tf.nest.map_structure(apart, inputs)


def _is_rounded(value: Any) -> bool:
    """Whether a tensor comes of rounding to 8 bits."""
    while value.op.type == "Identity":
        value = value.op.inputs[0]
    return bool(value.op.type.startswith("FakeQuant"))


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
