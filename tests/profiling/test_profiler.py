"""Keras models: parameters, memory and multiply-accumulates, by kind."""

from pathlib import Path

import larq
import numpy as np
import pytest
from larq.models import ModelProfile
from plain_resnet18 import full_precision, one_bit

from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.profiling import profile
from keras_rbcn.training import RBCNModel

layers = keras.layers
DOCS = Path(__file__).parents[2] / "docs"
BINARY = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
BOTH = {"input_quantizer": "ste_sign", **BINARY}


def sequential(*parts, shape=(8, 8, 4)):
    return keras.Sequential([keras.Input(shape), *parts])


def macs(model):
    total = profile(model).total
    return total.binary_macs, total.int8_macs, total.real_macs


@pytest.fixture(scope="module")
def resnets():
    return full_precision(), one_bit()


# --- The figures of the literature -----------------------------------------------


def test_resnet18_in_full_precision(resnets):
    result = profile(resnets[0])
    assert result.parameters == result.total.real_parameters == 11_689_512
    assert round(result.memory_mbit, 2) == 374.06
    assert round(result.memory_mib, 2) == 44.59
    assert float(f"{result.operations:.3e}") == 1.814e9
    assert result.total.binary_macs == result.total.int8_macs == 0
    assert result.memory_ratio == result.operations_ratio == 1
    assert not result.not_counted


@pytest.mark.parametrize("given", [True, False])
def test_resnet18_in_one_bit(resnets, given):
    teacher, student = resnets
    # The same network in full precision, or the very network.
    result = profile(student, reference=teacher if given else None)
    assert result.total.binary_parameters == 10_985_472
    # 694,440 of convolutions and the dense layer, 4,800 pairs of gamma and beta, and
    # one scale for each of 3,840 channels.
    assert result.total.real_parameters == 694_440 + 2 * 4_800 + 3_840
    assert round(result.memory_mbit, 2) == 33.64
    assert float(f"{result.operations:.3e}") == 1.640e8
    assert round(result.memory_ratio, 2) == 11.12
    assert round(result.operations_ratio, 2) == 11.06
    assert (result.full_precision.name == "full_precision") == given


def test_published_figures_stand_beside_ours():
    texts = [profile.__doc__, (DOCS / "profiling.md").read_text("utf-8")]
    for text in texts:
        assert all(figure in text for figure in ("11.12", "11.06", "11.1 ", "10.86"))


# --- Against TensorFlow's own count, and larq's ----------------------------------


def tensorflow_flops(model):
    """What TensorFlow's profiler counts for convolutions and matrix products."""
    specs = [tf.TensorSpec((1, *x.shape[1:]), x.dtype) for x in model.inputs]
    function = tf.function(lambda *x: model(x if len(x) > 1 else x[0]))
    builder = tf.compat.v1.profiler.ProfileOptionBuilder
    options = builder(builder.float_operation()).with_empty_output()
    options = options.with_accounted_types(
        [
            "BatchMatMulV2",
            "Conv2D",
            "Conv2DBackpropInput",
            "Conv3D",
            "DepthwiseConv2dNative",
            "MatMul",
        ]
    ).build()
    graph = function.get_concrete_function(*specs).graph
    found = tf.compat.v1.profiler.profile(graph, cmd="scope", options=options)
    return found.total_float_ops


def several_inputs():
    first, second = keras.Input((6, 4)), keras.Input((6, 4))
    x = layers.Attention()([first, second])
    x = layers.Conv1D(5, 3, padding="causal")(x)
    return keras.Model([first, second], [layers.Dense(3)(x), x])


