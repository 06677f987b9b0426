"""The binary convolutions of a model, at each place where they are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import larq
import numpy as np

from keras_rbcn.layers import RectifiedConv2D


def is_required(layer: Any) -> bool:
    """Whether the export fails if the layer is no 1-bit convolution in the file."""
    return isinstance(layer, RectifiedConv2D)


def is_quantized_convolution(layer: Any) -> bool:
    """Whether the layer is a convolution with quantised inputs and kernel."""
    return isinstance(layer, larq.layers.QuantConv2D) and (
        is_required(layer)
        or (layer.input_quantizer is not None and layer.kernel_quantizer is not None)
    )


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
