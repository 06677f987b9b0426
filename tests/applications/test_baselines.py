"""What the blocks compute, against formulas of their own in double precision."""

import numpy as np
import pytest
from small_networks import (
    BASELINES,
    CLASSES,
    NETWORKS,
    SHAPE,
    built,
    built_small,
    small,
)

from keras_rbcn._backend import keras, tf

EPSILON = 1e-5


def randomized(network):
    """A network with weights as if trained, different for every channel."""
    model = built_small(network)
    randomize(model)
    return model


def randomize(model):
    generator = np.random.default_rng(1)
    for weight in model.weights:
        name, shape = weight.name, weight.shape
        if "variance" in name or "gamma" in name:
            value = generator.uniform(0.5, 2.0, shape)
        elif "scale" in name:
            value = generator.uniform(0.05, 0.3, shape)
        elif "kernel" in name:
            value = generator.normal(0, 0.3, shape)
        else:
            value = generator.normal(0, 0.5, shape)
        weight.assign(value)


# ------------------------------------------------------------------ the reference


class Reference:
    """The networks' blocks in NumPy and double precision, from their weights alone."""

    def __init__(self, model):
        self.weights = {
            weight.name.partition(":")[0]: weight.numpy().astype("float64")
            for weight in model.weights
        }

    def convolution(self, x, name, strides=1, padding=0.0):
        return self._convolution(x, self.weights[f"{name}/kernel"], strides, padding)

    def unscaled(self, x, name, strides=1):
        return self._binary(x, name, strides, 1.0)

    def mean_scaled(self, x, name, strides=1):
        kernel = self.weights[f"{name}/kernel"]
        return self._binary(x, name, strides, np.abs(kernel).mean((0, 1, 2)))

    def learned(self, x, name, strides=1):
        return self._binary(x, name, strides, self.weights[f"{name}/scale"])

    def _binary(self, x, name, strides, scale):
        signs = np.where(self.weights[f"{name}/kernel"] >= 0, 1.0, -1.0)
        return scale * self._convolution(np.where(x >= 0, 1.0, -1.0), signs, strides, 1)

    @staticmethod
    def _convolution(x, kernel, strides, padding):
        pads = [(0, 0), (0, 0), (0, 0), (0, 0)]
        for axis in (1, 2):
            size, extent = x.shape[axis], kernel.shape[axis - 1]
            total = max((-(-size // strides) - 1) * strides + extent - size, 0)
            pads[axis] = (total // 2, total - total // 2)
        x = np.pad(x, pads, constant_values=padding)
        return tf.nn.conv2d(x, kernel, strides, "VALID").numpy()

    def normalization(self, x, name):
        gamma, beta, mean, variance = (
            self.weights[f"{name}/{part}"]
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + EPSILON) + beta

    def shortcut(self, x, name, strides):
        if f"{name}_shortcut_conv/kernel" not in self.weights:
            return x
        x = self.convolution(x, f"{name}_shortcut_conv", strides)
        return self.normalization(x, f"{name}_shortcut_bn")

    # The blocks.

    def full_precision(self, x, name, strides):
        y = self.convolution(x, f"{name}_conv1", strides)
        y = np.maximum(self.normalization(y, f"{name}_bn1"), 0)
        y = self.normalization(self.convolution(y, f"{name}_conv2"), f"{name}_bn2")
        return np.maximum(y + self.shortcut(x, name, strides), 0)

    def one_shortcut(self, x, name, strides, convolution):
        y = self.normalization(convolution(x, f"{name}_conv1", strides), f"{name}_bn1")
        y = self.normalization(convolution(y, f"{name}_conv2"), f"{name}_bn2")
        return y + self.shortcut(x, name, strides)

    def bcnn(self, x, name, strides):
        return self.one_shortcut(x, name, strides, self.unscaled)

    def xnornet(self, x, name, strides):
        return self.one_shortcut(x, name, strides, self.mean_scaled)

    def two_shortcuts(self, x, name, strides, convolution):
        y = self.normalization(convolution(x, f"{name}_conv1", strides), f"{name}_bn1")
        y = y + self.shortcut(x, name, strides)
        return y + self.normalization(convolution(y, f"{name}_conv2"), f"{name}_bn2")

    def birealnet(self, x, name, strides):
        return self.two_shortcuts(x, name, strides, self.mean_scaled)

    def rbcn(self, x, name, strides):
        return self.two_shortcuts(x, name, strides, self.learned)

    def reactnet(self, x, name, strides):
        entry = self.shortcut(x, name, strides)
        for index in (1, 2):
            y = x - self.weights[f"{name}_rsign{index}/threshold"]
            y = self.learned(y, f"{name}_conv{index}", strides if index == 1 else 1)
            y = self.normalization(y, f"{name}_bn{index}") + entry
            shift, slope, lift = (
                self.weights[f"{name}_rprelu{index}/{part}"]
                for part in ("input_shift", "slope", "output_shift")
            )
            y = y - shift
            x = entry = np.where(y > 0, y, slope * y) + lift
        return x


def output_of(model, prefix):
    """What the last layer of a block, or of the stem, puts out."""
    return [la for la in model.layers if la.name.startswith(f"{prefix}_")][-1].output


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", NETWORKS)
def test_blocks(network):
    """One block with an identity for its shortcut, and one with a projection."""
    model = randomized(network)
    reference = Reference(model)
    cases = [
        ("stage1_block1", "stage1_block2", 1),
        ("stage1_block3", "stage2_block1", 2),
    ]
    for before, name, strides in cases:
        entry = output_of(model, before)
        part = keras.Model(entry, output_of(model, name))
        x = np.random.default_rng(2).normal(size=(3, *entry.shape[1:]))
        close(part(x.astype("float32")), getattr(reference, network)(x, name, strides))


@pytest.mark.parametrize("network", NETWORKS)
def test_top(network):
    model = randomized(network)
    entry = output_of(model, "stage3_block3")
    x = np.random.default_rng(2).normal(size=(3, *entry.shape[1:]))
    kernel, bias = (w.numpy() for w in model.get_layer("predictions").weights)
    # The last block of these has ended with an activation.
    ended = network in ("full_precision", "reactnet")
    logits = (x if ended else np.maximum(x, 0)).mean((1, 2)) @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    close(keras.Model(entry, model.output)(x.astype("float32")), expected)


@pytest.mark.parametrize("network", ["full_precision", "rbcn", "reactnet"])
@pytest.mark.parametrize("architecture", ["resnet18", "cifar_resnet18"])
def test_stem(architecture, network):
    model = built(architecture, network)
    randomize(model)
    reference = Reference(model)
    x = np.random.default_rng(2).normal(size=(2, *model.input_shape[1:]))
    large = architecture == "resnet18"
    y = reference.convolution(x, "stem_conv", 2 if large else 1)
    y = reference.normalization(y, "stem_bn")
    if network == "full_precision":
        y = np.maximum(y, 0)
    if large:
        y = tf.nn.max_pool2d(y, 3, 2, "SAME")
    part = keras.Model(model.input, output_of(model, "stem"))
    close(part(x.astype("float32")), y)


# ------------------------------------------------------------- scales and gradients

POINTS = np.array([-1.5, -0.75, -0.5, 0.25, 0.75, 1.5], "float32")
INSIDE = np.abs(POINTS) <= 1
STRAIGHT = INSIDE * 1.0
PIECEWISE = INSIDE * (2 - 2 * np.abs(POINTS))
MEAN = np.abs(POINTS).mean()


@pytest.mark.parametrize(
    ("network", "to_inputs", "to_kernel"),
    [
        ("bcnn", STRAIGHT, STRAIGHT),
        ("xnornet", STRAIGHT, MEAN * STRAIGHT),
        ("birealnet", PIECEWISE, MEAN * STRAIGHT),
        ("rbcn", PIECEWISE, STRAIGHT),
        ("reactnet", PIECEWISE, STRAIGHT),
    ],
)
def test_gradients_of_the_signs(network, to_inputs, to_kernel):
    layer = randomized(network).get_layer("stage1_block1_conv1")
    for quantizer, expected in (
        (layer.input_quantizer, to_inputs),
        (layer.kernel_quantizer, to_kernel),
    ):
        # As the kernel of one filter.
        x = tf.constant(POINTS.reshape(1, -1, 1, 1))
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizer(x)
        np.testing.assert_allclose(np.ravel(tape.gradient(y, x)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("network", "factor"),
    [("bcnn", 1), ("xnornet", 2), ("birealnet", 2), ("rbcn", 1), ("reactnet", 1)],
)
def test_only_a_computed_scale_follows_the_kernel(network, factor):
    layer = randomized(network).get_layer("stage2_block1_conv1")
    x = np.random.default_rng(2).normal(size=(2, 8, 8, 6)).astype("float32")
    before = layer(x)
    layer.weights[0].assign(2 * layer.weights[0])
    np.testing.assert_allclose(layer(x), factor * before.numpy(), rtol=1e-5)
    learned = [w.name.rpartition("/")[2] for w in layer.trainable_weights]
    rectified = network in ("rbcn", "reactnet")
    assert learned == (["kernel:0", "scale:0"] if rectified else ["kernel:0"])


@pytest.mark.parametrize("network", NETWORKS)
def test_a_step_of_training(network):
    model = small(network)
    layer = model.get_layer("stage2_block1_conv2")
    latent = layer.weights[0]
    latent.assign(40 * latent)  # Far beyond what the constraint leaves.
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile(
        keras.optimizers.SGD(1.0), "sparse_categorical_crossentropy", run_eagerly=True
    )
    images = np.random.default_rng(0).normal(size=(6, *SHAPE)).astype("float32")
    assert np.isfinite(model.train_on_batch(images, np.arange(6) % CLASSES))
    for weight in model.weights:
        assert np.all(np.isfinite(weight)), weight.name
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert not np.array_equal(weight, old), weight.name
    if network in BASELINES:
        assert np.abs(latent).max() == 1
    # The scales of XNOR-Net and Bi-Real Net are those of the kernel as it is now.
    reference = Reference(model)
    convolution = {
        "full_precision": reference.convolution,
        "bcnn": reference.unscaled,
        "xnornet": reference.mean_scaled,
        "birealnet": reference.mean_scaled,
    }.get(network, reference.learned)
    x = np.random.default_rng(2).normal(size=(2, *layer.input_shape[1:]))
    close(layer(x.astype("float32")), convolution(x, layer.name))
