"""Copies what a student can take over from its teacher."""

from __future__ import annotations

import numbers
from typing import Any

from keras_rbcn._backend import keras, require_model, require_student, tf
from keras_rbcn._counting import binary_weights
from keras_rbcn.conversion.graph import check_no_models_within
from keras_rbcn.layers import RectifiedConv2D


def copy_weights(
    teacher: Any, student: Any, kernel_magnitude: float | None = None
) -> list[str]:
    """Copies weights from a teacher to the layers of the same name in a student.

    A convolution's kernel becomes the latent kernel of the student's convolution, and
    the scale of a `RectifiedConv2D` is set anew to mean |W|. Latent kernels are not
    clipped here; the layer's constraint does so with the first training step. A bias
    that only the teacher's convolution has is left out: the batch normalisation behind
    a 1-bit convolution takes its place. Give the layers names of your own: Keras'
    automatic ones (`conv2d_1`) need not mean the same layer in two models.

    Args:
        teacher: Built Keras 2 model; it is not changed.
        student: Built Keras 2 model, or the `RBCNModel` of one.
        kernel_magnitude: What the mean |W| of each latent kernel that is copied is
            scaled to, in (0, 1]; what then exceeds the layer's constraint is clipped.
            None leaves kernels as they are. Signs stay, but those of larger kernels
            flip later: 0.5 suits a start from `full_precision_counterpart`, and did
            worse than None from another teacher (docs/evidence.md). Scales grow with
            their kernels, which batch normalisations take in with the first steps of
            training.

    Returns:
        Names of the layers that were copied.

    Raises:
        TypeError: If one is no Keras 2 model.
        ValueError: If no layer has a counterpart, if layers of one name hold other
            weights or weights of other shapes, if a model is not built or has models
            within, or for a `kernel_magnitude` outside of (0, 1]; nothing is copied
            then.

    Example:
        >>> teacher = keras.Sequential(
        ...     [keras.layers.Conv2D(2, 3, use_bias=False, name="conv")]
        ... )
        >>> student = keras.Sequential([RectifiedConv2D(2, 3, name="conv")])
        >>> for model in (teacher, student):
        ...     model.build((None, 8, 8, 1))
        >>> copy_weights(teacher, student)
        ['conv']
    """
    teacher = require_model(teacher, "teacher")
    student = require_student(student, "student")
    _check_magnitude(kernel_magnitude)
    for model in (teacher, student):
        _check_model(model)
    pairs = _pairs(teacher, student)
    if not pairs:
        raise ValueError(
            "Expected teacher and student to have layers with weights of the same "
            f"name, but '{teacher.name}' and '{student.name}' share none."
        )
    for source, target in pairs:
        values = _weights(source)
        for name, variable in _weights(target).items():
            variable.assign(tf.cast(values[name], variable.dtype))
        if kernel_magnitude is not None:
            _scale_kernels(target, kernel_magnitude)
        if isinstance(target, RectifiedConv2D):
            target.reset_scale()
    return [target.name for _, target in pairs]


def _check_magnitude(magnitude: Any) -> None:
    if magnitude is None:
        return
    is_number = isinstance(magnitude, numbers.Real) and not isinstance(magnitude, bool)
    if not is_number or not 0 < magnitude <= 1:
        raise ValueError(
            "Expected `kernel_magnitude` to be None or a number in (0, 1], as latent "
            f"kernels are clipped to [-1, 1], received: kernel_magnitude={magnitude!r}."
        )


def _check_model(model: Any) -> None:
    if not model.built:
        raise ValueError(
            f"Expected model '{model.name}' to be built; give it an input shape, or "
            "call it on data first."
        )
    check_no_models_within(
        model, "in its place, or copy the weights of the models within one by one."
    )


def _scale_kernels(layer: Any, magnitude: float) -> None:
    """Gives a layer's latent kernels another mean |W|, but for what is clipped."""
    for kernel in binary_weights(layer):
        scaled = tf.math.divide_no_nan(kernel * magnitude, tf.reduce_mean(abs(kernel)))
        kernel.assign(kernel.constraint(scaled) if kernel.constraint else scaled)


def _pairs(teacher: Any, student: Any) -> list[tuple[Any, Any]]:
    sources = {layer.name: layer for layer in teacher.layers}
    pairs = []
    for target in student.layers:
        source = sources.get(target.name)
        # An RPReLU in a ReLU's place has nothing to take over.
        if source is None or not _weights(target) or not source.weights:
            continue
        expected, received = _shapes(target), _shapes(source)
        if isinstance(target, keras.layers.Conv2D) and "bias" not in expected:
            received.pop("bias", None)
        if expected != received:
            raise ValueError(
                f"Expected the layers '{target.name}' of student '{student.name}' and "
                f"teacher '{teacher.name}' to hold the same weights; the student's are "
                f"{expected}, the teacher's {received}. Rename one of them."
            )
        pairs.append((source, target))
    return pairs


def _shapes(layer: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in _weights(layer).items()}


def _weights(layer: Any) -> dict[str, Any]:
    """The weights by their name within the layer; a scale is computed, not copied."""
    weights = {_name_within(layer, weight): weight for weight in layer.weights}
    if len(weights) != len(layer.weights):
        raise ValueError(
            f"Expected the weights of layer '{layer.name}' to have names of their own, "
            f"received: {[weight.name for weight in layer.weights]}. Copy them with "
            "set_weights."
        )
    if isinstance(layer, RectifiedConv2D):
        del weights["scale"]
    return weights


def _name_within(layer: Any, weight: Any) -> str:
    """A weight's name without that of its layer, which it mostly begins with.

    In a subclassed model, it begins with that of the model.
    """
    path = "/" + weight.name.partition(":")[0]
    return str(path.rpartition(f"/{layer.name}/")[-1].removeprefix("/"))
