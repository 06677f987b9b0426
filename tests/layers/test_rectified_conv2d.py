"""RectifiedConv2D, against a convolution of signs in NumPy's float64."""

import larq
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.layers.rectified_conv2d import EXPORTABLE_QUANTIZERS


def _sign(values):
    return np.where(values >= 0, 1.0, -1.0)


# Of signs, by larq's names.
SIGN_GRADIENTS = {
    # The paper's equation 3.68.
    "approx_sign": lambda x: np.where(np.abs(x) <= 1, 2 - 2 * np.abs(x), 0.0),
    "ste_sign": lambda x: np.where(np.abs(x) <= 1, 1.0, 0.0),
}
DEFAULT_GRADIENTS = ("approx_sign", "ste_sign")  # Of inputs, and of kernels.


def _patch_indices(size, kernel, stride, dilation, padding):
    """Rows of input positions that each output position sees, and the padding."""
    reach = (kernel - 1) * dilation + 1
    if padding == "same":
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + reach - size, 0)
        before, after = total // 2, total - total // 2
    else:
        outputs, before, after = (size - reach) // stride + 1, 0, 0
    indices = np.arange(outputs)[:, None] * stride + np.arange(kernel) * dilation
    return indices, (before, after)


class Reference:
    """conv(sign(x), sign(W)) * C + b, and its gradients to all four."""

    def __init__(self, x, kernel, scale, bias, layer):
        self.x, self.kernel, self.scale = x, kernel, scale
        names = ("input_quantizer", "kernel_quantizer")
        self.sign_gradients = [
            SIGN_GRADIENTS[layer.get(name, default)]
            for name, default in zip(names, DEFAULT_GRADIENTS, strict=True)
        ]
        geometry = zip(
            x.shape[1:3],
            kernel.shape[:2],
            layer["strides"],
            layer["dilation_rate"],
            strict=True,
        )
        (self.rows, rows_padding), (self.columns, columns_padding) = (
            _patch_indices(*axis, layer["padding"]) for axis in geometry
        )
        self.padding = ((0, 0), rows_padding, columns_padding, (0, 0))
        padded = np.pad(_sign(x), self.padding, constant_values=layer["pad_values"])
        # Shape (batch, rows, kernel height, columns, kernel width, channels).
        self.patches = padded[:, self.rows][:, :, :, self.columns]
        self.padded_shape = padded.shape
        self.sums = np.einsum("nrhcwi,hwio->nrco", self.patches, _sign(kernel))
        self.outputs = self.sums * scale + (0 if bias is None else bias)

    def gradients(self, upstream):
        """To inputs, latent kernel, scale and bias."""
        on_sums = upstream * self.scale
        kernel = np.einsum("nrhcwi,nrco->hwio", self.patches, on_sums)
        on_patches = np.einsum("nrco,hwio->nrhcwi", on_sums, _sign(self.kernel))
        padded = np.zeros(self.padded_shape)
        for row, height in np.ndindex(self.rows.shape):
            for column, width in np.ndindex(self.columns.shape):
                padded[:, self.rows[row, height], self.columns[column, width]] += (
                    on_patches[:, row, height, column, width]
                )
        (_, _), (top, _), (left, _), (_, _) = self.padding
        inside = padded[:, top:, left:][:, : self.x.shape[1], : self.x.shape[2]]
        scale = np.sum(upstream * self.sums, axis=(0, 1, 2))
        of_inputs, of_kernel = self.sign_gradients
        return {
            "inputs": inside * of_inputs(self.x),
            "kernel": kernel * of_kernel(self.kernel),
            "scale": scale if self.scale.ndim else scale.sum(),
            "bias": upstream.sum(axis=(0, 1, 2)),
        }


