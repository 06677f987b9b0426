"""What a profile of the student promises beside what its file holds: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import MinLen


@dataclass(frozen=True)
class LayerPromise:
    """The parameters of layers that the file holds together.

    Attributes:
        layers: Their names, in order of execution. The converter folds batch
            normalisations and the like into the convolution beside them. Where the
            student has no such layer, the name of the operator.
        kind: What the file stores them as for the most part, as in `OperatorReport`;
            empty if it stores nothing.
        promised_bits: What they take by the profile of the student.
        stored_bits: What the file stores for them.
        padding_bits: How much of that fills up 1-bit kernels to whole words.
    """

    layers: Annotated[tuple[str, ...], MinLen(1)]
    kind: str
    promised_bits: int
    stored_bits: int
    padding_bits: int


@dataclass(frozen=True)
class Promise:
    """Where the bytes of a file come from, beside what the student promises.

    The file's size is `stored_bits / 8`, `other_bytes` and `structure_bytes` together.

    Attributes:
        layers: One entry for each layer, or for those that the file holds together.
        promised_bits: What the student's parameters take by its profile, in the
            convention of the literature.
        stored_bits: What the file stores for parameters.
        padding_bits: How much of that fills up 1-bit kernels to whole words.
        other_bytes: What it stores of other constants, such as shapes and axes.
        structure_bytes: All else: the list of operators and tensors with their names,
            alignment, and the checksum.
    """

    layers: tuple[LayerPromise, ...]
    promised_bits: int
    stored_bits: int
    padding_bits: int
    other_bytes: int
    structure_bytes: int
