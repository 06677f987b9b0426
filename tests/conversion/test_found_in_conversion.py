"""Defects that were found in the conversion; none may come back."""

import numpy as np
import pytest
from conversion_networks import (
    SHAPE,
    block,
    block_of,
    head,
    head_of,
    output_of,
    randomize,
    relu,
    samples,
)

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D

layers = keras.layers


def classifier(middle):
    """A first convolution, something in the middle, and 1-bit convolutions behind."""
    inputs = keras.Input(SHAPE)
    x = middle(block(inputs, "first", activation=None))
    x = block(block(x, "a"), "b")
    return randomize(keras.Model(inputs, head(x), name="teacher"))


def binary(teacher, **kwargs):
    return rbcn.binarize(teacher, return_report=True, **kwargs)[1].binary_convolutions


@keras.saving.register_keras_serializable("tests")
class OwnReLU(layers.Layer):
    def call(self, inputs):
        return tf.nn.relu(inputs)


@keras.saving.register_keras_serializable("tests")
class OwnShift(layers.Layer):
    def call(self, inputs):
        return inputs - 0.5


class TestSigns:
    @pytest.mark.parametrize(
        "layer",
        [
            lambda: layers.GaussianNoise(0.1),
            lambda: layers.GaussianDropout(0.1),
            lambda: layers.AlphaDropout(0.1),
            lambda: layers.Identity(),
            lambda: layers.Resizing(6, 6),
            lambda: layers.CenterCrop(6, 6),
        ],
    )
    def test_do_not_keep_a_relu_behind_layers_that_keep_signs(self, layer):
        teacher = classifier(lambda x: layer()(layers.ReLU()(x)))
        student, report = rbcn.binarize(teacher, return_report=True)
        assert report.binary_convolutions == ("a", "b")
        rows = rbcn.check_binary_inputs(student, samples(teacher)).layers
        assert all(0.1 < row.positive < 0.9 for row in rows)
        assert not any(isinstance(la, layers.ReLU) for la in student.layers)

    @pytest.mark.parametrize(
        "middle",
        [
            lambda x: OwnReLU()(x),
            lambda x: layers.TimeDistributed(layers.ReLU())(x),
            lambda x: layers.Rescaling(2.0)(layers.ReLU()(x)),
            lambda x: layers.UnitNormalization()(layers.ReLU()(x)),
            lambda x: layers.Multiply()([x, x]),
            lambda x: layers.Maximum()([x, tf.abs(x)]),
            lambda x: tf.nn.crelu(x),
            lambda x: keras.activations.relu(x, threshold=0.5),
        ],
    )
    def test_do_not_binarize_on_constant_signs_of_unknown_layers(self, middle):
        teacher = classifier(middle)
        assert binary(teacher) == ("b",)

    def test_unknown_layers_that_change_signs_do_no_harm(self):
        assert binary(classifier(lambda x: OwnShift()(OwnReLU()(x)))) == ("a", "b")

    def test_what_was_tried_can_be_forced_and_what_is_known_cannot(self):
        teacher = classifier(lambda x: OwnReLU()(x))
        _, report = rbcn.binarize(teacher, return_report=True)
        (row,) = (row for row in report.layers if row.name == "a")
        assert "trial" in row.reason
        assert binary(teacher, binary="a") == ("a", "b")
        with pytest.raises(ValueError, match=r"'a' cannot.*abs.*never negative"):
            rbcn.binarize(classifier(tf.abs), binary="a")

    def test_a_trial_needs_no_images(self):
        """Token numbers as inputs: the trial must not leave the vocabulary."""
        inputs = keras.Input((64,), dtype="int32")
        x = layers.Reshape((8, 8, 4))(layers.Embedding(2, 4)(inputs))
        x = OwnReLU()(block(x, "first", activation=None))
        x = block(block(x, "a"), "b")
        teacher = randomize(keras.Model(inputs, head(x)))
        assert binary(teacher) == ("b",)

    def test_strings_and_undefined_sizes_are_not_tried(self):
        text = keras.Input((), dtype="string", name="text")
        inputs = keras.Input(SHAPE)
        x = block(block(inputs, "first") * 2.0, "a")
        teacher = keras.Model([text, inputs], [tf.strings.length(text), head(x)])
        assert binary(teacher) == ("a",)
        inputs = keras.Input((None, None, 3))
        x = block(block(layers.Resizing(8, 8)(inputs), "first") * 2.0, "a")
        assert binary(keras.Model(inputs, head(x))) == ("a",)

    def test_many_ways_to_one_activation_are_walked_once(self):
        def diamonds(x):
            x = layers.ReLU()(x)
            for _ in range(40):  # 2 ** 40 ways.
                x = layers.Add()([layers.Dropout(0.1)(x), layers.Dropout(0.1)(x)])
            return x

        assert binary(classifier(diamonds)) == ("a", "b")


