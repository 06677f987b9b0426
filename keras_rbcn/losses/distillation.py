"""Logits distillation: the student learns the teacher's softened outputs."""

from __future__ import annotations

import math
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.losses._precision import as_same_float

# Smaller probabilities count as this one: its logarithm and the gradient of it, the
# reciprocal, are still finite in float32.
_SMALLEST_PROBABILITY = 1e-37


def distillation_loss(
    teacher_logits: Any,
    student_logits: Any,
    temperature: float = 4.0,
    from_logits: bool = True,
) -> Any:
    """Divergence of the student's softened outputs from the teacher's.

    Computes `T**2 * KL(softmax(teacher / T) || softmax(student / T))`, averaged over
    all but the last axis. The factor keeps the gradient's size independent of the
    temperature T. The gradient reaches both sides: a teacher that must not move is
    stopped by the caller.

    Args:
        teacher_logits: Outputs of the teacher, float, shape `(batch, ..., classes)`.
        student_logits: Outputs of the student, of the same shape.
        temperature: T, a positive number; larger values weigh the small classes more.
        from_logits: Whether the outputs are logits, as they are without an activation
            in the last layer, or probabilities, as they are behind a softmax. Either
            gives the same loss, except where probabilities have vanished in floating
            point. Log-probabilities, as behind a log-softmax, are logits.

    Returns:
        Scalar tensor, float32, or float64 if the student's outputs are.

    Raises:
        ValueError: If `temperature` is not positive and finite, or the shapes differ
            or have fewer than two axes.

    Example:
        >>> teacher, student = tf.constant([[2.0, 0.0]]), tf.constant([[0.0, 0.0]])
        >>> round(float(distillation_loss(teacher, student, temperature=1.0)), 4)
        0.3278
        >>> probabilities = tf.nn.softmax(teacher), tf.nn.softmax(student)
        >>> loss = distillation_loss(*probabilities, temperature=1.0, from_logits=False)
        >>> round(float(loss), 4)
        0.3278

    Reference:
        Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv
        1503.02531, section 2.
    """
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(
            "Expected `temperature` to be a positive, finite number, received: "
            f"temperature={temperature!r}."
        )
    teacher, student = as_same_float(teacher_logits, student_logits)
    _check_shapes(teacher.shape, student.shape)
    if not from_logits:
        # Softmax forgets a shift of the logits, hence log(p) are logits of p.
        teacher = tf.math.log(tf.maximum(teacher, _SMALLEST_PROBABILITY))
        student = tf.math.log(tf.maximum(student, _SMALLEST_PROBABILITY))
    log_teacher = tf.nn.log_softmax(teacher / temperature)
    log_student = tf.nn.log_softmax(student / temperature)
    divergence = tf.reduce_sum(
        tf.exp(log_teacher) * (log_teacher - log_student), axis=-1
    )
    return temperature**2 * tf.reduce_mean(divergence)


def _check_shapes(teacher: Any, student: Any) -> None:
    known = teacher.rank is not None and student.rank is not None
    if not teacher.is_compatible_with(student) or (known and teacher.rank < 2):
        raise ValueError(
            "Expected the outputs of teacher and student to have one shape "
            "(batch, ..., classes), received: teacher_logits of shape "
            f"{tuple(teacher)}, student_logits of shape {tuple(student)}."
        )
