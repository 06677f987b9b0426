"""Adversarial losses: the student's, and the discriminators'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_rbcn._backend import tf

ADVERSARIAL_LOSSES = ("least_squares", "log", "relativistic")


def student_adversarial_loss(
    fake_scores: Any, kind: str = "least_squares", real_scores: Any = None
) -> Any:
    """How far the student is from passing for the teacher.

    With scores D(T) of the student's feature maps T:

    - `"least_squares"`: `mean((1 - D(T))**2)`, whose gradient to D(T) is the
      `-2 * (1 - D(T))` of the paper's update rule.
    - `"log"`: `-mean(log(sigmoid(D(T))))`, the non-saturating form: its gradient
      stays large where the discriminator is sure.
    - `"relativistic"`: `-mean(log(sigmoid(D(T) - D(R))))`: to look more real than the
      teacher's feature map R of the same sample (not in the paper).

    The gradient reaches all that the scores were computed from, the discriminator
    included: whoever must not move is left out, or stopped, by the caller.

    Args:
        fake_scores: Raw outputs of a discriminator (no sigmoid) on feature maps of the
            student, float, of any shape; the mean is over all elements.
        kind: `"least_squares"`, `"log"` or `"relativistic"`.
        real_scores: Those of the teacher's feature maps of the same samples, of the
            same shape; for `"relativistic"`.

    Returns:
        Scalar tensor of the scores' dtype.

    Raises:
        ValueError: If `kind` is none of these, or `"relativistic"` has no real scores.

    Example:
        >>> scores = tf.constant([[0.0], [0.5]])
        >>> float(student_adversarial_loss(scores))
        0.625
        >>> round(float(student_adversarial_loss(scores, kind="log")), 4)
        0.5836

    Reference:
        RBCN, arXiv 1908.07748; "Binary Neural Networks: Algorithms, Architectures,
        and Applications", equations 3.63 and 3.72, which disagree: hence two kinds.
        Least squares GAN, arXiv 1611.04076; non-saturating loss, arXiv 1406.2661;
        relativistic GAN, arXiv 1807.00734.
    """
    _check_kind(kind)
    fake_scores = tf.convert_to_tensor(fake_scores)
    if kind == "relativistic":
        if real_scores is None:
            raise ValueError(
                "Expected `real_scores`, which the relativistic loss compares with, "
                "received: real_scores=None."
            )
        return tf.reduce_mean(tf.nn.softplus(real_scores - fake_scores))
    if kind == "log":
        return tf.reduce_mean(tf.nn.softplus(-fake_scores))
    return tf.reduce_mean(tf.square(1.0 - fake_scores))


def discriminator_loss(
    real_scores: Any,
    fake_scores: Any,
    kind: str = "least_squares",
    label_smoothing: float = 0.0,
) -> Any:
    """How badly a discriminator tells the teacher's feature maps from the student's.

    With scores D(R) of the teacher's feature maps R and D(T) of the student's T:

    - `"least_squares"`: `mean((1 - D(R))**2) + mean(D(T)**2)`, without a factor 1/2,
      as in the student's loss.
    - `"log"`: `-mean(log(sigmoid(D(R)))) - mean(log(1 - sigmoid(D(T))))`.
    - `"relativistic"`: `-mean(log(sigmoid(D(R) - D(T))))`, for R and T of the same
      sample.

    A discriminator that cannot tell them apart reaches 0.5 by least squares, with all
    scores 0.5, `2 * log(2) = 1.386` by log and `log(2)` by the relativistic loss, with
    all scores 0.

    The gradient reaches all that the scores were computed from, the student included:
    stop it at the feature maps.

    Args:
        real_scores: Raw outputs of a discriminator (no sigmoid) on feature maps of the
            teacher, float, of any shape; the mean is over all elements.
        fake_scores: The same on feature maps of the student; the batch may differ but
            for `"relativistic"`.
        kind: `"least_squares"`, `"log"` or `"relativistic"`.
        label_smoothing: In [0, 1): teacher's feature maps are to be judged
            `1 - label_smoothing`, so that a discriminator is less sure of itself
            (one-sided label smoothing).

    Returns:
        Scalar tensor of the scores' dtype.

    Raises:
        ValueError: If `kind` is none of these.

    Example:
        >>> real, fake = tf.constant([[1.0], [0.5]]), tf.constant([[0.0], [0.5]])
        >>> float(discriminator_loss(real, fake))
        0.25
        >>> round(float(discriminator_loss(real, fake, kind="log")), 4)
        1.2273

    Reference:
        RBCN, arXiv 1908.07748; "Binary Neural Networks: Algorithms, Architectures,
        and Applications", equation 3.63. Least squares GAN, arXiv 1611.04076;
        relativistic GAN, arXiv 1807.00734; one-sided label smoothing, arXiv 1606.03498.
    """
    _check_kind(kind)
    real_scores = tf.convert_to_tensor(real_scores)
    fake_scores = tf.convert_to_tensor(fake_scores)
    if kind == "relativistic":
        margin = real_scores - fake_scores
        return tf.reduce_mean(_cross_entropy(margin, 1.0 - label_smoothing))
    if kind == "log":
        on_real = _cross_entropy(real_scores, 1.0 - label_smoothing)
        on_fake = _cross_entropy(fake_scores, 0.0)
    else:
        on_real = tf.square(1.0 - label_smoothing - real_scores)
        on_fake = tf.square(fake_scores)
    return tf.reduce_mean(on_real) + tf.reduce_mean(on_fake)


def _cross_entropy(logits: Any, label: float) -> Any:
    """Of a probability that is given by its logit, for one label in [0, 1]."""
    # softplus(-x) is -log(sigmoid(x)), and softplus(x) is -log(1 - sigmoid(x)); neither
    # overflows. A multiple of 0 is left out: it would only be computed.
    terms = [(label, tf.nn.softplus(-logits)), (1.0 - label, tf.nn.softplus(logits))]
    return tf.add_n([weight * term for weight, term in terms if weight > 0])


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
    as wrong on either side. By the relativistic loss a discriminator only compares: of
    each pair the teacher's is to have the higher score.

    Args:
        real_scores: Raw outputs of a discriminator (no sigmoid) on feature maps of the
            teacher, float, of any shape.
        fake_scores: The same on feature maps of the student; the batch may differ but
            for `"relativistic"`.
        kind: `"least_squares"`, `"log"` or `"relativistic"`, the loss the
            discriminator is trained by.
        axis: Axes that the share is taken over; None for all. Those that are left,
            such as one of several discriminators, have the same size on both sides.

    Returns:
        Tensor of the scores' dtype, in [0, 1], a scalar if `axis` is None. No gradient
        passes through it.

    Raises:
        ValueError: If `kind` is none of these.

    Example:
        >>> real, fake = tf.constant([[0.9], [0.2]]), tf.constant([[0.1], [0.3]])
        >>> float(discriminator_accuracy(real, fake))
        0.75
    """
    _check_kind(kind)
    real_scores = tf.convert_to_tensor(real_scores)
    fake_scores = tf.convert_to_tensor(fake_scores)
    if kind == "relativistic":
        right = tf.cast(real_scores > fake_scores, real_scores.dtype)
        return tf.reduce_mean(right, axis)
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
