"""Adversarial losses, against values computed by hand and central differences."""

import numpy as np
import pytest

from keras_rbcn._backend import tf
from keras_rbcn.losses import (
    ADVERSARIAL_LOSSES,
    discriminator_accuracy,
    discriminator_loss,
    student_adversarial_loss,
)

REAL = [[1.0], [0.5], [2.0]]
FAKE = [[0.0], [0.5], [-1.0]]


@pytest.mark.parametrize(
    ("kind", "student", "discriminator"),
    [
        # Student ((1 - 0)**2 + (1 - 0.5)**2 + (1 + 1)**2) / 3 = 5.25 / 3.
        # Discriminator (0 + 0.25 + 1) / 3 + (0 + 0.25 + 1) / 3 = 2.5 / 3.
        ("least_squares", 1.75, 2.5 / 3),
        # -log(sigmoid(x)) = log(1 + exp(-x)): 0.693147 at 0, 0.474077 at 0.5, 1.313262
        # at -1, 0.313262 at 1, 0.126928 at 2; -log(1 - sigmoid(x)) is that of -x:
        # 0.693147 at 0, 0.974077 at 0.5, 0.313262 at -1.
        # Student (0.693147 + 0.474077 + 1.313262) / 3.
        # Discriminator (0.313262 + 0.474077 + 0.126928) / 3
        #             + (0.693147 + 0.974077 + 0.313262) / 3.
        ("log", 0.826829, 0.304756 + 0.660162),
        # D(R) - D(T) is 1, 0 and 3: -log(sigmoid) is 0.313262, 0.693147 and 0.048587,
        # and 1.313262, 0.693147 and 3.048587 of its negative.
        ("relativistic", 5.054996 / 3, 1.054996 / 3),
    ],
)
def test_values_by_hand(kind, student, discriminator):
    real, fake = tf.constant(REAL), tf.constant(FAKE)
    np.testing.assert_allclose(
        student_adversarial_loss(fake, kind, real), student, rtol=2e-6
    )
    np.testing.assert_allclose(
        discriminator_loss(real, fake, kind), discriminator, rtol=2e-6
    )


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        # Targets 0.9: (0.01 + 0.16 + 1.21) / 3 for the real ones, 1.25 / 3 as above.
        ("least_squares", 2.63 / 3),
        # Each softplus(-x) gains 0.1 x: 0.1, 0.05 and 0.2 for the real ones.
        ("log", 0.304756 + 0.660162 + 0.35 / 3),
        # 0.1 times the differences 1, 0 and 3.
        ("relativistic", (1.054996 + 0.4) / 3),
    ],
)
def test_label_smoothing_by_hand(kind, expected):
    found = discriminator_loss(tf.constant(REAL), tf.constant(FAKE), kind, 0.1)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_a_relativistic_student_needs_the_real_scores():
    with pytest.raises(ValueError, match="real_scores"):
        student_adversarial_loss(tf.constant(FAKE), "relativistic")


def test_student_gradient_is_that_of_the_update_rule():
    fake = tf.constant(FAKE)
    with tf.GradientTape() as tape:
        tape.watch(fake)
        loss = student_adversarial_loss(fake)
    # -2 (1 - D) of each score, divided by the 3 scores of the mean.
    expected = np.array([[-2.0], [-1.0], [-4.0]]) / 3
    np.testing.assert_allclose(tape.gradient(loss, fake), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ADVERSARIAL_LOSSES)
@pytest.mark.parametrize("shape", [(4, 1), (2, 3, 3, 1)])
def test_gradients_are_those_of_central_differences(kind, shape, assert_gradients):
    random = np.random.default_rng(3)
    real, fake = random.normal(size=shape), random.normal(size=shape)
    assert_gradients(lambda d: student_adversarial_loss(d, kind, real), fake)
    assert_gradients(lambda r, f: discriminator_loss(r, f, kind), real, fake)


def test_log_loss_is_finite_and_informative_at_extreme_logits():
    scores = tf.constant([[-1e4], [1e4]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(scores)
        student = student_adversarial_loss(scores, "log")
        discriminator = discriminator_loss(-scores, scores, "log")
    # log(1 + exp(-x)) is -x at -1e4 and 0 at 1e4: the mean is 5e3 on each side.
    np.testing.assert_allclose([student, discriminator], [5e3, 1e4])
    # It does not saturate where the student is found out: slope -1, by 2 scores.
    np.testing.assert_allclose(tape.gradient(student, scores), [[-0.5], [0.0]])
    np.testing.assert_allclose(tape.gradient(discriminator, scores), [[0.0], [1.0]])


@pytest.mark.parametrize(
    ("kind", "real", "fake", "accuracy"),
    [
        ("least_squares", [0.6, 0.9], [0.4, -3.0], 1.0),
        ("least_squares", [0.4, 0.1], [0.6, 0.9], 0.0),
        ("least_squares", [0.5], [0.5], 0.0),  # On the threshold: no judgement.
        ("log", [0.1, 2.0], [-0.1, -2.0], 1.0),
        ("log", [0.1], [0.4], 0.5),
        # 1 of 4 real ones, and the one fake: halves count the same, (1/4 + 1) / 2.
        ("log", [1.0, -1.0, -1.0, -1.0], [-1.0], 0.625),
        # Compared pair by pair; a tie is no judgement.
        ("relativistic", [-1.0, 2.0, 3.0, 0.0], [-2.0, 1.0, 4.0, 0.0], 0.5),
    ],
)
def test_accuracy_by_hand(kind, real, fake, accuracy):
    found = discriminator_accuracy(tf.constant(real), tf.constant(fake), kind)
    assert found.shape == ()
    assert float(found) == accuracy


@pytest.mark.parametrize(
    "loss",
    [
        lambda kind: student_adversarial_loss(tf.ones((2, 1)), kind),
        lambda kind: discriminator_loss(tf.ones((2, 1)), tf.ones((2, 1)), kind),
        lambda kind: discriminator_accuracy(tf.ones((2, 1)), tf.ones((2, 1)), kind),
    ],
)
def test_unknown_kind_is_refused(loss):
    with pytest.raises(ValueError, match=r"`kind`.*least_squares.*kind='hinge'"):
        loss("hinge")
