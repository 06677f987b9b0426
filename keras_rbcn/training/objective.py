"""What the method adds to the task loss, computed on one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras_rbcn._backend import tf
from keras_rbcn.losses import attention_matching_loss, distillation_loss
from keras_rbcn.training.judging import NOT_JUDGED, Judge, judged
from keras_rbcn.training.settings import TrainingSettings
from keras_rbcn.training.sums import add_losses, mean_loss

# Names of what `Objective.logs` may hold, in the order of the logs.
LOGGED = (
    "kernel_loss",
    "adversarial_loss",
    "feature_matching_loss",
    "discriminator_loss",
    "discriminator_accuracy",
    "distillation_loss",
    "attention_loss",
)


class Batch(NamedTuple):
    """What student and teacher made of one batch; feature maps in order of the taps.

    If `pooled`, the student's are pooled already, as the discriminators begin.
    """

    outputs: Any
    fake: Sequence[Any]
    teacher_outputs: Any
    real: Sequence[Any]
    pooled: bool


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
    step: Any,
    layers: Sequence[Any],
    batch: Batch,
    judges: Sequence[Judge],
    distillation_from_logits: Sequence[bool | None],
) -> Objective:
    """Computes each loss of the method that has a weight.

    Args:
        settings: Weights and choices.
        step: How many steps have been made; weights may follow a schedule.
        layers: The student's rectified convolutions.
        batch: Outputs and tapped feature maps of student and teacher.
        judges: The discriminator of each tap.
        distillation_from_logits: For each output, whether it holds logits; None if it
            has no classes.

    Reference:
        RBCN, arXiv 1908.07748: L = L_S + L_Kernel + L_Adv.
    """
    logs: dict[str, Any] = {}
    student: list[Any] = []
    found = NOT_JUDGED

    def add(loss: str, weight: str, value: Any) -> None:
        logs[loss] = value
        student.append(settings.weight(weight, step) * value)

    if layers and settings.uses("kernel_weight"):
        gradient = settings.kernel_loss_gradient
        value = add_losses([layer.kernel_loss(gradient) for layer in layers])
        add("kernel_loss", "kernel_weight", value)
    if judges and settings.uses_discriminators:
        found = judged(settings, judges, batch.real, batch.fake, batch.pooled)
        if settings.uses("adversarial_weight"):
            add("adversarial_loss", "adversarial_weight", found.student)
        if settings.uses("feature_matching_weight"):
            value = mean_loss(found.distances)
            add("feature_matching_loss", "feature_matching_weight", value)
        logs.update(found.measures)
    if settings.uses("distillation"):
        value = _distillation(settings, batch, distillation_from_logits)
        add("distillation_loss", "distillation", value)
    if batch.real and settings.uses("attention_weight"):
        pairs = zip(batch.real, batch.fake, strict=True)
        value = mean_loss(attention_matching_loss(real, fake) for real, fake in pairs)
        add("attention_loss", "attention_weight", value)
    return Objective(student, found.discriminators, found.accuracies, logs)


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
