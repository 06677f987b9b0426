"""Files: what they store, and that they cost what their models do."""

import numpy as np
import pytest
from plain_resnet18 import one_bit

from keras_rbcn._backend import keras, tf
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.profiling import profile

layers = keras.layers


def sequential(*parts, shape=(8, 8, 4)):
    return keras.Sequential([keras.Input(shape), *parts])


@pytest.fixture
def convert(tmp_path):
    """Writes a file by TensorFlow's own converter, with a batch that is open or not."""

    def convert(model, batch=None, **settings):
        if batch is None:
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
        else:
            spec = tf.TensorSpec((batch, *model.input_shape[1:]))
            function = tf.function(model).get_concrete_function(spec)
            converter = tf.lite.TFLiteConverter.from_concrete_functions(
                [function], model
            )
        converter.target_spec.supported_types = settings.pop("supported_types", [])
        for name, value in settings.items():
            setattr(converter, name, value)
        path = tmp_path / "model.tflite"
        path.write_bytes(converter.convert())
        return path

    return convert


@pytest.fixture
def small():
    return sequential(
        layers.Conv2D(32, 3, activation="relu"),
        layers.DepthwiseConv2D(3, use_bias=False),
        layers.Conv2DTranspose(8, 3, strides=2, use_bias=False),
        layers.Flatten(),
        layers.Dense(5, use_bias=False),
    )


SMALL_KERNELS = 32 * 36 + 32 * 9 + 32 * 72 + 5 * 648


# --- Files of 1-bit networks -----------------------------------------------------


def test_the_file_of_resnet18_takes_what_the_profile_promises(tmp_path):
    student = one_bit()
    rng = np.random.default_rng(0)
    for weight in student.weights:
        if weight.shape.rank == 1:  # As after training: the converter drops zeros.
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    path = tmp_path / "resnet18.tflite"
    images = rng.normal(size=(1, 224, 224, 3))
    export_tflite(student, path, verify_data=images, verify_samples=1)
    promised, delivered = profile(student), profile(path, reference=student)
    size = path.stat().st_size
    assert delivered.file_bytes == size
    assert abs(8 * size / promised.memory_bits - 1) < 0.03
    assert abs(delivered.memory_bits / promised.memory_bits - 1) < 0.03
    assert delivered.memory_bits <= delivered.total.stored_bits <= 8 * size
    for kind in ("binary_parameters", "binary_macs", "int8_macs", "real_macs"):
        assert getattr(delivered.total, kind) == getattr(promised.total, kind), kind
    assert delivered.full_precision.memory_bits == promised.memory_bits
    # Of the reference, which is the student.
    assert delivered.operations_ratio == 1


def test_packed_channels(tmp_path):
    model = sequential(
        layers.Conv2D(33, 3, use_bias=False),
        RectifiedConv2D(40, 3, padding="same", name="packed"),
        layers.MaxPooling2D(),
        RectifiedConv2D(16, 3, padding="same", strides=2, name="last"),
        layers.BatchNormalization(),
    )
    path = tmp_path / "model.tflite"
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 4))
    export_tflite(model, path, verify_data=images)
    result = profile(path)
    rows = {row.kind: row for row in result.layers}
    convolutions = [row for row in result.layers if row.kind == "LceBconv2d"]
    assert rows["LceQuantize"].output_shape == (1, 6, 6, 33)
    assert rows["LceBMaxPool2d"].output_shape == (1, 3, 3, 40)
    packed, last = convolutions
    assert packed.output_shape == (1, 6, 6, 40)
    assert last.output_shape == (1, 2, 2, 16)
    assert packed.binary_parameters == 40 * 9 * 33
    assert last.binary_parameters == 16 * 9 * 40
    assert packed.binary_macs == 36 * 40 * 9 * 33
    assert last.binary_macs == 4 * 16 * 9 * 40
    # Thresholds in one, multipliers and biases in the other.
    assert (packed.real_parameters, packed.scale_parameters) == (40, 0)
    assert (last.real_parameters, last.scale_parameters) == (32, 16)
    assert packed.memory_bits == 40 * 9 * 33 + 32 * 40
    assert packed.stored_bits == 40 * 9 * 64 + 32 * 40  # Two words of 32 channels.
    # In full precision the multipliers are part of the kernels. The converter gives the
    # first convolution a bias.
    kernels = 33 * 36 + 40 * 9 * 33 + 16 * 9 * 40
    assert result.full_precision.memory_bits == 32 * (kernels + 33 + 40 + 16)
    filling = (40 * 9 * 31 + 16 * 9 * 24) / 1e6
    assert f"{filling:.3g} Mbit of them to fill up 1-bit" in str(result)


# --- Files of other networks -----------------------------------------------------


