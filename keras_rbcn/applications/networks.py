"""Puts a network together: stem, stages of residual blocks, classifier."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from keras_rbcn._backend import keras
from keras_rbcn._checks import check_positive_integer
from keras_rbcn.applications.arguments import (
    check_input_shape,
    check_network,
    check_pooling,
    check_weights,
)
from keras_rbcn.applications.blocks import NETWORKS
from keras_rbcn.applications.blocks.parts import Blocks, convolution, normalization

# Characters of what Keras says of a file that does not fit.
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Architecture:
    """What full-precision and 1-bit networks of one architecture share.

    Attributes:
        name: Name of the full-precision network.
        size: Height and width of the images that it was made for.
        stem: Number of kernels of the first convolution.
        stages: Number of kernels of each stage; all but the first halve the map.
        blocks: Number of residual blocks in a stage, of two convolutions each.
        large_images: Whether the first convolution is 7x7 with strides of 2 and a
            pooling follows, rather than 3x3 alone.
        stem_strides: Strides of the first convolution of networks for small images.
    """

    name: str
    size: int
    stem: int
    stages: tuple[int, ...]
    blocks: int
    large_images: bool = False
    stem_strides: int = 1

    @property
    def smallest(self) -> int:
        """Height and width of the images whose last feature map has one pixel."""
        halvings = len(self.stages) - 1 + 2 * self.large_images
        return int(2**halvings * self.stem_strides)


@dataclass(frozen=True)
class Top:
    """What a network ends with; the arguments of Keras' own networks."""

    include_top: bool
    pooling: str | None
    classes: int
    classifier_activation: Any


def build_network(
    architecture: Architecture,
    network: str,
    top: Top,
    input_shape: Any,
    weights: Any,
    name: str | None,
) -> Any:
    """Builds a network, full-precision or 1-bit, and loads its weights.

    Raises:
        ValueError: For an argument that is not as the builders document it.
    """
    check_network(network)
    check_pooling(top.pooling)
    if top.include_top:
        check_positive_integer("classes", top.classes)
    path = check_weights(weights)
    size = architecture.size
    shape = check_input_shape(input_shape, (size, size, 3), architecture.smallest)
    blocks = NETWORKS[network]
    inputs = keras.Input(shape, name="images")
    x = _stem(inputs, architecture, blocks)
    for stage, filters in enumerate(architecture.stages, start=1):
        for index in range(1, architecture.blocks + 1):
            strides = 2 if stage > 1 and index == 1 else 1
            x = blocks.block(x, filters, strides, f"stage{stage}_block{index}")
    x = _top(blocks.final_activation(x), top)
    if name is None:
        suffix = "" if network == "full_precision" else f"_{network}"
        name = architecture.name + suffix
    model = keras.Model(inputs, x, name=name)
    if path is not None:
        _load_weights(model, path)
    return model


def _stem(x: Any, architecture: Architecture, blocks: Blocks) -> Any:
    large = architecture.large_images
    size, strides = (7, 2) if large else (3, architecture.stem_strides)
    x = convolution(x, architecture.stem, size, strides, "stem_conv")
    x = blocks.stem_activation(normalization(x, "stem_bn"))
    if large:
        x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    return x


def _top(x: Any, top: Top) -> Any:
    layers = keras.layers
    if top.include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        return layers.Dense(
            top.classes,
            activation=top.classifier_activation,
            name="predictions",
        )(x)
    if top.pooling == "avg":
        return layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if top.pooling == "max":
        return layers.GlobalMaxPooling2D(name="max_pool")(x)
    return x


def _load_weights(model: Any, path: Path) -> None:
    try:
        model.load_weights(str(path))
    # An AssertionError is that of a checkpoint of TensorFlow, which prints the network.
    except (ValueError, OSError, KeyError, BadZipFile, AssertionError) as error:
        reason = textwrap.shorten(str(error), _LONGEST_REASON, placeholder=" ...")
        raise ValueError(
            f"Expected the file '{path}' (.weights.h5, .h5 or .keras) to hold weights "
            f"of the network '{model.name}' as it is built here, with the same "
            "`network`, stages, channels and number of classes. Keras says: "
            f"{reason or type(error).__name__}"
        ) from error
