"""quantize_real_layers: a student whose real layers compute in int8."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import require_student, tfmot
from keras_rbcn._checks import check_positive_integer
from keras_rbcn._samples import first_samples, input_signature
from keras_rbcn.conversion.cloning import copy_layer, copy_weights_of
from keras_rbcn.conversion.flatten import flatten, rebuilt
from keras_rbcn.conversion.graph import has_kernel, read_graph
from keras_rbcn.layers.binary_inputs import has_binary_inputs
from keras_rbcn.quantization.calibration import calibrate
from keras_rbcn.quantization.layers import Int8Config, QuantizedLayer, quantized_layers
from keras_rbcn.quantization.placement import Placement

SAMPLES = 512


def quantize_real_layers(
    student: Any,
    calibration_data: Any,
    *,
    samples: int = SAMPLES,
    int8_inputs: bool = False,
    int8_outputs: bool = False,
    name: str | None = None,
) -> Any:
    """Copies a student into one whose real layers compute in int8.

    In a 1-bit ResNet-18 for ImageNet the few real layers take most of the bytes: the
    first convolution, the 1x1 convolutions of shortcuts, and the last dense layer. Here
    `Conv2D`, `Conv2DTranspose`, `DepthwiseConv2D` and `Dense` layers get kernels of 8
    bits, and read and give values of 8 bits; batch normalisation and ReLU behind them
    are taken in. All else stays as it is.

    How values are rounded depends on their range, which is measured on
    `calibration_data`. The copy may be exported at once (post-training quantisation),
    or put into an `RBCNModel` and trained on (quantisation-aware training), for the
    layers to learn to live with it. It has the student's layers under their names, each
    that is concerned within a `QuantizedLayer`, and weights of its own.

    Args:
        student: Built functional or Sequential Keras 2 model, or the `RBCNModel` that
            has trained it; models within are flattened.
        calibration_data: Inputs from the training data, in the form of `verify_data`
            of `export_tflite`. Labels are not used.
        samples: How many samples to take at most; the first ones.
        int8_inputs: Whether the inputs are in 8 bits too, for a file that is given
            int8. Their ranges are those of the data.
        int8_outputs: Whether the outputs are, for a file that gives int8.
        name: Name of the copy; the student's if None.

    Returns:
        A functional model, with inputs and outputs in the student's form.

    Raises:
        TypeError: If `student` is no Keras 2 model.
        ValueError: If it has no real layer, or 8 bits already; if a layer cannot be
            copied; if the data do not fit, are empty or not finite, or cannot be
            computed, such as a number beyond an embedding; if what reads the
            inputs, or gives the outputs, cannot do so in 8 bits.

    Example:
        >>> student = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     keras.layers.Conv2D(4, 3, name="first"),
        ...     RectifiedConv2D(4, 3),
        ... ])
        >>> images = np.random.default_rng(0).normal(size=(16, 8, 8, 3))
        >>> small = quantize_real_layers(student, images)
        >>> [type(layer).__name__ for layer in small.layers[1:]]
        ['QuantizedLayer', 'RectifiedConv2D']

    Reference:
        Jacob et al., arXiv 1712.05877.
    """
    student = require_student(student, "student")
    check_positive_integer("samples", samples)
    check_not_quantized(student, "It can be exported, or trained on, as it is.")
    flat = flatten(student)
    configs = Placement(read_graph(flat), int8_inputs, int8_outputs).configs
    if not any(config.kernel for config in configs.values()):
        raise ValueError(
            f"Expected model '{student.name}' to have a layer with a real kernel "
            "(Conv2D, Conv2DTranspose, DepthwiseConv2D or Dense), received none: there "
            "is nothing to bring to int8."
        )
    _check_float32(student, configs)
    signature = input_signature(flat)
    arrays = first_samples(calibration_data, signature, samples, "calibration_data")
    copy = _copy(flat, configs, name or student.name)
    calibrate(copy, signature, arrays)
    return copy


def _check_float32(model: Any, configs: dict[Any, Int8Config]) -> None:
    others = {
        layer.name: layer.compute_dtype
        for layer in configs
        if layer.compute_dtype != "float32"
    }
    if others:
        raise ValueError(
            f"Expected the layers of model '{model.name}' to compute in float32, to be "
            f"rounded to 8 bits, received: {others}. Build it again with the policy "
            "'float32', and copy its weights: student.set_weights(model.get_weights())."
        )


def layers_left_real(model: Any) -> list[Any]:
    """Layers with real kernels of 32 bits, beside those that compute in int8.

    Their kinds are not among those of `quantize_real_layers`.
    """
    inside = [one.layer for one in quantized_layers(model)]
    return [
        one
        for one in model.submodules
        if has_kernel(one)
        and not isinstance(one, QuantizedLayer)
        and one not in inside
        and not has_binary_inputs(one)
    ]


def check_not_quantized(model: Any, advice: str) -> None:
    """Checks that no layer computes in int8, or pretends to.

    Args:
        model: The model.
        advice: What to do if a layer of `quantize_real_layers` does.

    Raises:
        ValueError: If one does.
    """
    wrapped = [
        one for one in model.submodules if isinstance(one, tfmot.QuantizeWrapper)
    ]
    for layer in wrapped:
        ours = isinstance(layer, QuantizedLayer)
        raise ValueError(
            f"Expected the layers of model '{model.name}' to compute in float32, "
            f"received: '{layer.name}', which "
            + (
                f"`quantize_real_layers` has brought to int8 already. {advice}"
                if ours
                else "tensorflow_model_optimization has wrapped. Use "
                "`quantize_real_layers` instead, which also rounds what goes into it."
            )
        )


def _copy(model: Any, configs: dict[Any, Int8Config], name: str) -> Any:
    def make(layer: Any, name: str) -> Any:
        copy = copy_layer(layer, name=name)
        config = configs.get(layer)
        return copy if config is None else QuantizedLayer(copy, config)

    result, copies = rebuilt(model, make, name)
    for layer, copy in copies:
        if isinstance(copy, QuantizedLayer):
            _copy_weights(layer, copy)
            copy.layer.trainable = layer.trainable
        else:
            copy_weights_of(layer, copy)
        copy.trainable = layer.trainable
    return result


def _copy_weights(layer: Any, wrapper: QuantizedLayer) -> None:
    """Gives a wrapped copy the weights of its original.

    TFMOT puts the rounded kernel in the place of the variable, which the wrapper keeps.
    """
    kernel = wrapper.quantize_config.kernel
    if kernel is None:
        copy_weights_of(layer, wrapper.layer)
        return
    wrapper.kernel.assign(getattr(layer, kernel))
    if layer.use_bias:
        wrapper.layer.bias.assign(layer.bias)
