"""Right and wrong files are told apart, also where signs flip by rounding."""

import numpy as np
import pytest
from random_networks import randomize

from keras_rbcn._backend import keras
from keras_rbcn._samples import input_signature
from keras_rbcn.export.converter import convert
from keras_rbcn.export.verification import compare
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign
from keras_rbcn.tflite import TFLiteModel


def residual_network(depth, zero_padded=None):
    """A deep network, in which hardly a sample is free of signs within rounding."""
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(48, 3, padding="same")(inputs)
    x = keras.layers.BatchNormalization()(x)
    for number in range(depth):
        y = RectifiedConv2D(
            48, 3, padding="same", pad_values=0.0 if number == zero_padded else 1.0
        )(RSign()(x))
        y = keras.layers.BatchNormalization()(y)
        x = keras.layers.Add()([RPReLU()(y), x])
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10)(x))


@pytest.fixture(scope="module")
def deep():
    """A deep student, its file, and data."""
    depth = 12
    model = residual_network(depth)
    randomize(model, seed=0)
    images = np.random.default_rng(0).normal(size=(12, 24, 24, 3)).astype("float32")
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.3
    for _ in range(5):  # Statistics that fit the data, as after training.
        model(images, training=True)
    signature = input_signature(model)
    file = TFLiteModel(convert(model, signature).content)
    return depth, model, signature, file, images


def test_a_right_file_of_a_deep_network_passes(deep):
    _, model, signature, file, images = deep
    agreement = compare(model, signature, file, [images], "verify_data")
    assert agreement.undecided > 0.5
    assert agreement.passed


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_wrong_padding_value_in_a_deep_network_is_found(deep, place):
    depth, model, _, file, images = deep
    index = {"first": 0, "middle": depth // 2, "last": depth - 1}[place]
    # The student changes and not the file: the difference is the same.
    other = residual_network(depth, zero_padded=index)
    other.set_weights(model.get_weights())
    agreement = compare(other, input_signature(other), file, [images], "verify_data")
    assert agreement.undecided > 0.5
    assert agreement.beyond_rounding == 1.0
    assert not agreement.passed


class FakeFile:
    """Answers what it was told."""

    def __init__(self, outputs):
        self.outputs = outputs

    def predict(self, x):
        return self.outputs


@pytest.fixture
def decided(build_student, images):
    """A network of one convolution on inputs far from zero: no sign can flip."""
    model = build_student(
        RectifiedConv2D(8, 3),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(3),
    )
    images = images + np.copysign(0.5, images)
    return model, images, model.predict(images, verbose=0)


@pytest.mark.parametrize(
    ("wrong", "relative", "passed"),
    [(16, 1e-6, True), (16, 1e-3, False), (1, 1.0, True), (2, 1.0, False)],
)
def test_decided_samples_must_agree_to_rounding(decided, wrong, relative, passed):
    model, images, expected = decided
    outputs = expected.copy()
    outputs[:wrong, 0] += relative * np.abs(expected).max()
    agreement = compare(
        model, input_signature(model), FakeFile(outputs), [images], "verify_data"
    )
    assert agreement.undecided == 0.0
    assert agreement.passed is passed
    assert agreement.beyond_rounding == (0.0 if relative < 1e-4 else wrong / 16)
    assert agreement.max_difference == pytest.approx(
        relative * np.abs(expected).max(), rel=0.2
    )


def test_class_agreement_is_the_share_of_equal_largest_outputs(decided):
    model, images, expected = decided
    outputs = expected.copy()
    outputs[:4] = -outputs[:4]
    agreement = compare(
        model, input_signature(model), FakeFile(outputs), [images], "verify_data"
    )
    assert agreement.class_agreement == 0.75


def test_outputs_that_are_not_numbers_do_not_agree(decided):
    model, images, expected = decided
    agreement = compare(
        model,
        input_signature(model),
        FakeFile(np.full_like(expected, np.nan)),
        [images],
        "verify_data",
    )
    assert not agreement.passed


def test_values_within_rounding_of_zero_make_a_sample_undecided(decided):
    model, images, expected = decided
    images = images.copy()
    images[3, 0, 0, 0] = 1e-7
    images[5, 0, 0, 0] = 0.0  # Exactly zero is +1 on both sides.
    agreement = compare(
        model, input_signature(model), FakeFile(expected), [images], "verify_data"
    )
    assert agreement.undecided == 1 / 16
