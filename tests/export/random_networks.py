"""Random small 1-bit networks for the tests of the export."""

from collections.abc import Callable
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st

from keras_rbcn._backend import keras
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign

Choose = Callable[[list[Any]], Any]

GENERATED = hypothesis.settings(
    derandomize=True,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    # A failing network is small enough as it is, and each try takes a second.
    phases=[hypothesis.Phase.generate],
)


def exported(data: Any, seed: int, path: Any, runtime: str) -> Any:
    """A random network that `data` draws, images for it, and the export's report."""
    keras.backend.clear_session()
    model = random_network(lambda options: data.draw(st.sampled_from(options)), seed)
    images = np.random.default_rng(seed).normal(size=(16, *model.input_shape[1:]))
    report = export_tflite(model, path, verify_data=images, runtime=runtime)
    return model, images, report


def assert_same(received: Any, expected: Any) -> None:
    """Judged by other means than by the export's own: two samples may have flips."""
    assert received.shape == expected.shape
    difference = np.abs(received - expected).reshape(len(expected), -1).max(1)
    assert np.sum(difference > 1e-5 * np.abs(expected).max()) <= 2


def random_network(choose: Choose, seed: int) -> Any:
    """A network of one to four rectified convolutions with trained-looking weights.

    Args:
        choose: Returns one of a list of options.
        seed: Seed of the weights.
    """
    size = choose([5, 6, 8, 9])
    inputs = keras.Input((size, size + choose([0, 2]), choose([1, 3, 4])))
    x = inputs
    if choose([True, False]):
        x = keras.layers.Conv2D(choose([4, 16, 33]), 3, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    for _ in range(choose([1, 2, 3, 4])):
        x = random_block(choose, x)
    head = choose(["dense", "pooled", "map"])
    if head == "dense":
        x = keras.layers.Dense(5)(keras.layers.Flatten()(x))
    elif head == "pooled":
        x = keras.layers.GlobalAveragePooling2D()(x)
        x = keras.layers.Dense(10, activation=choose([None, "softmax"]))(x)
    model = keras.Model(inputs, x)
    randomize(model, seed)
    return model


def random_block(choose: Choose, x: Any) -> Any:
    """One rectified convolution and what may stand around it."""
    entry = x
    if choose([True, False]):
        x = RSign()(x)
    smallest = min(x.shape[1:3])
    kernel = choose([1, 3, (1, 3)] if smallest >= 3 else [1])
    padding = choose(["same", "same", "valid"])
    if smallest < 5:
        padding = "same"
    strides, dilation = choose([(1, 1), (1, 1), (2, 1), (1, 2)])
    if padding == "valid" and dilation == 2 and smallest < 6:
        dilation = 1
    # What the device computes otherwise is a test of its own: zero padding around a
    # map smaller than the kernel, or right in front of the next sign.
    extent = (max(np.ravel(kernel)) - 1) * dilation + 1
    zero_padded = extent <= smallest and choose([False, False, False, True])
    x = RectifiedConv2D(
        choose([1, 4, 8, 31, 32, 40, 65]),
        kernel,
        strides=strides,
        dilation_rate=dilation,
        padding=padding,
        pad_values=0.0 if zero_padded else 1.0,
        scale=choose(["channel", "channel", "layer"]),
        use_bias=choose([False, False, True]),
        activation=None if zero_padded else choose([None, None, None, "relu"]),
        input_quantizer=choose(["approx_sign", "ste_sign", "swish_sign"]),
        kernel_quantizer=choose(["approx_sign", "ste_sign"]),
    )(x)
    if zero_padded or choose([True, True, False]):
        x = keras.layers.BatchNormalization()(x)
    after = choose(["nothing", "relu", "prelu", "rprelu", "pool", "shortcut"])
    if after == "relu":
        # Signs behind a ReLU are all +1 without a threshold.
        x = RSign()(keras.layers.ReLU()(x))
    elif after == "prelu":
        x = keras.layers.PReLU(shared_axes=(1, 2))(x)
    elif after == "rprelu":
        x = RPReLU()(x)
    elif after == "pool" and min(x.shape[1:3]) >= 2:
        x = keras.layers.MaxPooling2D()(x)
    elif after == "shortcut" and x.shape == entry.shape:
        x = keras.layers.Add()([x, entry])
    return x


def randomize(model: Any, seed: int) -> None:
    """Draws all weights anew, as if the model had been trained.

    Statistics of batch normalisation, thresholds and slopes are spread, and a part of
    the scales is negative.
    """
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        values = []
        for weight in layer.weights:
            name = weight.name.rpartition("/")[2]
            shape = weight.shape
            if "variance" in name or "gamma" in name:
                value = generator.uniform(0.5, 2.0, shape)
            elif "scale" in name:
                signs = np.where(generator.uniform(size=shape) < 0.2, -1.0, 1.0)
                value = generator.uniform(0.05, 0.3, shape) * signs
            elif "kernel" in name:
                value = generator.normal(0, 0.3, shape)
            else:
                value = generator.normal(0, 0.5, shape)
            values.append(value)
        layer.set_weights(values)
