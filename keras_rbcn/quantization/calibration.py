"""The ranges of values, measured on data."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn._samples import Signature
from keras_rbcn.layers.binary_inputs import without_cached_functions
from keras_rbcn.quantization.layers import OUTPUTS, QuantizedLayer, quantized_layers

# Samples that the model runs on at a time.
_BATCH = 32
# The smallest width of a range, and what is taken for one of nothing, such as that of
# values that are all zero: device kernels refuse scales that are far from each other.
_SMALLEST, _NOTHING = 1e-6, (0.0, 1.0)
# All that probabilities can be, whatever the samples were.
_PROBABILITIES = (0.0, 1.0)

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
        ValueError: If a value is not finite.
    """
    layers = quantized_layers(model)
    for layer in layers:
        layer.fit_kernel_range()
    ranges = measured_ranges(model, layers, signature, arrays)
    for (layer, place), (low, high) in ranges.items():
        if place == OUTPUTS and _is_softmax(layer.layer):
            low, high = _PROBABILITIES
        layer.set_range(place, *((low, high) if high - low >= _SMALLEST else _NOTHING))


def measured_ranges(
    model: Any, layers: list[QuantizedLayer], signature: Signature, arrays: list[Any]
) -> dict[tuple[QuantizedLayer, str], tuple[float, float]]:
    """The smallest and largest value at each place, or zero, which all ranges hold."""
    found: dict[tuple[QuantizedLayer, str], tuple[float, float]] = {}

    def watch(layer: QuantizedLayer, place: str, values: Any) -> Any:
        low, high = found.get((layer, place), (0.0, 0.0))
        low = min(low, float(tf.reduce_min(values)))
        high = max(high, float(tf.reduce_max(values)))
        found[layer, place] = low, high
        return values

    with without_cached_functions(), watched_rounding(layers, watch):
        for start in range(0, len(arrays[0]), _BATCH):
            part = [tf.constant(array[start : start + _BATCH]) for array in arrays]
            signature.call(model, part)
    return found


def _is_softmax(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Softmax) or (
        getattr(layer, "activation", None)
        in (keras.activations.softmax, tf.nn.softmax, keras.activations.sigmoid)
    )
