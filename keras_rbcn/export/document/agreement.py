"""How far a file is from its student, as measured: plain values for the report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Interval


class _NullIsNaN:
    """Reads null as NaN: JSON has no number that is not finite, and `to_dict` none."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        # Here, since pydantic takes its time to start, and is for reading alone.
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(
            lambda value: math.nan if value is None else value, handler(source)
        )


# A measured number, which may be NaN or infinite.
Number = Annotated[float, _NullIsNaN()]
Share = Annotated[float, Interval(ge=0, le=1)]
Count = Annotated[int, Ge(0)]


@dataclass(frozen=True)
class LayerSigns:
    """The signs of a 1-bit layer's inputs: which rounding may decide, and which it did.

    Attributes:
        layer: Its name.
        inputs: Number of its inputs, of all samples together.
        close_to_zero: How many of them lie so close to zero (1e-6 of the layer's
            largest) that rounding decides their sign.
        compared: Number of inputs whose sign was read from the file; 0 if there was no
            need to, or it could not be done.
        differing: How many of these signs are not the student's own.
        furthest: The largest input whose sign differs, as a share of the layer's
            largest; None if none differs.
    """

    layer: str
    inputs: int
    close_to_zero: int
    compared: int
    differing: int
    furthest: Number | None


@dataclass(frozen=True)
class Agreement:
    """How far the outputs of the file are from those of the Keras student.

    Attributes:
        passed: Whether the file computes what the student computes.
        interpreter: What ran the file.
        data: `"verify_data"`, or `"random"` if the user gave none.
        samples: Number of samples compared.
        max_difference: Largest absolute difference of an output value.
        mean_difference: Mean absolute difference of the output values.
        median_relative_difference: Median of `relative_differences`.
        beyond_rounding: Share of samples with a difference that rounding does not
            explain (more than 1e-4 of the spread of the output's channel).
        undecided: Share of samples for which an input of a 1-bit layer lies so close
            to zero that rounding decides its sign.
        beyond_rounding_with_file_signs: The share beyond rounding if the student takes
            the signs that the file computed; None if there was no need to measure it.
        contradicting_signs: Share of samples with a sign in the file that the student
            contradicts by more than rounding; None likewise.
        contradicting_layers: Names of the 1-bit layers with such signs, in order of
            execution.
        class_agreement: Share of samples with the same largest output, the smallest
            over all outputs that are vectors of scores; None if there is none.
        rounding_limit: The difference, as a share of the spread of the output's
            channel, up to which rounding explains it.
        relative_differences: Of each sample, its largest difference as a share of the
            spread of the output's channel. What a float32 of the number's size is
            rounded by itself, 8 units in the last place, is taken off the difference
            first. The spread goes from the 5th to the 95th percentile; that of a
            probability counts as a tenth of the largest one of all classes at least.
            For a value that lies further from the channel's median than that, its
            distance counts.
        undecided_samples: Of each sample, whether it is among those of `undecided`.
        samples_on_file_signs: Number of samples that the student was run on with the
            signs that the file computed: all if many are beyond rounding, or else only
            those that are.
        samples_with_differing_signs: How many of these have a sign in the file that is
            not the student's own.
        difference_on_file_signs: The largest relative difference that is left of these
            samples; None if there are none.
        signs: One entry for each 1-bit layer, in order of execution.
    """

    passed: bool
    interpreter: str
    data: str
    samples: Count
    max_difference: Number
    mean_difference: Number
    median_relative_difference: Number
    beyond_rounding: Share
    undecided: Share
    beyond_rounding_with_file_signs: Share | None
    contradicting_signs: Share | None
    contradicting_layers: tuple[str, ...]
    class_agreement: Share | None
    rounding_limit: float
    relative_differences: tuple[Number, ...]
    undecided_samples: tuple[bool, ...]
    samples_on_file_signs: int
    samples_with_differing_signs: int
    difference_on_file_signs: Number | None
    signs: tuple[LayerSigns, ...]
