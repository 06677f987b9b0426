"""Students whose real layers compute in int8."""

import numpy as np
import pytest

from keras_rbcn import RBCNModel, quantize_real_layers
from keras_rbcn._backend import keras, tf, tfmot
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.quantization import QuantizedLayer

layers = keras.layers


def data(*shape, samples=32):
    return np.random.default_rng(0).normal(size=(samples, *shape)).astype("float32")


def places(model):
    """Where each layer of a model rounds."""
    return {
        layer.name: layer.quantize_config.places
        for layer in model.layers
        if isinstance(layer, QuantizedLayer)
    }


def student():
    """A first convolution, a 1-bit one beside a real shortcut, and a classifier."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="first")(inputs)
    x = entry = layers.BatchNormalization(name="first_bn")(x)
    x = RectifiedConv2D(16, 3, strides=2, padding="same", name="binary")(x)
    x = layers.BatchNormalization(name="binary_bn")(x)
    y = layers.AveragePooling2D(name="pool")(entry)
    y = layers.Conv2D(16, 1, use_bias=False, name="shortcut")(y)
    y = layers.BatchNormalization(name="shortcut_bn")(y)
    x = layers.GlobalAveragePooling2D(name="mean")(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(5, name="last")(x), name="student")


def test_real_layers_read_and_give_8_bits():
    small = quantize_real_layers(student(), data(8, 8, 3))
    assert places(small) == {
        "first": ("inputs",),
        "first_bn": ("outputs",),
        "shortcut": ("inputs",),
        "shortcut_bn": ("outputs",),
        "last": ("inputs", "outputs"),
    }
    assert type(small.get_layer("binary")) is RectifiedConv2D


def test_the_student_stays_as_it_is():
    model, images = student(), data(8, 8, 3)
    before, weights = model(images).numpy(), model.get_weights()
    small = quantize_real_layers(model, images)
    small.get_layer("last").kernel.assign_add(tf.ones((16, 5)))
    np.testing.assert_array_equal(model(images), before)
    for now, then in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_copy_computes_nearly_the_same():
    model, images = student(), data(8, 8, 3)
    small = quantize_real_layers(model, images, name="small")
    assert small.name == "small"
    assert [one.name for one in small.layers] == [one.name for one in model.layers]
    difference = np.abs(small(images) - model(images))
    # A value that is moved over zero changes a sign, and more than it was moved by.
    assert 0 < difference.mean() < 0.02 * np.ptp(model(images))


def rounded(values, low, high):
    """Values as multiples of a scale, from the formula of the paper (eqs. 1 and 13)."""
    scale = (high - low) / 255
    zero_point = np.round(-low / scale)
    steps = np.clip(np.round(values / scale) + zero_point, 0, 255)
    return (steps - zero_point) * scale


def test_a_dense_layer_by_hand():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="last")])
    model.get_layer("last").bias.assign([0.5, -1.0, 0.0, 2.0])
    x = data(6, samples=50)
    kernel, bias = model.get_layer("last").get_weights()
    step = np.abs(kernel).max() / 127
    kernel = np.round(kernel / step) * step
    exact = x @ kernel + bias  # Ranges are those of values that are not rounded.
    inner = rounded(x, x.min(), x.max()) @ kernel + bias
    expected = rounded(inner, exact.min(), exact.max())
    received = quantize_real_layers(model, x)(x).numpy()
    scale = np.ptp(exact) / 255
    # Halves of a step may be rounded either way.
    difference = np.abs(received - expected)
    assert np.mean(difference < 1e-5) > 0.98
    assert difference.max() < 1.01 * scale


def test_kernels_of_convolutions_have_a_scale_for_each_filter():
    model = keras.Sequential([keras.Input((5, 5, 2)), layers.Conv2D(3, 3, name="a")])
    layer = model.get_layer("a")
    layer.kernel.assign(layer.kernel * [1.0, 10.0, 0.01])
    layer = quantize_real_layers(model, data(5, 5, 2)).get_layer("a")
    integers = layer.kernel_integers()
    np.testing.assert_array_equal(np.abs(integers).max((0, 1, 2)), 127)
    scale = np.abs(layer.kernel.numpy()).max((0, 1, 2)) / 127
    np.testing.assert_allclose(integers * scale, layer.kernel, atol=0.51 * scale.max())


def test_ranges_are_those_of_the_data_and_hold_zero():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="last")])
    x = 3 + np.abs(data(4, samples=100))
    layer = quantize_real_layers(model, x, samples=60).get_layer("last")
    assert layer.range_of("inputs") == (0.0, pytest.approx(x[:60].max()))
    assert layer.is_calibrated


@pytest.mark.parametrize(
    ("low", "high", "integers"),
    [(-1, 1, 255), (0, 1, 256), (0, 255, 256), (-128, 127, 256), (-1.99, 2.01, 250)],
)
def test_pixels_stay_apart_however_one_rounds(low, high, integers):
    pixels = np.linspace(low, high, 256, dtype="float32").reshape(-1, 1)
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, name="last")])
    small = quantize_real_layers(model, pixels, int8_inputs=True)
    lowest, highest = small.get_layer("last").range_of("inputs")
    scale = (highest - lowest) / 255
    places = pixels / scale - np.rint(lowest / scale)
    for rounded in (np.rint(places), np.floor(places + 0.5), np.ceil(places - 0.5)):
        assert len(np.unique(np.clip(rounded, 0, 255))) >= integers
    assert (
        len(np.unique(small.get_layer("last").round("inputs", tf.constant(pixels))))
        >= integers
    )


def test_ranges_hold_what_comes_of_signs_that_rounding_flips():
    model = keras.Sequential(
        [
            keras.Input((1, 1, 1)),
            layers.Conv2D(1, 1, use_bias=False, name="first"),
            RectifiedConv2D(1, 1, use_bias=False, name="binary"),
            layers.Flatten(),
            layers.Dense(1, use_bias=False, name="last"),
        ]
    )
    for layer in model.layers:
        layer.set_weights([np.ones_like(weight) for weight in layer.get_weights()])
    # In front of rounding all are negative; behind it, seven are 0, with the sign +1.
    x = np.float32([-1.0] + 7 * [-0.001]).reshape(-1, 1, 1, 1)
    small = quantize_real_layers(model, x)
    low, high = small.get_layer("last").range_of("inputs")
    assert low <= -1 <= 1 <= high
    np.testing.assert_allclose(small(x)[:, 0], [-1] + 7 * [1], atol=0.01)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_values_that_are_not_finite_are_refused(value):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="last")])
    model.get_layer("last").bias.assign([value, 0.0])
    with pytest.raises(ValueError, match="outputs of layer 'last' to be finite on"):
        quantize_real_layers(model, data(4))


def test_values_that_are_all_zero_get_a_range():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(2, activation="relu", name="last")]
    )
    model.get_layer("last").bias.assign([-100.0, -100.0])
    small = quantize_real_layers(model, data(4))
    low, high = small.get_layer("last").range_of("outputs")
    assert high - low > 1e-3
    np.testing.assert_array_equal(small(data(4)), 0)


@pytest.mark.parametrize(
    ("behind", "where"),
    [
        ([], {"a": ("inputs", "outputs")}),
        ([layers.BatchNormalization(name="n")], {"a": ("inputs",), "n": ("outputs",)}),
        (
            [layers.BatchNormalization(name="n"), layers.ReLU(name="r")],
            {"a": ("inputs",), "r": ("outputs",)},
        ),
        (
            [layers.Activation("relu", name="r")],
            {"a": ("inputs",), "r": ("outputs",)},
        ),
        (
            [layers.ReLU(6.0, name="r"), layers.BatchNormalization(name="n")],
            {"a": ("inputs",), "r": ("outputs",)},
        ),
        # What the converter does not take in stays behind.
        ([layers.ReLU(negative_slope=0.1)], {"a": ("inputs", "outputs")}),
        ([layers.ReLU(4.0)], {"a": ("inputs", "outputs")}),
        ([layers.PReLU()], {"a": ("inputs", "outputs")}),
        ([layers.Dropout(0.5)], {"a": ("inputs", "outputs")}),
    ],
)
def test_where_8_bits_end(behind, where):
    first = layers.Conv2D(4, 3, name="a")
    model = keras.Sequential([keras.Input((6, 6, 3)), first, *behind])
    assert places(quantize_real_layers(model, data(6, 6, 3))) == where


@pytest.mark.parametrize(
    ("activation", "where"),
    [
        ("relu", ("inputs", "outputs")),
        (tf.nn.relu6, ("inputs", "outputs")),
        ("softmax", ("inputs", "preactivation")),
        ("tanh", ("inputs", "preactivation")),
    ],
)
def test_own_activations(activation, where):
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, activation=activation, name="a")]
    )
    small = quantize_real_layers(model, data(4))
    assert places(small) == {"a": where}
    # As probabilities and the like they are as fine as they were.
    if activation in ("softmax", "tanh"):
        values = np.unique(small(data(4)).numpy() * 256 % 1)
        assert len(values) > 10


def test_values_that_are_only_moved_are_rounded_once():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="a"),
            layers.MaxPooling2D(),
            layers.ZeroPadding2D(),
            layers.Conv2D(4, 3, name="b"),
            layers.AveragePooling2D(),
            layers.Flatten(),
            layers.Dense(2, name="c"),
        ]
    )
    assert places(quantize_real_layers(model, data(8, 8, 3))) == {
        "a": ("inputs", "outputs"),
        "b": ("outputs",),
        "c": ("inputs", "outputs"),
    }


def test_a_value_that_two_layers_read():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, padding="same", name="a")(inputs)
    y = layers.BatchNormalization(name="n")(x)
    model = keras.Model(inputs, layers.Add()([x, y]))
    found = places(quantize_real_layers(model, data(6, 6, 3)))
    assert found == {"a": ("inputs", "outputs")}


def test_a_layer_that_is_called_twice():
    inputs = keras.Input((6, 6, 3))
    shared = layers.Conv2D(3, 3, padding="same", name="shared")
    model = keras.Model(inputs, shared(RectifiedConv2D(3, 1)(shared(inputs))))
    small = quantize_real_layers(model, data(6, 6, 3))
    assert len(small.get_layer("shared").inbound_nodes) == 2
    assert places(small) == {"shared": ("inputs", "outputs")}


def test_models_within_are_flattened():
    inside = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, name="a")], name="inside"
    )
    inputs = keras.Input((6, 6, 3))
    model = keras.Model(inputs, layers.Flatten()(inside(inputs)))
    assert places(quantize_real_layers(model, data(6, 6, 3))) == {
        "a": ("inputs", "outputs")
    }


class Difference(layers.Layer):
    """Is called on two inputs by position, unlike Keras' own layers."""

    def call(self, minuend, subtrahend):
        return minuend - 2.0 * subtrahend