@pytest.mark.parametrize(
    "build",
    [
        lambda: full_precision(64),
        lambda: sequential(
            RectifiedConv2D(6, 3, padding="same", pad_values=0.0),
            RectifiedConv2D(5, 3, strides=2),
            larq.layers.QuantSeparableConv2D(3, 2, input_quantizer="ste_sign"),
        ),
        lambda: keras.applications.MobileNetV2((64, 64, 3), weights=None),
        lambda: sequential(
            layers.Conv2DTranspose(8, 3, strides=2, padding="same"),
            layers.SeparableConv2D(8, (3, 5), depth_multiplier=2),
            layers.DepthwiseConv2D(3, strides=2, padding="same"),
            layers.Reshape((-1, 16)),
            layers.Dense(5),
            layers.Flatten(),
            layers.Dense(3),
        ),
        lambda: sequential(
            layers.Conv3D(6, 3, strides=2, padding="same"),
            layers.Dense(5),
            shape=(8, 8, 8, 4),
        ),
        several_inputs,
    ],
)
def test_multiply_accumulates_are_half_of_tensorflows_flops(build):
    model = build()
    result = profile(model)
    assert 2 * result.macs == tensorflow_flops(model)
    trained = [weight.shape.num_elements() for weight in model.trainable_weights]
    assert result.parameters == sum(trained)


def test_larq_layers_count_as_larq_counts_them():
    model = sequential(
        larq.layers.QuantConv2D(16, 3, **BINARY),
        layers.BatchNormalization(),
        larq.layers.QuantConv2D(8, 3, padding="same", pad_values=1.0, **BOTH),
        larq.layers.QuantDepthwiseConv2D(
            3,
            input_quantizer="approx_sign",
            depthwise_quantizer="magnitude_aware_sign",
            depthwise_constraint="weight_clip",
        ),
        larq.layers.QuantConv2D(8, 3, strides=2, **BOTH),
        larq.layers.QuantConv2D(4, 1, input_quantizer="swish_sign"),
        layers.Flatten(),
        larq.layers.QuantDense(5, **BOTH),
        layers.Dense(3),
    )
    result, expected = profile(model), ModelProfile(model)
    assert result.memory_bits == expected.memory
    assert result.full_precision.memory_bits == expected.fp_equivalent_memory
    assert result.total.binary_macs == expected.op_count("mac", 1) > 0
    assert result.total.real_macs == expected.op_count("mac", 32) > 0


# --- Layer by layer --------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "parameters", "expected"),
    [
        # Each of 4x4 places and 8 filters sums over 3x3 places and 2 of 4 channels.
        (layers.Conv2D(8, 3, groups=2, dilation_rate=2), (8, 8, 4), 152, 2304),
        (layers.Conv2D(8, (3, 1), strides=(2, 1)), (9, 8, 4), 104, 4 * 8 * 8 * 12),
        (
            layers.DepthwiseConv2D(3, padding="same", dilation_rate=2),
            (7, 7, 4),
            40,
            1764,
        ),
        (layers.Conv1D(5, 3, padding="causal", dilation_rate=3), (10, 4), 65, 600),
        (layers.Conv3D(6, 2, groups=2), (4, 4, 4, 4), 102, 27 * 6 * 8 * 2),
        # Each of 4x4x8 inputs meets 3x3 places and 4 filters.
        (layers.Conv2DTranspose(4, 3, strides=2), (4, 4, 8), 292, 4608),
        (layers.Conv2DTranspose(4, 3, dilation_rate=2), (4, 4, 8), 292, 4608),
        (layers.Conv1DTranspose(4, 3, strides=2), (5, 2), 28, 120),
        (layers.Conv3DTranspose(2, 3), (2, 2, 2, 4), 218, 8 * 4 * 27 * 2),
        # 36 places: 9 x 4 depthwise, then 4 x 8 pointwise.
        (layers.SeparableConv2D(8, 3), (8, 8, 4), 76, 36 * (36 + 32)),
        (layers.Dense(5), (3, 7, 4), 25, 3 * 7 * 20),
        (layers.EinsumDense("abc,cde->abde", (None, 2, 3)), (5, 4), 24, 5 * 24),
        (layers.EinsumDense("...x,xy->...y", 6), (5, 2, 4), 24, 10 * 24),
        (layers.LocallyConnected2D(4, 3), (8, 8, 4), 36 * (144 + 4), 36 * 144),
        (layers.TimeDistributed(layers.Conv2D(3, 3)), (5, 8, 8, 4), 111, 5 * 36 * 108),
        (layers.Embedding(10, 3), (4,), 30, 0),
        (layers.PReLU(shared_axes=[1, 2]), (8, 8, 4), 4, 0),
        (layers.BatchNormalization(), (8, 8, 4), 8, 0),
        (layers.experimental.SyncBatchNormalization(), (8, 8, 4), 8, 0),
        (layers.RandomFlip(), (8, 8, 4), 0, 0),
    ],
)
def test_one_layer(layer, shape, parameters, expected):
    result = profile(sequential(layer, shape=shape))
    assert result.total.real_parameters == result.parameters == parameters
    assert result.memory_bits == 32 * parameters
    assert result.total.real_macs == result.macs == expected
    assert not result.not_counted


