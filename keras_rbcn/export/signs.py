"""The student run on the signs that its file computed.

One sign that rounding decides otherwise moves all that follows, and in a deep network
hardly an output is left where it was. To compare beyond it, the inputs of each 1-bit
convolution are read from the file, and the student goes on from them instead of from
its own: then the two differ by rounding alone, however deep the network is. Wherever
the student would have taken another sign, its own input must be close to zero.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_rbcn._backend import tf
from keras_rbcn._samples import Signature, run_in_batches
from keras_rbcn.export.int8.roundings import NEAREST, Rounding, steps_between
from keras_rbcn.export.matching import Matching
from keras_rbcn.layers.binary_inputs import run_watched
from keras_rbcn.quantization.calibration import watched_rounding
from keras_rbcn.quantization.layers import QuantizedLayer, quantized_layers
from keras_rbcn.tflite import TFLiteModel
from keras_rbcn.tflite.flatbuffer import Graph, Operator
from keras_rbcn.tflite.quantization import given_to

# How close to zero an input's sign is decided by rounding, as a share of the largest of
# the layer's inputs; several times what rounding was seen to do (1e-7 to 3e-7).
CLOSE = 1e-6
# How far from zero, as a share of the layer's largest input, rounding may have moved
# an input whose sign is another one in the file.
NEAR_ZERO = 1e-4
# Share of a layer's inputs that may be exactly zero, and negative in the file.
FEW_ZEROS = 1e-5
# Samples that are run at a time: their signs are all kept.
_BATCH = 8


@dataclass
class SignCounts:
    """What was seen of the inputs of a 1-bit layer.

    Attributes:
        inputs: How many there were.
        close: How many of them lay so close to zero that rounding decides their sign.
        compared: How many have a sign that was read from the file.
        differing: How many of these signs are not the student's own.
        furthest: The largest of these, as a share of the layer's largest input.
    """

    inputs: int = 0
    close: int = 0
    compared: int = 0
    differing: int = 0
    furthest: float = 0.0

    def note_close(self, close: np.ndarray) -> None:
        """Counts a batch of inputs, of which some are close to zero."""
        self.inputs += close.size
        self.close += int(np.count_nonzero(close))

    def note_signs(self, inputs: np.ndarray, differing: np.ndarray) -> None:
        """Counts a batch of inputs, of which some have another sign in the file."""
        self.compared += inputs.size
        self.differing += int(np.count_nonzero(differing))
        size = np.abs(inputs[differing]).max(initial=0.0)
        if size:
            share = float(size / np.abs(inputs).max())
            self.furthest = max(self.furthest, share)


@dataclass
class SignedRun:
    """What came of the student on the file's signs.

    Attributes:
        outputs: The student's outputs, one array for each.
        contradicting: Which samples have a sign that rounding does not explain.
        undecided: Which samples have an input close to zero in a layer whose signs
            could not be taken from the file.
        layers: Names of the layers with such signs, in order of execution.
        differing: Which samples have a sign that is not the student's own.
    """

    outputs: list[np.ndarray]
    contradicting: np.ndarray
    undecided: np.ndarray
    layers: list[str]
    differing: np.ndarray


def run_on_signs_of_file(
    model: Any,
    signature: Signature,
    file: TFLiteModel,
    matching: Matching,
    arrays: list[Any],
    counts: Mapping[Any, SignCounts],
) -> SignedRun:
    """Runs the student on samples, with the signs that the file computed for them.

    Args:
        model: The student.
        signature: Its inputs.
        file: The file.
        matching: Which operator of the file is which layer.
        arrays: The samples, one array per input.
        counts: Of each 1-bit layer; what is seen of its signs is added.
    """
    reader = _Reader(file, matching)

    def run_on(part: list[Any]) -> SignedRun:
        run = _Run(reader.read(part), len(part[0]), counts)
        return run.of(model, signature, part)

    runs = run_in_batches(model, arrays, _BATCH, run_on)
    return SignedRun(
        [np.concatenate(p) for p in zip(*(run.outputs for run in runs), strict=True)],
        np.concatenate([run.contradicting for run in runs]),
        np.concatenate([run.undecided for run in runs]),
        list(dict.fromkeys(name for run in runs for name in run.layers)),
        np.concatenate([run.differing for run in runs]),
    )


@dataclass(frozen=True)
class _Decisions:
    """What the file decided by rounding.

    Attributes:
        signs: Of each 1-bit layer, where its inputs are negative.
        integers: Of each place where values are rounded, the integers.
    """

    signs: dict[Any, np.ndarray]
    integers: dict[Rounding, np.ndarray]


class _Reader:
    """Reads a file's decisions.

    Args:
        file: The file.
        matching: Which operator of the file is which layer.
    """

    def __init__(self, file: TFLiteModel, matching: Matching) -> None:
        self._file = file
        self._operators = _operators(matching)
        self._signs = _signs_of(file.graph, list(self._operators.values()))
        self._roundings = matching.roundings
        computed = [*self._signs, *self._roundings.values()]
        self._tensors = [t for t in computed if t not in file.graph.inputs]

    def read(self, arrays: list[Any]) -> _Decisions:
        """The decisions for some samples."""
        file = self._file
        given = given_to(file, arrays)
        read = file.predict_tensors(given, self._tensors) if self._tensors else []
        values = dict(zip(self._tensors, read, strict=True))
        values |= zip(file.graph.inputs, given, strict=True)
        signs = {
            layer: _negative(values[tensor], file.graph.operators[operator])
            for (layer, operator), tensor in zip(
                self._operators.items(), self._signs, strict=True
            )
        }
        integers = {one: values[index] for one, index in self._roundings.items()}
        return _Decisions(signs, integers)


def _operators(matching: Matching) -> dict[Any, int]:
    """The operator of each layer that is called once."""
    counts = Counter(call.layer for call in matching.found.values())
    return {
        call.layer: index
        for index, call in matching.found.items()
        if counts[call.layer] == 1
    }


def _signs_of(graph: Graph, convolutions: list[int]) -> list[int]:
    """The tensors that hold the signs of 1-bit convolutions' inputs."""
    # An emulated convolution is padded in front of it, one of Larq within it.
    unpadded = {
        operator.outputs[0]: operator.inputs[0]
        for operator in graph.operators
        if operator.name in ("PAD", "PADV2")
    }
    found = []
    for index in convolutions:
        signs = graph.operators[index].inputs[0]
        while signs in unpadded:
            signs = unpadded[signs]
        found.append(signs)
    return found


