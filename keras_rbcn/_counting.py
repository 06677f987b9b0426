"""What a layer's weights count for, in the literature's convention.

A binary weight takes 1 bit, an int8 one 8 and a real one 32. The moving statistics of a
batch normalisation are not counted, as in the parameter counts that papers give: on the
device they are folded into the convolution in front.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NamedTuple

INT8_BITS = 8
REAL_BITS = 32
_STATISTICS = ("mean", "variance")


class ParameterCount(NamedTuple):
    """Numbers of parameters of a layer.

    Attributes:
        binary: Those of one bit.
        real: Those of 32 bits.
        scale: Those of the real ones that scale a binary kernel, which the layer would
            not have in full precision.
        int8: Those of 8 bits.
    """

    binary: int
    real: int
    scale: int = 0
    int8: int = 0

    @property
    def total(self) -> int:
        """How many there are."""
        return self.binary + self.int8 + self.real

    @property
    def bits(self) -> int:
        """What they take."""
        return self.binary + INT8_BITS * self.int8 + REAL_BITS * self.real

    @property
    def full_precision_bits(self) -> int:
        """What the same layer takes in full precision, where it has no scale."""
        return REAL_BITS * (self.total - self.scale)

    def __add__(self, other: Any) -> ParameterCount:
        return ParameterCount(*(a + b for a, b in zip(self, other, strict=True)))


def count_parameters(
    layer: Any, counted: set[int] | None = None, int8: Collection[int] = ()
) -> ParameterCount:
    """Counts the parameters of a built layer that is no model.

    Args:
        layer: The layer.
        counted: Ids of weights that were counted before and are left out here, such
            as those that layers share; the layer's own are added.
        int8: Ids of weights that are rounded to 8 bits.

    Returns:
        The numbers.
    """
    counted = set() if counted is None else counted
    binary = {id(weight) for weight in binary_weights(layer)}
    # Other layers, too, have a weight, a number or a flag of this name.
    scale = getattr(layer, "scale", None) if binary else None
    count = ParameterCount(0, 0)
    for weight in layer.weights:
        if id(weight) in counted or not hasattr(weight, "shape"):
            continue  # Look-up tables have no shape.
        counted.add(id(weight))
        size = math.prod(weight.shape)
        if id(weight) in binary:
            count += ParameterCount(size, 0)
        elif id(weight) in int8 or weight.dtype.name in ("int8", "uint8"):
            count += ParameterCount(0, 0, int8=size)
        elif _is_parameter(layer, weight):
            count += ParameterCount(0, size, size if weight is scale else 0)
    return count


def binary_weights(layer: Any) -> list[Any]:
    """The weights of a built layer whose larq quantizer has two values."""
    found = []
    for name in ("kernel", "depthwise", "pointwise"):
        quantizer = getattr(layer, f"{name}_quantizer", None)
        if getattr(quantizer, "precision", None) == 1:
            attribute = "kernel" if name == "kernel" else f"{name}_kernel"
            found.append(getattr(layer, attribute))
    return found


def _is_parameter(layer: Any, weight: Any) -> bool:
    if not weight.dtype.is_floating:
        return False  # A counter, or the state of a random generator.
    # By name, since Keras has several batch normalisations.
    statistics = (getattr(layer, f"moving_{name}", None) for name in _STATISTICS)
    return not any(weight is statistic for statistic in statistics)
