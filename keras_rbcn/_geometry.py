"""Where a convolution's windows lie, along one axis of a feature map."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """A convolution along one axis.

    Args:
        size: Rows or columns of the map, without padding.
        kernel: Those of the kernel.
        stride: Those between windows.
        dilation: Those between the kernel's elements.
    """

    size: int
    kernel: int
    stride: int = 1
    dilation: int = 1

    @property
    def extent(self) -> int:
        """What a window covers, the gaps of a dilated kernel included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def same_before(self) -> int:
        """How many rows or columns `padding="same"` adds in front."""
        windows = -(-self.size // self.stride)
        return max((windows - 1) * self.stride + self.extent - self.size, 0) // 2

    def has_windows_of_same(self, before: int, after: int) -> bool:
        """Whether a padding gives as many windows as `padding="same"`."""
        windows = (self.size + before + after - self.extent) // self.stride + 1
        return windows == -(-self.size // self.stride)
