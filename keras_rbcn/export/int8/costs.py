"""What int8 costs a student, as measured: plain values for the report."""

from __future__ import annotations

from dataclasses import dataclass

from keras_rbcn.export.document.agreement import Number, Share

# Share of the values at a place that may lie outside of its range.
MOST_CLIPPED = 0.05
# Share of a range that values must use: 8 of its 256 steps.
LEAST_USED = 1 / 32


@dataclass(frozen=True)
class RangeUse:
    """How values fit the range that they are told in.

    Attributes:
        layer: Name of the layer.
        place: Where: its "inputs", its "outputs", or what it gives to its own
            activation, the "preactivation".
        low: The smallest value that the file can tell: zero must be an integer, so that
            this is not to the last digit the range that was measured.
        high: The largest one.
        lowest: The smallest value that there was.
        highest: The largest one.
        clipped: Share of the values that lie outside, by more than a few steps.
    """

    layer: str
    place: str
    low: Number
    high: Number
    lowest: Number
    highest: Number
    clipped: Share

    @property
    def complaint(self) -> str | None:
        """What is wrong with the range, if it is not of values like these."""
        seen = (
            f"{self.place} of layer '{self.layer}' take values from {self.lowest:.4g} "
            f"to {self.highest:.4g}, and 8 bits tell those from {self.low:.4g} to "
            f"{self.high:.4g}"
        )
        if self.clipped > MOST_CLIPPED:
            return f"{seen}: {self.clipped:.0%} of them are cut off"
        used = max(self.highest, 0.0) - min(self.lowest, 0.0)
        if used == 0:
            return None  # All are zero, which 8 bits tell exactly.
        if used < LEAST_USED * (self.high - self.low):
            return f"{seen}: that is too coarse for them"
        return None


@dataclass(frozen=True)
class Int8Report:
    """The layers of a file that compute in int8, and what that costs.

    Attributes:
        layers: Names of the layers with kernels in 8 bits.
        missing: Names of those with real kernels that stay in float32: of kinds that
            `quantize_real_layers` leaves alone.
        ranges: How the samples' values fit the ranges, by layer.
        class_agreement: Share of the samples with the same largest output as of the
            student in float32; None if there is no such student, as for one that came
            with its ranges and may have been trained on, or no output that is a vector
            of scores.
        median_relative_difference: Median over the samples of their largest difference
            from that student, as a share of the spread of the output's channel.
    """

    layers: tuple[str, ...]
    missing: tuple[str, ...]
    ranges: tuple[RangeUse, ...]
    class_agreement: Share | None
    median_relative_difference: Number | None

    @property
    def complaints(self) -> list[str]:
        """What is wrong with the ranges, if they come from other data than these."""
        return [one.complaint for one in self.ranges if one.complaint]
