"""Feature taps: where the student's feature maps are compared with the teacher's."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from keras_rbcn._backend import keras, tf
from keras_rbcn.conversion.graph import own_activation
from keras_rbcn.layers import RectifiedConv2D

AUTOMATIC_TAPS = ("convolution", "stage")


class Tap(NamedTuple):
    """A pair of layers whose outputs mean the same in student and teacher.

    Where the teacher's layer is a convolution with an activation of its own, and the
    student's is a convolution or normalisation without, the student's feature map is
    compared behind the same activation.

    Args:
        student: Name of the student's layer.
        teacher: Name of the teacher's layer.

    Example:
        >>> Tap("block1_bn", "block1_bn").student
        'block1_bn'
    """

    student: str
    teacher: str


def resolve_taps(student: Any, teacher: Any, taps: Any) -> list[Tap]:
    """Turns the `taps` argument of `RBCNModel` into checked pairs of layers.

    Args:
        student: Functional or Sequential Keras model, built.
        teacher: The same.
        taps: `"convolution"`, `"stage"`, or a sequence of layer names or of pairs of
            them, student's first.

    Returns:
        List of `Tap`.

    Raises:
        ValueError: If a name is unknown, or shapes differ or are not static; both
            sides are named.
    """
    if isinstance(taps, str):
        pairs = _automatic_taps(student, teacher, taps)
    else:
        pairs = [_as_tap(tap) for tap in taps]
    for tap in pairs:
        _check_shapes(
            tap,
            tap_shape(student, tap.student, "student"),
            tap_shape(teacher, tap.teacher, "teacher"),
        )
    return pairs


def check_sequence(taps: Any) -> None:
    """Raises ValueError unless `taps` is a sequence, of taps and not a tap itself."""
    if isinstance(taps, Tap) or not isinstance(taps, Sequence):
        raise ValueError(
            f"Expected `taps` to be a sequence of taps, received: taps={taps!r}. Write "
            "one tap as [tap], and none as []."
        )


def tap_shape(model: Any, layer_name: str, role: str) -> tuple[int | None, ...]:
    """The shape, without the batch, of the one output of a layer.

    Args:
        model: Functional or Sequential Keras model.
        layer_name: Name of one of its layers.
        role: `"student"` or `"teacher"`, for the message.

    Raises:
        ValueError: If there is no such layer, or it has several outputs.
    """
    names = [layer.name for layer in model.layers]
    if layer_name not in names:
        near = difflib.get_close_matches(layer_name, names, n=3)
        hint = f"did you mean {near}?" if near else f"its layers are {names}."
        raise ValueError(
            f"Expected a tap to name a layer of the {role} '{model.name}', received: "
            f"'{layer_name}'; {hint} Layers inside nested models cannot be tapped."
        )
    layer = model.get_layer(layer_name)
    if len(layer.inbound_nodes) != 1 or not keras.backend.is_keras_tensor(
        _output(layer)
    ):
        raise ValueError(
            f"Expected layer '{layer_name}' of the {role} '{model.name}' to be called "
            "once and to have one output; a tap on a shared layer, or on one with "
            "several outputs, is ambiguous."
        )
    return tuple(_output(layer).shape[1:])


def with_features(model: Any, layer_names: Sequence[str]) -> Any:
    """A model of the same layers that also returns the outputs of some of them.

    Args:
        model: Functional or Sequential Keras model.
        layer_names: Names of its layers.

    Returns:
        A Keras model from the inputs to `(outputs, [feature map, ...])`. It shares
        all layers and weights with `model`, which stays as it was.
    """
    features = [_output(model.get_layer(name)) for name in layer_names]
    # The same name, which operations have in a profile.
    return keras.Model(model.input, (model.output, features), name=model.name)


def missing_activation(tap: Tap, student: Any, teacher: Any) -> Any:
    """The activation that only the teacher's layer of a tap applies, or None."""
    layer = student.get_layer(tap.student)
    activation = getattr(layer, "activation", keras.activations.linear)
    bare = isinstance(layer, keras.layers.BatchNormalization | RectifiedConv2D)
    if not bare or activation is not keras.activations.linear:
        return None
    return own_activation(teacher.get_layer(tap.teacher))


def rectified_layers(model: Any) -> list[RectifiedConv2D]:
    """All rectified convolutions of a model, nested ones too, each once."""
    return [part for part in model.submodules if isinstance(part, RectifiedConv2D)]