@pytest.mark.parametrize("by_name", [False, True])
def test_layers_of_several_inputs_are_called_as_before(by_name):
    inputs, images = keras.Input((8, 8, 3)), data(8, 8, 3)
    x = layers.Conv2D(4, 1, name="first")(inputs)
    y = layers.Conv2D(4, 1, name="second")(inputs)
    difference = Difference(name="difference")
    x = difference(x, subtrahend=y) if by_name else difference(x, y)
    model = keras.Model(inputs, x)
    small = quantize_real_layers(model, images)
    np.testing.assert_allclose(small(images), model(images), atol=0.2)
    assert np.std(model(images)) > 1
    if by_name:
        quantize_real_layers(model, images, int8_outputs=True)
        return
    with pytest.raises(ValueError, match="'difference', called on several"):
        quantize_real_layers(model, images, int8_outputs=True)


def test_regularizers_go_on():
    inputs, images = keras.Input((4,)), data(4)
    x = layers.Dense(3, activity_regularizer="l2", kernel_regularizer="l1")(inputs)
    model = keras.Model(inputs, x)
    small = quantize_real_layers(model, images)
    losses = []
    for one in (model, small):
        one(images)
        losses.append(sorted(float(loss) for loss in one.losses))
    assert len(losses[0]) == 2
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 0), (1, -1), (2, 3), (np.nan, 1), (0, np.inf)]
)
def test_what_is_no_range(low, high):
    small = quantize_real_layers(student(), data(8, 8, 3))
    layer = small.get_layer("first")
    before = layer.range_of("inputs")
    with pytest.raises(ValueError, match="range of the inputs of layer 'first'"):
        layer.set_range("inputs", low, high)
    assert layer.range_of("inputs") == before