def test_float_files(small, convert):
    result = profile(convert(small))
    assert result.macs == result.total.real_macs == profile(small).macs
    # With the bias of the first convolution.
    assert result.parameters == result.total.real_parameters == SMALL_KERNELS + 32
    assert result.memory_bits == 32 * result.parameters
    assert result.memory_ratio == result.operations_ratio == 1
    kinds = [row.kind for row in result.layers if row.macs]
    assert kinds == [
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "TRANSPOSE_CONV",
        "FULLY_CONNECTED",
    ]
    assert result.layers[0].name == "conv2d/Relu"
    assert result.layers[0].output_shape == (1, 6, 6, 32)


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs:UserWarning")
def test_int8_files(small, convert):
    def samples():
        rng = np.random.default_rng(0)
        for _ in range(3):
            yield [rng.normal(size=(1, 8, 8, 4)).astype("float32")]

    optimizations = [tf.lite.Optimize.DEFAULT]
    path = convert(small, optimizations=optimizations, representative_dataset=samples)
    result = profile(path)
    assert result.total.int8_parameters == SMALL_KERNELS
    # Integers of 32 bits: biases are parameters, shapes are not.
    assert result.total.real_parameters == 32 * 2  # The depthwise one got zeros.
    assert result.memory_bits == 8 * SMALL_KERNELS + 32 * 64
    assert result.total.int8_macs == result.macs == profile(small).macs
    assert result.operations_ratio == 1


def test_files_with_int8_kernels_and_real_inputs(small, convert):
    result = profile(convert(small, optimizations=[tf.lite.Optimize.DEFAULT]))
    assert result.total.int8_parameters > SMALL_KERNELS / 2
    assert result.total.real_macs == result.macs == profile(small).macs


def test_half_precision_files(small, convert):
    optimizations = [tf.lite.Optimize.DEFAULT]
    path = convert(small, optimizations=optimizations, supported_types=[tf.float16])
    result = profile(path)
    assert result.parameters == result.total.real_parameters == SMALL_KERNELS + 32
    assert result.memory_bits == 16 * result.parameters
    assert result.full_precision.memory_bits == 32 * result.parameters
    assert result.macs == profile(small).macs


@pytest.mark.parametrize("batch", [None, 6])
def test_any_batch_counts_for_one_sample(convert, batch):
    model = sequential(
        layers.TimeDistributed(layers.Conv2D(3, 3, padding="same", dilation_rate=2)),
        layers.TimeDistributed(layers.Flatten()),
        layers.TimeDistributed(layers.Dense(6)),
        layers.SeparableConv1D(4, 2),
        layers.Dense(4),
        layers.Conv1D(3, 2, padding="same", dilation_rate=3),
        shape=(5, 7, 5, 4),
    )
    result = profile(convert(model, batch))
    assert not result.not_counted
    assert result.macs == profile(model).macs


def test_attention_recurrence_and_three_dimensions(convert):
    inputs = keras.Input((8, 4))
    attention = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    for model in (
        keras.Model(inputs, attention),
        sequential(layers.LSTM(3), shape=(8, 4)),
    ):
        assert profile(convert(model, 1)).macs == profile(model).macs
    model = sequential(
        layers.Conv3D(2, 3), layers.Conv3DTranspose(3, 2), shape=(6, 6, 6, 4)
    )
    assert profile(convert(model)).macs == profile(model).macs


def test_loops_are_named_and_their_parameters_counted(convert):
    class Powers(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(4, 4), name="kernel")

        def call(self, inputs):
            return tf.while_loop(
                lambda x: tf.reduce_sum(x) < 100.0,
                lambda x: (tf.nn.relu(x @ self.kernel) + 1.0,),
                (inputs,),
            )[0]

    model = sequential(Powers(), layers.Dense(7, use_bias=False), shape=(4,))
    result = profile(convert(model, 1))
    (reason,) = result.not_counted.values()
    assert "loop" in reason
    assert result.macs == 28
    assert 28 + 16 <= result.parameters < 28 + 20
    assert list(profile(model).not_counted) == ["powers"]


def test_unknown_operators_are_named(convert):
    inputs = keras.Input((4,))
    x = tf.math.betainc(tf.ones_like(inputs), inputs, inputs)
    model = keras.Model(inputs, layers.Dense(3)(x))
    result = profile(convert(model, 1, allow_custom_ops=True))
    assert result.macs == 12
    (reason,) = result.not_counted.values()
    assert "custom operator 'Betainc'" in reason


def test_sizes_that_no_file_holds_are_named(convert):
    model = sequential(layers.Conv1DTranspose(4, 3), layers.Conv1D(2, 3), shape=(6, 4))
    result = profile(convert(model))
    assert result.macs == 6 * 4 * 3 * 4
    (reason,) = result.not_counted.values()
    assert "convert the model with a fixed batch" in reason
    assert profile(convert(model, 1)).macs == profile(model).macs


def test_constants_that_operators_share_count_once(convert):
    class Twice(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(4, 4), name="kernel")

        def call(self, inputs):
            return tf.nn.relu(inputs @ self.kernel) @ self.kernel

    result = profile(convert(sequential(Twice(), shape=(4,)), 1))
    assert (result.parameters, result.macs) == (16, 32)


def test_inputs_of_undefined_size_are_refused(convert):
    inputs = keras.Input((None, None, 3))
    outputs = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
    path = convert(keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match=r"shape=\(None, None, None, 3\)"):
        profile(path)


def test_damaged_files_are_refused(student, images, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"model\.tflite' is not one"):
        profile(path)
    export_tflite(student, path, verify_data=images)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="truncated or corrupted"):
        profile(path)
