"""Adversarial losses: the student's, and the discriminators'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_rbcn._backend import tf

ADVERSARIAL_LOSSES = ("least_squares", "log")


def student_adversarial_loss(fake_scores: Any, kind: str = "least_squares") -> Any:
    """How far the student is from passing for the teacher.

    With scores D(T) of the student's feature maps T:

    - `"least_squares"`: `mean((1 - D(T))**2)`, whose gradient to D(T) is the
      `-2 * (1 - D(T))` of the paper's update rule.
    - `"log"`: `-mean(log(sigmoid(D(T))))`, the non-saturating form: its gradient
      stays large where the discriminator is sure.

    The gradient reaches all that the scores were computed from, the discriminator
    included: whoever must not move is left out, or stopped, by the caller.

    Args:
        fake_scores: Raw outputs of a discriminator (no sigmoid) on feature maps of the
            student, float, of any shape; the mean is over all elements.
        kind: `"least_squares"` or `"log"`.

    Returns:
        Scalar tensor of the scores' dtype.

    Raises:
        ValueError: If `kind` is neither of the two.

    Example:
        >>> scores = tf.constant([[0.0], [0.5]])
        >>> float(student_adversarial_loss(scores))
        0.625
        >>> round(float(student_adversarial_loss(scores, kind="log")), 4)
        0.5836

    Reference:
        RBCN, arXiv 1908.07748; "Binary Neural Networks: Algorithms, Architectures,
        and Applications", equations 3.63 and 3.72, which disagree: hence two kinds.
        Least squares GAN, arXiv 1611.04076; non-saturating loss, arXiv 1406.2661.
    """
    _check_kind(kind)
    fake_scores = tf.convert_to_tensor(fake_scores)
    if kind == "log":
        return tf.reduce_mean(tf.nn.softplus(-fake_scores))
    return tf.reduce_mean(tf.square(1.0 - fake_scores))


def discriminator_loss(
    real_scores: Any, fake_scores: Any, kind: str = "least_squares"
) -> Any:
    """How badly a discriminator tells the teacher's feature maps from the student's.

    With scores D(R) of the teacher's feature maps R and D(T) of the student's T:

    - `"least_squares"`: `mean((1 - D(R))**2) + mean(D(T)**2)`, without a factor 1/2,
      as in the student's loss.
    - `"log"`: `-mean(log(sigmoid(D(R)))) - mean(log(1 - sigmoid(D(T))))`.

    A discriminator that cannot tell them apart reaches 0.5 by least squares, with all
    scores 0.5, and `2 * log(2) = 1.386` by log, with all scores 0.

    The gradient reaches all that the scores were computed from, the student included:
    stop it at the feature maps.

    Args:
        real_scores: Raw outputs of a discriminator (no sigmoid) on feature maps of the
            teacher, float, of any shape; the mean is over all elements.
        fake_scores: The same on feature maps of the student; the batch may differ.
        kind: `"least_squares"` or `"log"`.

    Returns:
        Scalar tensor of the scores' dtype.

    Raises:
        ValueError: If `kind` is neither of the two.

    Example:
        >>> real, fake = tf.constant([[1.0], [0.5]]), tf.constant([[0.0], [0.5]])
        >>> float(discriminator_loss(real, fake))
        0.25
        >>> round(float(discriminator_loss(real, fake, kind="log")), 4)
        1.2273

    Reference:
        RBCN, arXiv 1908.07748; "Binary Neural Networks: Algorithms, Architectures,
        and Applications", equation 3.63. Least squares GAN, arXiv 1611.04076.
    """
    _check_kind(kind)
    real_scores = tf.convert_to_tensor(real_scores)
    fake_scores = tf.convert_to_tensor(fake_scores)
    if kind == "log":
        # softplus(-x) is -log(sigmoid(x)), and softplus(x) is -log(1 - sigmoid(x));
        # neither overflows.
        on_real, on_fake = tf.nn.softplus(-real_scores), tf.nn.softplus(fake_scores)
    else:
        on_real, on_fake = tf.square(1.0 - real_scores), tf.square(fake_scores)
    return tf.reduce_mean(on_real) + tf.reduce_mean(on_fake)


def discriminator_accuracy(
    real_scores: Any,
    fake_scores: Any,
    kind: str = "least_squares",
    axis: int | Sequence[int] | None = None,
) -> Any:
    """The share of feature maps that a discriminator judges rightly.

    Teacher's and student's feature maps count half each, however many there are. A
    score is judged real if it is above the threshold, 0.5 for least squares and 0 for
    log, and fake if it is below; a score on the threshold is no judgement, and counts
    as wrong on either side.

    Args:
        real_scores: Raw outputs of a discriminator (no sigmoid) on feature maps of the
            teacher, float, of any shape.
        fake_scores: The same on feature maps of the student; the batch may differ.
        kind: `"least_squares"` or `"log"`, the loss the discriminator is trained by.
        axis: Axes that the share is taken over; None for all. Those that are left,
            such as one of several discriminators, have the same size on both sides.

    Returns:
        Tensor of the scores' dtype, in [0, 1], a scalar if `axis` is None. No gradient
        passes through it.

    Raises:
        ValueError: If `kind` is neither of the two.

    Example:
        >>> real, fake = tf.constant([[0.9], [0.2]]), tf.constant([[0.1], [0.3]])
        >>> float(discriminator_accuracy(real, fake))
        0.75
    """
    _check_kind(kind)
    real_scores = tf.convert_to_tensor(real_scores)
    fake_scores = tf.convert_to_tensor(fake_scores)
    threshold = 0.0 if kind == "log" else 0.5
    right = tf.cast(real_scores > threshold, real_scores.dtype)
    rejected = tf.cast(fake_scores < threshold, fake_scores.dtype)
    return 0.5 * (tf.reduce_mean(right, axis) + tf.reduce_mean(rejected, axis))


def _check_kind(kind: str) -> None:
    if kind not in ADVERSARIAL_LOSSES:
        raise ValueError(
            f"Expected `kind` to be one of {ADVERSARIAL_LOSSES}, received: "
            f"kind={kind!r}."
        )
