"""The block of XNOR-Net."""

from __future__ import annotations

from typing import Any

from keras_rbcn.applications.blocks.bcnn import BCNNBlocks
from keras_rbcn.applications.blocks.parts import binary_convolution


class XNORNetBlocks(BCNNBlocks):
    """The plain binary block with kernels of plus or minus mean |W| per filter."""

    def convolution(self, x: Any, filters: int, strides: int, name: str) -> Any:
        """A 1-bit convolution whose scale follows from its kernel."""
        return binary_convolution(
            x, filters, strides, name, "ste_sign", "magnitude_aware_sign"
        )
