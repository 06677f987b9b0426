"""int8 for the real layers of a 1-bit network."""

from keras_rbcn.quantization.layers import QuantizedLayer
from keras_rbcn.quantization.quantize import quantize_real_layers

__all__ = ["QuantizedLayer", "quantize_real_layers"]
