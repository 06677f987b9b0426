"""Layers and kinds of models of every sort, each against its own expectation."""

import numpy as np
import pytest
from conversion_networks import (
    METHOD,
    SHAPE,
    block,
    block_of,
    convolution_of,
    head,
    head_of,
    normalized_of,
    output_of,
    randomize,
    relu,
    samples,
)

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D

layers = keras.layers


def assert_computes(student, data, expected):
    np.testing.assert_allclose(student(data), expected, rtol=1e-4, atol=1e-4)


def parts():
    return [
        layers.Conv2D(8, 3, padding="same", name="first"),
        layers.BatchNormalization(name="first_norm"),
        layers.ReLU(),
        layers.Conv2D(8, 3, padding="same", name="a"),
        layers.BatchNormalization(name="a_norm"),
        layers.ReLU(),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, name="scores"),
    ]


def called(model):
    model(np.zeros((1, *SHAPE), "float32"))
    return model


def built(model):
    model.build((None, *SHAPE))
    return model


SEQUENTIAL = {
    "with an input": lambda: keras.Sequential([keras.Input(SHAPE), *parts()]),
    "built later": lambda: built(keras.Sequential(parts())),
    "called": lambda: called(keras.Sequential(parts())),
}


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_sequential_models(name):
    teacher = randomize(SEQUENTIAL[name]())
    data = samples(teacher)
    x = block_of(teacher, "a", output_of(teacher, "first_norm", data))
    student = rbcn.binarize(teacher, "plain")
    assert_computes(student, data, head_of(teacher, relu(x)))


def test_dictionaries_of_inputs_and_outputs():
    left, right = keras.Input(SHAPE, name="z"), keras.Input(SHAPE, name="b")
    x = layers.Subtract()([block(left, "left"), block(right, "right")])
    y = block(x, "a")
    teacher = keras.Model(
        {"z": left, "b": right}, {"two": head(y, "two"), "one": head(x, "one")}
    )
    data = samples(randomize(teacher))
    student = rbcn.binarize(teacher, "plain")
    assert student.input_names == teacher.input_names
    assert student.output_names == teacher.output_names
    found = student(data)
    assert set(found) == {"one", "two"}
    # A difference of what is never negative has both signs: its activations stay.
    x = output_of(teacher, "left_act", data) - output_of(teacher, "right_act", data)
    np.testing.assert_allclose(
        found["one"], head_of(teacher, x, "one"), rtol=1e-4, atol=1e-4
    )
    x = relu(block_of(teacher, "a", x))
    np.testing.assert_allclose(
        found["two"], head_of(teacher, x, "two"), rtol=1e-4, atol=1e-4
    )


def test_a_normalisation_that_two_convolutions_share_takes_no_bias():
    inputs = keras.Input(SHAPE)
    norm = layers.BatchNormalization(name="norm")
    x = block(inputs, "first")
    for name in "ab":
        x = layers.Conv2D(8, 3, padding="same", name=name)(x)
        x = layers.ReLU()(norm(x))
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    x = output_of(teacher, "first_norm", data)
    for name in "ab":
        x = normalized_of(teacher, "norm", convolution_of(teacher, name, x))
    student = rbcn.binarize(teacher, "plain")
    assert_computes(student, data, head_of(teacher, relu(x)))


def test_a_convolution_in_front_of_two_normalisations_keeps_its_bias():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    shared = layers.Conv2D(8, 3, padding="same", name="a")
    for name in ("n", "m"):
        x = layers.ReLU()(layers.BatchNormalization(name=name)(shared(x)))
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    x = output_of(teacher, "first_norm", data)
    for name in ("n", "m"):
        x = normalized_of(teacher, name, convolution_of(teacher, "a", x))
    student = rbcn.binarize(teacher, "plain")
    assert_computes(student, data, head_of(teacher, relu(x)))


