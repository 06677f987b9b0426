"""What must hold of student, teacher and discriminators before they are trained."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_rbcn._backend import keras, require_model, tf


def check_student(student: Any) -> None:
    """Raises if the student is no built Keras 2 model, or loses losses when tapped."""
    require_model(student, "student")
    if not student.built:
        raise ValueError(
            f"Expected the student '{student.name}' to be built; give it an input "
            "shape, or call it on data first."
        )


def check_tappable(model: Any, role: str) -> None:
    """Raises if feature maps of the model cannot be tapped."""
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(
            f"Expected the {role} '{model.name}' to be a functional or Sequential "
            "model with a static input shape: the layers of a subclassed model cannot "
            "be tapped. Rebuild it with the functional API, or pass `taps=[]`."
        )
    symbolic = ("AddLoss", "AddMetric")
    found = [la.name for la in model.layers if type(la).__name__ in symbolic]
    if found and role == "student":
        raise ValueError(
            f"Expected the student '{model.name}' to have no symbolic `add_loss` or "
            f"`add_metric`, found: {found}. Use a layer that adds its own loss, a "
            "regularizer, or a loss in `compile`."
        )


def check_teacher(student: Any, teacher: Any, trained: bool = True) -> None:
    """Raises if the teacher cannot teach this student; names both sides.

    Args:
        student: Built Keras model.
        teacher: What the user passed.
        trained: Whether to check that the teacher looks trained.

    Raises:
        TypeError: If the teacher is no Keras 2 model.
        ValueError: If it is not built, is or shares weights with the student, takes
            other inputs, or has never been trained.
    """
    require_model(teacher, "teacher")
    sides = f"student '{student.name}', teacher '{teacher.name}'"
    if not teacher.built:
        raise ValueError(
            f"Expected the teacher '{teacher.name}' to be built and trained; it has no "
            "weights yet. Train it, or load its weights, before it teaches."
        )
    own = {id(weight) for weight in student.weights}
    shared = [weight.name for weight in teacher.weights if id(weight) in own]
    if shared:
        raise ValueError(
            "Expected student and teacher to share no weights, since training the "
            f"student would change the teacher; {sides} share {shared[:5]}. Build the "
            "student from layers of its own."
        )
    _check_inputs(student, teacher)
    if trained and _looks_untrained(teacher):
        raise ValueError(
            f"Expected the teacher '{teacher.name}' of the student '{student.name}' to "
            "be trained, but every bias and every batch normalisation in it still has "
            "its starting value. Train it, or load its weights, first. To use it as it "
            "is, pass `check_teacher=False`."
        )


def check_discriminators(discriminators: Any, shapes: Any) -> None:
    """Raises unless there is one discriminator for each tap, of the tap's shape."""
    if len(discriminators) != len(shapes):
        raise ValueError(
            f"Expected one discriminator for each of the {len(shapes)} taps, received "
            f"{len(discriminators)}."
        )
    for discriminator, shape in zip(discriminators, shapes, strict=True):
        require_model(discriminator, "discriminators")
        if discriminator.built and hasattr(discriminator, "input_shape"):
            expected = tf.TensorShape((None, *shape))
            if not expected.is_compatible_with(discriminator.input_shape):
                raise ValueError(
                    f"Expected discriminator '{discriminator.name}' to take feature "
                    f"maps of shape {shape}, it takes {discriminator.input_shape[1:]}."
                )
        elif not discriminator.built:
            discriminator.build((None, *shape))


def check_optimizers(**optimizers: Any) -> None:
    """Raises if one optimizer is given for two groups of parameters."""
    names: dict[int, str] = {}
    for name, optimizer in optimizers.items():
        if optimizer is None:
            continue
        other = names.setdefault(id(optimizer), name)
        if other != name:
            raise ValueError(
                f"Expected `{other}` and `{name}` to be two optimizers, received the "
                "same object for both; each keeps state for its own parameters. "
                "Create another one."
            )


def _check_inputs(student: Any, teacher: Any) -> None:
    received = (
        getattr(student, "input_shape", None),
        getattr(teacher, "input_shape", None),
    )
    if None in received:
        return  # A subclassed model tells at its first call.
    try:
        tf.nest.assert_same_structure(*(_as_shapes(shape) for shape in received))
        same = all(
            a.is_compatible_with(b)
            for a, b in zip(
                *(tf.nest.flatten(_as_shapes(shape)) for shape in received), strict=True
            )
        )
    except (TypeError, ValueError):
        same = False
    if not same:
        raise ValueError(
            "Expected student and teacher to take the same inputs, received: student "
            f"'{student.name}' with inputs {received[0]}, teacher '{teacher.name}' "
            f"with inputs {received[1]}."
        )


def _as_shapes(shapes: Any) -> Any:
    """Shapes in the structure of the model's inputs, each one leaf of it."""
    if isinstance(shapes, dict):
        return {key: tf.TensorShape(shape) for key, shape in shapes.items()}
    if isinstance(shapes, list):
        return [tf.TensorShape(shape) for shape in shapes]
    return tf.TensorShape(shapes)


def _looks_untrained(model: Any) -> bool:
    """Whether all that starts at 0 or 1 by Keras' defaults is still there.

    Biases and the state of batch normalisation leave these values with the first
    training step. A model that has none of them cannot be told, and passes.
    """
    starts = []
    for part in model.submodules:
        if isinstance(part, keras.layers.BatchNormalization) and part.built:
            starts += [(part.moving_mean, 0.0), (part.moving_variance, 1.0)]
        initializer = getattr(part, "bias_initializer", None)
        bias = getattr(part, "bias", None)
        if isinstance(initializer, keras.initializers.Zeros) and bias is not None:
            starts.append((bias, 0.0))
    return bool(starts) and all(
        bool(np.all(variable.numpy() == value)) for variable, value in starts
    )
