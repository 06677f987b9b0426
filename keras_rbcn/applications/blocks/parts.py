"""The parts that the blocks of all networks have in common."""

from __future__ import annotations

import abc
from typing import Any

import larq

from keras_rbcn._backend import keras

# As ResNets are usually trained. With Keras' momentum of 0.99 the moving statistics lag
# behind in trainings of a few hundred steps.
MOMENTUM = 0.9
EPSILON = 1e-5


class Blocks(abc.ABC):
    """What the networks of one architecture differ in.

    Convolutions, and the batch normalisations behind them, have the same names in all
    of them, so that weights are copied and feature maps are paired by name.
    """

    @abc.abstractmethod
    def block(self, x: Any, filters: int, strides: int, name: str) -> Any:
        """A residual block of two 3x3 convolutions, the first one with strides."""

    def stem_activation(self, x: Any) -> Any:
        """What follows the batch normalisation of the first convolution."""
        return x

    def final_activation(self, x: Any) -> Any:
        """What stands between the last block and the pooling over the whole map."""
        return keras.layers.ReLU(name="final_relu")(x)


def convolution(x: Any, filters: int, size: int, strides: int, name: str) -> Any:
    """A real convolution without a bias, as a batch normalisation follows."""
    layer = keras.layers.Conv2D(
        filters, size, strides, padding="same", use_bias=False, name=name
    )
    return layer(x)


def binary_convolution(
    x: Any,
    filters: int,
    strides: int,
    name: str,
    input_quantizer: str,
    kernel_quantizer: str,
) -> Any:
    """A 1-bit 3x3 convolution as larq has it, padded with ones."""
    layer = larq.layers.QuantConv2D(
        filters,
        3,
        strides,
        padding="same",
        pad_values=1.0,
        use_bias=False,
        input_quantizer=input_quantizer,
        kernel_quantizer=kernel_quantizer,
        kernel_constraint="weight_clip",
        name=name,
    )
    return layer(x)


def normalization(x: Any, name: str) -> Any:
    """A batch normalisation, with the same settings everywhere."""
    layer = keras.layers.BatchNormalization(
        momentum=MOMENTUM, epsilon=EPSILON, name=name
    )
    return layer(x)


def shortcut(x: Any, filters: int, strides: int, name: str) -> Any:
    """A block's shortcut: its inputs, or their projection where shapes differ."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    x = convolution(x, filters, 1, strides, f"{name}_shortcut_conv")
    return normalization(x, f"{name}_shortcut_bn")


def add(x: Any, y: Any, name: str) -> Any:
    """The sum of two feature maps."""
    return keras.layers.Add(name=name)([x, y])
