"""The block of a plain binary convolutional network."""

from __future__ import annotations

from typing import Any

from keras_rbcn.applications.blocks.parts import (
    Blocks,
    add,
    binary_convolution,
    normalization,
    shortcut,
)


class BCNNBlocks(Blocks):
    """ResNet's block with signs for ReLUs: one shortcut around two convolutions."""

    def convolution(self, x: Any, filters: int, strides: int, name: str) -> Any:
        """A 1-bit convolution without a scale."""
        return binary_convolution(x, filters, strides, name, "ste_sign", "ste_sign")

    def block(self, x: Any, filters: int, strides: int, name: str) -> Any:
        y = self.convolution(x, filters, strides, f"{name}_conv1")
        y = normalization(y, f"{name}_bn1")
        y = self.convolution(y, filters, 1, f"{name}_conv2")
        y = normalization(y, f"{name}_bn2")
        return add(y, shortcut(x, filters, strides, name), f"{name}_add")
