"""Where a student rounds values to 8 bits, and which tensor of the file holds them.

The file's convolutions sum integers, its biases are integers too, and it rounds once:
of a thousand values, two or three become another integer than in Keras. From there on
the two differ by a step of the scale, which is more than rounding of real numbers. So
the student is run on the integers that the file computed, as on its signs, and each of
them must be the nearest one to what the student would have rounded there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_rbcn._backend import tf
from keras_rbcn.quantization.layers import INPUTS, QuantizedLayer
from keras_rbcn.tflite.flatbuffer import Graph
from keras_rbcn.tflite.quantization import Quantization

# How far from a value, in steps of its scale, the file's integer may be: half a step,
# and what biases that are integers add. In right files 0.512 was seen.
NEAREST = 0.6
# Two scales are the same if they differ by no more than this.
_SAME_SCALE = 1e-5
_LOWEST, _HIGHEST = -128, 127


@dataclass(frozen=True)
class Rounding:
    """A place where values are rounded, at one call of a layer.

    Attributes:
        layer: The layer.
        place: Where in the layer, see `keras_rbcn.quantization.layers`.
        call: How often the layer was called before.
        shape: Shape of the values, with a batch of one.
    """

    layer: QuantizedLayer
    place: str
    call: int
    shape: tuple[int, ...]

    @property
    def quantization(self) -> Quantization:
        """The integers that stand for the values."""
        return quantization_of(*self.layer.range_of(self.place))


def quantization_of(low: float, high: float) -> Quantization:
    """The integers from -128 to 127 that stand for a range, with one for zero itself.

    As TensorFlow's fake quantisation has it, in float32.
    """
    scale = (np.float32(high) - np.float32(low)) / np.float32(_HIGHEST - _LOWEST)
    steps_to_zero = np.floor(-np.float32(low) / scale + np.float32(0.5))
    return Quantization(float(scale), int(_LOWEST + steps_to_zero))


def kept_apart(values: Any) -> Any:
    """The same values, behind what the converter carries no rounding across.

    Unlike others it would: an average pooling in front of an int8 layer would be
    computed in int8, in the range of its outputs, and cut its inputs off there.
    `with_float_operators` takes it out again.
    """
    return tf.cast(tf.cast(values, tf.float64), tf.float32)


class RoundingNotes:
    """Notes where a model rounds, while it is called.

    Attributes:
        found: The places, in order of execution.
    """

    def __init__(self) -> None:
        self.found: list[Rounding] = []
        self._calls: Counter[tuple[Any, str]] = Counter()

    def note(self, layer: QuantizedLayer, place: str, values: Any) -> Any:
        """Notes a place, and rounds the values there."""
        number = self._calls[layer, place]
        self._calls[layer, place] += 1
        rounding = Rounding(layer, place, number, tuple(values.shape))
        self.found.append(rounding)
        if place == INPUTS:
            values = kept_apart(values)
        # Not the layer's own range. One of which zero lies in the middle between two
        # integers, such as -1 to 1, is moved by half a step: to one side in Keras, and
        # to the other by the converter. This one it can leave where it is.
        meaning = rounding.quantization
        return tf.quantization.fake_quant_with_min_max_args(
            values,
            min=(_LOWEST - meaning.zero_point) * meaning.scale,
            max=(_HIGHEST - meaning.zero_point) * meaning.scale,
        )


# Operators that give the integers that they are given.
_MOVING = frozenset(
    {
        "CONCATENATION",
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "GATHER",
        "MAX_POOL_2D",
        "PAD",
        "PADV2",
        "RESHAPE",
        "RESIZE_NEAREST_NEIGHBOR",
        "SLICE",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TRANSPOSE",
    }
)


def tensors_of(graph: Graph, roundings: Sequence[Rounding]) -> dict[Rounding, int]:
    """The tensor of the file for each place; those that are not found are left out.

    Tensors are known by shape, scale and zero point, and if there are several of the
    same, by their order.
    """
    alike: defaultdict[Any, list[Rounding]] = defaultdict(list)
    for rounding in roundings:
        alike[rounding.shape, rounding.quantization].append(rounding)
    found: dict[Rounding, int] = {}
    for (shape, quantization), places in alike.items():
        tensors = _tensors_like(graph, shape, quantization)
        if len(tensors) > len(places):
            # What is moved about, and back into the same shape, was not rounded again.
            moved = _moved(graph)
            tensors = [tensor for tensor in tensors if tensor not in moved]
        if len(tensors) == 1:
            tensors *= len(places)  # The same values, which the file holds once.
        if len(tensors) == len(places):
            found |= zip(places, tensors, strict=True)
    return found


def _moved(graph: Graph) -> set[int]:
    """Tensors that hold the integers of another one, in another order."""
    return {
        index for one in graph.operators if one.name in _MOVING for index in one.outputs
    }


def _tensors_like(
    graph: Graph, shape: tuple[int, ...], wanted: Quantization
) -> list[int]:
    computed = [index for one in graph.operators for index in one.outputs]
    found = []
    for index in dict.fromkeys([*graph.inputs, *computed]):
        tensor = graph.tensors[index]
        if tensor.dtype != np.int8 or tensor.quantization is None:
            continue
        scale, zero_point = tensor.quantization
        same = abs(scale / wanted.scale - 1) <= _SAME_SCALE
        if same and zero_point == wanted.zero_point and tensor.shape == shape:
            found.append(index)
    return found


def steps_between(
    values: np.ndarray, integers: np.ndarray, quantization: Quantization
) -> np.ndarray:
    """How far integers are from values, in steps of the scale.

    Args:
        values: float32, before rounding.
        integers: Of the same shape.
        quantization: What the integers stand for.
    """
    exact = values.astype(np.float64) / quantization.scale + quantization.zero_point
    # What lies outside the range is told by its ends.
    return np.abs(np.clip(exact, _LOWEST, _HIGHEST) - integers)