def test_int8_inputs_and_outputs():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3, name="a"),
            RectifiedConv2D(4, 3, name="b"),
            layers.GlobalAveragePooling2D(name="c"),
        ]
    )
    images = data(8, 8, 3)
    small = quantize_real_layers(model, images, int8_inputs=True, int8_outputs=True)
    assert places(small) == {"a": ("inputs", "outputs"), "c": ("outputs",)}
    assert len(np.unique(small(images))) <= 256


def test_it_is_saved_and_loaded(tmp_path):
    images = data(8, 8, 3)
    small = quantize_real_layers(student(), images)
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_array_equal(loaded(images), small(images))
    assert places(loaded) == places(small)
    assert loaded.get_layer("last").is_calibrated


def test_it_is_trained_on():
    small = quantize_real_layers(student(), data(8, 8, 3))
    x = 2 * data(8, 8, 3, samples=64)
    y = np.random.default_rng(1).integers(0, 5, 64)
    first = small.get_layer("first")
    kernel, range_ = first.kernel.numpy(), first.range_of("inputs")
    model = RBCNModel(small)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, adversarial_weight=0.0)
    losses = model.fit(x, y, batch_size=16, epochs=8, verbose=0).history["task_loss"]
    assert losses[-1] < losses[0]
    assert np.abs(first.kernel.numpy() - kernel).max() > 1e-3
    # Ranges follow the values, slowly; here they are twice as far apart.
    assert first.range_of("inputs")[1] > range_[1]
    before = first.range_of("inputs")
    model.evaluate(x, y, verbose=0)
    assert first.range_of("inputs") == before