def _output(layer: Any) -> Any:
    # Not `layer.output`, which for a nested model is a tensor inside it.
    return layer.inbound_nodes[0].outputs


def _as_tap(tap: Any) -> Tap:
    if isinstance(tap, str):
        return Tap(tap, tap)
    names = tuple(tap) if isinstance(tap, Iterable) else ()
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        raise ValueError(
            "Expected each of `taps` to be a layer name or a pair (student's layer, "
            f"teacher's layer), received: {tap!r}."
        )
    return Tap(*names)


def _automatic_taps(student: Any, teacher: Any, taps: str) -> list[Tap]:
    if taps not in AUTOMATIC_TAPS:
        raise ValueError(
            f"Expected `taps` to be one of {AUTOMATIC_TAPS} or a sequence of layer "
            f"names or pairs, received: taps={taps!r}. Write one layer as [{taps!r}]."
        )
    pairs = {}
    for layer in student.layers:
        if not isinstance(layer, RectifiedConv2D):
            continue
        ours = _normalized_output(student, layer)
        theirs = _counterpart(ours, layer, teacher)
        # A layer that is called twice has no one feature map.
        found = [part for part in (layer, ours, theirs) if part is not None]
        if all(len(part.inbound_nodes) == 1 for part in found):
            pairs[_as_pooled(ours, theirs, student)] = theirs
    unpaired = [layer.name for layer, found in pairs.items() if found is None]
    if not pairs or unpaired:
        problem = (
            f"the teacher '{teacher.name}' has no layers named {unpaired}"
            if unpaired
            else f"the student '{student.name}' has no RectifiedConv2D at its top "
            "level that is called once"
        )
        raise ValueError(
            "Expected to pair the taps by name: the batch normalisation behind each "
            "rectified convolution of the student with the teacher's layer of the same "
            f"name, but {problem}. Pass `taps=[(student_layer, teacher_layer), ...]`, "
            "or `taps=[]` to train without feature discriminators."
        )
    resolved = [Tap(ours.name, found.name) for ours, found in pairs.items()]
    return resolved if taps == "convolution" else _last_of_each_stage(student, resolved)


def _counterpart(normalized: Any, convolution: Any, teacher: Any) -> Any:
    """The teacher's layer of the same name, or what follows its convolution of it.

    The student may have a batch normalisation that the teacher has not.
    """
    layers = {layer.name: layer for layer in teacher.layers}
    if normalized.name in layers:
        return layers[normalized.name]
    if convolution.name in layers:
        return _normalized_output(teacher, layers[convolution.name])
    return None


def _as_pooled(ours: Any, theirs: Any, student: Any) -> Any:
    """The max pooling behind a normalisation, if the teacher's stands behind it.

    `binarize` lets the two change places.
    """
    if theirs is None or _shape(ours) == _shape(theirs):
        return ours
    for node in ours.outbound_nodes:
        pool = node.outbound_layer
        if (
            isinstance(pool, keras.layers.MaxPooling2D)
            and pool in student.layers
            and len(pool.inbound_nodes) == 1
            and _shape(pool) == _shape(theirs)
        ):
            return pool
    return ours


def _shape(layer: Any) -> tuple[Any, ...]:
    shapes = [tensor.shape for tensor in tf.nest.flatten(_output(layer))]
    return tuple(map(tuple, shapes))


def _normalized_output(model: Any, layer: Any) -> Any:
    """The batch normalisation that follows a layer, or else the layer itself."""
    followers = [node.outbound_layer for node in layer.outbound_nodes]
    for follower in followers:
        if follower in model.layers and isinstance(
            follower, keras.layers.BatchNormalization
        ):
            return follower
    return layer


def _last_of_each_stage(student: Any, pairs: list[Tap]) -> list[Tap]:
    """A stage is a run of layers whose feature maps have one shape."""
    last = {tap_shape(student, tap.student, "student"): tap for tap in pairs}
    return list(last.values())


def _check_shapes(tap: Tap, student: Any, teacher: Any) -> None:
    if student != teacher or None in student:
        raise ValueError(
            "Expected the two layers of a tap to have outputs of one static shape, "
            f"received: student's '{tap.student}' of shape {student}, teacher's "
            f"'{tap.teacher}' of shape {teacher}. Tap layers that correspond, and give "
            "both models a static input shape."
        )