def test_attention_counts_its_projections_and_both_products():
    inputs = keras.Input((8, 4))
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 3)(inputs, inputs))
    result = profile(model)
    # Queries, keys, values and outputs; scores and weighted values of two heads.
    assert result.macs == 4 * (8 * 4 * 6) + 2 * (2 * 8 * 8 * 3)
    assert result.parameters == 3 * (24 + 6) + 24 + 4
    assert result.layers[0].real_macs == 2 * (2 * 8 * 8 * 3)
    assert {row.kind for row in result.layers[1:]} >= {"EinsumDense"}


def test_einsum_counts_what_it_sums_over():
    x = keras.Input((3, 5))
    rearranged = tf.einsum("bij->bji", x)
    gram = tf.einsum("bki,bkj->bij", rearranged, rearranged)
    outputs = [
        tf.einsum("bii->bi", gram),
        tf.einsum("...ij,...jk->...ik", gram, x),
        tf.einsum("bij,bjk,bkl->bil", gram, gram, gram),
    ]
    # 3x3 sums over 5; 3x5 over 3; and 3x3 over 3 twice, pair by pair.
    assert macs(keras.Model(x, outputs)) == (0, 0, 45 + 45 + 2 * 27)


def test_rectified_convolutions():
    model = sequential(
        RectifiedConv2D(6, 3, padding="same", name="channel"),
        RectifiedConv2D(5, 3, scale="layer", use_bias=True, name="layer"),
    )
    channel, layer = profile(model).layers
    assert (channel.binary_parameters, channel.real_parameters) == (216, 6)
    assert (channel.binary_macs, channel.real_macs) == (64 * 216, 0)
    assert channel.memory_bits == 216 + 32 * 6
    assert (layer.binary_parameters, layer.real_parameters) == (270, 1 + 5)
    assert (layer.binary_macs, layer.scale_parameters) == (36 * 270, 1)
    assert layer.operations == 36 * 270 / 64
    # In full precision there are no scales, but there is a bias.
    assert profile(model).full_precision.memory_bits == 32 * (216 + 270 + 5)


def test_a_binary_kernel_on_real_inputs_is_a_real_product_in_one_bit():
    model = sequential(larq.layers.QuantConv2D(4, 3, use_bias=False, **BINARY))
    result = profile(model)
    assert macs(model) == (0, 0, 36 * 144)
    assert (result.total.binary_parameters, result.memory_bits) == (144, 144)
    assert result.memory_ratio == 32
    assert result.operations_ratio == 1


def test_inputs_may_become_binary_in_front_of_the_layer():
    model = sequential(
        layers.Activation(larq.quantizers.SteSign()),
        layers.MaxPooling2D(),
        layers.ZeroPadding2D(),
        larq.layers.QuantConv2D(4, 3, **BINARY),  # Binary inputs.
        larq.quantizers.ApproxSign(),
        layers.Flatten(),
        larq.layers.QuantDense(3, **BINARY),  # Binary inputs.
        larq.layers.QuantDense(2, **BINARY),  # Sums, which are real.
    )
    assert macs(model) == (16 * 144 + 64 * 3, 0, 6)


def test_more_than_two_values_are_real():
    model = sequential(
        larq.layers.QuantConv2D(
            4, 1, input_quantizer="dorefa_quantizer", kernel_quantizer="ste_tern"
        )
    )
    assert macs(model) == (0, 0, 64 * 16)
    assert profile(model).memory_bits == 32 * 20


