"""Whether a file computes what the Keras student computes.

Float rounding differs between TensorFlow and the device's kernels: batch normalisation
is folded, sums run in another order. Outputs then differ by about 1e-6 of their size,
with one exception: where the input of a 1-bit layer lies within rounding of zero, its
sign may flip, and one flip moves outputs by far more than rounding.

A file agrees if hardly a sample is beyond rounding. In a deep network flips are many
and spread, so that this tells nothing. Then the student is run once more, on the signs
that the file computed (`signs.py`). What differs now is not rounding, and no sample is
excused: a right file has none that differs, a wrong one is found out at the layer where
it is wrong. Measured on residual networks of 4 to 48 1-bit convolutions, in
`benchmarks/results/export_agreement.md`.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from keras_rbcn._samples import Signature, first_samples, run_in_batches
from keras_rbcn.export.document.agreement import Agreement, LayerSigns
from keras_rbcn.export.matching import Matching
from keras_rbcn.export.signs import (
    SignCounts,
    SignedRun,
    close_to_zero,
    mark_samples,
    run_on_signs_of_file,
)
from keras_rbcn.layers.binary_inputs import binary_layers, run_watched
from keras_rbcn.tflite.interpreter import TFLiteModel
from keras_rbcn.tflite.quantization import given_to, meant_by

# Difference that rounding explains, as a share of the spread of an output's channel.
ROUNDING = 1e-4
# The same for a model without 1-bit layers, in which rounding adds up from the first to
# the last: right files of Keras' ResNet50 with random weights are beyond 1e-4.
FLOAT_ROUNDING = 1e-3
# And as a share of the value itself: a few units in the last place of a float32.
_OWN_ROUNDING = 8 * np.finfo(np.float32).eps
# The smallest spread of a class's probability, as a share of the largest class's.
SMALLEST_SPREAD = 0.1
# Values of a channel from which its spread is not told.
_FEW = 8
# Share of the samples that may lie beyond rounding without further questions.
LIMIT = 0.1
# Samples that the student runs on at a time.
_BATCH = 16


def verification_samples(
    verify_data: Any, signature: Signature, count: int
) -> tuple[list[np.ndarray], str]:
    """The samples to compare on, and "verify_data" or "random"."""
    if verify_data is None:
        return _random_samples(signature, count), "random"
    return first_samples(verify_data, signature, count, "verify_data"), "verify_data"


def _random_samples(signature: Signature, count: int) -> list[np.ndarray]:
    wrong = [
        f"'{name}' ({spec.dtype.name})"
        for name, spec in zip(signature.names, signature.specs, strict=True)
        if not spec.dtype.is_floating
    ]
    if wrong:
        raise ValueError(
            "Expected `verify_data`, since random data make no sense for the inputs "
            f"{', '.join(wrong)}."
        )
    warnings.warn(
        "The exported file is compared with the student on random normal data, "
        "because no `verify_data` was given. Give real inputs, such as the validation "
        "data: random ones may exercise the network differently.",
        UserWarning,
        stacklevel=4,
    )
    generator = np.random.default_rng(0)
    return [
        generator.standard_normal((count, *spec.shape[1:])).astype(
            spec.dtype.as_numpy_dtype
        )
        for spec in signature.specs
    ]


class StudentRun(NamedTuple):
    """The student's outputs, which samples are undecided, and its layers' signs."""

    outputs: list[np.ndarray]
    undecided: np.ndarray
    signs: dict[Any, SignCounts]


def compare(
    model: Any,
    signature: Signature,
    file: TFLiteModel,
    arrays: list[Any],
    data: str,
    matching: Matching,
    student: StudentRun,
) -> Agreement:
    """Runs a file on the samples, and judges how far it is from the student.

    Args:
        model: The student.
        signature: Its inputs.
        file: The file.
        arrays: The samples, one array per input.
        data: Where they come from, for the report.
        matching: Which operator of the file is which layer.
        student: What the student makes of the samples.
    """
    expected = student.outputs
    received = meant_by(file, file.predict(given_to(file, arrays)))
    differences = relative_differences(expected, received)
    limit = ROUNDING if matching.found or binary_layers(model) else FLOAT_ROUNDING
    # NaN, on either side, compares as false: it is never within rounding.
    beyond = ~(differences <= limit)
    passed = bool(beyond.mean() <= LIMIT)
    # Few samples beyond rounding are only explained, by the flips in them. Values that
    # are rounded to 8 bits could hide what is wrong: they are looked at in any case.
    certain = passed and not matching.roundings
    questioned = np.flatnonzero(beyond if certain else np.ones_like(beyond))
    counts = {layer: replace(count) for layer, count in student.signs.items()}
    signed = None
    if questioned.size and (matching.found or matching.roundings):
        part = [array[questioned] for array in arrays]
        run = run_on_signs_of_file(model, signature, file, matching, part, counts)
        signed = _judged(run, questioned, expected, received)
    judged = signed if not certain and signed and signed.decided else None
    if judged:
        passed = judged.beyond_rounding <= LIMIT and judged.contradicting <= LIMIT
    # On the signs of the file a student may be right that says nothing by itself.
    passed = passed and not any(np.isnan(array).any() for array in expected)
    absolute = [
        np.abs(a.astype(np.float64) - b).ravel()
        for a, b in zip(expected, received, strict=True)
    ]
    return Agreement(
        passed=passed,
        interpreter=file.interpreter,
        data=data,
        samples=len(differences),
        max_difference=float(max(values.max() for values in absolute)),
        mean_difference=float(np.concatenate(absolute).mean()),
        median_relative_difference=float(np.median(differences)),
        beyond_rounding=float(beyond.mean()),
        undecided=float(student.undecided.mean()),
        beyond_rounding_with_file_signs=judged and judged.beyond_rounding,
        contradicting_signs=judged and judged.contradicting,
        contradicting_layers=tuple(judged.layers) if judged else (),
        class_agreement=class_agreement(expected, received),
        rounding_limit=limit,
        relative_differences=tuple(differences.tolist()),
        undecided_samples=tuple(student.undecided.tolist()),
        samples_on_file_signs=signed.samples if signed else 0,
        samples_with_differing_signs=signed.differing if signed else 0,
        difference_on_file_signs=signed and signed.difference,
        signs=tuple(_layer_signs(layer, count) for layer, count in counts.items()),
    )


class _OnFileSigns(NamedTuple):
    """How the student compares with the file on the signs that the file computed.

    Attributes:
        samples: Number of samples compared.
        decided: How many of them have all their signs from the file.
        beyond_rounding: Share of these that are beyond rounding.
        contradicting: Share of these with a sign that the student contradicts.
        layers: Names of the layers with such signs.
        differing: Number of samples with a sign that is not the student's own.
        difference: The largest relative difference.
    """

    samples: int
    decided: int
    beyond_rounding: float
    contradicting: float
    layers: list[str]
    differing: int
    difference: float


def _judged(
    run: SignedRun,
    which: np.ndarray,
    expected: list[np.ndarray],
    received: list[np.ndarray],
) -> _OnFileSigns:
    """Compares the student's run on the file's signs, for some of the samples."""
    outputs = [array.copy() for array in expected]
    for array, part in zip(outputs, run.outputs, strict=True):
        array[which] = part  # The others tell how far outputs spread.
    differences = relative_differences(outputs, received)[which]
    decided = ~run.undecided
    different = ~(differences <= ROUNDING)
    return _OnFileSigns(
        samples=len(which),
        decided=int(decided.sum()),
        beyond_rounding=float(different[decided].mean()) if decided.any() else 0.0,
        contradicting=(
            float(run.contradicting[decided].mean()) if decided.any() else 0.0
        ),
        layers=run.layers,
        differing=int(run.differing.sum()),
        difference=float(differences.max()),
    )


def _layer_signs(layer: Any, count: SignCounts) -> LayerSigns:
    return LayerSigns(
        layer=str(layer.name),
        inputs=count.inputs,
        close_to_zero=count.close,
        compared=count.compared,
        differing=count.differing,
        furthest=count.furthest if count.differing else None,
    )


def relative_differences(
    expected: list[np.ndarray], received: list[np.ndarray]
) -> np.ndarray:
    """Each sample's largest difference, as a share of how far outputs spread."""
    parts = []
    for one, other in zip(expected, received, strict=True):
        a, b = one.astype(np.float64), other.astype(np.float64)
        # The number's own rounding: an offset leaves less precision to what varies.
        excess = np.maximum(np.abs(a - b) - _OWN_ROUNDING * np.abs(a), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(excess == 0, 0.0, excess / _reach(a))
        parts.append(share.reshape(len(a), -1).max(1))
    return np.max(parts, axis=0)


def _reach(values: np.ndarray) -> np.ndarray:
    """How far each value may vary: its channel's spread, or more if it lies far out.

    A channel that is rarely active spreads by what it is at rest, and its few large
    values have the rounding of large ones.
    """
    channels = _channels(values)
    far_out = np.abs(values - np.median(channels, axis=0))
    return np.maximum(_spread(values), far_out)


def _channels(values: np.ndarray) -> np.ndarray:
    """The values of each channel, the last axis, or of all together if they are few."""
    channels = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    return channels.reshape(-1, 1) if len(channels) < _FEW else channels


def _spread(values: np.ndarray) -> np.ndarray:
    """How far the values of each channel lie apart.

    Not their size, and not over all channels: an offset, an outlying sample or a large
    channel would hide what is wrong in the others.
    """
    channels = _channels(values)
    low, high = np.percentile(channels, [5, 95], axis=0)
    spread = high - low
    # A channel that is rarely active, and one of which there is but one value.
    spread = np.where(spread > 0, spread, channels.max(0) - channels.min(0))
    spread = np.where(spread > 0, spread, np.abs(channels).max(0))
    if not _are_probabilities(values):
        return spread
    # One that is always tiny takes the rounding of all logits.
    return np.maximum(spread, SMALLEST_SPREAD * spread.max())


def _are_probabilities(values: np.ndarray) -> bool:
    return bool((values >= 0).all() and np.allclose(values.sum(-1), 1.0, atol=1e-4))


def class_agreement(expected: list[Any], received: list[Any]) -> float | None:
    """Share of samples with the same largest output, the smallest of all outputs."""
    shares = [
        float(np.mean(a.argmax(1) == b.argmax(1)))
        for a, b in zip(expected, received, strict=True)
        if a.ndim == 2 and a.shape[1] > 1
    ]
    return min(shares, default=None)


def run_student(model: Any, signature: Signature, arrays: list[Any]) -> StudentRun:
    """Runs the student on the samples, one array per input.

    Raises:
        ValueError: If it cannot compute one, such as a number beyond an embedding.
    """
    undecided = []
    signs: defaultdict[Any, SignCounts] = defaultdict(SignCounts)

    def run(part: list[Any]) -> list[np.ndarray]:
        near = np.zeros(len(part[0]), bool)
        undecided.append(near)

        def watch(layer: Any, inputs: Any) -> Any:
            close = close_to_zero(inputs)
            mark_samples(near, close)
            signs[layer].note_close(close)
            return inputs

        return run_watched(model, signature, part, watch)

    outputs = run_in_batches(model, arrays, _BATCH, run)
    joined = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    return StudentRun(joined, np.concatenate(undecided), dict(signs))