@pytest.mark.parametrize("dense", [True, False])
def test_squeeze_and_excitation(dense):
    """The gate stays real and nothing but a factor; the map's activation goes."""
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    if dense:
        gate = layers.GlobalAveragePooling2D()(x)
        gate = layers.Dense(8, activation="sigmoid", name="gate")(gate)
        gate = layers.Reshape((1, 1, 8))(gate)
    else:
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = layers.Conv2D(8, 1, activation="sigmoid", name="gate")(gate)
    x = layers.Multiply()([x, gate])
    teacher = randomize(keras.Model(inputs, head(block(x, "a"))))
    data = samples(teacher)
    student, report = rbcn.binarize(teacher, "plain", return_report=True)
    assert report.binary_convolutions == ("a",)
    (row,) = (row for row in report.layers if row.name == "gate")
    assert ("dense layer" if dense else "sees a map of 1x1") in row.reason
    x = output_of(teacher, "first_norm", data)
    kernel, bias = teacher.get_layer("gate").get_weights()
    # The gate is made of the activated map, on a way of its own.
    squeezed = relu(x).mean((1, 2), keepdims=True)
    gate = 1 / (1 + np.exp(-(squeezed @ kernel.reshape(8, 8) + bias)))
    x = relu(block_of(teacher, "a", x * gate))
    assert_computes(student, data, head_of(teacher, x))


@pytest.mark.parametrize(
    "join",
    [
        lambda gated, x: gated,
        lambda gated, x: layers.Concatenate()([x, gated]),
        lambda gated, x: layers.MaxPooling2D()(layers.Concatenate()([gated, x])),
        lambda gated, x: tf.concat([gated, x], -1),
    ],
)
def test_a_gate_in_front_of_a_sign_gets_a_threshold(join):
    """Without one, the gate would change no sign, and learn nothing."""
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    gate = layers.Conv2D(8, 3, padding="same", activation="sigmoid", name="gate")(x)
    y = join(layers.Multiply()([x, gate]), x)
    teacher = randomize(keras.Model(inputs, head(block(y, "a"))))
    data = samples(teacher)
    student = rbcn.binarize(teacher, "plain", real="gate")
    before = student.predict(data, verbose=0)
    # As training would move them.
    thresholds = student.get_layer("a_sign")
    thresholds.set_weights([np.full(w.shape, 0.3) for w in thresholds.get_weights()])
    moved = student.predict(data, verbose=0)
    gate = student.get_layer("gate")
    gate.set_weights([gate.get_weights()[0], np.full(8, -2.0)])
    assert np.abs(moved - before).max() > 1e-3
    assert np.abs(student.predict(data, verbose=0) - moved).max() > 1e-3


def test_a_gate_in_a_sum_needs_none():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    gate = layers.Conv2D(8, 3, padding="same", activation="sigmoid")(x)
    y = layers.Add()([layers.Multiply()([x, gate]), block(x, "b", activation=None)])
    teacher = randomize(keras.Model(inputs, head(block(y, "a"))))
    student = rbcn.binarize(teacher, "plain")
    assert not [x for x in student.layers if type(x).__name__ == "RSign"]


def test_depthwise_and_transposed_convolutions_read_activated_maps():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depth")(x)
    teacher = randomize(keras.Model(inputs, head(block(y, "a"))))
    data = samples(teacher)
    kernel = teacher.get_layer("depth").get_weights()[0]
    x = np.pad(output_of(teacher, "first_act", data), [(0, 0), (1, 1), (1, 1), (0, 0)])
    x = sum(
        x[:, i : i + 8, j : j + 8] * kernel[i, j, :, 0]
        for i in range(3)
        for j in range(3)
    )
    x = relu(block_of(teacher, "a", x))
    assert_computes(rbcn.binarize(teacher, "plain"), data, head_of(teacher, x))


@keras.saving.register_keras_serializable("tests")
class Factor(layers.Layer):
    """A layer of a user's own, with an argument and a weight."""

    def __init__(self, offset, **kwargs):
        super().__init__(**kwargs)
        self.offset = offset

    def build(self, input_shape):
        self.factor = self.add_weight(name="factor", shape=input_shape[-1:])

    def call(self, inputs):
        return inputs * self.factor + self.offset

    def get_config(self):
        return {**super().get_config(), "offset": self.offset}


def test_layers_of_the_users_own_and_adapted_ones_are_copied_with_their_weights():
    adapted = layers.Normalization(name="adapted")
    adapted.adapt(np.random.default_rng(0).normal(3, 2, (32, *SHAPE)))
    inputs = keras.Input(SHAPE)
    x = block(adapted(inputs), "first", activation=None)
    x = block(Factor(0.25, name="own")(x), "a")
    teacher = keras.Model(inputs, head(x))
    for name in ("first_norm", "own", "a_norm", "scores"):
        randomize(teacher.get_layer(name))
    data = samples(teacher)
    expected = block_of(teacher, "a", output_of(teacher, "own", data))
    student = rbcn.binarize(teacher, "plain")
    assert student.get_layer("own") is not teacher.get_layer("own")
    assert_computes(student, data, head_of(teacher, relu(expected)))


