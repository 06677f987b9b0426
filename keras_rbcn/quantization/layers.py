"""Layers that compute as they will in int8: TFMOT's wrapper, with ranges on both sides.

TFMOT's own default puts a range behind each layer that it wraps. Between 1-bit layers
the inputs of a real layer have none then, and the converter would keep it in float.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_rbcn._backend import keras, tf, tfmot

# Where a layer's values are brought to 8 bits, in the order in which it computes them.
INPUTS, PREACTIVATION, OUTPUTS = PLACES = ("inputs", "preactivation", "outputs")
# The share of the largest kernel of a layer up to which one is nothing.
_DEAD = 1e-6
# The range that TFMOT begins with.
_UNTOUCHED = (-6.0, 6.0)


class _KernelQuantizer(tfmot.quantizers.LastValueQuantizer):
    """Rounds a kernel in the range that it has, and dead filters in that of the others.

    In their own the steps would be next to nothing, and a bias, which counts in steps,
    would not fit into 32 bits: the converter cuts it off without a word.
    """

    def __call__(
        self, inputs: Any, training: bool, weights: dict[str, Any], **kwargs: Any
    ) -> Any:
        rounded = super().__call__(inputs, training, weights, **kwargs)
        if training:
            low, high = weights["min_var"], weights["max_var"]
            reach = tf.maximum(-low, high)
            widest = tf.reduce_max(reach)
            widest = tf.where(widest > 0, widest, tf.ones_like(widest))
            dead = reach < _DEAD * widest
            low.assign(tf.where(dead, -widest, low))
            high.assign(tf.where(dead, widest, high))
        return rounded


@keras.saving.register_keras_serializable("keras_rbcn")
class Int8Config(tfmot.QuantizeConfig):
    """What of a layer is in 8 bits.

    Args:
        places: Which values, some of `PLACES`. "preactivation" is what a layer gives to
            its own activation.
        kernel: The attribute of the kernel, which is then in 8 bits as well; None for a
            layer without one.
        per_axis: Whether each slice of the kernel along its last axis has a scale of
            its own.
    """

    def __init__(
        self, places: Any, kernel: str | None = None, per_axis: bool = True
    ) -> None:
        self.places = tuple(place for place in PLACES if place in places)
        self.kernel = kernel
        self.per_axis = per_axis

    def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
        """The kernel, and how it is rounded."""
        if self.kernel is None:
            return []
        quantizer = _KernelQuantizer(
            num_bits=8, per_axis=self.per_axis, symmetric=True, narrow_range=True
        )
        return [(getattr(layer, self.kernel), quantizer)]

    def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
        """Lets the layer compute with the rounded kernel."""
        for weight in quantize_weights:
            assert self.kernel is not None
            setattr(layer, self.kernel, weight)

    def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
        """None: `QuantizedLayer` rounds values."""
        return []

    def set_quantize_activations(
        self, layer: Any, quantize_activations: list[Any]
    ) -> None:
        """Nothing: `QuantizedLayer` rounds values."""
        return

    def get_output_quantizers(self, layer: Any) -> list[Any]:
        """None: `QuantizedLayer` rounds values."""
        return []

    def get_config(self) -> dict[str, Any]:
        """The arguments of `__init__`."""
        return {
            "places": list(self.places),
            "kernel": self.kernel,
            "per_axis": self.per_axis,
        }


@keras.saving.register_keras_serializable("keras_rbcn")
class QuantizedLayer(tfmot.QuantizeWrapperV2):
    """A layer whose kernel and values are rounded to 8 bits, as in the file.

    `quantize_real_layers` makes them. It keeps the name of the layer that it wraps, and
    is trained as that one: gradients pass through rounding (quantisation-aware
    training). Ranges follow the values while it is trained, and stand still otherwise.

    Args:
        layer: The layer.
        quantize_config: An `Int8Config`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        The layer's.

    Output shape:
        The layer's.

    Example:
        >>> inputs = keras.Input((4,))
        >>> model = keras.Model(inputs, keras.layers.Dense(2, name="last")(inputs))
        >>> small = quantize_real_layers(model, np.eye(4, dtype="float32"))
        >>> type(small.get_layer("last")).__name__
        'QuantizedLayer'

    Reference:
        Jacob et al., Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference, arXiv 1712.05877.
    """

    def __init__(self, layer: Any, quantize_config: Int8Config, **kwargs: Any) -> None:
        kwargs.setdefault("name", layer.name)
        super().__init__(layer, quantize_config, **kwargs)
        # TFMOT's wrapper goes past the layer's `__call__`, which would apply it.
        self._activity_regularizer = layer.activity_regularizer
        self._quantizer = tfmot.quantizers.MovingAverageQuantizer(
            num_bits=8, per_axis=False, symmetric=False, narrow_range=False
        )

    @property
    def trainable_weights(self) -> list[Any]:
        """Those of the layer, of which TFMOT's wrapper keeps the kernel for itself."""
        return super().trainable_weights if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Any]:
        """The ranges, and all of a layer that is not trained."""
        frozen = [] if self.trainable else super().trainable_weights
        return [*frozen, *super().non_trainable_weights]

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self._ranges = {
            place: self._quantizer.build(None, place, self)
            for place in self.quantize_config.places
        }

    def call(self, inputs: Any, training: Any = None, **kwargs: Any) -> Any:
        inputs = self._rounded(INPUTS, inputs, training)
        if PREACTIVATION not in self._ranges:
            outputs = super().call(inputs, training=training, **kwargs)
            return self._rounded(OUTPUTS, outputs, training)
        activation = self.layer.activation
        try:
            self.layer.activation = keras.activations.linear
            outputs = super().call(inputs, training=training, **kwargs)
        finally:
            self.layer.activation = activation
        outputs = activation(self._rounded(PREACTIVATION, outputs, training))
        return self._rounded(OUTPUTS, outputs, training)

    def _rounded(self, place: str, values: Any, training: Any) -> Any:
        return self.round(place, values, training) if place in self._ranges else values

    def round(self, place: str, values: Any, training: Any = None) -> Any:
        """The values at a place as 8 bits can tell them; their range moves in training.

        Args:
            place: One of `PLACES`, which must be one of this layer's.
            values: float, of any shape.
            training: As of `call`.
        """
        quantizer, range_ = self._quantizer, self._ranges[place]
        return keras.backend.in_train_phase(
            lambda: quantizer(values, True, weights=range_),
            lambda: quantizer(values, False, weights=range_),
            training,
        )

    @property
    def kernel(self) -> Any:
        """The kernel as it is trained; None if it is not in 8 bits."""
        return self._weight_vars[0][0] if self._weight_vars else None

    @property
    def is_calibrated(self) -> bool:
        """Whether all ranges come from data, by calibration or by training."""
        return all(self.range_of(place) != _UNTOUCHED for place in self._ranges)

    def range_of(self, place: str) -> tuple[float, float]:
        """The smallest and the largest value that can be told at a place."""
        range_ = self._ranges[place]
        with tf.init_scope():  # A number while the model is traced, too.
            return float(range_["min_var"]), float(range_["max_var"])

    def set_range(self, place: str, low: float, high: float) -> None:
        """Sets the range of the values at a place.

        Args:
            place: One of `PLACES`, which must be one of this layer's.
            low: The smallest value, at most 0, which must be told exactly.
            high: The largest value, at least 0.

        Raises:
            ValueError: If that is no range of finite numbers that holds zero.
        """
        if not is_range(low, high):
            raise ValueError(
                f"Expected the range of the {place} of layer '{self.name}' to go from "
                "a finite number that is not positive to a larger one that is not "
                f"negative, received: {low} to {high}."
            )
        self._ranges[place]["min_var"].assign(low)
        self._ranges[place]["max_var"].assign(high)

    def fit_kernel_range(self) -> None:
        """Sets the range of the kernel to its values, as training does."""
        for weight, quantizer, range_ in self._weight_vars:
            quantizer(weight, True, weights=range_)

    def kernel_integers(self) -> np.ndarray:
        """The kernel as integers from -127 to 127, of its shape."""
        ((weight, _, range_),) = self._weight_vars
        scale = np.maximum(-range_["min_var"].numpy(), range_["max_var"].numpy()) / 127
        steps = weight.numpy() / np.where(scale > 0, scale, 1.0)
        return np.clip(np.rint(steps), -127, 127).astype(int)


def is_range(low: float, high: float) -> bool:
    """Whether 8 bits can tell values from low to high."""
    return -math.inf < low <= 0.0 <= high < math.inf and low < high


def quantized_layers(model: Any) -> list[QuantizedLayer]:
    """The layers of a model that compute in int8, those of models within too."""
    return [one for one in model.submodules if isinstance(one, QuantizedLayer)]
