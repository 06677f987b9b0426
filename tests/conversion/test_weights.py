"""A student takes over its teacher's weights by layer name."""

import numpy as np
import pytest

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D


def network(convolution, name, filters=4, scores="scores"):
    x = inputs = keras.Input((6, 6, 2))
    x = convolution(filters, 3, name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(inputs, keras.layers.Dense(3, name=scores)(x), name=name)


@pytest.fixture
def teacher():
    model = network(keras.layers.Conv2D, "teacher")
    for weight in model.weights:
        weight.assign(np.random.default_rng(0).uniform(0.1, 2, weight.shape))
    return model


def test_weights_are_copied_and_scales_set(teacher):
    student = network(RectifiedConv2D, "student")
    before = teacher.get_weights()
    assert rbcn.copy_weights(teacher, student) == ["conv", "norm", "scores"]
    kernel = teacher.get_layer("conv").get_weights()[0]
    layer = student.get_layer("conv")
    np.testing.assert_array_equal(layer.latent_kernel, kernel)
    np.testing.assert_allclose(layer.scale, np.abs(kernel).mean((0, 1, 2)), rtol=1e-6)
    for name in ("norm", "scores"):
        for a, b in zip(
            student.get_layer(name).get_weights(),
            teacher.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
    for a, b in zip(teacher.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_layers_without_a_counterpart_stay(teacher):
    student = network(RectifiedConv2D, "student", scores="other")
    before = student.get_layer("other").get_weights()
    assert rbcn.copy_weights(teacher, student) == ["conv", "norm"]
    for a, b in zip(student.get_layer("other").get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_other_shapes_are_refused_before_anything_is_copied(teacher):
    student = network(RectifiedConv2D, "student", filters=5)
    before = student.get_weights()
    with pytest.raises(ValueError, match=r"'conv' of student 'student' and teacher"):
        rbcn.copy_weights(teacher, student)
    for a, b in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_models_without_common_names_are_refused(teacher):
    student = keras.Sequential([keras.Input((6, 6, 2)), RectifiedConv2D(4, 3)])
    with pytest.raises(ValueError, match="share none"):
        rbcn.copy_weights(teacher, student)


def test_nested_models_are_refused(teacher):
    inputs = keras.Input((6, 6, 2))
    inner = network(RectifiedConv2D, "inner")
    x = keras.layers.Dense(3, name="scores")(inner(inputs))
    outer = keras.Model(inputs, x, name="outer")
    before = outer.get_weights()
    with pytest.raises(ValueError, match=r"'outer' .* found: \['inner'\]\. .*flatten"):
        rbcn.copy_weights(teacher, outer)
    for a, b in zip(outer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="'outer'"):
        rbcn.copy_weights(outer, network(RectifiedConv2D, "student"))


def test_models_that_are_not_built_are_refused(teacher):
    student = keras.Sequential([RectifiedConv2D(4, 3, name="conv")], name="late")
    with pytest.raises(ValueError, match="'late' to be built"):
        rbcn.copy_weights(teacher, student)


def test_subclassed_models_and_the_one_that_trains(teacher):
    class Student(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv = RectifiedConv2D(4, 3, name="conv")

        def call(self, inputs):
            return self.conv(inputs)

    student = Student()
    student.build((None, 6, 6, 2))
    assert rbcn.copy_weights(teacher, student) == ["conv"]
    kernel = teacher.get_layer("conv").get_weights()[0]
    np.testing.assert_array_equal(student.conv.latent_kernel, kernel)
    student = network(RectifiedConv2D, "student")
    copied = rbcn.copy_weights(teacher, rbcn.RBCNModel(student))
    assert copied == ["conv", "norm", "scores"]
    np.testing.assert_array_equal(student.get_layer("conv").latent_kernel, kernel)


def test_weights_of_layers_within_layers_keep_their_names():
    """Of a layer whose name another one ends with."""

    def model():
        inputs = keras.Input((5, 4))
        layer = keras.layers.MultiHeadAttention(2, 3, name="y")
        return keras.Model(inputs, layer(inputs, inputs))

    source, target = model(), model()
    assert rbcn.copy_weights(source, target) == ["y"]
    for a, b in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("magnitude", [0.1, 0.5, 1.0])
def test_latent_kernels_are_scaled_and_clipped(teacher, magnitude):
    student = network(RectifiedConv2D, "student")
    rbcn.copy_weights(teacher, student, kernel_magnitude=magnitude)
    kernel = teacher.get_layer("conv").get_weights()[0].astype("float64")
    expected = np.clip(kernel / np.abs(kernel).mean() * magnitude, -1, 1)
    layer = student.get_layer("conv")
    np.testing.assert_allclose(layer.latent_kernel, expected, rtol=1e-5)
    np.testing.assert_allclose(layer.scale, np.abs(expected).mean((0, 1, 2)), rtol=1e-5)
    # Real layers have nothing to flip.
    for one, two in zip(
        student.get_layer("scores").get_weights(),
        teacher.get_layer("scores").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)


def test_a_kernel_of_zeros_stays_one(teacher):
    teacher.get_layer("conv").set_weights([np.zeros((3, 3, 2, 4)), np.zeros(4)])
    student = network(RectifiedConv2D, "student")
    rbcn.copy_weights(teacher, student, kernel_magnitude=0.5)
    assert not np.any(student.get_layer("conv").latent_kernel)


@pytest.mark.parametrize("magnitude", [0, -0.5, 1.5, np.nan, True, "0.5", [0.5]])
def test_magnitudes_that_no_kernel_has(teacher, magnitude):
    student = network(RectifiedConv2D, "student")
    before = student.get_weights()
    with pytest.raises(ValueError, match=r"`kernel_magnitude` .* received: "):
        rbcn.copy_weights(teacher, student, kernel_magnitude=magnitude)
    for a, b in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
