"""What the converter gets wrong without a message, and the error a user gets."""

import larq
import numpy as np
import pytest

from keras_rbcn._backend import keras, tf
from keras_rbcn.export import ExportError, export_tflite
from keras_rbcn.layers import RectifiedConv2D


class TfSign(larq.quantizers.SteSign):
    """Computes nearly the same, through another operator."""

    def call(self, inputs):
        return tf.sign(inputs)


class ScaledKernel(RectifiedConv2D):
    """Multiplies the kernel and not the output with the scale."""

    def convolution_op(self, inputs, kernel):
        return larq.layers.QuantConv2D.convolution_op(self, inputs, kernel * self.scale)


class InputChannelScale(ScaledKernel):
    """Has a scale that varies inside a filter."""

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight(
            name="input_scale",
            shape=(input_shape[-1], 1),
            initializer=keras.initializers.RandomUniform(0.5, 1.0),
        )


class PaddedSigns(RectifiedConv2D):
    """Pads the signs explicitly with ones, by one on each side."""

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        padded = (batch, height + 2, width + 2, channels)
        return super().compute_output_shape(padded)

    def convolution_op(self, inputs, kernel):
        pads = [[0, 0], [1, 1], [1, 1], [0, 0]]
        padded = tf.pad(inputs, pads, constant_values=1.0)
        return super().convolution_op(padded, kernel)


class DataDependentHeight(keras.layers.Layer):
    """Resizes to a height that is known only when it runs."""

    def call(self, inputs):
        height = 6 + tf.cast(0 * tf.reduce_sum(inputs), tf.int32)
        return tf.image.resize(inputs, tf.stack([height, 6]))


def refused(model, images, path):
    """Exports, and returns the error; checks that no file is left."""
    with pytest.raises(ExportError) as caught:
        export_tflite(model, path, verify_data=images)
    assert list(path.parent.iterdir()) == []
    return caught.value


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tflite"


@pytest.mark.parametrize("quantizer", [TfSign, larq.quantizers.SteHeaviside])
def test_do_not_fall_back_to_float_for_another_input_quantizer(
    build_student, images, path, quantizer
):
    layer = RectifiedConv2D(32, 3, padding="same", name="rc")
    layer.input_quantizer = quantizer()
    error = refused(build_student(layer), images, path)
    assert error.layers == ("rc",)
    assert error.report.missing == ("rc",)
    assert error.report.operator_counts["CONV_2D"] == 1
    assert f"layer 'rc': its input_quantizer is {quantizer.__name__}" in str(error)


def test_do_not_convert_ste_tern_wrongly(build_student, images, path):
    layer = RectifiedConv2D(32, 3, padding="same", name="rc")
    layer.input_quantizer = larq.quantizers.SteTern()
    error = refused(build_student(layer), images, path)
    assert error.layers == ("rc",)
    # It did become a 1-bit convolution: only the comparison shows that it is wrong.
    assert error.report.operator_counts["LceBconv2d"] == 1
    assert not error.report.agreement.passed
    assert error.report.agreement.beyond_rounding == 1.0
    assert "layer 'rc': its input_quantizer is SteTern" in str(error)


@pytest.mark.filterwarnings("ignore:.*kernel_constraint:UserWarning")
def test_do_not_convert_a_larq_layer_with_ste_tern_wrongly(build_student, images, path):
    layer = larq.layers.QuantConv2D(
        32,
        3,
        padding="same",
        pad_values=1.0,
        input_quantizer="ste_tern",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        name="plain",
    )
    error = refused(build_student(layer), images, path)
    assert error.layers == ("plain",)


def test_a_larq_layer_in_float_is_reported_and_no_error(build_student, images, path):
    layer = larq.layers.QuantConv2D(
        32,
        3,
        input_quantizer="ste_heaviside",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        name="plain",
    )
    report = export_tflite(build_student(layer), path, verify_data=images)
    assert report.missing == ("plain",)
    assert "LceBconv2d" not in report.operator_counts
    assert "plain" in str(report).partition("not 1-bit")[2].splitlines()[0]


