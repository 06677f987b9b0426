"""What a layer's weights count for, in the literature's convention.

A binary weight takes 1 bit and a real one 32. The moving statistics of a batch
normalisation are not counted, as in the parameter counts that papers give: on the
device they are folded into the convolution in front.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from keras_rbcn._backend import keras

REAL_BITS = 32


class ParameterCount(NamedTuple):
    """Numbers of parameters of a layer.

    Attributes:
        binary: Those of one bit.
        real: Those of 32 bits.
        scale: Those of the real ones that scale a binary kernel, which the layer would
            not have in full precision.
    """

    binary: int
    real: int
    scale: int = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return self.binary + self.real

    @property
    def bits(self) -> int:
        """What they take."""
        return self.binary + REAL_BITS * self.real

    @property
    def full_precision_bits(self) -> int:
        """What the same layer takes in full precision, where it has no scale."""
        return REAL_BITS * (self.total - self.scale)

    def __add__(self, other: Any) -> ParameterCount:
        return ParameterCount(*(a + b for a, b in zip(self, other, strict=True)))


def count_parameters(layer: Any) -> ParameterCount:
    """Counts the parameters of a built layer that is no model."""
    binary = {id(weight) for weight in _binary_weights(layer)}
    scale = getattr(layer, "scale", None)  # A number or a flag in other layers.
    count = ParameterCount(0, 0)
    for weight in layer.weights:
        size = math.prod(weight.shape)
        if id(weight) in binary:
            count += ParameterCount(size, 0)
        elif not _is_statistic(layer, weight):
            count += ParameterCount(0, size, size if weight is scale else 0)
    return count


def _binary_weights(layer: Any) -> list[Any]:
    """The weights whose larq quantizer has two values."""
    found = []
    for name in ("kernel", "depthwise", "pointwise"):
        quantizer = getattr(layer, f"{name}_quantizer", None)
        if getattr(quantizer, "precision", None) == 1:
            attribute = "kernel" if name == "kernel" else f"{name}_kernel"
            found.append(getattr(layer, attribute))
    return found


def _is_statistic(layer: Any, weight: Any) -> bool:
    if not isinstance(layer, keras.layers.BatchNormalization):
        return False
    return weight is layer.moving_mean or weight is layer.moving_variance
