"""Right and wrong files are told apart, also where signs flip by rounding."""

import numpy as np
import pytest
from random_networks import randomize

from keras_rbcn._backend import keras
from keras_rbcn._samples import input_signature
from keras_rbcn.export.converter import convert
from keras_rbcn.export.matching import Matching, match
from keras_rbcn.export.verification import compare, run_student
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign
from keras_rbcn.tflite import TFLiteModel


def deep_network(depth, zero_padded=None):
    """A deep network, in which hardly a sample is free of signs within rounding."""
    inputs = keras.Input((24, 24, 3))
    x = keras.layers.Conv2D(48, 3, padding="same", name="first")(inputs)
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
    model = deep_network(depth)
    randomize(model, seed=0)
    images = np.random.default_rng(0).normal(size=(12, 24, 24, 3)).astype("float32")
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.3
    for _ in range(5):  # Statistics that fit the data, as after training.
        model(images, training=True)
    file = TFLiteModel(convert(model, input_signature(model)).content)
    return depth, model, file, images


def compared(model, file, images):
    signature = input_signature(model)
    matching = match(file.graph, convert(model, signature).calls)
    run = run_student(model, signature, [images])
    return compare(model, signature, file, [images], "verify_data", matching, run)


def test_a_right_file_of_a_deep_network_passes(deep):
    _, model, file, images = deep
    agreement = compared(model, file, images)
    assert agreement.undecided > 0.25  # Depends on the number of threads.
    assert agreement.passed


def test_a_right_file_passes_though_flips_have_moved_most_outputs(deep):
    depth, model, file, images = deep
    other = deep_network(depth)
    other.set_weights(model.get_weights())
    # More than rounding does, so that more signs flip.
    kernel = other.get_layer("first").kernel
    noise = np.random.default_rng(0).normal(size=kernel.shape)
    kernel.assign(kernel * (1 + 5e-5 * noise))
    agreement = compared(other, file, images)
    assert agreement.beyond_rounding > 0.3
    assert agreement.beyond_rounding_with_file_signs == 0.0
    assert agreement.contradicting_signs == 0.0
    assert agreement.passed


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_wrong_padding_value_in_a_deep_network_is_found(deep, place):
    depth, model, file, images = deep
    index = {"first": 0, "middle": depth // 2, "last": depth - 1}[place]
    # The student changes and not the file: the difference is the same.
    other = deep_network(depth, zero_padded=index)
    other.set_weights(model.get_weights())
    agreement = compared(other, file, images)
    assert agreement.undecided > 0.25  # Depends on the number of threads.
    assert agreement.beyond_rounding == 1.0
    assert not agreement.passed
    # The next 1-bit convolution sees other signs; behind the last there is none.
    assert agreement.contradicting_signs == (0.0 if place == "last" else 1.0)
    convolutions = [la.name for la in other.layers if isinstance(la, RectifiedConv2D)]
    assert agreement.contradicting_layers[:1] == tuple(
        convolutions[index + 1 : index + 2]
    )
    assert agreement.beyond_rounding_with_file_signs == 1.0


class FakeFile:
    """Answers what it was told."""

    interpreter = "none"
    input_dtypes = (np.dtype(np.float32),)
    input_quantizations = output_quantizations = (None,)

    def __init__(self, outputs):
        self.outputs = outputs

    def predict(self, x):
        return self.outputs


def answered(model, outputs, images):
    """The comparison with a file of which no operator is known."""
    file, nothing = FakeFile(outputs), Matching(None, {}, [])
    signature = input_signature(model)
    run = run_student(model, signature, [images])
    return compare(model, signature, file, [images], "verify_data", nothing, run)


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
    agreement = answered(model, outputs, images)
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
    agreement = answered(model, outputs, images)
    assert agreement.class_agreement == 0.75


def test_outputs_that_are_not_numbers_do_not_agree(decided):
    model, images, expected = decided
    agreement = answered(model, np.full_like(expected, np.nan), images)
    assert not agreement.passed


def test_values_within_rounding_of_zero_make_a_sample_undecided(decided):
    model, images, expected = decided
    images = images.copy()
    images[3, 0, 0, 0] = 1e-7
    images[5, 0, 0, 0] = 0.0  # Exactly zero is +1 on both sides.
    agreement = answered(model, expected, images)
    assert agreement.undecided == 1 / 16


@pytest.mark.parametrize(
    ("relative", "passed"), [(5e-4, True), (5e-3, False)], ids=["rounding", "wrong"]
)
def test_rounding_may_add_up_in_a_model_without_signs(relative, passed):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    inputs = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
    expected = model.predict(inputs, verbose=0)
    spread = np.subtract(*np.percentile(expected, [95, 5], axis=0))
    assert answered(model, expected + relative * spread, inputs).passed is passed
