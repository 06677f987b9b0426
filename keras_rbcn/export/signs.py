"""The student run on the signs that its file computed.

One sign that rounding decides otherwise moves all that follows, and in a deep network
hardly an output is left where it was. To compare beyond it, the inputs of each 1-bit
convolution are read from the file, and the student goes on from them instead of from
its own: then the two differ by rounding alone, however deep the network is. Wherever
the student would have taken another sign, its own input must be close to zero.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_rbcn._backend import tf
from keras_rbcn._samples import Signature
from keras_rbcn.export.matching import Matching
from keras_rbcn.layers.binary_inputs import run_watched
from keras_rbcn.tflite import TFLiteModel
from keras_rbcn.tflite.flatbuffer import Graph, Operator

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
class SignedRun:
    """What came of the student on the file's signs.

    Attributes:
        outputs: The student's outputs, one array for each.
        contradicting: Which samples have a sign that rounding does not explain.
        undecided: Which samples have an input close to zero in a layer whose signs
            could not be taken from the file.
        layers: Names of the layers with such signs, in order of execution.
    """

    outputs: list[np.ndarray]
    contradicting: np.ndarray
    undecided: np.ndarray
    layers: list[str]


def run_on_signs_of_file(
    model: Any,
    signature: Signature,
    file: TFLiteModel,
    matching: Matching,
    arrays: list[Any],
) -> SignedRun:
    """Runs the student on samples, with the signs that the file computed for them.

    Args:
        model: The student.
        signature: Its inputs.
        file: The file.
        matching: Which operator of the file is which layer.
        arrays: The samples, one array per input.
    """
    operators = _operators(matching)
    tensors = _signs_of(file.graph, list(operators.values()))
    runs = []
    for start in range(0, len(arrays[0]), _BATCH):
        part = [array[start : start + _BATCH] for array in arrays]
        values = file.predict_tensors(part if len(part) > 1 else part[0], tensors)
        signs = {
            layer: _negative(read, file.graph.operators[index])
            for (layer, index), read in zip(operators.items(), values, strict=True)
        }
        runs.append(_run_on(model, signature, part, signs))
    return SignedRun(
        [np.concatenate(p) for p in zip(*(run.outputs for run in runs), strict=True)],
        np.concatenate([run.contradicting for run in runs]),
        np.concatenate([run.undecided for run in runs]),
        list(dict.fromkeys(name for run in runs for name in run.layers)),
    )


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


def _run_on(
    model: Any,
    signature: Signature,
    arrays: list[Any],
    signs: dict[Any, np.ndarray],
) -> SignedRun:
    count = len(arrays[0])
    contradicting, undecided = np.zeros(count, bool), np.zeros(count, bool)
    layers: list[str] = []

    def replace(layer: Any, inputs: Any) -> Any:
        if layer not in signs:
            mark_samples(undecided, close_to_zero(inputs))
            return inputs
        negative = signs[layer]
        found = _contradicting(inputs.numpy(), negative)
        mark_samples(contradicting, found)
        layers.extend([layer.name] if found.any() else [])
        return tf.where(negative, -1.0, 1.0)

    outputs = run_watched(model, signature, arrays, replace)
    return SignedRun(outputs, contradicting, undecided, layers)


def _contradicting(inputs: np.ndarray, negative: np.ndarray) -> np.ndarray:
    """Where the file's sign is another one for other reasons than rounding."""
    size = np.abs(inputs)
    other = negative != (inputs < 0)
    # Sums that are exactly zero are so on the device too, unless it rounds where it
    # should not. One now and then comes of rounding in the student.
    zero = other & (size == 0)
    if zero.mean() <= FEW_ZEROS:
        zero = np.zeros_like(zero)
    return (other & (size > NEAR_ZERO * size.max())) | zero


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
