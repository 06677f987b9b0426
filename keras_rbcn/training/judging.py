"""What the discriminators make of the feature maps of one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn.losses import (
    discriminator_accuracy,
    discriminator_loss,
    feature_matching_loss,
    student_adversarial_loss,
)
from keras_rbcn.training.settings import TrainingSettings
from keras_rbcn.training.sums import add_losses
from keras_rbcn.training.taps import with_features


class Judge:
    """A discriminator, and what its hidden layers see.

    Args:
        discriminator: Keras model from a feature map to raw scores.
        shows_hidden: Whether the hidden layers are asked for.

    Raises:
        ValueError: If they are, and the discriminator is not a functional model with
            an activation in it.
    """

    def __init__(self, discriminator: Any, shows_hidden: bool) -> None:
        self.discriminator = discriminator
        # What a feature map passes first, if the rest can do with its output alone.
        self.pooling: Any = None
        self._shows_hidden = shows_hidden
        hidden = _hidden_layers(discriminator) if shows_hidden else []
        chain = _chain(discriminator)
        if chain and isinstance(chain[0], _POOLINGS):
            self.pooling, *rest = chain
            self._ask = _Chain(rest, hidden, discriminator.name)
        elif shows_hidden:
            self._ask = with_features(discriminator, hidden)
        else:
            self._ask = discriminator

    def __call__(self, features: Any, pooled: bool = False) -> tuple[Any, list[Any]]:
        """The scores, and the outputs of the hidden layers."""
        if self.pooling is not None and not pooled:
            features = self.pooling(features)
        found = self._ask(features, training=True)
        alone = self._ask is self.discriminator
        return (found, []) if alone else found


class Judged(NamedTuple):
    """What `judged` returns.

    `student` is the adversarial loss; `distances`, of each tap, the feature matching
    loss; `discriminators` what the discriminators minimise; `accuracies` the share that
    each of them judges rightly, one vector; `measures` what is logged besides.
    """

    student: Any
    distances: list[Any]
    discriminators: Any
    accuracies: Any
    measures: dict[str, Any]


NOT_JUDGED = Judged(None, [], None, [], {})


def judged(
    settings: TrainingSettings,
    judges: Sequence[Judge],
    real: Sequence[Any],
    fake: Sequence[Any],
    pooled: bool = False,
) -> Judged:
    """Asks each discriminator about the teacher's feature map and the student's.

    Each is asked once for both sides: the student's loss and the discriminator's are
    two functions of the same scores, and each is differentiated with respect to its own
    variables only, which stops the other's gradient.

    Args:
        settings: Weights and choices.
        judges: The discriminator of each tap.
        real: The teacher's feature map at each tap.
        fake: The student's.
        pooled: Whether the student's are pooled already where a judge begins so.
    """
    kind, smoothing = settings.adversarial_loss, settings.label_smoothing
    scores, distances, penalties = [], [], []
    for judge, ours, theirs in zip(judges, fake, real, strict=True):
        if settings.gradient_penalty > 0:
            (score, hidden), penalty = _with_gradient_penalty(judge, theirs)
            penalties.append(settings.gradient_penalty * penalty)
        else:
            score, hidden = judge(theirs)
        fake_score, fake_hidden = judge(ours, pooled)
        scores.append((score, fake_score))
        if hidden:
            distances.append(feature_matching_loss(hidden, fake_hidden))
        penalties += judge.discriminator.losses
    student, losses, accuracies, order = [], [], [], []
    for taps, reals, fakes in _stacked(scores):
        rest = tf.range(1, tf.rank(reals))
        student.append(len(taps) * student_adversarial_loss(fakes, kind, reals))
        losses.append(len(taps) * discriminator_loss(reals, fakes, kind, smoothing))
        shares = discriminator_accuracy(reals, fakes, kind, rest)
        accuracies.append(tf.cast(shares, tf.float32))
        order += taps
    by_tap = tf.gather(tf.concat(accuracies, 0), np.argsort(order))
    return Judged(
        add_losses(student) / len(judges),
        distances,
        add_losses([*losses, *penalties]),
        by_tap,
        {
            "discriminator_loss": add_losses(losses) / len(judges),
            "discriminator_accuracy": tf.reduce_mean(by_tap),
        },
    )


def _with_gradient_penalty(judge: Judge, features: Any) -> tuple[Any, Any]:
    """What the judge says, and half the squared gradient of the score to the features.

    The R1 penalty of Mescheder et al. 2018, arXiv 1801.04406, equation 9.
    """
    with tf.GradientTape() as tape:
        tape.watch(features)
        score, hidden = judge(features)
    gradient = tf.cast(tape.gradient(score, features), score.dtype)
    squares = tf.reduce_sum(tf.square(gradient)) / tf.cast(
        tf.shape(gradient)[0], score.dtype
    )
    return (score, hidden), 0.5 * squares


def _stacked(scores: Sequence[tuple[Any, Any]]) -> list[tuple[list[int], Any, Any]]:
    """Scores of the same shape as one tensor: each loss is computed once for all.

    Returns:
        For each shape the numbers of the taps, and the real and the fake scores, with
        an axis of these taps in front.
    """
    taps: dict[Any, list[int]] = {}
    for number, (real, _) in enumerate(scores):
        shape = real.shape[1:]  # Of an unknown rank it is unknown too.
        key = tuple(shape) if shape.is_fully_defined() else number
        taps.setdefault((key, real.dtype), []).append(number)
    return [
        (numbers, *(tf.stack([scores[n][side] for n in numbers]) for side in (0, 1)))
        for numbers in taps.values()
    ]


_POOLINGS = (
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling2D,
)


class _Chain(keras.layers.Layer):
    """Layers one behind another, some of whose outputs are returned as well.

    A part of a Keras model cannot be a model of its own without more nodes in the
    layers, which the user would find there.
    """

    def __init__(self, layers: list[Any], hidden: list[str], name: str) -> None:
        super().__init__(name=name, autocast=False)
        self._run = layers
        self._hidden = hidden

    def call(self, inputs: Any) -> tuple[Any, list[Any]]:
        # What is in training mode here is so in each layer.
        hidden = []
        for layer in self._run:
            inputs = layer(inputs)
            if layer.name in self._hidden:
                hidden.append(inputs)
        return inputs, hidden


def _is_functional(model: Any) -> bool:
    """Whether a built model does what its layers say, and nothing of its own."""
    known = (keras.Sequential.call, keras.Sequential.__base__.call)
    return type(model).call in known and bool(model.inputs)


def _chain(model: Any) -> list[Any]:
    """The layers of a model, if each is called once, on the output of the last one."""
    if not _is_functional(model):
        return []
    previous, chain = model.inputs, []
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        nodes = layer.inbound_nodes
        inputs = tf.nest.flatten(nodes[0].keras_inputs) if len(nodes) == 1 else []
        if len(previous) != 1 or len(inputs) != 1 or inputs[0] is not previous[0]:
            return []
        previous = tf.nest.flatten(nodes[0].outputs)
        chain.append(layer)
    return chain if previous == model.outputs else []


_ACTIVATIONS = (
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.ThresholdedReLU,
)


def _hidden_layers(discriminator: Any) -> list[str]:
    """Names of the layers of a discriminator behind which something is not linear."""
    layers = getattr(discriminator, "layers", [])
    names = [layer.name for layer in layers if _bends(layer)]
    if not _is_functional(discriminator) or not names:
        raise ValueError(
            "Expected a functional discriminator with hidden layers to match features "
            f"by, received: '{discriminator.name}', with activations behind its layers "
            f"{names}. Use feature_matching_weight=0, or another discriminator."
        )
    return names


def _bends(layer: Any) -> bool:
    activation = getattr(layer, "activation", keras.activations.linear)
    return isinstance(layer, _ACTIVATIONS) or (
        activation is not keras.activations.linear
    )