def binary_first():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            RectifiedConv2D(4, 3, name="b"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def binary_last():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), layers.Conv2D(4, 3), RectifiedConv2D(4, 3, name="b")]
    )


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (
            lambda: keras.Sequential([keras.Input((8, 8, 3)), RectifiedConv2D(4, 3)]),
            {},
            "to have a layer with a real kernel",
        ),
        (binary_first, {"int8_inputs": True}, "received: 'b' .RectifiedConv2D."),
        (binary_last, {"int8_outputs": True}, "for int8 outputs, received: 'b'"),
        (student, {"samples": 0}, "`samples` to be a positive integer"),
        (student, {"samples": True}, "`samples` to be a positive integer"),
        (student, {"calibration_data": data(8, 8, 3)[:0]}, "it is empty"),
        (student, {"calibration_data": data(8, 8, 3) * np.nan}, "finite numbers"),
        (student, {"calibration_data": data(9, 9, 3)}, "`calibration_data` for input"),
        (lambda: quantize_real_layers(student(), data(8, 8, 3)), {}, "already"),
    ],
)
def test_what_cannot_be_done(build, arguments, message):
    given = {"calibration_data": data(8, 8, 3), **arguments}
    with pytest.raises(ValueError, match=message):
        quantize_real_layers(build(), **given)


def test_layers_that_tfmot_has_wrapped_are_refused():
    model = keras.Sequential(
        [keras.Input((4,)), tfmot.quantize_annotate_layer(layers.Dense(2, name="a"))]
    )
    with pytest.raises(ValueError, match="tensorflow_model_optimization has wrapped"):
        quantize_real_layers(tfmot.quantize_apply(model), data(4))


def test_half_precision_is_refused():
    layer = layers.Dense(2, dtype="mixed_float16", name="half")
    model = keras.Sequential([keras.Input((4,)), layer])
    with pytest.raises(ValueError, match=r"to compute in float32.*'half': 'float16'"):
        quantize_real_layers(model, data(4))


def test_calibration_data_that_the_student_cannot_compute():
    inputs = keras.Input((3,), dtype="int32")
    x = layers.Flatten()(layers.Embedding(5, 2)(inputs))
    model = keras.Model(inputs, layers.Dense(2)(x), name="words")
    tokens = np.zeros((40, 3), "int32")
    tokens[35, 1] = 9
    message = r"(?s)model 'words' can compute.*from 32 to 39.*= 9 is not in \[0, 5\)"
    with pytest.raises(ValueError, match=message):
        quantize_real_layers(model, tokens)