class TestFunctions:
    """Functions of TensorFlow take numbers, None and slices beside tensors."""

    def test_their_arguments_are_kept(self):
        teacher = classifier(lambda x: tf.nn.relu(x)[:, :, 1:-1, ::2] * 2.0 + 0.25)
        data = samples(teacher)
        x = output_of(teacher, "first_norm", data)
        x = x[:, :, 1:-1, ::2] * 2 + 0.25
        x = block_of(teacher, "b", block_of(teacher, "a", x))
        np.testing.assert_allclose(
            rbcn.binarize(teacher, "plain")(data),
            head_of(teacher, relu(x)),
            rtol=1e-4,
            atol=1e-4,
        )

    @pytest.mark.parametrize(
        "bounded", [lambda x: tf.maximum(x, 0.0), lambda x: tf.maximum(0.0, x)]
    )
    def test_a_relu_written_as_a_maximum_is_left_out(self, bounded):
        student = rbcn.binarize(classifier(bounded))
        assert not any("maximum" in layer.name for layer in student.layers)


class TestOutputNames:
    """A user's losses, by output name, fit teacher and student alike."""

    def test_an_output_within_a_convolution_that_signs_are_taken_of(self):
        inputs = keras.Input(SHAPE)
        x = block(inputs, "first")
        y = layers.Conv2D(8, 3, padding="same", activation="relu", name="feature")(x)
        teacher = randomize(keras.Model(inputs, [y, head(block(y, "a"))]))
        student = rbcn.binarize(teacher)
        assert student.output_names == teacher.output_names
        data = samples(teacher)
        expected = output_of(teacher, "feature", data)
        np.testing.assert_allclose(student(data)[0], expected, rtol=1e-5, atol=1e-5)
        assert expected.min() == 0
        with pytest.raises(ValueError, match=r"'feature' cannot: last convolution"):
            rbcn.binarize(teacher, binary="feature")

    @pytest.mark.parametrize("style", ["birealnet", "reactnet", "plain"])
    def test_a_last_convolution_wished_1_bit(self, style):
        inputs = keras.Input(SHAPE)
        x = layers.Conv2D(8, 1, activation="softmax", name="last")(
            block(inputs, "first")
        )
        teacher = randomize(keras.Model(inputs, x))
        student = rbcn.binarize(teacher, style, binary="last")
        assert student.output_names == ["last"]
        np.testing.assert_allclose(
            tf.reduce_sum(student(samples(teacher)), -1), 1, rtol=1e-5
        )

    def test_a_last_normalisation_behind_a_pooling(self):
        inputs = keras.Input(SHAPE)
        x = layers.Conv2D(8, 3, name="a")(block(inputs, "first"))
        x = layers.BatchNormalization(name="norm")(layers.MaxPooling2D()(x))
        student = rbcn.binarize(randomize(keras.Model(inputs, x)))
        assert student.output_names == ["norm"]


