"""Attention matching, against NumPy and values computed by hand."""

import numpy as np
import pytest

from keras_rbcn._backend import tf
from keras_rbcn.losses import attention_matching_loss


def test_two_positions_by_hand():
    # Teacher: energies (9 + 16, 0) = (25, 0), normalised (1, 0).
    # Student: energies (3, 4), of norm 5, normalised (0.6, 0.8).
    # Difference (-0.4, 0.8), of norm sqrt(0.8); the second sample agrees.
    teacher = np.array([[[[3.0, 4.0], [0.0, 0.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
    student = np.array([[[[3.0**0.5], [2.0]]], [[[7.0], [7.0]]]])
    loss = attention_matching_loss(teacher, student)
    np.testing.assert_allclose(loss, 0.8**0.5 / 2)


@pytest.mark.parametrize("spatial", [(4, 3), (6,), (2, 3, 2)])
def test_values_are_those_of_numpy(spatial):
    random = np.random.default_rng(7)
    teacher = random.normal(size=(5, *spatial, 6))
    student = random.normal(size=(5, *spatial, 3))
    losses = []
    for sample in range(5):
        maps = [(x[sample] ** 2).sum(-1).ravel() for x in (teacher, student)]
        maps = [q / np.linalg.norm(q) for q in maps]
        losses.append(np.linalg.norm(maps[0] - maps[1]))
    loss = attention_matching_loss(teacher, student)
    np.testing.assert_allclose(loss, np.mean(losses))


def test_gradients_are_those_of_central_differences(assert_gradients):
    random = np.random.default_rng(8)
    teacher, student = (
        random.normal(size=(2, 2, 2, 4)),
        random.normal(size=(2, 2, 2, 3)),
    )
    assert_gradients(attention_matching_loss, teacher, student)


@pytest.mark.parametrize("size", [1e-7, 1.0, 1e5])
def test_size_of_features_does_not_matter(size):
    random = np.random.default_rng(9)
    teacher, student = random.normal(size=(2, 2, 4, 4, 3)).astype(np.float32)
    expected = attention_matching_loss(*np.float64([teacher, student]))
    loss = attention_matching_loss(teacher, np.float32(size) * student)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


# XLA divides by the norm where TensorFlow's own kernels know better.
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("case", ["zeros", "equal"])
def test_gradient_is_zero_where_it_is_undefined(case, jit_compile):
    teacher = tf.ones((2, 2, 2, 4))  # Powers of two: XLA's rounding is exact too.
    student = tf.zeros_like(teacher) if case == "zeros" else teacher

    @tf.function(jit_compile=jit_compile)
    def loss_and_gradient(teacher, student):
        with tf.GradientTape() as tape:
            tape.watch(student)
            loss = attention_matching_loss(teacher, student)
        return loss, tape.gradient(loss, student)

    loss, gradient = loss_and_gradient(teacher, student)
    np.testing.assert_allclose(loss, 1.0 if case == "zeros" else 0.0, rtol=1e-6)
    np.testing.assert_array_equal(gradient, np.zeros((2, 2, 2, 4)))


def test_half_precision_features_do_not_overflow():
    features = tf.constant([[[300.0], [300.0]]], tf.float16)  # 300**2 > 65504.
    loss = attention_matching_loss(features, tf.constant([[[1.0], [0.0]]]))
    # (0.7071, 0.7071) against (1, 0).
    np.testing.assert_allclose(loss, 0.765367, rtol=1e-5)


@pytest.mark.parametrize(
    "shapes",
    [((2, 4, 4, 3), (2, 4, 2, 3)), ((2, 4, 4, 3), (1, 4, 4, 3)), ((2, 3), (2, 3))],
)
def test_shapes_that_do_not_correspond_are_refused(shapes):
    with pytest.raises(ValueError, match="differ in the channels only") as error:
        attention_matching_loss(*(tf.ones(shape) for shape in shapes))
    assert all(str(shape) in str(error.value) for shape in shapes)
