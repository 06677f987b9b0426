"""Measures what int8 costs a student: values cut off, and classes that change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_rbcn._samples import Signature, run_in_batches
from keras_rbcn.export.int8.costs import Int8Report, RangeUse
from keras_rbcn.export.int8.roundings import quantization_of
from keras_rbcn.export.verification import class_agreement, relative_differences
from keras_rbcn.layers.binary_inputs import without_cached_functions
from keras_rbcn.quantization.calibration import ROUNDING, watched_rounding
from keras_rbcn.quantization.layers import QuantizedLayer, quantized_layers
from keras_rbcn.quantization.quantize import layers_left_real

# The smallest and the largest integer.
_ENDS = np.array([-128, 127], np.int8)
# Samples that a model runs on at a time.
_BATCH = 16


@dataclass
class _Seen:
    """What was seen of the values at a place."""

    low: float
    high: float
    lowest: float = 0.0
    highest: float = 0.0
    values: int = 0
    outside: int = 0

    def note(self, values: np.ndarray) -> None:
        """Notes a batch of values."""
        margin = (self.high - self.low) * ROUNDING
        self.lowest = min(self.lowest, float(values.min()))
        self.highest = max(self.highest, float(values.max()))
        outside = (values < self.low - margin) | (values > self.high + margin)
        self.values += values.size
        self.outside += int(np.count_nonzero(outside))


def int8_report(
    model: Any,
    student: Any,
    signature: Signature,
    arrays: list[Any],
    outputs: list[np.ndarray],
) -> Int8Report:
    """Says what int8 costs on some samples.

    Args:
        model: The student whose real layers compute in int8.
        student: The student it was made of; None if that is not known, or was another
            one before `model` was trained on.
        signature: The inputs of both.
        arrays: The samples, one array per input.
        outputs: What `model` makes of them.
    """
    agreement = difference = None
    if student is not None:
        expected = _run(student, signature, arrays)
        agreement = class_agreement(expected, outputs)
        difference = float(np.median(relative_differences(expected, outputs)))
    layers = quantized_layers(model)
    ranges = tuple(_ranges(model, layers, signature, arrays))
    kernels = {layer.name for layer in layers if layer.kernel is not None}
    # In order of execution, as far as values tell it.
    names = dict.fromkeys(one.layer for one in ranges if one.layer in kernels)
    return Int8Report(
        layers=tuple({**names, **dict.fromkeys(kernels)}),
        missing=tuple(layer.name for layer in layers_left_real(model)),
        ranges=ranges,
        class_agreement=agreement,
        median_relative_difference=difference,
    )


def _run(model: Any, signature: Signature, arrays: list[Any]) -> list[np.ndarray]:
    parts = run_in_batches(
        model, arrays, _BATCH, lambda part: signature.call(model, part)
    )
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _ranges(
    model: Any,
    layers: list[QuantizedLayer],
    signature: Signature,
    arrays: list[Any],
) -> list[RangeUse]:
    seen: dict[tuple[QuantizedLayer, str], _Seen] = {}

    def watch(layer: QuantizedLayer, place: str, values: Any) -> Any:
        if (layer, place) not in seen:
            meaning = quantization_of(*layer.range_of(place))
            low, high = meaning.to_numbers(_ENDS).tolist()
            seen[layer, place] = _Seen(low, high)
        seen[layer, place].note(values.numpy())
        return QuantizedLayer.round(layer, place, values, False)

    with without_cached_functions(), watched_rounding(layers, watch):
        _run(model, signature, arrays)
    return [
        RangeUse(
            layer.name,
            place,
            one.low,
            one.high,
            one.lowest,
            one.highest,
            one.outside / one.values,
        )
        for (layer, place), one in seen.items()
    ]
