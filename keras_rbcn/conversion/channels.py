"""Feature maps with another number of channels, for shortcuts.

Without weights, and out of operators that every device has.
"""

from __future__ import annotations

import math
from typing import Any

from keras_rbcn._backend import keras


def can_match_channels(channels: int | None, wanted: int) -> bool:
    """Whether one number of channels is a multiple of the other."""
    if not channels:
        return False
    return channels % wanted == 0 or wanted % channels == 0


def match_channels(x: Any, wanted: int, new: Any) -> Any:
    """Repeats all channels, or sums them in groups, to get as many as wanted.

    Channel c goes with the channels c + wanted, c + 2 wanted, ..., so that summing is
    the way back from repeating. Sums are divided by the root of the size of a group: a
    sum of independent channels has the spread of one of them.

    Args:
        x: Feature map of shape (batch, height, width, channels), sizes but the batch
            defined.
        wanted: Number of channels, a multiple or a part of that of `x`.
        new: Makes a layer out of its class, the last part of its name and arguments.
    """
    _, height, width, channels = x.shape
    layers = keras.layers
    if channels < wanted:
        return new(layers.Concatenate, "repeated")([x] * (wanted // channels))
    if channels == wanted:
        return x
    group = channels // wanted
    # As a map whose columns are the members of a group: pooling takes four axes only.
    x = new(layers.Reshape, "groups", target_shape=(height * width, group, wanted))(x)
    x = new(layers.AveragePooling2D, "averaged", pool_size=(1, group))(x)
    x = new(layers.Reshape, "ungrouped", target_shape=(height, width, wanted))(x)
    return new(layers.Rescaling, "scaled", scale=math.sqrt(group))(x)