@st.composite
def _cases(draw):
    def pair(high):
        return st.tuples(st.integers(1, high), st.integers(1, high))

    kernel_size, (channels, filters) = draw(pair(3)), draw(pair(4))
    strided = draw(st.booleans())  # Strides and dilation exclude each other.
    layer = {
        "filters": filters,
        "kernel_size": kernel_size,
        "strides": draw(pair(3)) if strided else (1, 1),
        "dilation_rate": (1, 1) if strided else draw(pair(2)),
        "padding": draw(st.sampled_from(["valid", "same"])),
        "pad_values": draw(st.sampled_from([1.0, 0.0])),
        "scale": draw(st.sampled_from(["channel", "layer"])),
        "use_bias": draw(st.booleans()),
    }
    for name in ("input_quantizer", "kernel_quantizer"):
        if draw(st.booleans()):  # Else that of the layer.
            layer[name] = draw(st.sampled_from(sorted(SIGN_GRADIENTS)))
    size = draw(st.tuples(st.integers(2, 7), st.integers(2, 7)))
    reach = [
        (k - 1) * d + 1
        for k, d in zip(kernel_size, layer["dilation_rate"], strict=True)
    ]
    assume(layer["padding"] == "same" or all(np.array(reach) <= size))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Multiples of 1/4 hit what matters: 0, -0.0, both ends of the gradient's support.
    x = random.integers(-6, 7, (2, *size, channels)) / 4.0
    x[0, 0, 0, 0] = -0.0
    kernel = random.integers(-4, 5, (*kernel_size, channels, filters)) / 4.0
    scale = random.uniform(-1, 1, (filters,) if layer["scale"] == "channel" else ())
    bias = random.normal(size=filters) if layer["use_bias"] else None
    return layer, x, kernel, np.asarray(scale), bias, random


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    # Each example sets all that it depends on.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=_cases())
def test_forward_and_gradients_are_those_of_the_reference(case):
    arguments, x, kernel, scale, bias, random = case
    reference = Reference(x, kernel, scale, bias, arguments)
    layer = RectifiedConv2D(**arguments)
    layer.build(x.shape)
    layer.latent_kernel.assign(kernel)
    layer.scale.assign(scale)
    if bias is not None:
        layer.bias.assign(bias)

    inputs = tf.constant(x, tf.float32)
    upstream = random.normal(size=reference.outputs.shape)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    sources = {"inputs": inputs, "kernel": layer.kernel, "scale": layer.scale}
    if bias is not None:
        sources["bias"] = layer.bias
    found = tape.gradient(outputs, sources, tf.constant(upstream, tf.float32))

    np.testing.assert_allclose(outputs, reference.outputs, rtol=1e-5, atol=1e-5)
    expected = reference.gradients(upstream)
    for name, gradient in found.items():
        np.testing.assert_allclose(
            gradient, expected[name], rtol=1e-4, atol=1e-4, err_msg=name
        )


@pytest.mark.parametrize(
    ("arguments", "output_shape", "weights"),
    [
        (
            {"padding": "same"},
            (6, 5, 4),
            {"kernel": (3, 3, 3, 4), "scale": (4,)},
        ),
        (
            {
                "scale": "layer",
                "strides": (2, 1),
                "use_bias": True,
                "input_quantizer": "ste_sign",
                "kernel_quantizer": larq.quantizers.SwishSign(beta=3.0),
                "activation": "tanh",
            },
            (2, 3, 4),
            {"kernel": (3, 3, 3, 4), "scale": (), "bias": (4,)},
        ),
    ],
)
def test_layer_contract(check_layer, arguments, output_shape, weights):
    check_layer(
        RectifiedConv2D,
        {"filters": 4, "kernel_size": 3, **arguments},
        (6, 5, 3),
        output_shape,
        weights,
    )


@pytest.mark.parametrize(("scale", "axes"), [("channel", (0, 1, 2)), ("layer", None)])
def test_scale_is_mean_of_absolute_kernel(scale, axes):
    layer = RectifiedConv2D(4, 3, scale=scale)
    layer.build((None, 8, 8, 2))
    kernel, initial = layer.latent_kernel.numpy(), layer.scale.numpy()
    np.testing.assert_allclose(initial, abs(kernel).mean(axes), rtol=1e-6)

    copied = np.random.default_rng(0).uniform(-1, 1, kernel.shape)
    layer.latent_kernel.assign(copied)
    np.testing.assert_array_equal(layer.scale, initial)  # Only on demand.
    layer.reset_scale()
    np.testing.assert_allclose(layer.scale, abs(copied).mean(axes), rtol=1e-6)


