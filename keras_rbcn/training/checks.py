"""What must hold of student, teacher and discriminators before they are trained."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_rbcn._backend import keras, require_model, tf
from keras_rbcn.conversion.operations import KEEP_SIGNS, is_nonnegative
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.training.taps import rectified_layers


def check_student(student: Any) -> None:
    """Raises if the student is no built Keras 2 model, or loses losses when tapped."""
    require_model(student, "student")
    if not student.built:
        raise ValueError(
            f"Expected the student '{student.name}' to be built; give it an input "
            "shape, or call it on data first."
        )


def check_output_names(student: Any, logged: Sequence[str]) -> None:
    """Raises if the logs of an output's loss would have the name of one of ours."""
    names = getattr(student, "output_names", None) or []
    clash = [name for name in names if f"{name}_loss" in logged]
    if len(names) > 1 and clash:
        raise ValueError(
            f"Expected the outputs of the student '{student.name}' to have other names "
            f"than {clash}: RBCNModel logs losses of its own as {list(logged)}."
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
        trained: Whether to check that the teacher looks trained, for the same classes.

    Raises:
        TypeError: If the teacher is no Keras 2 model.
        ValueError: If it is not built, is or shares weights with the student, takes
            other inputs or other classes, has never been trained, or looks like the
            student.
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
    if rectified_layers(teacher) and not rectified_layers(student):
        raise ValueError(
            "Expected the student to hold the 1-bit convolutions, but of the "
            f"{sides} only the teacher has RectifiedConv2D layers. Are the two "
            "arguments swapped? It is RBCNModel(student, teacher)."
        )
    _check_inference_mode(teacher)
    _check_inputs(student, teacher)
    if trained:
        _check_outputs(student, teacher)
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
        if len(tf.nest.flatten(getattr(discriminator, "outputs", None) or [0])) != 1:
            raise ValueError(
                f"Expected discriminator '{discriminator.name}' to have one output, "
                f"its scores, received: outputs {discriminator.output_shape}."
            )
        if discriminator.built and hasattr(discriminator, "input_shape"):
            expected = tf.TensorShape((None, *shape))
            if not expected.is_compatible_with(discriminator.input_shape):
                raise ValueError(
                    f"Expected discriminator '{discriminator.name}' to take feature "
                    f"maps of shape {shape}, it takes {discriminator.input_shape[1:]}."
                )
        elif not discriminator.built:
            discriminator.build((None, *shape))
    _check_own_weights(discriminators)


def _check_own_weights(discriminators: Any) -> None:
    """Raises if discriminators share weights: each would train them, and rest alone."""
    owners: dict[int, str] = {}
    for discriminator in discriminators:
        for weight in {id(weight) for weight in discriminator.weights}:
            if weight in owners:
                raise ValueError(
                    "Expected each tap to have a discriminator of its own, but "
                    f"'{owners[weight]}' and '{discriminator.name}' are the same model "
                    "or share weights. Build one for each tap, or pass a function that "
                    "does."
                )
            owners[weight] = discriminator.name


def warn_of_nonnegative_inputs(student: Any) -> None:
    """Warns of 1-bit convolutions behind an activation that is never negative.

    The sign of their inputs is +1 everywhere, and nothing can be learned from it.
    Followed is what keeps signs as they are: pooling, dropout, padding, reshaping.
    """
    if not getattr(student, "_is_graph_network", False):
        return
    found = {
        layer.name: source.name
        for layer in student.layers
        if isinstance(layer, RectifiedConv2D)
        for source in _sources(layer)
        if is_nonnegative(source)
    }
    if found:
        pairs = ", ".join(
            f"'{name}' behind '{source}'" for name, source in found.items()
        )
        warnings.warn(
            f"In the student '{student.name}' the inputs of RectifiedConv2D layers are "
            f"never negative, so that their sign is +1 everywhere: {pairs}. Leave the "
            "activation out, or put an RSign (a learnable threshold) between.",
            UserWarning,
            stacklevel=4,
        )


def _sources(layer: Any) -> list[Any]:
    """The layers whose outputs reach a layer with their signs unchanged."""
    before = [
        source
        for node in layer.inbound_nodes
        for source in tf.nest.flatten(node.inbound_layers)
    ]
    return [
        source
        for one in before
        for source in (_sources(one) if isinstance(one, KEEP_SIGNS) else [one])
    ]


def with_loss_scaling(optimizer: Any, student: Any) -> Any:
    """The optimizer, with loss scaling if the student computes in float16.

    Keras adds it where the policy of the whole model is `"mixed_float16"`.
    """
    scaling = keras.mixed_precision.LossScaleOptimizer
    layers = [part for part in student.submodules if hasattr(part, "compute_dtype")]
    half = any(layer.compute_dtype == "float16" for layer in layers)
    if half and not isinstance(optimizer, scaling):
        return scaling(optimizer)
    return optimizer


def check_optimizers(**optimizers: Any) -> None:
    """Raises if an optimizer serves two groups of parameters, or scales its loss."""
    names: dict[int, str] = {}
    for name, optimizer in optimizers.items():
        if optimizer is None:
            continue
        if getattr(optimizer, "use_ema", False):
            raise ValueError(
                f"Expected `{name}` without use_ema=True: Keras puts the averages in "
                "place for one optimizer of a model only, and RBCNModel has several."
            )
        if name != "optimizer" and hasattr(optimizer, "get_scaled_loss"):
            raise ValueError(
                f"Expected `{name}` without loss scaling, received: {name}="
                f"{type(optimizer).__name__}. One scale serves all optimizers, that of "
                "`optimizer`."
            )
        other = names.setdefault(id(optimizer), name)
        if other != name:
            raise ValueError(
                f"Expected `{other}` and `{name}` to be two optimizers, received the "
                "same object for both; each keeps state for its own parameters. "
                "Create another one."
            )


def _check_inference_mode(teacher: Any) -> None:
    """Raises if batch normalisation was called with training=True for good."""
    if not getattr(teacher, "_is_graph_network", False):
        return
    fixed = [
        layer.name
        for layer in teacher.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and any(node.call_kwargs.get("training") for node in layer.inbound_nodes)
    ]
    if fixed:
        raise ValueError(
            f"Expected the teacher '{teacher.name}' to stay as it is in inference "
            f"mode, but its layers {fixed} were called with training=True, which moves "
            "their statistics at each step. Build it without."
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


def _check_outputs(student: Any, teacher: Any) -> None:
    """Raises if the two tell other numbers of classes apart."""
    ours, theirs = (
        [tuple(tensor.shape) for tensor in getattr(model, "outputs", None) or ()]
        for model in (student, teacher)
    )
    scores = [shapes for shapes in (ours, theirs) if len(shapes) == 1]
    if len(scores) == 2 and len(ours[0]) == len(theirs[0]) == 2 and ours != theirs:
        raise ValueError(
            "Expected student and teacher to tell the same number of classes apart, "
            f"received: student '{student.name}' with {ours[0][-1]} outputs, teacher "
            f"'{teacher.name}' with {theirs[0][-1]}. Give one of them another last "
            "layer. If the teacher is to teach by its feature maps alone, pass "
            "`check_teacher=False`."
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