@pytest.mark.parametrize("synchronized", [True, False])
def test_synchronized_statistics_stay_so(synchronized):
    teacher = keras.Sequential([keras.Input((8, 8, 3))])
    for name in ("first", "second"):
        norm = layers.BatchNormalization(synchronized=synchronized, name=f"{name}_norm")
        teacher.add(layers.Conv2D(4, 3, name=name))
        teacher.add(norm)
    for model in (rbcn.binarize(teacher), rbcn.flatten(teacher)):
        for name in ("first_norm", "second_norm"):
            assert model.get_layer(name).synchronized is synchronized


def test_regularizers_of_1_bit_kernels_only_are_dropped():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first", kernel_regularizer="l2")
    x = block(x, "a", kernel_regularizer="l2")
    student = rbcn.binarize(randomize(keras.Model(inputs, head(x))))
    assert student.get_layer("a").kernel_regularizer is None
    assert len(student.losses) == 1


def test_other_kinds_of_floating_point_numbers():
    # The policy, which counts for more than `set_floatx` once it has been set.
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("float64")
    try:
        inputs = keras.Input(SHAPE, dtype="float64")
        teacher = randomize(keras.Model(inputs, head(block(block(inputs, "f"), "a"))))
    finally:
        keras.mixed_precision.set_global_policy(before)
    student = rbcn.binarize(teacher)
    assert student(samples(teacher)).dtype == tf.float64
    layer = student.get_layer("a")
    np.testing.assert_array_equal(layer.latent_kernel, teacher.get_layer("a").kernel)


def test_grouped_dilated_and_more_dimensional_convolutions():
    inputs = keras.Input(SHAPE)
    x = block(block(inputs, "first"), "grouped", groups=2)
    x = block(x, "dilated", dilation_rate=2)
    x = layers.Reshape((2, 4, 8, 8))(x)
    x = layers.ReLU()(layers.Conv2D(8, 3, padding="same", name="five_axes")(x))
    x = block(layers.Reshape((8, 8, 8))(x), "a")
    teacher = randomize(keras.Model(inputs, head(x)))
    student, report = rbcn.binarize(teacher, return_report=True)
    assert report.binary_convolutions == ("dilated", "a")
    assert student.get_layer("dilated").dilation_rate == (2, 2)
    reasons = {row.name: row.reason for row in report.layers}
    assert reasons["grouped"].startswith("2 groups")
    assert "other axes" in reasons["five_axes"]


def test_pooling_and_more_in_front_of_signs_and_of_others():
    """What an activation is left out of is left out for all who read it."""
    inputs = keras.Input(SHAPE)
    pooled = layers.AveragePooling2D(name="pooled")(block(inputs, "first"))
    teacher = keras.Model(inputs, [head(pooled, "early"), head(block(pooled, "a"))])
    data = samples(randomize(teacher))
    x = output_of(teacher, "first_norm", data)
    x = x.reshape(len(x), 4, 2, 4, 2, 8).mean((2, 4))
    early, late = rbcn.binarize(teacher, "plain")(data)
    np.testing.assert_allclose(
        early, head_of(teacher, x, "early"), rtol=1e-4, atol=1e-4
    )
    x = relu(block_of(teacher, "a", x))
    np.testing.assert_allclose(late, head_of(teacher, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("style", ["birealnet", "reactnet", "plain"])
def test_students_reload_without_custom_objects_and_train(style, tmp_path):
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    y = block(block(x, "a"), "b", activation=None)
    x = tf.nn.relu(layers.Add()([x, y]))
    x = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="s")(x)
    teacher = randomize(keras.Model(inputs, head(x)))
    student = rbcn.binarize(teacher, style)
    model = rbcn.RBCNModel(student, teacher)
    model.compile("adam", "mse", run_eagerly=True, **METHOD)
    data = samples(teacher)
    logs = model.train_on_batch(data, np.zeros((8, 3)), return_dict=True)
    assert np.isfinite(list(logs.values())).all()
    student.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(again(data), student(data))
    assert sum(isinstance(la, RectifiedConv2D) for la in again.layers) == 3
