"""RSign and RPReLU, against NumPy."""

import numpy as np
import pytest

from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign

SHAPES = [(3,), (4, 3), (5, 4, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_rsign_contract(check_layer, shape):
    arguments = {"threshold_initializer": "ones"}
    check_layer(RSign, arguments, shape, shape, {"threshold": (3,)})


@pytest.mark.parametrize("shape", SHAPES)
def test_rprelu_contract(check_layer, shape):
    weights = dict.fromkeys(("input_shift", "slope", "output_shift"), (3,))
    arguments = {
        "slope_initializer": "ones",
        "input_shift_initializer": keras.initializers.Constant(0.5),
        "output_shift_initializer": "random_normal",
    }
    check_layer(RPReLU, arguments, shape, shape, weights)


def test_rsign_values_and_gradients():
    random = np.random.default_rng(0)
    x, upstream = random.normal(size=(2, 2, 5, 4, 3))
    threshold = random.normal(size=3)
    layer = RSign()
    layer.build(x.shape)
    np.testing.assert_array_equal(layer.threshold, np.zeros(3))
    layer.threshold.assign(threshold)
    y, on_x, on_threshold = _values_and_gradients(layer, x, upstream, layer.threshold)
    np.testing.assert_allclose(y, x - threshold, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(on_x, upstream, rtol=1e-6)
    np.testing.assert_allclose(on_threshold, -upstream.sum((0, 1, 2)), rtol=1e-4)


def test_rsign_in_front_of_a_rectified_convolution_moves_the_sign():
    threshold, pointwise = RSign("ones"), RectifiedConv2D(1, 1)
    x = tf.constant([0.0, 0.9, 1.0, 1.1, 3.0], shape=(1, 1, 5, 1))
    pointwise.build(x.shape)
    pointwise.latent_kernel.assign([[[[0.5]]]])
    pointwise.scale.assign([1.0])
    # sign(x - 1), and sign(0) is 1.
    outputs = pointwise(threshold(x)).numpy().ravel()
    np.testing.assert_array_equal(outputs, [-1, -1, 1, 1, 1])


@pytest.mark.parametrize("shape", [(6, 3), (2, 6, 3), (2, 5, 4, 3), (2, 2, 3, 2, 3)])
def test_rprelu_values_and_gradients(shape):
    random = np.random.default_rng(1)
    x, upstream = random.normal(size=(2, *shape))
    input_shift, output_shift = random.normal(size=(2, 3))
    slope = np.array([0.25, 1.5, -0.5])
    layer = RPReLU()
    layer.build(shape)
    np.testing.assert_array_equal(layer.slope, np.full(3, 0.25))
    np.testing.assert_array_equal(layer.input_shift, np.zeros(3))
    np.testing.assert_array_equal(layer.output_shift, np.zeros(3))
    layer.input_shift.assign(input_shift)
    layer.output_shift.assign(output_shift)
    layer.slope.assign(slope)
    y, on_x, *on_weights = _values_and_gradients(
        layer, x, upstream, layer.input_shift, layer.slope, layer.output_shift
    )

    shifted = x - input_shift
    positive = shifted > 0
    derivative = np.where(positive, 1.0, slope)
    axes = tuple(range(len(shape) - 1))
    np.testing.assert_allclose(
        y, shifted * derivative + output_shift, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(on_x, upstream * derivative, rtol=1e-5)
    expected = [
        -(upstream * derivative).sum(axes),
        np.where(positive, 0, upstream * shifted).sum(axes),
        upstream.sum(axes),
    ]
    for found, gradient in zip(on_weights, expected, strict=True):
        np.testing.assert_allclose(found, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer_class", [RSign, RPReLU])
def test_unknown_channels_are_refused(layer_class):
    with pytest.raises(ValueError, match=r"last axis.*'open'.*\(None, None\)"):
        layer_class(name="open")(keras.Input((None,)))


def _values_and_gradients(layer, x, upstream, *weights):
    inputs = tf.constant(x, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs)
    upstream = tf.constant(upstream, tf.float32)
    return outputs, *tape.gradient(outputs, [inputs, *weights], upstream)
