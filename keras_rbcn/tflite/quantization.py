"""Between real numbers and the integers that stand for them in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Quantization:
    """Real numbers as integers: `(integer - zero_point) * scale`.

    Attributes:
        scale: What a step of the integers is worth.
        zero_point: The integer that stands for zero.
    """

    scale: float
    zero_point: int

    def to_integers(self, values: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """The nearest integers, halves to the even one, cut off at the type's ends.

        Args:
            values: float32 of any shape.
            dtype: An integer type.
        """
        limits = np.iinfo(dtype)
        steps = np.rint(values / np.float32(self.scale)) + np.float32(self.zero_point)
        return np.clip(steps, limits.min, limits.max).astype(dtype)

    def to_numbers(self, integers: np.ndarray) -> np.ndarray:
        """What the integers stand for, float32."""
        steps = integers.astype(np.int32) - self.zero_point
        return steps.astype(np.float32) * np.float32(self.scale)

    def __str__(self) -> str:
        # As many digits as tell this float32 from all others.
        return f"scale {np.float32(self.scale)!s}, zero point {self.zero_point}"


def given_to(file: Any, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Real numbers as a file is to be given them: integers where it wants these.

    Args:
        file: A `TFLiteModel`.
        arrays: One for each input.
    """
    return [
        array if meaning is None else meaning.to_integers(array, dtype)
        for array, meaning, dtype in zip(
            arrays, file.input_quantizations, file.input_dtypes, strict=True
        )
    ]


def meant_by(file: Any, outputs: Any) -> list[np.ndarray]:
    """The real numbers that a file's outputs stand for.

    Args:
        file: A `TFLiteModel`.
        outputs: What its `predict` returned.
    """
    listed = outputs if isinstance(outputs, list) else [outputs]
    return [
        output if meaning is None else meaning.to_numbers(output)
        for output, meaning in zip(listed, file.output_quantizations, strict=True)
    ]
