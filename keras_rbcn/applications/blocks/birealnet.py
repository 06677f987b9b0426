"""The block of Bi-Real Net."""

from __future__ import annotations

from typing import Any

from keras_rbcn.applications.blocks.parts import (
    Blocks,
    add,
    binary_convolution,
    normalization,
    shortcut,
)


class BiRealNetBlocks(Blocks):
    """A shortcut around every 1-bit convolution keeps the real-valued feature map."""

    def convolution(self, x: Any, filters: int, strides: int, name: str) -> Any:
        """A 1-bit convolution with Bi-Real Net's gradients and scale."""
        return binary_convolution(
            x, filters, strides, name, "approx_sign", "magnitude_aware_sign"
        )

    def block(self, x: Any, filters: int, strides: int, name: str) -> Any:
        y = self.convolution(x, filters, strides, f"{name}_conv1")
        y = normalization(y, f"{name}_bn1")
        x = add(y, shortcut(x, filters, strides, name), f"{name}_add1")
        y = self.convolution(x, filters, 1, f"{name}_conv2")
        y = normalization(y, f"{name}_bn2")
        return add(y, x, f"{name}_add2")
