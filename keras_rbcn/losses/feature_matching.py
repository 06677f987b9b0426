"""Feature matching: the student moves a discriminator as the teacher does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_rbcn._backend import tf


def feature_matching_loss(
    teacher_features: Sequence[Any], student_features: Sequence[Any]
) -> Any:
    """Distance of what a discriminator sees in student and teacher.

    The mean absolute difference, sample by sample, of the features of each of its
    hidden layers, averaged over the layers. Where the verdict of a discriminator only
    says that a feature map is not the teacher's, this says what the teacher's is like
    for the same sample. The gradient reaches both sides, and the discriminator: whoever
    must not move is left out, or stopped, by the caller.

    Args:
        teacher_features: Outputs of the discriminator's hidden layers on feature maps
            of the teacher, float, each of shape `(batch, ...)`.
        student_features: The same on the student's feature maps of the same samples.

    Returns:
        Scalar tensor of the features' dtype.

    Raises:
        ValueError: If there are no features, or not as many on both sides.

    Example:
        >>> teacher, student = tf.constant([[1.0, 3.0]]), tf.constant([[0.0, 1.0]])
        >>> float(feature_matching_loss([teacher], [student]))
        1.5

    Reference:
        Larsen et al., "Autoencoding beyond pixels using a learned similarity metric",
        arXiv 1512.09300, for comparing samples by a discriminator's hidden features;
        pix2pixHD, arXiv 1711.11585, equation 4, for this form. Not in RBCN's paper.
    """
    if not teacher_features or len(teacher_features) != len(student_features):
        raise ValueError(
            "Expected features of the same hidden layers on both sides, received: "
            f"{len(teacher_features)} of the teacher, {len(student_features)} of the "
            "student."
        )
    pairs = zip(teacher_features, student_features, strict=True)
    distances = [tf.reduce_mean(tf.abs(real - fake)) for real, fake in pairs]
    return tf.add_n(distances) / len(distances)
