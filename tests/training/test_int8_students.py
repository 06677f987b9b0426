"""Students whose real layers compute in int8 are trained as others are."""

import numpy as np
import pytest

from keras_rbcn import RBCNModel, quantize_real_layers
from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.losses import distillation_loss

layers = keras.layers
SAMPLES, CLASSES = 16, 3


def network(convolution, end):
    inputs = keras.Input((6, 6, 2), name="picture")
    x = layers.Conv2D(4, 3, name="first")(inputs)
    x = layers.BatchNormalization(name="norm")(convolution(4, 3, name="conv")(x))
    x = end(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x)


# Functions of features, which make new layers at each call.
ENDS = {
    "logits": lambda x: layers.Dense(CLASSES)(x),
    "softmax within": lambda x: layers.Dense(CLASSES, "softmax")(x),
    "softmax behind": lambda x: layers.Softmax()(layers.Dense(CLASSES)(x)),
    "activation behind": lambda x: layers.Activation("softmax")(
        layers.Dense(CLASSES)(x)
    ),
}


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return random.normal(size=(SAMPLES, 6, 6, 2)).astype("float32")


def pair(name, images, **kwargs):
    """A student in int8, and its teacher."""
    student = network(RectifiedConv2D, ENDS[name])
    small = quantize_real_layers(student, images, **kwargs)
    return small, network(layers.Conv2D, ENDS[name])


@pytest.mark.parametrize("name", ENDS)
def test_the_end_is_seen_through_the_rounding(name, images):
    small, teacher = pair(name, images)
    model = RBCNModel(small, teacher, taps=[], check_teacher=False)
    model.compile("adam", "mse")
    labels = np.zeros((SAMPLES, CLASSES), "float32")
    # Nothing moves in front of the first step.
    expected = distillation_loss(
        teacher(images), small(images, training=True), 4.0, name == "logits"
    )
    logs = model.train_on_batch(images, labels, return_dict=True)
    assert logs["distillation_loss"] == pytest.approx(float(expected), rel=0.05)


@pytest.mark.parametrize("name", [name for name in ENDS if name != "logits"])
def test_rounded_probabilities_are_not_distilled(name, images):
    small, teacher = pair(name, images, int8_outputs=True)
    model = RBCNModel(small, teacher, taps=[], check_teacher=False)
    with pytest.raises(ValueError, match=r"rounds the probabilities.*distillation=0"):
        model.compile("adam", "mse")
    model.compile(keras.optimizers.Adam(0.05), "mse", distillation=0.0)
    labels = np.tile(np.float32([1, 0, 0]), (SAMPLES, 1))
    history = model.fit(images, labels, verbose=0, epochs=20).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_rounded_logits_are(images):
    small, teacher = pair("logits", images, int8_outputs=True)
    RBCNModel(small, teacher, taps=[], check_teacher=False).compile("adam", "mse")


def test_dictionaries_stay_dictionaries(images):
    def build(convolution):
        picture = keras.Input((6, 6, 2), name="picture")
        hint = keras.Input((3,), name="hint")
        x = layers.BatchNormalization()(layers.Conv2D(4, 3, name="first")(picture))
        x = layers.BatchNormalization()(convolution(4, 3, name="conv")(x))
        x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), hint])
        outputs = {"class": layers.Dense(CLASSES)(x), "size": layers.Dense(1)(x)}
        return keras.Model({"picture": picture, "hint": hint}, outputs)

    data = {"picture": images, "hint": images[:, 0, :3, 0]}
    student = build(RectifiedConv2D)
    small = quantize_real_layers(student, data)
    assert small.input.keys() == student.input.keys()
    found, expected = small.predict(data, verbose=0), student.predict(data, verbose=0)
    assert found.keys() == expected.keys()
    model = RBCNModel(small, build(layers.Conv2D), taps=[], check_teacher=False)
    model.compile("adam", {"class": "mse", "size": "mse"})
    model.fit(data, expected, verbose=0)


def test_a_model_that_trained_the_student_stands_for_it(images):
    student = network(RectifiedConv2D, layers.Dense(CLASSES, name="last"))
    small = quantize_real_layers(RBCNModel(student), images)
    assert type(small.get_layer("last")).__name__ == "QuantizedLayer"


@pytest.mark.parametrize("when", ["before", "after"])
def test_frozen_layers_stay_as_they_are(when, images):
    student = network(RectifiedConv2D, ENDS["logits"])
    student.get_layer("first").trainable = when != "before"
    small = quantize_real_layers(student, images)
    first = small.get_layer("first")
    first.trainable = when != "after" and first.trainable
    assert not first.trainable_weights
    assert len(first.weights) == len(small.get_layer("first").non_trainable_weights)
    model = RBCNModel(small)
    model.compile("adam", "mse")
    before = first.kernel.numpy()
    last = small.layers[-1].kernel.numpy()
    model.fit(images, np.ones((SAMPLES, CLASSES)), verbose=0)
    np.testing.assert_array_equal(first.kernel.numpy(), before)
    assert np.abs(small.layers[-1].kernel.numpy() - last).max() > 0
