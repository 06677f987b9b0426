"""Whether a file computes what the Keras student computes.

Float rounding differs between TensorFlow and the device's kernels: batch normalisation
is folded, sums run in another order. Outputs then differ by about 1e-6 of their size,
with one exception: where the input of a 1-bit layer lies within rounding of zero, its
sign may flip, and one flip moves outputs by far more than rounding.

A sample is *decided* if no input of a 1-bit layer lies that close to zero: file and
student must agree on it to rounding. In a small network nearly all samples are decided.
In a deep one hardly any is, and flips must be told from a wrong conversion. How far
flips move the outputs depends on network and sample, so it is measured, in the Keras
student alone: the inputs of all 1-bit layers are nudged at random by `NUDGE` of the
layer's largest input, and the outputs are compared with those without. `NUDGE` is
several times what rounding was seen to do (1e-7 to 3e-7), so that the file should
differ less from the student than the nudged student does.

Measured on residual networks of 4 to 48 1-bit convolutions
(`benchmarks/results/export_agreement.md`): a right file has 0 to 3 % of its samples
beyond rounding (25 % with 48 convolutions, where no sample is decided), and a median
difference of at most 1.3e-5 of the spread; nudging gives mean differences of up to
0.13. A file with one wrong padding value, at the borders of one of the convolutions,
has 100 % beyond rounding and medians of 0.13 to 1.3. On the undecided samples, where
nudging has an effect, the median difference is at most 0.0014 times its mean in right
files and 1.4 to 370 times in wrong ones: `FLIP_FACTOR` lies between. None was judged
wrongly.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from keras_rbcn._backend import tf
from keras_rbcn._samples import Signature, first_samples
from keras_rbcn.export.report import Agreement
from keras_rbcn.layers.binary_inputs import watched, without_cached_functions
from keras_rbcn.tflite.interpreter import TFLiteModel

# Difference that rounding explains, as a share of the spread of an output's channel.
ROUNDING = 1e-4
# And as a share of the value itself: a few units in the last place of a float32.
_OWN_ROUNDING = 8 * np.finfo(np.float32).eps
# Values of a channel from which its spread is not told.
_FEW = 8
# Share of the samples that may lie beyond rounding without further questions.
LIMIT = 0.1
# How far the inputs of 1-bit layers are nudged, as a share of the largest of them.
NUDGE = 1e-6
NUDGES = 2
# How many times the mean difference under nudging the median difference may reach.
FLIP_FACTOR = 0.5
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
        stacklevel=5,
    )
    generator = np.random.default_rng(0)
    return [
        generator.standard_normal((count, *spec.shape[1:])).astype(
            spec.dtype.as_numpy_dtype
        )
        for spec in signature.specs
    ]


def compare(
    model: Any, signature: Signature, file: TFLiteModel, arrays: list[Any], data: str
) -> Agreement:
    """Runs student and file on the samples, and judges the difference."""
    expected, undecided = _student_outputs(model, signature, arrays)
    received = file.predict(arrays if len(arrays) > 1 else arrays[0])
    received = received if isinstance(received, list) else [received]
    differences = _relative_differences(expected, received)
    # NaN, on either side, compares as false: it is never within rounding.
    beyond = ~(differences <= ROUNDING)
    passed = bool(beyond.mean() <= LIMIT)
    flips = None
    if not passed and undecided.any():
        chosen = [array[undecided] for array in arrays]
        flips = _effect_of_nudging(model, signature, chosen)
        decided_agree = undecided.all() or beyond[~undecided].mean() <= LIMIT
        typical = np.median(differences[undecided])
        passed = bool(decided_agree and typical <= ROUNDING + FLIP_FACTOR * flips)
    absolute = [
        np.abs(a.astype(np.float64) - b).ravel()
        for a, b in zip(expected, received, strict=True)
    ]
    return Agreement(
        passed=passed,
        data=data,
        samples=len(differences),
        max_difference=float(max(values.max() for values in absolute)),
        mean_difference=float(np.concatenate(absolute).mean()),
        median_relative_difference=float(np.median(differences)),
        beyond_rounding=float(beyond.mean()),
        undecided=float(undecided.mean()),
        flip_relative_difference=flips,
        class_agreement=_class_agreement(expected, received),
    )


def _relative_differences(
    expected: list[np.ndarray], received: list[np.ndarray]
) -> np.ndarray:
    """Each sample's largest difference, as a share of how far outputs spread."""
    parts = []
    for one, other in zip(expected, received, strict=True):
        a, b = one.astype(np.float64), other.astype(np.float64)
        # The number's own rounding: an offset leaves less precision to what varies.
        excess = np.maximum(np.abs(a - b) - _OWN_ROUNDING * np.abs(a), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(excess == 0, 0.0, excess / _spread(a))
        parts.append(share.reshape(len(a), -1).max(1))
    return np.max(parts, axis=0)


def _spread(values: np.ndarray) -> np.ndarray:
    """How far the values of each channel, the last axis, lie apart.

    Not their size, and not over all channels: an offset, an outlying sample or a large
    channel would hide what is wrong in the others.
    """
    channels = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    if len(channels) < _FEW:
        channels = channels.reshape(-1, 1)
    low, high = np.percentile(channels, [5, 95], axis=0)
    spread = high - low
    # A channel that is rarely active, and one of which there is but one value.
    spread = np.where(spread > 0, spread, channels.max(0) - channels.min(0))
    return np.where(spread > 0, spread, np.abs(channels).max(0))


def _class_agreement(expected: list[Any], received: list[Any]) -> float | None:
    shares = [
        float(np.mean(a.argmax(1) == b.argmax(1)))
        for a, b in zip(expected, received, strict=True)
        if a.ndim == 2 and a.shape[1] > 1
    ]
    return min(shares, default=None)


def _student_outputs(
    model: Any, signature: Signature, arrays: list[Any]
) -> tuple[list[np.ndarray], np.ndarray]:
    """The student's outputs, and which samples are undecided."""
    outputs, undecided = [], []
    for start in range(0, len(arrays[0]), _BATCH):
        part = [array[start : start + _BATCH] for array in arrays]
        near = np.zeros(len(part[0]), bool)

        def watch(layer: Any, inputs: Any, near: np.ndarray = near) -> Any:
            close = _close_to_zero(inputs)
            # A layer that is called on something else than samples (patches, time
            # steps): any of them may belong to any sample.
            flags = tf.reduce_any(close, axis=list(range(1, close.shape.rank)))
            near |= flags.numpy() if len(flags) == len(near) else flags.numpy().any()
            return inputs

        outputs.append(_run(model, signature, part, watch))
        undecided.append(near)
    joined = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    return joined, np.concatenate(undecided)


def _close_to_zero(inputs: Any) -> Any:
    # An exact zero is one on the device too, and its sign +1 on both sides: it comes
    # of a ReLU, or of a sum of as many +1 as -1.
    size = tf.abs(inputs)
    return (size > 0) & (size <= NUDGE * tf.reduce_max(size))


def _run(model: Any, signature: Signature, arrays: list[Any], watch: Any) -> list[Any]:
    tensors = [tf.convert_to_tensor(array) for array in arrays]
    with without_cached_functions(), watched(model, watch):
        return [output.numpy() for output in signature.call(model, tensors)]


def _effect_of_nudging(model: Any, signature: Signature, arrays: list[Any]) -> float:
    """Mean over the samples of the relative difference that nudging makes."""
    generator = tf.random.Generator.from_seed(0)

    def nudge(layer: Any, inputs: Any) -> Any:
        noise = generator.uniform(tf.shape(inputs), -NUDGE, NUDGE)
        nudged = inputs + noise * tf.reduce_max(tf.abs(inputs))
        return tf.where(_close_to_zero(inputs), nudged, inputs)

    def outputs(watch: Any) -> list[np.ndarray]:
        runs = [
            _run(model, signature, [array[i : i + _BATCH] for array in arrays], watch)
            for i in range(0, len(arrays[0]), _BATCH)
        ]
        return [np.concatenate(parts) for parts in zip(*runs, strict=True)]

    expected = outputs(lambda layer, inputs: inputs)
    effects = [_relative_differences(expected, outputs(nudge)) for _ in range(NUDGES)]
    return float(np.mean(effects))
