"""The block with ReActNet's activations."""

from __future__ import annotations

from typing import Any

from keras_rbcn.applications.blocks.parts import Blocks, add, normalization, shortcut
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign


class ReActNetBlocks(Blocks):
    """RSign in front of every 1-bit convolution, RPReLU behind every addition."""

    def block(self, x: Any, filters: int, strides: int, name: str) -> Any:
        entry = shortcut(x, filters, strides, name)
        x = self._half(x, entry, filters, strides, name, 1)
        return self._half(x, x, filters, 1, name, 2)

    def final_activation(self, x: Any) -> Any:
        return x  # The last block has ended with an RPReLU.

    def _half(
        self, x: Any, entry: Any, filters: int, strides: int, name: str, index: int
    ) -> Any:
        y = RSign(name=f"{name}_rsign{index}")(x)
        layer = RectifiedConv2D(
            filters, 3, strides, padding="same", name=f"{name}_conv{index}"
        )
        y = normalization(layer(y), f"{name}_bn{index}")
        y = add(y, entry, f"{name}_add{index}")
        return RPReLU(name=f"{name}_rprelu{index}")(y)
