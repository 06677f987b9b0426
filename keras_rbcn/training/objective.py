"""What the method adds to the task loss, computed on one batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_rbcn._backend import tf
from keras_rbcn.losses import (
    attention_matching_loss,
    discriminator_accuracy,
    discriminator_loss,
    distillation_loss,
    student_adversarial_loss,
)
from keras_rbcn.training.settings import TrainingSettings

# Names of what `Objective.logs` may hold, in the order of the logs.
LOGGED = (
    "kernel_loss",
    "adversarial_loss",
    "discriminator_loss",
    "discriminator_accuracy",
    "distillation_loss",
    "attention_loss",
)


class Batch(NamedTuple):
    """What student and teacher made of one batch; feature maps in order of the taps."""

    outputs: Any
    fake: Sequence[Any]
    teacher_outputs: Any
    real: Sequence[Any]


class Objective(NamedTuple):
    """The losses of one batch.

    `student` holds the weighted terms to add to the task loss; `discriminators` what
    the discriminators minimise, None if they are not in use; `accuracies` the share
    that each of them judges rightly, one vector; `logs` the unweighted values by name.
    """

    student: list[Any]
    discriminators: Any
    accuracies: Any
    logs: dict[str, Any]


def method_objective(
    settings: TrainingSettings,
    layers: Sequence[Any],
    batch: Batch,
    discriminators: Sequence[Any],
    distillation_from_logits: Sequence[bool | None],
) -> Objective:
    """Computes each loss of the method that has a weight.

    Args:
        settings: Weights and choices.
        layers: The student's rectified convolutions.
        batch: Outputs and tapped feature maps of student and teacher.
        discriminators: One Keras model for each tap.
        distillation_from_logits: For each output, whether it holds logits; None if it
            has no classes.

    Reference:
        RBCN, arXiv 1908.07748: L = L_S + L_Kernel + L_Adv.
    """
    logs: dict[str, Any] = {}
    student: list[Any] = []
    objective: Any = None
    accuracies: Any = []

    def add(name: str, weight: float, value: Any) -> None:
        logs[name] = value
        student.append(weight * value)

    if layers and settings.kernel_weight > 0:
        gradient = settings.kernel_loss_gradient
        value = add_losses([layer.kernel_loss(gradient) for layer in layers])
        add("kernel_loss", settings.kernel_weight, value)
    if discriminators and settings.adversarial_weight > 0:
        value, objective, accuracies, measures = _adversarial(
            settings, batch, discriminators
        )
        add("adversarial_loss", settings.adversarial_weight, value)
        logs.update(measures)
    if settings.distillation > 0:
        value = _distillation(settings, batch, distillation_from_logits)
        add("distillation_loss", settings.distillation, value)
    if batch.real and settings.attention_weight > 0:
        pairs = zip(batch.real, batch.fake, strict=True)
        value = _mean(attention_matching_loss(real, fake) for real, fake in pairs)
        add("attention_loss", settings.attention_weight, value)
    return Objective(student, objective, accuracies, logs)


def add_losses(losses: Sequence[Any]) -> Any:
    """Their sum; in float32 if, under a mixed policy, some are of half precision."""
    tensors = [tf.convert_to_tensor(loss) for loss in losses]
    dtype = tf.float64 if tensors[0].dtype == tf.float64 else tf.float32
    return tf.add_n([tf.cast(tensor, dtype) for tensor in tensors])


def _adversarial(
    settings: TrainingSettings, batch: Batch, discriminators: Sequence[Any]
) -> tuple[Any, Any, Any, dict[str, Any]]:
    """The student's loss, the discriminators', their accuracies, and measures."""
    kind, count = settings.adversarial_loss, len(discriminators)
    scores = []
    for model, real, fake in zip(discriminators, batch.real, batch.fake, strict=True):
        # Scored once for both sides: the student's loss and the discriminator's are two
        # functions of the same scores, and each is differentiated with respect to
        # its own variables only, which stops the other's gradient.
        scores.append((model(real, training=True), model(fake, training=True)))
    student, losses, accuracies, order = [], [], [], []
    for taps, real, fake in _stacked(scores):
        rest = tf.range(1, tf.rank(real))
        student.append(len(taps) * student_adversarial_loss(fake, kind))
        losses.append(len(taps) * discriminator_loss(real, fake, kind))
        shares = discriminator_accuracy(real, fake, kind, rest)
        accuracies.append(tf.cast(shares, tf.float32))
        order += taps
    by_tap = tf.gather(tf.concat(accuracies, 0), np.argsort(order))
    penalties = [penalty for model in discriminators for penalty in model.losses]
    measures = {
        "discriminator_loss": add_losses(losses) / count,
        "discriminator_accuracy": tf.reduce_mean(by_tap),
    }
    return (
        add_losses(student) / count,
        add_losses([*losses, *penalties]),
        by_tap,
        measures,
    )


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


def _distillation(
    settings: TrainingSettings, batch: Batch, from_logits: Sequence[bool | None]
) -> Any:
    """The distillation loss, summed over the outputs."""
    teacher, student = map(tf.nest.flatten, (batch.teacher_outputs, batch.outputs))
    return add_losses(
        [
            distillation_loss(t, s, settings.temperature, logits)
            for t, s, logits in zip(teacher, student, from_logits, strict=True)
            if logits is not None
        ]
    )


def _mean(values: Iterable[Any]) -> Any:
    values = list(values)
    return add_losses(values) / len(values)