def test_scale_can_be_reset_after_set_weights():
    layer = RectifiedConv2D(4, 3)
    layer.build((None, 8, 8, 2))
    kernel = np.random.default_rng(0).uniform(-1, 1, (3, 3, 2, 4)).astype("float32")
    weights = {"kernel": kernel, "scale": np.full(4, 7.0)}
    names = [w.name.split("/")[-1].split(":")[0] for w in layer.weights]
    layer.set_weights([weights[name] for name in names])
    np.testing.assert_array_equal(layer.latent_kernel, kernel)
    np.testing.assert_array_equal(layer.scale, np.full(4, 7.0))
    layer.reset_scale()
    np.testing.assert_allclose(layer.scale, abs(kernel).mean((0, 1, 2)), rtol=1e-6)


def test_scale_cannot_be_reset_before_build():
    with pytest.raises(ValueError, match="'early' to be built"):
        RectifiedConv2D(4, 3, name="early").reset_scale()


@pytest.mark.parametrize("gradient", ["straight_through", "full"])
@pytest.mark.parametrize("scale", ["channel", "layer"])
@pytest.mark.parametrize("quantizer", SIGN_GRADIENTS)
def test_kernel_loss_follows_the_formulas(gradient, scale, quantizer):
    layer = RectifiedConv2D(3, 2, scale=scale, kernel_quantizer=quantizer)
    layer.build((None, 8, 8, 2))
    random = np.random.default_rng(5)
    kernel = random.uniform(-1, 1, (2, 2, 2, 3))
    factor = random.uniform(0.1, 1, layer.scale.shape)
    layer.latent_kernel.assign(kernel)
    layer.scale.assign(factor)
    with tf.GradientTape() as tape:
        loss = layer.kernel_loss(gradient)
    on_kernel, on_scale = tape.gradient(loss, [layer.kernel, layer.scale])

    residual = kernel - factor * _sign(kernel)
    direct = residual if gradient == "full" else 0.0
    expected = direct - residual * factor * SIGN_GRADIENTS[quantizer](kernel)
    axes = (0, 1, 2) if scale == "channel" else None
    np.testing.assert_allclose(loss, 0.5 * np.sum(residual**2), rtol=1e-5)
    np.testing.assert_allclose(on_kernel, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        on_scale, -np.sum(residual * _sign(kernel), axis=axes), rtol=1e-4, atol=1e-5
    )


def test_latent_kernel_stays_between_minus_one_and_one():
    model = keras.Sequential([keras.Input((6, 6, 2)), RectifiedConv2D(4, 3)])
    model.compile(keras.optimizers.SGD(1e3), "mse")
    random = np.random.default_rng(0)
    model.fit(random.normal(size=(8, 6, 6, 2)), np.ones((8, 4, 4, 4)), verbose=0)
    kernel = model.layers[0].latent_kernel.numpy()
    assert np.abs(kernel).max() == 1.0  # The step was large enough to be clipped.


def test_model_without_input_shape_is_built_by_fit():
    model = keras.Sequential([RectifiedConv2D(4, 3)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 6, 6, 2)), np.ones((4, 4, 4, 4)), verbose=0)
    assert model.layers[0].scale.shape == (4,)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("scale", ["channel", "layer"])
