"""Random small 1-bit networks for the tests of the export."""

from collections.abc import Callable
from typing import Any

import larq
import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign

Choose = Callable[[list[Any]], Any]


def random_network(choose: Choose, seed: int, real: bool = False) -> Any:
    """A network of one to four 1-bit convolutions with trained-looking weights.

    Args:
        choose: Returns one of a list of options.
        seed: Seed of the weights.
        real: Whether it begins with a real layer, and has more between.
    """
    size = choose([5, 6, 8, 9])
    shape = (size, size + choose([0, 2]), choose([1, 3, 4]))
    inputs = [keras.Input(shape) for _ in range(choose([1, 1, 1, 1, 2]))]
    ways = [random_entry(choose, x, real) for x in inputs]
    x = ways[0] if len(ways) == 1 else keras.layers.Concatenate()(ways)
    maps = []
    for _ in range(choose([1, 2, 3, 4])):
        x = random_block(choose, x)
        if real and choose([True, False]):
            x = random_real_block(choose, x)
        maps.append(x)
    outputs = [random_head(choose, x)]
    if choose([False, False, False, True]):
        outputs.append(random_head(choose, choose(maps)))
    model = keras.Model(inputs, outputs)
    randomize(model, seed)
    if real and choose([False, False, True]):
        silence(model)
    return model


def random_entry(choose: Choose, x: Any, real: bool) -> Any:
    """What an input passes in front of the first 1-bit convolution."""
    if real or choose([True, False]):
        x = keras.layers.Conv2D(choose([4, 16, 33]), 3, padding="same")(x)
    return keras.layers.BatchNormalization()(x)


def random_head(choose: Choose, x: Any) -> Any:
    """One of the model's outputs."""
    head = choose(["dense", "pooled", "map"])
    if head == "dense":
        return keras.layers.Dense(5)(keras.layers.Flatten()(x))
    if head == "pooled":
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.layers.Dense(10, activation=choose([None, "softmax"]))(x)
    return x


def random_block(choose: Choose, x: Any) -> Any:
    """One 1-bit convolution, or one that is called twice, and what may be around it."""
    entry = x
    if choose([True, False]):
        x = RSign()(x)
    layer = random_convolution(choose, x)
    x = layer(x)
    normalized = getattr(layer, "pad_values", 1.0) == 0.0 or choose([True, True, False])
    if normalized:
        x = keras.layers.BatchNormalization()(x)
    if x.shape == entry.shape and choose([False, False, False, True]):
        x = layer(x)  # The same weights once more.
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


def random_convolution(choose: Choose, x: Any) -> Any:
    """A 1-bit convolution for a feature map: a rectified one, or one of plain larq."""
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
    arguments = {
        "filters": choose([1, 4, 8, 31, 32, 40, 65]),
        "kernel_size": kernel,
        "strides": strides,
        "dilation_rate": dilation,
        "padding": padding,
        "pad_values": 0.0 if zero_padded else 1.0,
        "use_bias": choose([False, False, True]),
        "activation": None if zero_padded else choose([None, None, None, "relu"]),
        "input_quantizer": choose(["approx_sign", "ste_sign", "swish_sign"]),
    }
    if choose([True, True, True, False]):
        return RectifiedConv2D(
            scale=choose(["channel", "channel", "layer"]),
            kernel_quantizer=choose(["approx_sign", "ste_sign"]),
            **arguments,
        )
    # As in BCNN, and with the scale of XNOR-Net and Bi-Real Net.
    return larq.layers.QuantConv2D(
        kernel_quantizer=choose(["approx_sign", "ste_sign", "magnitude_aware_sign"]),
        kernel_constraint=choose([None, "weight_clip"]),
        **arguments,
    )


def random_real_block(choose: Choose, x: Any) -> Any:
    """A real layer and what may stand around it."""
    entry, smallest = x, min(x.shape[1:3])
    before = choose(["nothing", "average", "largest", "zeros", "relu"])
    if before == "average" and smallest >= 2:
        x = keras.layers.AveragePooling2D(2, padding=choose(["valid", "same"]))(x)
    elif before == "largest" and smallest >= 2:
        x = keras.layers.MaxPooling2D(2, strides=choose([1, 2]))(x)
    elif before == "zeros":
        x = keras.layers.ZeroPadding2D(1)(x)
    elif before == "relu":
        x = keras.layers.ReLU()(x)
    activation = choose([None, None, "relu", "tanh", "relu6"])
    activation = tf.nn.relu6 if activation == "relu6" else activation
    strides = choose([1, 1, 2])
    kind = choose(["convolution"] * 4 + ["depthwise", "depthwise", "transposed"])
    if kind == "convolution":
        x = keras.layers.Conv2D(
            choose([4, 8, 33, entry.shape[-1]]),
            choose([1, 3]),
            strides,
            padding="same",
            dilation_rate=2 if strides == 1 and choose([False, False, True]) else 1,
            activation=activation,
            use_bias=choose([True, False]),
        )(x)
    elif kind == "depthwise":
        x = keras.layers.DepthwiseConv2D(
            3, strides, padding="same", activation=activation
        )(x)
    else:
        x = keras.layers.Conv2DTranspose(
            choose([4, 33]), 3, strides, padding="same", activation=activation
        )(x)
    for after in choose([[], ["norm"], ["norm", "relu"], ["norm", "prelu"], ["relu"]]):
        if after == "norm":
            x = keras.layers.BatchNormalization()(x)
        elif after == "prelu":
            x = keras.layers.PReLU(shared_axes=(1, 2))(x)
        else:
            x = keras.layers.ReLU(choose([None, 6.0]))(x)
    if x.shape == entry.shape and choose([True, False]):
        x = keras.layers.Add()([x, entry])
    elif x.shape[1:3] == entry.shape[1:3] and choose([False, False, True]):
        x = keras.layers.Concatenate()([x, entry])
    # Signs behind a ReLU are all +1 without a threshold.
    return keras.layers.BatchNormalization()(x)


def silence(model: Any) -> None:
    """Lets the first filter of each real convolution be dead, as pruning does."""
    for layer in model.layers:
        if type(layer) is keras.layers.Conv2D and layer.filters > 1:
            kernel, *biases = layer.get_weights()
            kernel[..., 0] = 0.0
            for bias in biases:
                bias[0] = 0.0
            layer.set_weights([kernel, *biases])


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
