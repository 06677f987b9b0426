"""The residual block of full-precision networks, the teachers."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.applications.blocks.parts import (
    Blocks,
    add,
    convolution,
    normalization,
    shortcut,
)


class FullPrecisionBlocks(Blocks):
    """ResNet's basic block: ReLU behind the first convolution and the addition."""

    def stem_activation(self, x: Any) -> Any:
        return keras.layers.ReLU(name="stem_relu")(x)

    def block(self, x: Any, filters: int, strides: int, name: str) -> Any:
        y = convolution(x, filters, 3, strides, f"{name}_conv1")
        y = normalization(y, f"{name}_bn1")
        y = keras.layers.ReLU(name=f"{name}_relu1")(y)
        y = convolution(y, filters, 3, 1, f"{name}_conv2")
        y = normalization(y, f"{name}_bn2")
        y = add(y, shortcut(x, filters, strides, name), f"{name}_add")
        return keras.layers.ReLU(name=f"{name}_relu2")(y)

    def final_activation(self, x: Any) -> Any:
        return x  # The last block has ended with one.