def test_larq_layers_without_one_bit_operators_are_reported(images, path):
    one_bit = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    both = {"input_quantizer": "ste_sign", **one_bit}
    depthwise = {
        "input_quantizer": "ste_sign",
        "depthwise_quantizer": "ste_sign",
        "depthwise_constraint": "weight_clip",
    }
    student = keras.Sequential(
        [
            keras.Input(images.shape[1:]),
            larq.layers.QuantConv2D(32, 3, **one_bit, name="real_inputs"),
            larq.layers.QuantConv2D(32, 3, **both, name="binary"),
            larq.layers.QuantDepthwiseConv2D(3, **depthwise, name="depthwise"),
            keras.layers.Flatten(),
            larq.layers.QuantDense(4, **both, name="flat"),
            keras.layers.Dense(2),
        ]
    )
    report = export_tflite(student, path, verify_data=images)
    assert report.binary_convolutions == ("binary",)
    assert report.missing == ("real_inputs", "depthwise", "flat")


def test_a_scale_of_zero_stays_one_bit(build_student, images, path):
    # The scale stands behind the convolution, where zeros are no trap.
    layer = RectifiedConv2D(32, 3, padding="same", name="rc")
    model = build_student(layer)
    layer.scale.assign(np.where(np.arange(32) < 2, 0.0, 0.1))
    report = export_tflite(model, path, verify_data=images)
    assert report.operator_counts == {"LceQuantize": 1, "LceBconv2d": 1}


def test_do_not_fall_back_to_float_for_a_filter_of_zeros(build_student, images, path):
    layer = ScaledKernel(32, 3, padding="same", name="rc")
    model = build_student(layer)
    layer.scale.assign(np.where(np.arange(32) == 5, 1e-8, 0.1))
    error = refused(model, images, path)
    assert error.layers == ("rc",)
    assert "the scale of filter(s) 5 is zero" in str(error)


def test_do_not_fall_back_to_float_for_a_scale_over_input_channels(
    build_student, images, path
):
    error = refused(
        build_student(InputChannelScale(32, 3, padding="same", name="rc")), images, path
    )
    assert error.layers == ("rc",)
    assert "its scale has the shape (32, 1) and varies inside a filter" in str(error)


def test_do_not_convert_explicit_padding_with_ones_and_strides_wrongly(
    build_student, images, path
):
    error = refused(
        build_student(PaddedSigns(32, 3, strides=2, name="rc")), images, path
    )
    assert error.report.operator_counts["LceBconv2d"] == 1
    assert not error.report.agreement.passed
    assert error.layers == ("rc",)
    assert "strides" in str(error)


def test_do_not_convert_zero_padding_of_a_map_smaller_than_the_kernel(
    build_student, path
):
    layer = RectifiedConv2D(
        8, 3, dilation_rate=2, padding="same", pad_values=0.0, name="rc"
    )
    model = build_student(layer, shape=(4, 5, 16))
    images = np.random.default_rng(0).normal(size=(4, 4, 5, 16))
    error = refused(model, images, path)
    assert error.layers == ("rc",)
    assert "covers 5x5, more than its inputs of 4x5" in str(error)


def test_do_not_pass_over_zero_padding_in_front_of_a_sign(build_student, images, path):
    # Sums of exactly zero at the borders, which the device may round below zero.
    model = build_student(
        RectifiedConv2D(32, 3, padding="same", pad_values=0.0, name="first"),
        RectifiedConv2D(32, 3, padding="same", name="second"),
    )
    error = refused(model, images, path)
    assert error.layers == ("first",)
    assert "Use pad_values=1.0, or put a batch normalisation" in str(error)


def test_zero_padding_behind_a_batch_normalisation_is_exported(
    build_student, images, path
):
    model = build_student(
        RectifiedConv2D(32, 3, padding="same", pad_values=0.0),
        keras.layers.BatchNormalization(
            beta_initializer=keras.initializers.RandomNormal()
        ),
        RectifiedConv2D(32, 3, padding="same"),
    )
    report = export_tflite(model, path, verify_data=images)
    assert report.operator_counts["LceBconv2d"] == 2


