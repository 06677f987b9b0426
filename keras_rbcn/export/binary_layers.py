"""Finds the layers with binary inputs, and watches what they are called on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import larq
import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D


def binary_layers(model: Any) -> list[Any]:
    """All layers of the model, nested ones included, that binarise their inputs."""
    return [
        layer
        for layer in model.submodules
        if isinstance(layer, keras.layers.Layer)
        and getattr(layer, "input_quantizer", None) is not None
    ]


def is_required(layer: Any) -> bool:
    """Whether the export fails if the layer is no 1-bit convolution in the file."""
    return isinstance(layer, RectifiedConv2D)


def is_quantized_convolution(layer: Any) -> bool:
    """Whether the layer is a convolution with quantised inputs and kernel."""
    return isinstance(layer, larq.layers.QuantConv2D) and (
        is_required(layer)
        or (layer.input_quantizer is not None and layer.kernel_quantizer is not None)
    )


@contextlib.contextmanager
def watched(model: Any, watch: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Within it, every binary layer is called on `watch(layer, inputs)` instead.

    Layers are watched where they are called and not where they are listed, so that
    nested, shared and subclassed models need no cases of their own.
    """
    patched = binary_layers(model)
    for layer in patched:
        layer.__dict__["call"] = _watched_call(layer, watch)
    try:
        yield
    finally:
        for layer in patched:
            del layer.__dict__["call"]


@contextlib.contextmanager
def without_cached_functions() -> Iterator[None]:
    """Within it, what the user decorated with `tf.function` runs as plain Python.

    Functions that were traced before would not call the layers again.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _watched_call(layer: Any, watch: Callable[[Any, Any], Any]) -> Any:
    original = layer.call

    @tf.autograph.experimental.do_not_convert
    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return original(watch(layer, inputs), *args, **kwargs)

    return call


@dataclass(frozen=True)
class ConvolutionCall:
    """A binary convolution at one place of the model, with what the file must hold."""

    layer: Any
    input_shape: tuple[int | None, ...]

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name)

    @property
    def required(self) -> bool:
        """Whether the export fails if this is no 1-bit convolution in the file."""
        return is_required(self.layer)

    @property
    def one_bit(self) -> bool:
        """Whether both quantizers have two values, so that 1 bit is to be expected."""
        quantizers = (self.layer.input_quantizer, self.layer.kernel_quantizer)
        return self.required or all(
            getattr(quantizer, "precision", None) == 1 for quantizer in quantizers
        )

    @property
    def signature(self) -> tuple[int, ...]:
        """Kernel height, width, inputs, filters; strides; dilation."""
        layer = self.layer
        return (*self.signs.shape, *layer.strides, *layer.dilation_rate)

    @property
    def signs(self) -> np.ndarray:
        """Where the binary kernel is negative, `(height, width, inputs, filters)`."""
        latent = getattr(self.layer.kernel, "latent_variable", self.layer.kernel)
        return np.asarray(self.layer.kernel_quantizer(latent.numpy())) < 0