def test_larqs_separable_convolution_has_real_inputs_inside():
    layer = larq.layers.QuantSeparableConv2D(
        8,
        3,
        input_quantizer="ste_sign",
        depthwise_quantizer="ste_sign",
        pointwise_quantizer="ste_sign",
        depthwise_constraint="weight_clip",
        pointwise_constraint="weight_clip",
    )
    model = sequential(layer)
    assert macs(model) == (36 * 36, 0, 36 * 32)
    assert profile(model).total.binary_parameters == 36 + 32


# --- Models ----------------------------------------------------------------------


def test_shared_weights_count_once_and_calls_each_time():
    first, second = keras.Input((8, 8, 4)), keras.Input((8, 8, 4))
    inner = sequential(
        layers.Conv2D(4, 3, padding="same", name="conv"), layers.ReLU(name="relu")
    )
    inner._name = "inner"
    outputs = [inner(first), inner(inner(second)), first]
    result = profile(keras.Model({"a": first, "b": second}, outputs))
    conv, relu = result.layers
    assert (conv.name, conv.calls, relu.name) == ("inner/conv", 3, "inner/relu")
    assert (conv.parameters, conv.macs) == (148, 3 * 64 * 144)
    assert conv.output_shape == (1, 8, 8, 4)


def test_tied_weights_count_once():
    embedding = layers.Embedding(50, 8)

    class Scores(layers.Layer):
        def __init__(self, embedding):
            super().__init__()
            self.embedding = embedding

        def call(self, inputs):
            return tf.matmul(inputs, self.embedding.embeddings, transpose_b=True)

    result = profile(sequential(embedding, Scores(embedding), shape=(5,)))
    assert (result.parameters, result.macs) == (400, 5 * 8 * 50)


class Subclassed(keras.Model):
    """With weights of its own, control flow, and a layer that is not called."""

    def __init__(self):
        super().__init__()
        self.convolution = layers.Conv2D(3, 3)
        self.blocks = [layers.Dense(4), {"last": layers.Dense(5)}]
        self.unused = layers.Dense(7, name="unused")
        self.unused.build((None, 3))
        self.matrix = self.add_weight(name="matrix", shape=(5, 2))
        self.variable = tf.Variable(tf.ones((2, 2)))

    def call(self, x):
        x = self.convolution(x)
        if tf.reduce_sum(x) > 0:  # Only AutoGraph knows what to do.
            x = 2.0 * x
        x = self.blocks[1]["last"](self.blocks[0](x))
        return {"y": tf.reduce_mean(x, [1, 2]) @ self.matrix @ self.variable, "z": x}


def test_subclassed_models():
    model = Subclassed()
    model(np.zeros((2, 8, 8, 4), "float32"))
    result = profile(model)
    rows = {row.name: row for row in result.layers}
    assert result.macs == 36 * (108 + 12 + 20) + 10 + 4
    assert result.parameters == model.count_params()
    assert (rows["subclassed"].parameters, rows["subclassed"].macs) == (14, 14)
    assert (rows["unused"].calls, rows["unused"].parameters) == (0, 28)
    assert rows["unused"].output_shape is None


