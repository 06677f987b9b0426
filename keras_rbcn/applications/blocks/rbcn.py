"""The block of RBCN."""

from __future__ import annotations

from typing import Any

from keras_rbcn.applications.blocks.birealnet import BiRealNetBlocks
from keras_rbcn.layers import RectifiedConv2D


class RBCNBlocks(BiRealNetBlocks):
    """Bi-Real Net's block with rectified convolutions."""

    def convolution(self, x: Any, filters: int, strides: int, name: str) -> Any:
        """A 1-bit convolution whose scale is learned."""
        return RectifiedConv2D(filters, 3, strides, padding="same", name=name)(x)
