"""What the builders accept, and what they say if it is something else."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.applications.blocks import NETWORKS

POOLINGS = (None, "avg", "max")


def check_network(network: Any) -> None:
    """Raises unless there are blocks for a network of this name."""
    if not isinstance(network, str) or network not in NETWORKS:
        raise ValueError(
            f"Expected `network` to be one of {tuple(NETWORKS)}, received: "
            f"network={network!r}."
        )


def check_stages(stages: Any, count: int) -> tuple[int, ...]:
    """Returns the kernels of each stage as integers.

    Args:
        stages: What the user passed.
        count: How many numbers the architecture takes.

    Raises:
        ValueError: For another number of them, or one that is no positive integer.
    """
    sizes = _positive_integers(stages, count)
    if sizes is None:
        raise ValueError(
            f"Expected `stages` to be {count} numbers of kernels, positive integers, "
            f"received: stages={stages!r}."
        )
    return sizes


def check_pooling(pooling: Any) -> None:
    """Raises unless the pooling is one that Keras' networks know."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"Expected `pooling` to be one of {POOLINGS}, received: "
            f"pooling={pooling!r}."
        )


def check_input_shape(
    input_shape: Any, default: tuple[int, int, int], smallest: int
) -> tuple[int, ...]:
    """Returns height, width and channels of the images.

    Args:
        input_shape: What the user passed; None for the default.
        default: The architecture's own.
        smallest: Least height and width, of which the last feature map has one pixel.

    Raises:
        ValueError: If it is no static shape of three sizes or too small, or if Keras
            is configured for channels in front.
    """
    if keras.backend.image_data_format() != "channels_last":
        raise ValueError(
            "Expected Keras' image data format to be 'channels_last', the only one "
            "that .tflite files know, received: "
            f"{keras.backend.image_data_format()!r}. Change it with "
            "`keras.backend.set_image_data_format('channels_last')`."
        )
    if input_shape is None:
        return default
    shape = _positive_integers(input_shape, 3)
    if shape is None:
        raise ValueError(
            "Expected `input_shape` to be (height, width, channels), three positive "
            f"integers such as {default}, received: input_shape={input_shape!r}. "
            "Height and width must be known: without them no .tflite file can be made."
        )
    if min(shape[:2]) < smallest:
        raise ValueError(
            f"Expected `input_shape` to be at least {smallest} high and wide, "
            f"received: input_shape={input_shape!r}."
        )
    return shape


def check_weights(weights: Any) -> Path | None:
    """Returns the path of a file with weights, or None.

    Raises:
        ValueError: If there is no such file.
    """
    if weights is None:
        return None
    try:
        path = Path(weights)
    except TypeError:
        path = None
    if path is None or not path.is_file():
        raise ValueError(
            "Expected `weights` to be None (random values) or the path of an existing "
            f"file with weights (.weights.h5, .h5 or .keras), received: "
            f"weights={weights!r}. There are no weights to download."
        )
    return path


def _positive_integers(values: Any, count: int) -> tuple[int, ...] | None:
    """The values as integers; None unless they are so many positive integers."""
    try:
        # Booleans are integers to Python.
        found = [0 if isinstance(v, bool) else operator.index(v) for v in values]
    except TypeError:
        return None
    return tuple(found) if len(found) == count and min(found) > 0 else None