def _negative(values: np.ndarray, operator: Operator) -> np.ndarray:
    """Where the inputs of a 1-bit convolution are -1, packed to words or not."""
    if operator.name != "LceBconv2d":
        return values < 0
    packed = values.astype("<i4").view(np.uint8)
    bits = np.unpackbits(packed, axis=-1, bitorder="little")
    return bits[..., : operator.options["channels_in"]].astype(bool)


class _Run:
    """A run of the student on decisions of the file.

    Args:
        decisions: What the file decided.
        samples: Number of samples.
        counts: Of each 1-bit layer; what is seen of its signs is added.
    """

    def __init__(
        self, decisions: _Decisions, samples: int, counts: Mapping[Any, SignCounts]
    ) -> None:
        self._decisions, self._counts = decisions, counts
        self._contradicting, self._undecided, self._differing = np.zeros(
            (3, samples), bool
        )
        self._layers: list[str] = []
        self._calls: Counter[tuple[Any, str]] = Counter()

    def of(self, model: Any, signature: Signature, arrays: list[Any]) -> SignedRun:
        """Runs the student."""
        with watched_rounding(quantized_layers(model), self._integers_of_file):
            outputs = run_watched(model, signature, arrays, self._signs_of_file)
        return SignedRun(
            outputs,
            self._contradicting,
            self._undecided,
            self._layers,
            self._differing,
        )

    def _signs_of_file(self, layer: Any, inputs: Any) -> Any:
        if layer not in self._decisions.signs:
            mark_samples(self._undecided, close_to_zero(inputs))
            return inputs
        negative, own = self._decisions.signs[layer], inputs.numpy()
        other = negative != (own < 0)
        self._counts[layer].note_signs(own, other)
        mark_samples(self._differing, other)
        self._contradict(layer, _contradicting(own, other))
        return tf.where(negative, -1.0, 1.0)

    def _integers_of_file(self, layer: Any, place: str, values: Any) -> Any:
        call = self._calls[layer, place]
        self._calls[layer, place] += 1
        rounding = Rounding(layer, place, call, (1, *values.shape[1:]))
        integers = self._decisions.integers.get(rounding)
        if integers is None or integers.shape != values.shape:
            return QuantizedLayer.round(layer, place, values, False)
        meaning = rounding.quantization
        # NaN is near to nothing.
        near = steps_between(values.numpy(), integers, meaning) <= NEAREST
        self._contradict(layer, ~near)
        return tf.constant(meaning.to_numbers(integers))

    def _contradict(self, layer: Any, found: np.ndarray) -> None:
        mark_samples(self._contradicting, found)
        self._layers.extend([layer.name] if found.any() else [])


def _contradicting(inputs: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where the file's sign is another one for other reasons than rounding."""
    size = np.abs(inputs)
    # Each channel by itself, or by what is usual in the layer: a large one would hide
    # what is wrong in all others.
    by_channel = size.max(axis=tuple(range(size.ndim - 1)))
    usual = np.maximum(by_channel, np.median(by_channel))
    # Sums that are exactly zero are so on the device too, unless it rounds where it
    # should not. One now and then comes of rounding in the student.
    zero = other & (size == 0)
    if zero.mean() <= FEW_ZEROS:
        zero = np.zeros_like(zero)
    return (other & (size > NEAR_ZERO * usual)) | zero


def close_to_zero(inputs: Any) -> np.ndarray:
    """Which of a layer's inputs have a sign that rounding may decide."""
    # An exact zero is one on the device too, and its sign +1 on both sides: it comes
    # of a ReLU, or of a sum of as many +1 as -1.
    size = tf.abs(inputs)
    return ((size > 0) & (size <= CLOSE * tf.reduce_max(size))).numpy()


def mark_samples(samples: np.ndarray, found: np.ndarray) -> None:
    """Marks the samples in which something was found."""
    flags = found.reshape(len(found), -1).any(1)
    # A layer that is called on something else than samples (patches, time steps): any
    # of them may belong to any sample.
    samples |= flags if len(flags) == len(samples) else flags.any()
