"""Feature discriminators: they tell a teacher's feature map from a student's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from keras_rbcn._backend import keras

__all__ = ["build_discriminator", "build_discriminators"]

# Without the batch; the builders refuse a dimension that is None.
FeatureShape = tuple[int | None, ...]


def build_discriminator(
    feature_shape: Sequence[int | None],
    units: int = 64,
    blocks: int = 2,
    grid: int = 4,
    negative_slope: float = 0.2,
    name: str | None = None,
) -> Any:
    """Builds the default discriminator for feature maps of one shape.

    Blocks of a linear layer and LeakyReLU, then one linear score. A feature map is
    first averaged down to at most `grid` x `grid` cells, so that the discriminator is
    cheap however large the map is: for 112x112x64 it has 70 thousand parameters
    instead of the 51 million of a linear layer on the map itself.

    Args:
        feature_shape: Shape of the feature map without the batch, all known:
            `(height, width, channels)`, or any other shape, which is flattened.
        units: Outputs of each linear layer.
        blocks: Number of blocks.
        grid: Largest height and width of what the first linear layer sees.
        negative_slope: Slope of LeakyReLU.
        name: Name of the model.

    Returns:
        A `keras.Model` from `(batch, *feature_shape)` to scores `(batch, 1)`, which
        are raw: no sigmoid.

    Raises:
        ValueError: If a dimension is unknown, or a number is not positive.

    Example:
        >>> discriminator = build_discriminator((112, 112, 64))
        >>> discriminator.output_shape, discriminator.count_params()
        ((None, 1), 69825)

    Reference:
        RBCN, arXiv 1908.07748: "a series of basic blocks, each containing linear and
        LeakyReLU layers". Sizes and the averaging are ours.
    """
    shape = tuple(size for size in feature_shape if size is not None and size >= 1)
    if not shape or len(shape) != len(feature_shape):
        raise ValueError(
            "Expected `feature_shape` to hold known, positive dimensions, received: "
            f"feature_shape={tuple(feature_shape)}. Give the tapped model a static "
            "input shape."
        )
    for argument, value in (("units", units), ("blocks", blocks), ("grid", grid)):
        if value < 1:
            raise ValueError(
                f"Expected `{argument}` to be at least 1, received: {argument}={value}."
            )
    layers = keras.layers
    # In float32 under a mixed policy too: it is small, and its scores differ by little.
    dtype = keras.backend.floatx()
    features = inputs = keras.Input(shape, dtype=dtype)
    if len(shape) == 3 and max(shape[:2]) > grid:
        pool_size = tuple(math.ceil(size / grid) for size in shape[:2])
        pooling = layers.AveragePooling2D(pool_size, padding="same", dtype=dtype)
        features = pooling(features)
    features = layers.Flatten(dtype=dtype)(features)
    for _ in range(blocks):
        features = layers.Dense(units, dtype=dtype)(features)
        features = layers.LeakyReLU(negative_slope, dtype=dtype)(features)
    return keras.Model(inputs, layers.Dense(1, dtype=dtype)(features), name=name)


def build_discriminators(
    feature_shapes: Sequence[FeatureShape],
    builder: Callable[[FeatureShape], Any] = build_discriminator,
) -> list[Any]:
    """Builds one discriminator for each tapped feature map.

    Args:
        feature_shapes: One shape, without the batch, per tap.
        builder: Called with each shape; returns a Keras model from
            `(batch, *feature_shape)` to raw scores.

    Returns:
        List of Keras models in the order of the shapes.

    Example:
        >>> models = build_discriminators([(8, 8, 16), (4, 4, 32)])
        >>> [model.input_shape for model in models]
        [(None, 8, 8, 16), (None, 4, 4, 32)]
    """
    return [builder(tuple(shape)) for shape in feature_shapes]
