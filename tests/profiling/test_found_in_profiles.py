"""What was counted wrongly, or said badly, once; expected values are worked by hand."""

import json
import zipfile

import numpy as np
import pytest

from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.profiling import profile
from keras_rbcn.training import RBCNModel

layers = keras.layers


def sequential(*parts, shape):
    return keras.Sequential([keras.Input(shape), *parts])


def functional(shape, function):
    inputs = keras.Input(shape)
    return keras.Model(inputs, function(inputs))


# --- Weights belong to the innermost layer ---------------------------------------


def backbone():
    convolution = RectifiedConv2D(32, 3, padding="same", name="conv")
    return sequential(convolution, layers.BatchNormalization(), shape=(6, 6, 32))


def alone_and_inside():
    inner = backbone()
    outer = sequential(
        inner, layers.GlobalAveragePooling2D(), layers.Dense(2), shape=(6, 6, 32)
    )
    pool = layers.GlobalAveragePooling2D()
    return functional((6, 6, 32), lambda x: [pool(inner(x)), outer(x)])


class AloneAndInside(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = backbone()
        self.outer = keras.Sequential(
            [self.inner, layers.GlobalAveragePooling2D(), layers.Dense(2)]
        )

    def call(self, inputs):
        return self.outer(self.inner(inputs))


class OnlyParts(keras.Model):
    """Calls the layers of a nested model, and never the nested model."""

    def __init__(self):
        super().__init__()
        self.inner = backbone()
        self.dense = layers.Dense(2)

    def call(self, inputs):
        x = self.inner.layers[1](self.inner.layers[0](inputs))
        return self.dense(tf.reduce_mean(x, [1, 2]))


@pytest.mark.parametrize("build", [alone_and_inside, AloneAndInside, OnlyParts])
def test_weights_of_nested_models_belong_to_their_layers(build):
    model = build()
    model(np.zeros((1, 6, 6, 32), "float32"))
    result = profile(model)
    assert result.total.binary_parameters == 32 * 9 * 32
    # Scales; gamma and beta, without moving statistics; the dense layer.
    real = 32 + 64 + 66
    assert result.total.real_parameters == real
    assert result.memory_bits == 9216 + 32 * real
    assert result.full_precision.memory_bits == 32 * (9216 + 64 + 66)
    kinds = {row.kind for row in result.layers if row.parameters}
    assert kinds == {"RectifiedConv2D", "BatchNormalization", "Dense"}


def test_shared_weights_count_where_they_are_used_first():
    class Multiplied(layers.Layer):
        def __init__(self, matrix, **kwargs):
            super().__init__(**kwargs)
            self.matrix = matrix

        def call(self, inputs):
            return inputs @ self.matrix

    matrix = tf.Variable(tf.ones((4, 4)))
    first, second = Multiplied(matrix, name="first"), Multiplied(matrix, name="second")
    result = profile(sequential(first, second, shape=(4,)))
    counts = [(row.name, row.parameters, row.macs) for row in result.layers]
    assert counts == [("first", 16, 16), ("second", 0, 16)]


# --- Recurrent layers ------------------------------------------------------------


def folded(layer):
    def call(x):
        return tf.reshape(layer(tf.reshape(x, (-1, 6, 2))), (-1, 4, 3))

    return call


@pytest.mark.parametrize(
    ("call", "macs"),
    [
        # Four sequences of 6 steps; gates x units x (inputs + units) each.
        (layers.TimeDistributed(layers.LSTM(3)), 4 * 6 * 4 * 3 * (2 + 3)),
        (folded(layers.GRU(3)), 4 * 6 * 3 * 3 * (2 + 3)),
        (
            layers.TimeDistributed(layers.Bidirectional(layers.SimpleRNN(3))),
            2 * 4 * 6 * 3 * (2 + 3),
        ),
    ],
)
def test_recurrent_layers_count_for_each_sequence(call, macs):
    result = profile(functional((4, 6, 2), call))
    assert result.macs == macs
    assert not result.not_counted


def test_time_may_come_first():
    def call(x):
        return layers.LSTM(3, time_major=True)(tf.transpose(x, (1, 0, 2)))

    assert profile(functional((6, 2), call)).macs == 6 * 4 * 3 * (2 + 3)


def test_recurrent_layers_in_loops_are_named():
    inner = sequential(layers.LSTM(3, name="lstm"), shape=(6, 2))
    inner._name = "inner"
    outer = layers.TimeDistributed(inner, name="outer")
    outer._always_use_reshape = False  # As for layers that Keras does not know.
    result = profile(functional((4, 6, 2), outer))
    assert "loop" in result.not_counted["outer/inner/lstm"]
    assert result.macs == 0


# --- What counts as what ---------------------------------------------------------


class Scaled(layers.Layer):
    """Has a weight named as the scale of a 1-bit kernel."""

    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=(input_shape[-1],))

    def call(self, inputs):
        return inputs * self.scale