def test_mixed_precision_keeps_latent_kernel_and_scale_in_float32(policy, scale):
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    layers = []
    for dtype in ("float32", policy):
        layer = RectifiedConv2D(4, 3, padding="same", scale=scale, dtype=dtype)
        symbolic = keras.Input(x.shape[1:])
        layer(symbolic)  # Here Keras reads variables in half precision.
        layers.append(layer)
    full, mixed = layers
    axes = (0, 1, 2) if scale == "channel" else None
    np.testing.assert_allclose(
        mixed.scale, abs(mixed.latent_kernel.numpy()).mean(axes), rtol=1e-2
    )
    full.set_weights(mixed.get_weights())
    np.testing.assert_allclose(
        tf.cast(mixed(x), tf.float32), full(x), rtol=1e-2, atol=1e-2
    )
    np.testing.assert_allclose(mixed.kernel_loss(), full.kernel_loss(), rtol=1e-6)
    with tf.GradientTape() as tape:
        loss = mixed.kernel_loss() + tf.reduce_sum(tf.cast(mixed(x), tf.float32))
    gradients = tape.gradient(loss, mixed.trainable_weights)
    assert [g.dtype for g in gradients] == [tf.float32] * 2


@pytest.mark.parametrize("argument", ["input_quantizer", "kernel_quantizer"])
@pytest.mark.parametrize("name", sorted(EXPORTABLE_QUANTIZERS))
@pytest.mark.parametrize("as_instance", [False, True])
def test_exportable_quantizers_are_accepted(argument, name, as_instance):
    quantizer = EXPORTABLE_QUANTIZERS[name]() if as_instance else name
    layer = RectifiedConv2D(2, 3, **{argument: quantizer})
    assert type(getattr(layer, argument)) is EXPORTABLE_QUANTIZERS[name]


class _ScaledSign(larq.quantizers.SteSign):
    """Computes what the converter does not expect of a SteSign."""

    def call(self, inputs):
        return 2.0 * super().call(inputs)


@pytest.mark.parametrize("argument", ["input_quantizer", "kernel_quantizer"])
@pytest.mark.parametrize(
    "quantizer",
    [
        "ste_tern",
        "dorefa_quantizer",
        "ste_heaviside",
        "magnitude_aware_sign",
        "no_such_quantizer",
        None,
        3,
        tf.sign,
        lambda x: x,
        larq.quantizers.SteSign,
        _ScaledSign(),
        larq.quantizers.SteTern(),
    ],
)
def test_do_not_accept_quantizers_that_cannot_be_exported(argument, quantizer):
    with pytest.raises(ValueError, match=f"`{argument}`.*approx_sign.*Received"):
        RectifiedConv2D(2, 3, **{argument: quantizer})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": 2}, "`groups` to be 1.*groups=2"),
        ({"data_format": "channels_first"}, "channels_last.*'channels_first'"),
        ({"padding": "causal"}, "'valid' or 'same'.*'causal'"),
        ({"padding": None}, "'valid' or 'same'.*None"),
        ({"pad_values": -1}, r"1\.0 or 0\.0.*pad_values=-1"),
        ({"pad_values": 0.5}, r"1\.0 or 0\.0.*pad_values=0\.5"),
        ({"pad_values": np.ones(2)}, r"1\.0 or 0\.0.*pad_values=array"),
        ({"pad_values": tf.constant(1.0)}, r"1\.0 or 0\.0.*pad_values="),
        ({"scale": "kernel"}, "'channel', 'layer'.*scale='kernel'"),
        ({"scale": None}, "'channel', 'layer'.*scale=None"),
        ({"strides": 2, "dilation_rate": 2}, "strides > 1.*dilation_rate > 1"),
    ],
)
def test_do_not_accept_what_cannot_be_exported(arguments, message):
    with pytest.raises(ValueError, match=message):
        RectifiedConv2D(2, 3, **arguments)


def test_do_not_accept_channels_first_from_the_keras_configuration():
    keras.backend.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last"):
            RectifiedConv2D(2, 3)
    finally:
        keras.backend.set_image_data_format("channels_last")


def test_a_layer_is_configured_the_same_whatever_was_built_before():
    configs = [RectifiedConv2D(4, 3, name="rc").get_config() for _ in range(2)]
    assert configs[0] == configs[1]