def test_functions_that_were_traced_before():
    class Decorated(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(4)

        @tf.function
        def call(self, inputs):
            return self.dense(self.dense(inputs))

    model = Decorated()
    for _ in range(2):
        model(np.zeros((2, 4), "float32"))
    result = profile(model)
    assert (result.macs, result.layers[0].calls) == (32, 2)
    assert not result.not_counted


def stacked(units, **kwargs):
    return layers.RNN([layers.LSTMCell(units), layers.GRUCell(units)], **kwargs)


def bidirectional(units, **kwargs):
    return layers.Bidirectional(layers.GRU(units, **kwargs))


@pytest.mark.parametrize(
    "layer", [layers.LSTM, layers.GRU, layers.SimpleRNN, stacked, bidirectional]
)
def test_recurrent_layers_count_as_if_unrolled(layer):
    expected = profile(sequential(layer(3, unroll=True), shape=(4, 5)))
    result = profile(sequential(layer(3), shape=(4, 5)))
    assert result.macs == expected.macs > 0
    assert result.parameters == expected.parameters > 0
    assert not result.not_counted
    assert not expected.not_counted


class Repeated(layers.Layer):
    """A dense layer, called until its outputs are large."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4, name="inner")

    def call(self, inputs):
        return tf.while_loop(
            lambda x: tf.reduce_sum(x) < 10.0,
            lambda x: (tf.ensure_shape(self.dense(x), x.shape),),
            (inputs,),
        )[0]


def test_layers_in_loops_are_named():
    layer = Repeated(name="outer")
    layer.dense.build((None, 4))
    result = profile(sequential(layer, shape=(4,)))
    assert list(result.not_counted) == ["outer", "outer/inner"]
    assert (result.parameters, result.macs) == (20, 0)


def in_a_loop(x):
    return tf.map_fn(lambda row: tf.linalg.matvec(tf.ones((4, 4)), row), x)


@pytest.mark.parametrize(
    ("layer", "shape", "reason"),
    [
        (layers.ConvLSTM2D(2, 3), (3, 8, 8, 4), "loop"),
        (layers.Lambda(in_a_loop), (4,), "loop"),
        (layers.LocallyConnected1D(3, 2, implementation=3), (6, 4), "SparseTensor"),
    ],
)
def test_what_cannot_be_counted_is_named(layer, shape, reason):
    result = profile(sequential(layer, layers.Flatten(), layers.Dense(2), shape=shape))
    assert list(result.not_counted) == [layer.name]
    assert reason in result.not_counted[layer.name]
    assert result.parameters > 0
    assert result.macs > 0  # Of the dense layer.
    assert "not counted" in str(result)


def test_sizes_that_depend_on_the_data_are_named():
    inputs = keras.Input((4,))
    mask = layers.Lambda(lambda x: tf.boolean_mask(x, x[:, 0] > 0))
    model = keras.Model(inputs, layers.Dense(3, name="dense")(mask(inputs)))
    assert profile(model).not_counted == {"dense": "a size depends on the data"}


def test_products_outside_of_layers_that_know_their_weights():
    hidden = tf.Variable(tf.ones((4, 6)), name="hidden")
    model = sequential(layers.Lambda(lambda x: tf.matmul(x, hidden), name="product"))
    product, variable = profile(model).layers
    assert (product.name, product.macs, product.parameters) == ("product", 64 * 24, 0)
    assert (variable.name, variable.parameters) == ("hidden:0", 24)


def test_layers_without_weights():
    result = profile(sequential(layers.ReLU(), layers.Flatten()))
    assert [row.kind for row in result.layers] == ["ReLU", "Flatten"]
    assert (result.parameters, result.macs, result.operations) == (0, 0, 0)
    assert result.memory_ratio is None
    assert result.operations_ratio is None


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_precision_of_the_computation_changes_nothing(policy):
    def build(policy):
        keras.mixed_precision.set_global_policy(policy)
        model = sequential(
            layers.Conv2D(4, 3), RectifiedConv2D(4, 3), layers.Dense(3, name="dense")
        )
        keras.mixed_precision.set_global_policy("float32")
        return profile(model)

    totals = [build(policy).total, build("float32").total]
    assert totals[0] == totals[1]


def test_batches_and_data_formats_change_nothing():
    def build(shape, **kwargs):
        return sequential(
            layers.Conv2D(6, 3, strides=2, padding="same", **kwargs),
            layers.Conv2DTranspose(3, 3, **kwargs),
            shape=shape,
        )

    last = profile(build((8, 9, 4)))
    first = profile(build((4, 8, 9), data_format="channels_first"))
    assert first.total == last.total
    inputs = keras.Input((8, 9, 4), batch_size=16)
    outputs = layers.Conv2DTranspose(3, 3)(
        layers.Conv2D(6, 3, strides=2, padding="same")(inputs)
    )
    assert profile(keras.Model(inputs, outputs)).total == last.total


def test_look_up_tables_are_no_parameters():
    lookup = layers.StringLookup()
    lookup.adapt(["a", "b"])
    model = keras.Sequential(
        [
            keras.Input((1,), dtype=tf.string),
            lookup,
            layers.CategoryEncoding(3, output_mode="count"),
            layers.Dense(2),
        ]
    )
    assert profile(model).parameters == 8


def test_layers_rounded_to_8_bits():
    quantization = pytest.importorskip("tensorflow_model_optimization").quantization
    model = sequential(
        layers.Conv2D(6, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2DTranspose(4, 3, use_bias=False),
        layers.Flatten(),
        layers.Dense(5),
    )
    annotated = quantization.keras.quantize_model(model)
    result = profile(annotated)
    kernels = 6 * 36 + 4 * 9 * 6 + 5 * 256
    assert result.total.int8_parameters == kernels
    # Biases, gamma and beta; neither ranges nor steps.
    assert result.total.real_parameters == 6 + 12 + 5
    assert result.memory_bits == 8 * kernels + 32 * 23
    assert macs(annotated) == (0, profile(model).macs, 0)
    assert result.operations_ratio == 1
    annotated.predict(np.zeros((1, 8, 8, 4)), verbose=0)


# --- Ways to give a model --------------------------------------------------------


def test_a_training_model_counts_its_student(student):
    assert profile(RBCNModel(student)).layers == profile(student).layers


def test_saved_models(student, tmp_path):
    path = tmp_path / "student.keras"
    student.save(path)
    result = profile(path)
    assert result.layers == profile(student).layers
    assert (result.name, result.file_bytes) == ("student.keras", None)
    other = profile(sequential(layers.Dense(3)), reference=str(path)).full_precision
    assert other.name == "student.keras"
    assert (other.memory_bits, other.operations) == (
        result.memory_bits,
        result.operations,
    )


def test_saved_training_models(student, tmp_path):
    model = RBCNModel(student)
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 8, 8, 32)), np.zeros((2, 4)), verbose=0)
    model.save(tmp_path / "training.keras")
    assert profile(tmp_path / "training.keras").layers == profile(student).layers


def test_the_model_stays_as_it_was(student, images):
    inputs = keras.Input((8, 8, 32))
    model = keras.Model(inputs, tf.nn.relu(student(inputs)))
    before = model(images).numpy()
    calls = [layer.__dict__.get("call") for layer in model.submodules]
    assert any(calls)  # Keras, too, sets it for a function in place of a layer.
    profile(model)
    np.testing.assert_array_equal(model(images), before)
    assert [layer.__dict__.get("call") for layer in model.submodules] == calls
    with pytest.raises(ValueError, match="built"):
        profile(Subclassed())


def test_a_model_that_fails_stays_as_it_was():
    class Failing(keras.layers.Layer):
        def call(self, inputs):
            if not tf.executing_eagerly() and inputs.shape[0] == 1:
                raise RuntimeError("no single samples")
            return inputs

    model = sequential(Failing())
    with pytest.raises(ValueError, match=r"(?s)run on one sample .*no single"):
        profile(model)
    assert "call" not in model.layers[0].__dict__


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "Expected `model_or_path` to be a tf_keras.Model, received"),
        (None, "Expected `model_or_path` to be a tf_keras.Model"),
        (layers.Dense(3), "Expected `model_or_path` to be a tf_keras.Model"),
    ],
)
def test_what_is_no_model(value, message):
    with pytest.raises(TypeError, match=message):
        profile(value)


def test_unbuilt_models_and_undefined_sizes():
    with pytest.raises(ValueError, match="to be built"):
        profile(keras.Sequential([layers.Dense(3)]))
    model = sequential(layers.Conv2D(3, 3), shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"every size of input .*shape=\(None, None"):
        profile(model)
    with pytest.raises(TypeError, match="`reference`"):
        profile(sequential(layers.Dense(3)), reference=3)


@pytest.mark.parametrize("suffix", [".tflite", ".keras"])
def test_missing_files(tmp_path, suffix):
    with pytest.raises(FileNotFoundError, match=f"missing{suffix}"):
        profile(tmp_path / f"missing{suffix}")


def test_files_of_another_kind(tmp_path):
    with pytest.raises(ValueError, match="received a folder"):
        profile(tmp_path)
    with pytest.raises(ValueError, match=r"or the path of a \.tflite or \.keras file"):
        profile(tmp_path / "model.h5")
    (tmp_path / "broken.keras").write_bytes(b"broken")
    with pytest.raises(ValueError, match="damaged or something else"):
        profile(tmp_path / "broken.keras")