def test_only_scales_of_binary_kernels_are_not_in_full_precision():
    result = profile(sequential(layers.Dense(4), Scaled(), shape=(4,)))
    assert result.total.scale_parameters == 0
    assert result.memory_bits == result.full_precision.memory_bits == 32 * (20 + 4)


class Fixed(layers.Layer):
    """Multiplies with numbers that are not trained."""

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.fixed = self.add_weight(name="fixed", shape=shape, trainable=False)

    def call(self, inputs):
        return inputs * self.fixed


@pytest.mark.parametrize(
    ("layer", "parameters"),
    [
        # Gamma and beta, without moving, renormalising or other statistics.
        (layers.BatchNormalization(renorm=True), 4 + 4),
        # Without the vector that power iteration keeps.
        (layers.SpectralNormalization(layers.Dense(3)), 4 * 3 + 3),
        # What inference reads counts, trained or not.
        (Fixed(), 4),
        (layers.Normalization(), 4 + 4),
    ],
)
def test_helpers_of_training_are_no_parameters(layer, parameters):
    assert profile(sequential(layer, shape=(4,))).parameters == parameters


# --- References ------------------------------------------------------------------


def test_what_is_not_counted_in_the_reference_is_said():
    convolutions = layers.ConvLSTM2D(3, 3, name="loops")
    reference = sequential(
        convolutions, layers.Flatten(), layers.Dense(2), shape=(4, 6, 6, 2)
    )
    reference._name = "teacher"
    result = profile(sequential(layers.Dense(2), shape=(4,)), reference=reference)
    assert list(result.full_precision.not_counted) == ["loops"]
    assert not result.not_counted  # Of the network itself, everything is.
    words = " ".join(str(result).split())
    assert "not counted loops of teacher: it runs" in words
    written = json.loads(result.to_json())["full_precision"]["not_counted"]
    assert list(written) == ["loops"]


def test_what_is_not_counted_in_itself_is_said_once():
    result = profile(sequential(layers.ConvLSTM2D(3, 3), shape=(4, 6, 6, 2)))
    assert str(result).count("not counted") == 1


def test_comparisons_with_the_very_same_are_left_out():
    model = sequential(layers.Dense(2), shape=(4,))
    assert "times" not in str(profile(model))
    assert "full precision" not in str(profile(model))
    # Unless somebody asked.
    assert str(profile(model, reference=model)).count("(1.00 times)") == 2
    binary = sequential(RectifiedConv2D(8, 3), shape=(4, 4, 8))
    assert "times" in str(profile(binary))


# --- Models with students --------------------------------------------------------


class WithStudent(keras.Model):
    def __init__(self):
        super().__init__()
        self.student = keras.Sequential([layers.Dense(2)])
        self.head = layers.Dense(100)

    def call(self, inputs):
        return self.head(self.student(inputs))


def test_a_students_name_does_not_make_a_training_model():
    model = WithStudent()
    model(np.zeros((1, 4), "float32"))
    assert profile(model).macs == 4 * 2 + 2 * 100
    training = RBCNModel(sequential(RectifiedConv2D(4, 1), shape=(2, 2, 4)))
    assert profile(training).total.binary_macs == 4 * 16


# --- Files, and what is said -----------------------------------------------------


@pytest.mark.parametrize("name", ["profile", ".png", "profile.xyz"])
def test_figures_need_a_format(tmp_path, name):
    result = profile(sequential(layers.Dense(2), shape=(4,)))
    with pytest.raises(ValueError, match=rf"in a format .*\.png.*{name}'"):
        result.plot(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_formats_of_figures_go_by_upper_case_endings_too(tmp_path):
    result = profile(sequential(layers.Dense(2), shape=(4,)))
    result.plot(tmp_path / "profile.PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["profile.PNG"]


def test_upper_case_names_of_keras_files(tmp_path):
    model = sequential(layers.Dense(2), shape=(4,))
    model.save(tmp_path / "model.keras")
    path = (tmp_path / "model.keras").rename(tmp_path / "model.KERAS")
    with pytest.raises(ValueError, match=r"does not end in \.keras \(in lower case\)"):
        profile(path)


def test_files_of_keras_3(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("config.json", json.dumps({"layers": ["x" * 4000]}))
    with pytest.raises(ValueError, match=r"of Keras 3\.15\.1.*with tf_keras") as caught:
        profile(path)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_why_sizes_must_be_defined():
    model = sequential(layers.Dense(2), shape=(None, 4))
    with pytest.raises(ValueError, match="number of operations depends") as caught:
        profile(model)
    assert "convolution" not in str(caught.value)
    assert "224" not in str(caught.value)
