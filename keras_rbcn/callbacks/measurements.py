"""What is measured of a model in training: 1-bit kernels, scales, learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import larq
import numpy as np
from larq.quantized_variable import QuantizedVariable

from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.training import RBCNModel
from keras_rbcn.training.description import optimizers_of

_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


class BinaryKernel(NamedTuple):
    """A kernel that a layer uses through a 1-bit quantizer of larq.

    Attributes:
        name: The layer's name, with those of the nested models that it is part of, and
            that of the kernel if the layer has several: `"encoder/conv1"`.
        layer: The layer.
        variable: The `larq` variable.
    """

    name: str
    layer: Any
    variable: Any

    def signs(self) -> np.ndarray:
        """The signs that the layer uses, +1 as bit 1, packed into bytes."""
        # In half precision a small negative number is zero, whose sign is +1.
        latent = tf.cast(self.variable.latent_variable, self.layer.compute_dtype)
        return np.packbits(_is_positive(latent, self.variable.quantizer).numpy())

    def share_of_flips(self, since: np.ndarray) -> float:
        """The share of entries whose sign is not the one that it was.

        Args:
            since: What `signs` was then.
        """
        flips = np.unpackbits(self.signs() ^ since).sum()
        return float(flips) / self.variable.shape.num_elements()

    def share_clipped(self) -> float | None:
        """The share of latent entries at the clip; None if there is no clip."""
        constraint = self.variable.constraint
        if not isinstance(constraint, larq.constraints.WeightClip):
            return None
        latent = tf.convert_to_tensor(self.variable.latent_variable)
        clipped = tf.math.count_nonzero(tf.abs(latent) >= constraint.clip_value)
        return int(clipped) / self.variable.shape.num_elements()

    def scale(self) -> np.ndarray | None:
        """The scale C, flat and in float32; None if the layer has none."""
        if not isinstance(self.layer, RectifiedConv2D):
            return None
        scale = tf.convert_to_tensor(self.layer.scale)
        return np.asarray(scale, np.float32).reshape(-1)


def binary_kernels(model: Any) -> list[BinaryKernel]:
    """The 1-bit kernels of a model that are built, in the order of its layers.

    Args:
        model: A Keras model; of an `RBCNModel`, its student is looked at.
    """
    root = model.student if isinstance(model, RBCNModel) else model
    found: dict[str, BinaryKernel] = {}
    for name, layer in _named_layers(root, "", set()):
        variables = {part: getattr(layer, part, None) for part in _KERNELS}
        binary = {
            part: variable
            for part, variable in variables.items()
            if isinstance(variable, QuantizedVariable) and variable.precision == 1
        }
        for part, variable in binary.items():
            unique = _unique(name if len(binary) == 1 else f"{name}/{part}", found)
            found[unique] = BinaryKernel(unique, layer, variable)
    return list(found.values())


def learning_rates(model: Any) -> dict[str, float]:
    """The current learning rate of each optimizer, by the model's attribute."""
    optimizers = optimizers_of(model)
    rates = {name: _learning_rate(value) for name, value in optimizers.items()}
    return {name: rate for name, rate in rates.items() if rate is not None}


def _is_positive(latent: Any, quantizer: Any) -> Any:
    kinds = larq.quantizers
    if isinstance(quantizer, kinds.SteHeaviside):  # 0 or 1, and 0 at zero.
        return latent > 0
    known = kinds.SteSign | kinds.ApproxSign | kinds.SwishSign
    # Called, they would count for larq's metric of flips.
    if isinstance(quantizer, known | kinds.MagnitudeAwareSign | kinds.NoOp):
        return latent >= 0
    return quantizer(latent) > 0


def _named_layers(
    parent: Any, prefix: str, seen: set[int]
) -> Iterator[tuple[str, Any]]:
    """All layers inside of one, each once; unlike `submodules` in their order."""
    for layer in parent._flatten_layers(recursive=False, include_self=False):
        if id(layer) not in seen:
            seen.add(id(layer))
            name = f"{prefix}{layer.name}"
            yield name, layer
            yield from _named_layers(layer, f"{name}/", seen)


def _unique(name: str, names: Any) -> str:
    """The name, numbered as Keras numbers layers if it is taken."""
    number, unique = 0, name
    while unique in names:
        number += 1
        unique = f"{name}_{number}"
    return unique


def _learning_rate(optimizer: Any) -> float | None:
    rate = getattr(optimizer, "learning_rate", None)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        # Of a legacy optimizer; others have that of the last step at hand.
        rate = rate(tf.maximum(optimizer.iterations - 1, 0))
    return None if rate is None else float(keras.backend.get_value(rate))