@pytest.mark.parametrize("scale", [0.1, -0.1])
def test_sums_of_exactly_zero_keep_their_sign(build_student, images, path, scale):
    # 32 inputs, no shift: about a tenth of the second layer's inputs is 0.0, or -0.0
    # behind a negative scale.
    first = RectifiedConv2D(32, 1)
    model = build_student(first, RectifiedConv2D(32, 3, padding="same"))
    first.scale.assign(np.full(32, scale))
    assert np.mean(first(images) == 0) > 0.05
    report = export_tflite(model, path, verify_data=images)
    assert report.agreement.beyond_rounding == 0.0
    assert report.agreement.undecided == 0.0


def test_undefined_input_size(path):
    model = keras.Sequential(
        [keras.Input((None, 8, 3), name="photo"), RectifiedConv2D(4, 3)]
    )
    with pytest.raises(ValueError, match=r"input 'photo'.*\(None, None, 8, 3\)"):
        export_tflite(model, path, verify_data=np.zeros((1, 8, 8, 3)))


def test_undefined_size_inside_the_model(build_student, images, path):
    model = build_student(DataDependentHeight(), RectifiedConv2D(4, 3, name="rc"))
    with pytest.raises(ValueError, match=r"layer 'rc'.*\(1, None, 6, 32\)"):
        export_tflite(model, path, verify_data=images)


def test_mixed_precision(path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            RectifiedConv2D(4, 3, dtype="mixed_float16", name="half"),
            keras.layers.Activation("linear", dtype="float32", name="full"),
        ]
    )
    with pytest.raises(ValueError, match=r"'half' \(mixed_float16\)\. Build") as caught:
        export_tflite(model, path)
    assert "'full'" not in str(caught.value)


def test_do_not_try_another_way_when_the_converter_fails(
    student, images, path, monkeypatch
):
    def fail(*args, **kwargs):
        raise RuntimeError("legalization failed")

    monkeypatch.setattr("larq_compute_engine.convert_saved_model", fail)
    error = refused(student, images, path)
    assert "legalization failed" in str(error)
    assert isinstance(error.__cause__, RuntimeError)
    assert error.report is None


def test_do_not_write_operators_that_no_interpreter_knows(build_student, images, path):
    # The converter passes them on as custom operators.
    class Betainc(keras.layers.Layer):
        def call(self, inputs):
            ones = tf.ones_like(inputs)
            return tf.raw_ops.Betainc(a=ones, b=ones, x=tf.sigmoid(inputs))

    model = build_student(RectifiedConv2D(4, 3), Betainc())
    error = refused(model, images, path)
    assert "holds the custom operator 'Betainc'" in str(error)


def test_a_tap_before_the_batch_normalisation_costs_two_operators(
    build_student, images, path
):
    bare = build_student(
        RectifiedConv2D(32, 3, padding="same", name="rc"),
        keras.layers.BatchNormalization(
            beta_initializer=keras.initializers.RandomNormal()
        ),
    )
    tapped = keras.Model(bare.inputs, [bare.output, bare.get_layer("rc").output])
    counts = [
        export_tflite(model, path, verify_data=images).operator_counts
        for model in (bare, tapped)
    ]
    assert counts[0] == {"LceQuantize": 1, "LceBconv2d": 1}
    assert counts[1] == {"LceQuantize": 1, "LceBconv2d": 1, "MUL": 1, "ADD": 1}


def test_not_finite_outputs(build_student, images, path):
    layer = RectifiedConv2D(4, 3, name="rc")
    model = build_student(layer)
    layer.scale.assign(np.full(4, np.nan))
    error = refused(model, images, path)
    assert "not finite" in str(error)
    assert error.report.to_dict()["agreements"][0]["max_difference"] is None


def test_the_layer_behind_what_is_wrong_is_named(build_student, images, path):
    class Pad(keras.layers.Layer):
        """Pads in front of a convolution where the export does not look for it."""

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(3, 3, 32, 32), name="kernel")

        def call(self, inputs):
            padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
            return tf.nn.conv2d(padded, self.kernel, 2, "VALID")

    model = build_student(
        RectifiedConv2D(32, 3, padding="same", name="before"),
        Pad(),
        RectifiedConv2D(32, 3, padding="same", name="behind"),
        keras.layers.GlobalAveragePooling2D(),
    )
    error = refused(model, images, path)
    assert error.report.agreement.contradicting_layers == ("behind",)
    assert "not the student's is 'behind'" in str(error)
