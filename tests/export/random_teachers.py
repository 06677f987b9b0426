"""Random small full-precision networks, and 1-bit students that are made of them."""

from typing import Any

from random_networks import Choose, randomize

from keras_rbcn import binarize
from keras_rbcn._backend import keras

layers = keras.layers


def random_binarized(choose: Choose, seed: int, style: str) -> Any:
    """A student of `binarize` with trained-looking weights.

    Args:
        choose: Returns one of a list of options.
        seed: Seed of the weights.
        style: The style of the student's blocks.
    """
    teacher = random_teacher(choose)
    randomize(teacher, seed)
    student = binarize(teacher, style)
    randomize(student, seed + 1)
    return student


def random_teacher(choose: Choose) -> Any:
    """A network of a first convolution, one to three blocks and a classifier."""
    inputs = keras.Input((choose([6, 8]), choose([6, 8]), choose([1, 3])))
    x = convolution(inputs, choose([4, 8]), choose([1, 1, 2]))
    for _ in range(choose([1, 2, 3])):
        x = BLOCKS[choose(sorted(BLOCKS))](choose, x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(choose([3, 10]))(x))


def convolution(
    x: Any, filters: int, strides: int = 1, activation: Any = "relu"
) -> Any:
    """A convolution and batch normalisation, and maybe an activation."""
    x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return x if activation is None else layers.Activation(activation)(x)


def plain(choose: Choose, x: Any) -> Any:
    """As of VGG."""
    padded = choose([False, False, True]) and x.shape[1] > 2
    if padded:
        x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(
        choose([8, 16, x.shape[-1]]),
        3,
        padding="valid" if padded else "same",
        activation=choose([None, "relu"]),
    )(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation(choose(["relu", "relu6", "swish", "tanh"]))(x)
    pooling = choose([None, layers.MaxPooling2D, layers.AveragePooling2D])
    return x if pooling is None or min(x.shape[1:3]) < 4 else pooling()(x)


def residual(choose: Choose, x: Any) -> Any:
    """As of ResNet."""
    strides = choose([1, 1, 2]) if min(x.shape[1:3]) >= 4 else 1
    filters = choose([x.shape[-1], 8, 16])
    y = convolution(convolution(x, filters, strides), filters, activation=None)
    if strides > 1 or filters != x.shape[-1]:
        x = layers.Conv2D(filters, 1, strides, use_bias=False)(x)
        x = layers.BatchNormalization()(x)
    return layers.ReLU()(layers.Add()([x, y]))


def dense(choose: Choose, x: Any) -> Any:
    """As of DenseNet, the normalisation and the activation first."""
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(choose([4, 8]), choose([1, 3]), padding="same")(y)
    return layers.Concatenate()([x, y])


def separable(choose: Choose, x: Any) -> Any:
    """As of MobileNet."""
    x = layers.DepthwiseConv2D(3, choose([1, 2]), padding="same")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Conv2D(choose([8, 16]), 1)(x)
    return layers.ReLU()(layers.BatchNormalization()(x))


def shared(choose: Choose, x: Any) -> Any:
    """One convolution that is called twice."""
    layer = layers.Conv2D(x.shape[-1], 3, padding="same")
    x = layers.ReLU()(layers.BatchNormalization()(layer(x)))
    return layers.ReLU()(layers.BatchNormalization()(layer(x)))


BLOCKS = {
    "dense": dense,
    "plain": plain,
    "residual": residual,
    "separable": separable,
    "shared": shared,
}
