"""The ranges of values, measured on data."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn._samples import Signature, run_in_batches
from keras_rbcn.layers.binary_inputs import without_cached_functions
from keras_rbcn.quantization.layers import (
    INPUTS,
    OUTPUTS,
    QuantizedLayer,
    quantized_layers,
)

# Samples that the model runs on at a time.
_BATCH = 32
# The smallest width of a range, and what is taken for one of nothing, such as that of
# values that are all zero: device kernels refuse scales that are far from each other.
_SMALLEST, _NOTHING = 1e-6, (0.0, 1.0)
# All that probabilities can be, whatever the samples were.
_PROBABILITIES = (0.0, 1.0)

# The share of a range by which rounding in front of it moves values beyond it, and no
# more: eight of its steps.
ROUNDING = 1 / 32
# Between the smallest and the largest integer.
STEPS = 255

Watch = Callable[[QuantizedLayer, str, Any], Any]


@contextlib.contextmanager
def watched_rounding(layers: list[QuantizedLayer], watch: Watch) -> Iterator[None]:
    """Within it, `watch(layer, place, values)` takes the place of rounding."""
    for layer in layers:
        layer.__dict__["round"] = _watched_round(layer, watch)
    try:
        yield
    finally:
        for layer in layers:
            del layer.__dict__["round"]


def _watched_round(layer: QuantizedLayer, watch: Watch) -> Any:
    @tf.autograph.experimental.do_not_convert
    def rounded(place: str, values: Any, training: Any = None) -> Any:
        return watch(layer, place, values)

    return rounded


def calibrate(model: Any, signature: Signature, arrays: list[Any]) -> None:
    """Sets the ranges of a model's values and kernels to what they take on samples.

    Weights, and the statistics of batch normalisation, stay as they are.

    Args:
        model: The model.
        signature: Its inputs.
        arrays: The samples, one array per input.

    Raises:
        ValueError: If a value is not finite, or the model cannot compute a sample.
    """
    for layer in quantized_layers(model):
        layer.fit_kernel_range()
    ranges = Ranges()
    for rounded in (False, True):
        ranges.widen(model, signature, arrays, rounded)


class Ranges:
    """The ranges of a model's values, as far as samples have shown them."""

    def __init__(self) -> None:
        self._found: dict[tuple[QuantizedLayer, str], tuple[float, float]] = {}

    def widen(
        self, model: Any, signature: Signature, arrays: list[Any], rounded: bool
    ) -> None:
        """Widens the ranges to what values are on samples, and sets the model's.

        Args:
            model: The model.
            signature: Its inputs.
            arrays: The samples, one array per input.
            rounded: Whether the model rounds values to the ranges that it has. That
                flips signs, and what lies behind them may go far beyond what it was.
        """

        def watch(layer: QuantizedLayer, place: str, values: Any) -> Any:
            low, high = float(tf.reduce_min(values)), float(tf.reduce_max(values))
            self._note(layer, place, low, high, rounded)
            if rounded:
                return QuantizedLayer.round(layer, place, values, False)
            return values

        layers = quantized_layers(model)
        with without_cached_functions(), watched_rounding(layers, watch):
            run_in_batches(
                model,
                arrays,
                _BATCH,
                lambda part: signature.call(model, list(map(tf.constant, part))),
            )

    def _note(
        self, layer: QuantizedLayer, place: str, low: float, high: float, rounded: bool
    ) -> None:
        """Takes values from low to high into a range, which always holds zero."""
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(
                f"Expected the {place} of layer '{layer.name}' to be finite on "
                f"`calibration_data`, received values from {low} to {high}: look at "
                "its weights, and at those of the layers in front of it."
            )
        least, most = self._found.get((layer, place), (0.0, 0.0))
        # Rounding alone moves values by a step or two, and these are rounded again.
        margin = (most - least) * ROUNDING if rounded else 0.0
        if low >= least - margin:
            low = least
        if high <= most + margin:
            high = most
        self._found[layer, place] = low, high
        if place == OUTPUTS and _is_softmax(layer.layer):
            low, high = _PROBABILITIES
        if high - low < _SMALLEST:
            low, high = _NOTHING
        if place == INPUTS:
            low, high = _off_the_middle(low, high)
        layer.set_range(place, low, high)


def _off_the_middle(low: float, high: float) -> tuple[float, float]:
    """A range in which pixels do not lie in the middle between two integers.

    Zero must be an integer. Where it lies between two steps, as in the range from -1 to
    1, the converter moves the range by half a step, and 256 evenly spaced values become
    191 integers, or 256 by another way to round. In a range that is a step wider, they
    become 255 by any.
    """
    step = (high - low) / STEPS
    between = abs(-low / step % 1 - 0.5) < 0.1
    return (low - step / 2, high + step / 2) if between else (low, high)


def _is_softmax(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Softmax) or (
        getattr(layer, "activation", None)
        in (keras.activations.softmax, tf.nn.softmax, keras.activations.sigmoid)
    )
