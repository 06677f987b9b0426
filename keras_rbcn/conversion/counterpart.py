"""full_precision_counterpart: a student's own blocks, without their signs."""

from __future__ import annotations

from typing import Any

import larq

from keras_rbcn._backend import keras, require_student, tfmot
from keras_rbcn.conversion.cloning import copy_layer, copy_weights_of
from keras_rbcn.conversion.flatten import rebuilt
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.layers.binary_inputs import has_binary_inputs

_KERNEL_QUANTIZERS = ("kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer")
_QUANTIZERS = ("input_quantizer", *_KERNEL_QUANTIZERS)
# Those whose values lie in [-1, 1], with a gradient where their inputs do.
_SIGNS = {
    larq.quantizers.ApproxSign,
    larq.quantizers.MagnitudeAwareSign,
    larq.quantizers.SteSign,
    larq.quantizers.SteTern,
    larq.quantizers.SwishSign,
}
_clip = larq.activations.hard_tanh


def full_precision_counterpart(student: Any, name: str | None = None) -> Any:
    """Copies a student into the same network in full precision, to start from.

    Kernels are real, and where the student takes the signs of feature maps they are
    clipped to [-1, 1], which is as far as signs have a gradient. Everything else is the
    student's: shortcuts, batch normalisations, paddings, names, and the constraint that
    keeps kernels in [-1, 1]; but for symbolic `add_loss`. A 1-bit student that
    starts from its trained counterpart, and is taught by it, does better than one that
    starts from a teacher with ReLUs (docs/evidence.md):

    1. train the counterpart as any Keras model;
    2. `copy_weights(counterpart, student, kernel_magnitude=0.5)`;
    3. train the student with the counterpart for a teacher.

    Args:
        student: Built functional or Sequential Keras 2 model with 1-bit layers, or the
            `RBCNModel` of one; models within are flattened.
        name: Name of the copy; by default the student's with `_full_precision`.

    Returns:
        A functional model, with weights of its own that begin as the student's. For a
        student out of `binarize`, these are the teacher's.

    Raises:
        TypeError: If `student` is no Keras 2 model.
        ValueError: If it has no 1-bit layer, or layers in int8; if it is subclassed or
            not built, or a layer cannot be copied; or if a quantizer would remain,
            since it is no larq quantizer with values from -1 to 1, or belongs to a
            layer within a layer, or to a subclass of `RectifiedConv2D`.

    Example:
        >>> student = keras.Sequential([
        ...     keras.Input((8, 8, 3)), RectifiedConv2D(4, 3, name="conv")
        ... ])
        >>> counterpart = full_precision_counterpart(student)
        >>> counterpart.layers[-1].kernel_quantizer is None
        True
        >>> counterpart.layers[-1].input_quantizer.__name__
        'hard_tanh'

    Reference:
        Bi-Real Net, arXiv 1808.00278, section 3.3, which clips so in place of ReLUs.
    """
    student = require_student(student, "student")
    if not _quantized(student):
        raise ValueError(
            f"Expected model '{student.name}' to have 1-bit layers, received none: it "
            "is in full precision as it is."
        )
    _check_no_int8(student)
    copy, copies = rebuilt(student, _real, name or f"{student.name}_full_precision")
    left = _quantized(copy)
    if left:
        raise ValueError(_refusal(left))
    for layer, other in copies:
        _copy_weights(layer, other)
        other.trainable = layer.trainable
    return copy


def _check_no_int8(student: Any) -> None:
    wrapped = [
        one.name for one in student.submodules if isinstance(one, tfmot.QuantizeWrapper)
    ]
    if wrapped:
        raise ValueError(
            f"Expected the layers of model '{student.name}' to compute in floating "
            f"point, but {wrapped} are brought to int8. Take the student as it was "
            "before that."
        )


def _real(layer: Any, name: str) -> Any:
    """The full-precision layer in the place of a layer."""
    if type(layer) in _SIGNS:
        dtype = layer.get_config()["dtype"]
        return keras.layers.Activation(_clip, name=name, dtype=dtype)
    changes = {
        argument: None
        for argument in _KERNEL_QUANTIZERS
        if getattr(layer, argument, None) is not None
    }
    if has_binary_inputs(layer):
        if type(layer.input_quantizer) not in _SIGNS:
            raise ValueError(_refusal([layer.name]))
        changes["input_quantizer"] = _clip
    if not isinstance(layer, RectifiedConv2D):
        return copy_layer(layer, name=name, **changes)
    if type(layer) is not RectifiedConv2D:  # Who knows what it computes.
        raise ValueError(_refusal([layer.name]))
    config = {**layer.get_config(), "name": name, **changes}
    del config["scale"]
    return larq.layers.QuantConv2D.from_config(config)


def _refusal(names: list[str]) -> str:
    return (
        "Expected quantizers of larq's own classes, those of inputs with values from "
        "-1 to 1, in layers of the model itself and of no class derived from "
        f"RectifiedConv2D; otherwise they would remain, as in {names}. Build the "
        "full-precision network by hand, with the student's names for its layers."
    )


def _quantized(model: Any) -> list[str]:
    """The names of the layers that quantize something, or are quantizers."""
    layers = [one for one in model.submodules if isinstance(one, keras.layers.Layer)]
    owned: set[int] = set()
    names = []
    for layer in layers:
        quantizers = [getattr(layer, argument, None) for argument in _QUANTIZERS]
        found = [one for one in quantizers if one is not None and one is not _clip]
        owned.update(map(id, found))
        if found:
            names.append(layer.name)
    alone = [one for one in layers if isinstance(one, larq.quantizers.Quantizer)]
    return names + [one.name for one in alone if id(one) not in owned]


def _copy_weights(layer: Any, copy: Any) -> None:
    """Gives a copy the weights of its original, but for a scale."""
    if isinstance(layer, RectifiedConv2D):
        weights = [one for one in layer.weights if one is not layer.scale]
        copy.set_weights(keras.backend.batch_get_value(weights))
    else:
        copy_weights_of(layer, copy)