def test_added_layers_have_the_policy_of_their_neighbours():
    """Functions of TensorFlow do not cast: 16 and 32 bits in one of them fail."""
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        teacher = classifier(
            lambda x: tf.nn.relu(block(tf.nn.relu(x), "c", activation=None) + x)
        )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for style in ("birealnet", "reactnet"):
        student = rbcn.binarize(teacher, style)
        added = [la for la in student.layers if type(la).__name__ in ("RSign", "Add")]
        assert added
        assert {la.compute_dtype for la in added} == {"bfloat16"}
        assert student(samples(teacher)).dtype == teacher(samples(teacher)).dtype


def test_initializers_that_are_not_registered_are_dropped_with_1_bit_kernels(tmp_path):
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    x = block(x, "a", kernel_initializer=lambda shape, dtype=None: tf.ones(shape))
    teacher = randomize(keras.Model(inputs, head(x)))
    student = rbcn.binarize(teacher)
    np.testing.assert_array_equal(
        student.get_layer("a").latent_kernel, teacher.get_layer("a").kernel
    )
    student.save(tmp_path / "student.keras")
    again = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(again(samples(teacher)), student(samples(teacher)))


def test_inference_mode_of_fine_tuning_is_not_taken_over():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    x = layers.Dropout(0.5, name="always")(x, training=True)
    x = layers.Dropout(0.5, name="never")(x, training=False)
    x = layers.Conv2D(8, 3, name="a")(x)
    x = layers.BatchNormalization(name="norm")(x, False)
    student = rbcn.binarize(randomize(keras.Model(inputs, head(x))))
    (always,) = student.get_layer("always").inbound_nodes
    assert always.call_kwargs == {"training": True}
    student(samples(student, 64), training=True)
    (never,) = student.get_layer("never").inbound_nodes
    assert never.call_kwargs.get("training") is None
    norm = student.get_layer("norm")
    before = norm.moving_mean.numpy()
    student(samples(student, 64), training=True)
    assert (norm.moving_mean.numpy() != before).any()


class TestFlatten:
    def test_dictionaries_go_by_the_names_of_the_inputs(self):
        """The inner model's inputs are listed in another order than the alphabet's."""
        second, first = keras.Input(SHAPE, name="z"), keras.Input(SHAPE, name="a")
        merged = layers.Subtract()([block(second, "u"), block(first, "v")])
        inner = keras.Model([second, first], merged, name="inner")
        p, q = keras.Input(SHAPE, name="p"), keras.Input(SHAPE, name="q")
        model = randomize(keras.Model([p, q], head(inner({"z": p, "a": q}))))
        data = samples(model)
        np.testing.assert_array_equal(rbcn.flatten(model)(data), model(data))

    def test_inference_mode_reaches_the_layers_of_a_model_within(self):
        x = inputs = keras.Input(SHAPE)
        x = layers.Dropout(0.5)(block(x, "a"))
        inner = keras.Model(inputs, layers.Dropout(0.5)(x, training=None))
        inputs = keras.Input(SHAPE)
        model = randomize(keras.Model(inputs, head(inner(inputs, training=False))))
        flat = rbcn.flatten(model)
        data = samples(model)
        weights = flat.get_weights()
        np.testing.assert_array_equal(flat(data, training=True), model(data))
        for a, b in zip(flat.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize(
        ("shape", "dtype"), [(SHAPE[:2], "float32"), ((*SHAPE[:2], 1), "uint8")]
    )
    def test_inputs_that_keras_would_change_are_refused(self, shape, dtype):
        inputs = keras.Input((*SHAPE[:2], 1))
        inner = keras.Model(inputs, layers.Conv2D(2, 3)(inputs), name="inner")
        inputs = keras.Input(shape, dtype=dtype)
        with pytest.raises(ValueError, match=r"'inner'.*received.*Rescaling"):
            rbcn.flatten(keras.Model(inputs, inner(inputs)))


def test_the_same_output_twice():
    inputs = keras.Input(SHAPE)
    x = head(block(block(inputs, "first"), "a"))
    student = rbcn.binarize(randomize(keras.Model(inputs, [x, x])))
    assert len(student(samples(student))) == 2
    assert isinstance(student.get_layer("a"), RectifiedConv2D)
