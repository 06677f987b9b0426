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
        self._shows_hidden = shows_hidden
        self._ask = discriminator
        if shows_hidden:
            names = _hidden_layers(discriminator)
            self._ask = with_features(discriminator, names)
        self.discriminator = discriminator

    def __call__(self, features: Any) -> tuple[Any, list[Any]]:
        """The scores, and the outputs of the hidden layers."""
        found = self._ask(features, training=True)
        return found if self._shows_hidden else (found, [])


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
    """
    kind, smoothing = settings.adversarial_loss, settings.label_smoothing
    scores, distances, penalties = [], [], []
    for judge, ours, theirs in zip(judges, fake, real, strict=True):
        if settings.gradient_penalty > 0:
            (score, hidden), penalty = _with_gradient_penalty(judge, theirs)
            penalties.append(settings.gradient_penalty * penalty)
        else:
            score, hidden = judge(theirs)
        fake_score, fake_hidden = judge(ours)
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
    functional = getattr(discriminator, "inputs", None) and hasattr(
        discriminator, "get_layer"
    )
    if not functional or not names:
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
