"""Attention matching: the student looks where the teacher looks."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.losses._precision import as_same_float


def attention_matching_loss(teacher_features: Any, student_features: Any) -> Any:
    """Distance of the student's spatial attention map from the teacher's.

    The attention map of a feature map A is `Q = sum(A**2)` over its channels, flattened
    and divided by its L2 norm, for each sample. The loss is the L2 norm of the
    difference of the two maps, averaged over the batch; it lies in [0, sqrt(2)]. A
    feature map of zeros has an attention map of zeros, and no gradient. The gradient
    reaches both sides: a teacher that must not move is stopped by the caller.

    Args:
        teacher_features: Feature map of the teacher, float, shape
            `(batch, height, width, channels)`, or with any number of spatial axes.
        student_features: Feature map of the student; the number of channels may differ,
            all else is the same.

    Returns:
        Scalar tensor, float32, or float64 if the student's features are.

    Raises:
        ValueError: If batch or spatial shapes differ, or there are fewer than three
            axes.

    Example:
        >>> teacher = tf.constant([[[[1.0]], [[0.0]]]])
        >>> student = tf.constant([[[[0.0, 0.0]], [[3.0, 4.0]]]])
        >>> round(float(attention_matching_loss(teacher, student)), 4)
        1.4142
        >>> float(attention_matching_loss(teacher, 5.0 * teacher))
        0.0

    Reference:
        Martinez et al. 2020, "Training Binary Neural Networks with Real-to-Binary
        Convolutions", arXiv 2003.11535, section 4.2. The mean over the batch is ours.
    """
    teacher, student = as_same_float(teacher_features, student_features)
    _check_shapes(teacher.shape, student.shape)
    difference = _attention_map(student) - _attention_map(teacher)
    return tf.reduce_mean(_norm(difference))


def _attention_map(features: Any) -> Any:
    energy = tf.reduce_sum(tf.square(features), axis=-1)
    flat = tf.reshape(energy, [tf.shape(energy)[0], -1])
    return tf.math.l2_normalize(flat, axis=1, epsilon=1e-30)


def _norm(rows: Any) -> Any:
    """L2 norm of each row, with the gradient 0, not infinity over 0, at zero."""
    squared = tf.reduce_sum(tf.square(rows), axis=1)
    positive = squared > 0
    root = tf.sqrt(tf.where(positive, squared, tf.ones_like(squared)))
    return tf.where(positive, root, tf.zeros_like(root))


def _check_shapes(teacher: Any, student: Any) -> None:
    known = teacher.rank is not None and student.rank is not None
    if known and (
        min(teacher.rank, student.rank) < 3
        or not teacher[:-1].is_compatible_with(student[:-1])
    ):
        raise ValueError(
            "Expected the feature maps of teacher and student to have shapes "
            "(batch, height, width, channels) that differ in the channels only, "
            f"received: teacher_features of shape {tuple(teacher)}, student_features "
            f"of shape {tuple(student)}."
        )
