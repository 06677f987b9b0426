"""The network of the demo, for teacher and students alike."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import larq

from keras_rbcn._backend import keras

STAGES = (32, 64)
CONVOLUTIONS_PER_STAGE = 2
# An epoch has but a few dozen steps: with Keras' 0.99 the moving statistics would lag
# behind the weights for most of the training.
MOMENTUM = 0.9


def build_network(
    convolution: Callable[..., Any],
    name: str,
    activation: bool = False,
    input_shape: tuple[int, int, int] = (8, 8, 1),
    classes: int = 10,
) -> Any:
    """Builds a residual network of two stages, 32 and 64 channels wide.

    First convolution, shortcut convolution and last layer are always real; around each
    of the four others lies a shortcut. All layers are named, the same for each
    `convolution`, so that weights are copied and feature maps are paired by name.

    Args:
        convolution: Builds the four inner convolutions: `keras.layers.Conv2D` for a
            teacher, `RectifiedConv2D` or `plain_convolution` for a 1-bit student.
        name: Name of the model.
        activation: Whether a ReLU follows each addition. Leave it out in students:
            behind a ReLU, sign() is +1 everywhere.
        input_shape: Height, width and channels of the images.
        classes: Number of classes.

    Returns:
        A Keras model from `(batch, *input_shape)` to logits `(batch, classes)`.

    Example:
        >>> from keras_rbcn.layers import RectifiedConv2D
        >>> build_network(RectifiedConv2D, "student").output_shape
        (None, 10)
    """
    layers = keras.layers
    normalization = functools.partial(layers.BatchNormalization, momentum=MOMENTUM)
    inputs = keras.Input(input_shape, name="images")
    x = layers.Conv2D(
        STAGES[0], 3, padding="same", use_bias=False, name="first_convolution"
    )(inputs)
    x = normalization(name="first_normalization")(x)
    if activation:
        x = layers.ReLU(name="first_activation")(x)
    for stage, filters in enumerate(STAGES, start=1):
        for block in range(1, CONVOLUTIONS_PER_STAGE + 1):
            prefix = f"stage{stage}_block{block}"
            shrink = block == 1 and filters != STAGES[0]
            shortcut = _half_sized(x, filters, prefix) if shrink else x
            x = convolution(
                filters,
                3,
                strides=2 if shrink else 1,
                padding="same",
                use_bias=False,
                name=f"{prefix}_convolution",
            )(x)
            x = normalization(name=f"{prefix}_normalization")(x)
            x = layers.Add(name=f"{prefix}_add")([shortcut, x])
            if activation:
                x = layers.ReLU(name=f"{prefix}_activation")(x)
    x = layers.GlobalAveragePooling2D(name="pooling")(x)
    logits = layers.Dense(classes, name="logits")(x)
    return keras.Model(inputs, logits, name=name)


def plain_convolution(*args: Any, **kwargs: Any) -> Any:
    """A 1-bit convolution as larq has it, without a scale.

    Quantizers, kernel constraint and padding are those of `RectifiedConv2D`.

    Args:
        *args: Arguments of `larq.layers.QuantConv2D`.
        **kwargs: The same.

    Returns:
        A `larq.layers.QuantConv2D`.

    Example:
        >>> plain_convolution(8, 3, padding="same").pad_values
        1.0
    """
    return larq.layers.QuantConv2D(
        *args,
        input_quantizer="approx_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        pad_values=1.0,
        **kwargs,
    )


def _half_sized(x: Any, filters: int, prefix: str) -> Any:
    """A shortcut of half the size and other channels, by a real 1x1 convolution."""
    layers = keras.layers
    x = layers.AveragePooling2D(2, name=f"{prefix}_shortcut_pooling")(x)
    x = layers.Conv2D(
        filters, 1, use_bias=False, name=f"{prefix}_shortcut_convolution"
    )(x)
    return layers.BatchNormalization(
        momentum=MOMENTUM, name=f"{prefix}_shortcut_normalization"
    )(x)
