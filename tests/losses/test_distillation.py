"""Logits distillation, against SciPy's entropy and values computed by hand."""

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy

from keras_rbcn._backend import tf
from keras_rbcn.losses import distillation_loss

LOG3 = np.log(3.0)


def test_two_classes_by_hand():
    # At T = 2 teacher log(9) / 2 = log(3) against 0: probabilities (3/4, 1/4); student
    # (1/2, 1/2). KL = 3/4 log(3/2) + 1/4 log(1/2) = 0.304099 - 0.173287 = 0.130812,
    # times T**2 = 4; the second sample agrees and halves the mean.
    teacher = tf.constant([[2 * LOG3, 0.0], [1.0, 2.0]], tf.float64)
    student = tf.constant([[0.0, 0.0], [5.0, 6.0]], tf.float64)
    loss = distillation_loss(teacher, student, temperature=2.0)
    np.testing.assert_allclose(loss, 4 * 0.130812 / 2, rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.5, 1, 4.0])
@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3)])
def test_values_are_those_of_scipy(temperature, shape):
    random = np.random.default_rng(4)
    teacher, student = random.normal(size=shape), 3 * random.normal(size=shape)
    expected = temperature**2 * np.mean(
        entropy(
            softmax(teacher / temperature, -1),
            softmax(student / temperature, -1),
            axis=-1,
        )
    )
    logits = distillation_loss(teacher, student, temperature)
    np.testing.assert_allclose(logits, expected)
    probabilities = softmax(teacher, -1), softmax(student, -1)
    loss = distillation_loss(*probabilities, temperature, from_logits=False)
    np.testing.assert_allclose(loss, expected)


def test_gradients_are_those_of_central_differences(assert_gradients):
    random = np.random.default_rng(5)
    teacher, student = random.normal(size=(2, 3, 4))
    assert_gradients(lambda t, s: distillation_loss(t, s, 3.0), teacher, student)
    assert_gradients(
        lambda t, s: distillation_loss(t, s, 3.0, from_logits=False),
        softmax(teacher, -1),
        softmax(student, -1),
    )


def test_gradient_keeps_its_size_at_high_temperature():
    random = np.random.default_rng(6)
    teacher, student = (tf.constant(x) for x in random.normal(size=(2, 8, 10)))
    norms = []
    for temperature in (10.0, 100.0):
        with tf.GradientTape() as tape:
            tape.watch(student)
            loss = distillation_loss(teacher, student, temperature)
        norms.append(np.linalg.norm(tape.gradient(loss, student)))
    # The limit (Hinton et al., section 2.1) differs by terms of order 1/T.
    np.testing.assert_allclose(norms[0], norms[1], rtol=0.1)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_extreme_outputs_give_finite_loss_and_gradient(dtype):
    teacher = tf.constant([[6e4, -6e4, 0.0]], dtype)
    student = tf.constant([[-6e4, 6e4, 0.0]], dtype)
    vanished = tf.constant([[0.0, 1.0, 0.0]], dtype)
    for outputs, from_logits in ((student, True), (vanished, False)):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            other = teacher if from_logits else vanished[:, ::-1]
            loss = distillation_loss(other, outputs, 1.0, from_logits)
        assert loss.dtype == tf.float32
        assert np.isfinite(loss)
        assert np.isfinite(tape.gradient(loss, outputs)).all()
    # All of the teacher on class 0, which is 1.2e5 below the student's favourite.
    np.testing.assert_allclose(
        distillation_loss(teacher, student, 1.0), 1.2e5, rtol=1e-3
    )


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_temperature_that_is_not_positive_is_refused(temperature):
    with pytest.raises(ValueError, match=f"`temperature`.*temperature={temperature}"):
        distillation_loss(tf.ones((1, 2)), tf.ones((1, 2)), temperature)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4)), ((2, 3), (1, 3)), ((3,), (3,))])
def test_shapes_that_differ_are_refused(shapes):
    teacher, student = (tf.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match="teacher_logits of shape") as error:
        distillation_loss(teacher, student)
    assert all(str(shape) in str(error.value) for shape in shapes)
