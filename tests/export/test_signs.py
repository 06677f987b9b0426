"""What the report says of signs near zero, against networks made to flip."""

import numpy as np
import pytest

from keras_rbcn._backend import keras
from keras_rbcn._samples import input_signature
from keras_rbcn.export.converter import convert
from keras_rbcn.export.document.explanation import explain_agreement
from keras_rbcn.export.matching import match
from keras_rbcn.export.verification import compare, run_student
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel

# What the inputs of the 1-bit layer are moved by: they lie this far from zero.
THRESHOLD = 0.5
# By how much more the student moves them than its file does.
SHIFT = 2.0**-20


def shifted_network(threshold):
    """A 1-bit convolution of inputs minus a threshold."""
    inputs = keras.Input((6, 6, 4))
    norm = keras.layers.BatchNormalization(epsilon=0.0, name="shift")
    x = norm(inputs)
    x = RectifiedConv2D(8, 3, padding="same", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3, name="scores")(x))
    norm.beta.assign(np.full(4, -threshold, "float32"))
    return model


@pytest.fixture(scope="module")
def flipping():
    """A student, the file of another threshold, and images far from both."""
    keras.utils.set_random_seed(0)
    original = shifted_network(THRESHOLD)
    file = TFLiteModel(convert(original, input_signature(original)).content)
    student = shifted_network(THRESHOLD)
    student.set_weights(original.get_weights())
    beta = student.get_layer("shift").beta
    beta.assign(beta - SHIFT)
    images = np.random.default_rng(0).uniform(0.6, 1.5, (16, 6, 6, 4))
    images *= np.random.default_rng(1).choice([-1, 1], images.shape)
    return student, file, images.astype("float32")


def compared(student, file, images):
    signature = input_signature(student)
    conversion = convert(student, signature)
    matching = match(file.graph, conversion.calls, conversion.roundings)
    run = run_student(student, signature, [images])
    return compare(student, signature, file, [images], "verify_data", matching, run)


def test_a_flip_in_one_sample_is_found_and_explained(flipping):
    student, file, images = flipping
    images = images.copy()
    # Between the two thresholds: the file's sign is +1, the student's -1.
    images[3, 2, 2, 1] = THRESHOLD + SHIFT / 2
    agreement = compared(student, file, images)
    assert agreement.passed
    assert agreement.beyond_rounding == 1 / 16
    assert int(np.argmax(agreement.relative_differences)) == 3
    assert agreement.undecided_samples == tuple(number == 3 for number in range(16))
    (signs,) = agreement.signs
    assert (signs.layer, signs.inputs) == ("conv", images.size)
    assert signs.close_to_zero == 1
    # Only the sample beyond rounding is run again.
    assert agreement.samples_on_file_signs == 1
    assert agreement.samples_with_differing_signs == 1
    assert (signs.compared, signs.differing) == (images[0].size, 1)
    largest = np.abs(images[3] - THRESHOLD).max()
    assert signs.furthest == pytest.approx(SHIFT / 2 / largest, rel=0.1)
    assert agreement.difference_on_file_signs < 1e-5
    *_, text = explain_agreement(agreement)
    assert "1 of 144 signs are not the student's own" in text
    assert "in all of these samples" in text
    assert "which is rounding" in text


def test_without_a_flip_nothing_is_run_again(flipping):
    student, file, images = flipping
    agreement = compared(student, file, images)
    assert agreement.samples_on_file_signs == 0
    assert agreement.difference_on_file_signs is None
    (signs,) = agreement.signs
    assert (signs.close_to_zero, signs.compared, signs.differing) == (0, 0, 0)
    assert signs.furthest is None
    assert "No sample is beyond rounding" in explain_agreement(agreement)[-1]


def test_flips_in_many_samples_are_all_found(flipping):
    student, file, images = flipping
    images = images.copy()
    images[:8, 2, 2, 1] = THRESHOLD + SHIFT / 2
    images[:4, 1, 4, 0] = THRESHOLD + SHIFT / 2
    agreement = compared(student, file, images)
    assert agreement.passed
    assert agreement.beyond_rounding == 0.5
    assert agreement.samples_on_file_signs == 16
    assert agreement.samples_with_differing_signs == 8
    (signs,) = agreement.signs
    assert (signs.compared, signs.differing) == (images.size, 12)
    assert agreement.beyond_rounding_with_file_signs == 0.0
    text = " ".join(explain_agreement(agreement))
    assert f"12 of {images.size:,} signs" in text
    assert "0.0% of the samples are beyond rounding" in text


def test_what_flips_do_not_explain_is_not_explained_by_them(flipping):
    student, file, images = flipping
    wrong = shifted_network(THRESHOLD)
    wrong.set_weights(student.get_weights())
    kernel = wrong.get_layer("scores").kernel
    kernel.assign(kernel * 1.01)
    agreement = compared(wrong, file, images)
    assert not agreement.passed
    assert agreement.samples_with_differing_signs == 0
    text = " ".join(explain_agreement(agreement))
    assert f"0 of {images.size:,} signs are not the student's own." in text
    assert "which rounding does not explain" in text


def test_a_model_without_signs_says_so():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    images = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    file = TFLiteModel(convert(model, input_signature(model)).content)
    agreement = compared(model, file, images)
    assert agreement.signs == ()
    assert agreement.rounding_limit == 1e-3
    assert explain_agreement(agreement)[1:] == [
        "There are no 1-bit layers, and so no signs that may flip."
    ]
