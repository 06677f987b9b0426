"""Signs that 1-bit convolutions see, counted by hand."""

import numpy as np
import pytest

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D


@pytest.fixture
def bare():
    """A model whose only layer takes the signs of the data themselves."""
    return keras.Sequential(
        [keras.Input((2, 2, 4)), RectifiedConv2D(3, 1, name="rc")], name="bare"
    )


@pytest.fixture
def data():
    """100 maps of 4 channels: +1 always, +1 in half, in 1 %, and in 0.25 %."""
    values = np.full((100, 2, 2, 4), -1.0, "float32")
    values[..., 0] = 0  # The sign of zero is +1.
    values[:50, ..., 1] = 2
    values[:1, ..., 2] = 2
    values[0, 0, 0, 3] = 2
    return values


def test_shares(bare, data):
    (row,) = rbcn.check_binary_inputs(bare, data, samples=100).layers
    assert row.name == "rc"
    assert row.positive == pytest.approx((1 + 0.5 + 0.01 + 0.0025) / 4)
    assert row.changing == 0.5
    assert row.constant == 0.25
    assert not row.suspicious


def test_only_the_first_samples_count(bare, data):
    report = rbcn.check_binary_inputs(bare, data, samples=50)
    assert report.samples == 50
    assert report.layers[0].positive == pytest.approx((1 + 1 + 0.02 + 0.005) / 4)


@pytest.mark.parametrize("constant", [1.0, -1.0])
def test_constant_signs_are_suspicious(bare, data, constant):
    report = rbcn.check_binary_inputs(bare, np.full_like(data, constant))
    assert report.suspicious == ("rc",)
    assert "suspicious" in str(report)
    assert report.layers[0].constant == 1


def test_layers_behind_a_relu_are_found_and_others_are_not():
    layers = keras.layers
    student = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(),
            RectifiedConv2D(8, 3, name="good"),
            layers.BatchNormalization(),
            layers.ReLU(),
            RectifiedConv2D(8, 3, name="bad"),
        ]
    )
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 3))
    before = student.predict(images, verbose=0)
    assert rbcn.check_binary_inputs(student, images).suspicious == ("bad",)
    np.testing.assert_array_equal(student.predict(images, verbose=0), before)


def test_a_layer_called_twice_counts_both_calls(data):
    layer = RectifiedConv2D(4, 1, name="rc")
    inputs = keras.Input((2, 2, 4)), keras.Input((2, 2, 4))
    student = keras.Model(inputs, [layer(x) for x in inputs])
    (row,) = rbcn.check_binary_inputs(student, [data, -np.abs(data) - 1]).layers
    alone = keras.Sequential([keras.Input((2, 2, 4)), RectifiedConv2D(4, 1)])
    (once,) = rbcn.check_binary_inputs(alone, data).layers
    assert row.positive == pytest.approx(once.positive / 2)


def test_models_without_binary_layers_are_refused(data):
    model = keras.Sequential([keras.Input((2, 2, 4)), keras.layers.Conv2D(3, 1)])
    with pytest.raises(ValueError, match="layers with binary inputs, found none"):
        rbcn.check_binary_inputs(model, data)


@pytest.mark.parametrize("samples", [0, -1, 2.5, True])
def test_wrong_numbers_of_samples(bare, data, samples):
    with pytest.raises(ValueError, match="positive integer"):
        rbcn.check_binary_inputs(bare, data, samples=samples)


def test_data_of_another_shape_are_refused(bare):
    with pytest.raises(ValueError, match="data"):
        rbcn.check_binary_inputs(bare, np.zeros((2, 3, 3, 5)))


def test_no_model():
    with pytest.raises(TypeError, match="student"):
        rbcn.check_binary_inputs("student", np.zeros((2, 3)))


def test_data_that_the_student_cannot_compute():
    inputs = keras.Input((4,), dtype="int32")
    x = keras.layers.Reshape((2, 2, 3))(keras.layers.Embedding(5, 3)(inputs))
    student = keras.Model(inputs, RectifiedConv2D(2, 1)(x), name="words")
    tokens = np.zeros((20, 4), "int32")
    tokens[17, 1] = 9
    message = r"(?s)model 'words' can compute.*from 16 to 19.*= 9 is not in \[0, 5\)"
    with pytest.raises(ValueError, match=message):
        rbcn.check_binary_inputs(student, tokens)
