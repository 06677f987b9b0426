"""One case of the fuzz test: a random network is exported, and the file is judged.

By other means than those of the export: operators are counted in the bytes, the file is
run by a plain interpreter, and what comes out is compared with the Keras model.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import larq
import numpy as np
from hypothesis import strategies as st
from plain_files import PlainFile
from random_networks import random_network
from random_teachers import random_binarized

from keras_rbcn._backend import keras
from keras_rbcn.conversion.binarize import STYLES
from keras_rbcn.export import ExportError, export_tflite
from keras_rbcn.quantization import QuantizedLayer, quantize_real_layers

SAMPLES, CALIBRATION = 16, 48
# Samples that tell how far a student's outputs go, and in what steps.
USUAL = 64
# Of `make fuzz`, which asks for another number, each time with other networks.
_CASES = os.environ.get("KERAS_RBCN_FUZZ_CASES")
FUZZED = hypothesis.settings(
    # Two files, one for each runtime, share them.
    max_examples=int(_CASES or 24) // 2,
    derandomize=_CASES is None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
    # A failing network is small enough as it is, and each try takes seconds.
    phases=[hypothesis.Phase.reuse, hypothesis.Phase.generate],
)
REAL = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
)


@dataclasses.dataclass
class Case:
    """What is exported, and how.

    Attributes:
        runtime: That of the export.
        int8: Whether real layers are in int8.
        ends: Whether inputs and outputs are.
        source: The student in float32.
        images: Samples by the names of the inputs.
        student: What the file is to compute: with `int8`, the student rounded.
    """

    runtime: str
    int8: bool
    ends: tuple[bool, bool]
    source: Any
    images: dict[str, np.ndarray]
    student: Any = None

    def export(self, path: Path) -> Any:
        """Exports, and returns the report."""
        images = [self.images[name] for name in self.source.input_names]
        if not self.int8:
            self.student = self.source
            return export_tflite(self.source, path, images, runtime=self.runtime)
        inputs, outputs = self.ends
        generator = np.random.default_rng(1)
        more = [_noise((CALIBRATION, *one.shape[1:]), generator) for one in images]
        self.student = quantize_real_layers(
            self.source,
            [np.concatenate(pair) for pair in zip(images, more, strict=True)],
            int8_inputs=inputs,
            int8_outputs=outputs,
        )
        return export_tflite(
            self.student,
            path,
            images,
            runtime=self.runtime,
            real_layers="int8",
            input_type="int8" if inputs else "float32",
            output_type="int8" if outputs else "float32",
        )


@dataclasses.dataclass(frozen=True)
class Refusal:
    """What the export may refuse, as the documentation says.

    Attributes:
        message: Part of the message.
        reason: Why no right file can be written.
        applies: Whether a case has that reason.
    """

    message: str
    reason: str
    applies: Callable[[Case], bool]


def _zero_padded(case: Case) -> bool:
    return any(getattr(one, "pad_values", 1.0) == 0.0 for one in case.source.layers)


REFUSALS = (
    Refusal(
        "cannot pad with zeros where a 1-bit convolution gives int8",
        "Larq Compute Engine's interpreter does not allocate such a file",
        lambda case: case.runtime == "lce" and case.ends[1] and _zero_padded(case),
    ),
    Refusal(
        "it pads with zeros, and the device rounds at the borders",
        "Larq Compute Engine corrects sums at the borders in float32, and sums of "
        "exactly zero may become negative there",
        lambda case: case.runtime == "lce" and _zero_padded(case),
    ),
    Refusal(
        "in int8 are not those of `verify_data`",
        "rounding flips signs, and behind these the values of a layer of one or two "
        "filters may all be others than those of the calibration data",
        lambda case: case.int8,
    ),
    Refusal(
        "to come from layers of one output, which are not 1-bit, for int8 outputs",
        "a 1-bit convolution is not wrapped by what rounds values to 8 bits",
        lambda case: case.ends[1],
    ),
)


class Outcomes:
    """How the cases of one test ended: each in a right file, or in a refusal."""

    def __init__(self) -> None:
        self.counts: Counter = Counter()

    def note(self, refusal: Refusal | None) -> None:
        """Notes one case."""
        message = refusal.message if refusal else "exported"
        self.counts[message] += 1
        hypothesis.event(message)

    def assert_hardly_refused(self) -> None:
        """An export that refused everything would never be wrong."""
        assert self.counts["exported"] >= 0.85 * self.counts.total(), self.counts


def outcome(data: Any, seed: int, runtime: str, path: Path) -> Refusal | None:
    """Draws a case, exports it, and judges the file, or the refusal."""
    keras.backend.clear_session()
    case = draw(lambda options: data.draw(st.sampled_from(options)), seed, runtime)
    try:
        report = case.export(path)
    except (ExportError, ValueError) as error:
        assert not path.exists()
        for refusal in REFUSALS:
            if refusal.message in str(error) and refusal.applies(case):
                return refusal
        raise
    file = PlainFile(path.read_bytes())
    assert_kinds(file, case, report)
    assert_computes_the_same(file, case)
    return None


def draw(choose: Callable[[list[Any]], Any], seed: int, runtime: str) -> Case:
    """A random network, and how it is to be exported."""
    int8 = choose([False, True])
    ends = choose([(0, 0), (0, 0), (1, 0), (0, 1), (1, 1)]) if int8 else (0, 0)
    style = choose([None, None, *STYLES])
    if style is None:
        model = random_network(choose, seed, real=int8)
    else:
        model = random_binarized(choose, seed, style)
    generator = np.random.default_rng(seed)  # No two inputs are the same.
    images = {
        name: _noise((SAMPLES, *tensor.shape[1:]), generator)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }
    # Where they are dead, rounding is all that outputs differ by.
    hypothesis.assume(all(map(_vary, as_list(model.predict(images, verbose=0)))))
    return Case(runtime, int8, (bool(ends[0]), bool(ends[1])), model, images)


def _vary(outputs: np.ndarray) -> bool:
    """Whether outputs depend on the inputs."""
    reach = np.ptp(outputs, axis=0).max()
    return bool(reach > 1e-3 * np.abs(outputs).max())


def _noise(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    return generator.normal(size=shape).astype("float32")


def as_list(values: Any) -> list[Any]:
    """A model's outputs."""
    return values if isinstance(values, list) else [values]


def calls(model: Any) -> list[Any]:
    """The layers that a model calls, each as often as it does."""
    return [node.layer for nodes in model._nodes_by_depth.values() for node in nodes]


def assert_kinds(file: PlainFile, case: Case, report: Any) -> None:
    """No layer is computed in another kind of numbers than it must be."""
    layers = calls(case.student)
    binary = [one for one in layers if isinstance(one, larq.layers.QuantConv2D)]
    int8 = [
        one
        for one in layers
        if isinstance(one, QuantizedLayer) and one.kernel is not None
    ]
    expected = {
        "1-bit": len(binary),
        "int8": len(int8),
        "float32": sum(type(one) in REAL for one in layers),
    }
    assert bool(int8) == case.int8
    assert not (case.int8 and expected["float32"])
    assert {kind: file.kinds()[kind] for kind in expected} == expected
    assert sorted(report.binary_convolutions) == sorted(one.name for one in binary)
    for ends, wanted in zip((file.inputs, file.outputs), case.ends, strict=True):
        assert {end.scale is not None for end in ends.values()} == {wanted}


def assert_computes_the_same(file: PlainFile, case: Case) -> None:
    """The file computes what the student computes, by each interpreter."""
    arrays = [case.images[name] for name in case.student.input_names]
    expected = as_list(case.student.predict(arrays, verbose=0))
    generator = np.random.default_rng(2)
    others = [_noise((USUAL, *one.shape[1:]), generator) for one in arrays]
    usual = as_list(case.student.predict(others, verbose=0))
    for how in ("larq",) if case.runtime == "lce" else ("delegates", "builtin"):
        outputs = file.run(case.images, how)
        for number, name in enumerate(case.student.output_names):
            received, wanted = outputs[name], expected[number]
            assert received.shape == wanted.shape
            if case.int8:
                assert_close_integers(received, wanted, usual[number])
            else:
                assert_same(received, wanted)


def assert_same(received: np.ndarray, expected: np.ndarray) -> None:
    """In float32, two samples of sixteen may have signs that rounding decides."""
    difference = np.abs(received - expected).reshape(len(expected), -1).max(1)
    assert np.sum(difference > 1e-5 * np.abs(expected).max()) <= 2


def assert_close_integers(
    received: np.ndarray, expected: np.ndarray, usual: np.ndarray
) -> None:
    """In int8, a value in the middle of two integers may become the other one.

    That are two or three of a thousand, and each may flip a sign behind it. Of 73 right
    files all had a quarter of the samples, or more, without a difference, and 71 half.
    """
    difference = relative_difference(received, expected, usual)
    assert np.quantile(difference, 0.25) <= 0.002, difference
    assert np.median(difference) <= 0.02, difference
    if expected.ndim == 2:
        same = received.argmax(1) == expected.argmax(1)
        assert same.sum() >= len(same) - 2


def relative_difference(
    received: np.ndarray, expected: np.ndarray, usual: np.ndarray
) -> np.ndarray:
    """The largest difference of each sample, as a share of how far its channel goes.

    Of values that were rounded at last, and perhaps scaled and shifted after that, one
    step is left out, which may be much.

    Args:
        received: What the file makes of some samples.
        expected: What the student makes of them.
        usual: What the student makes of others.
    """
    channels = np.concatenate([expected, usual]).reshape(-1, expected.shape[-1])
    channels = channels.astype(np.float64)
    reach = np.ptp(channels, axis=0)
    # One that is always the same, or nearly, has its own size alone.
    reach = np.maximum(reach, 1e-3 * np.abs(channels).max())
    steps = np.array([step_of(values) for values in channels.T])
    share = np.maximum(np.abs(received - expected) - 1.01 * steps, 0) / reach
    return share.reshape(len(share), -1).max(1)


def step_of(values: np.ndarray) -> float:
    """What values that lie on a grid are apart; zero for others, and for too few."""
    size = np.ptp(values)
    found = np.unique(values)
    # Not those that differ by the rounding of float32 alone.
    found = found[np.append(True, np.diff(found) > 1e-5 * np.abs(values).max())]
    if len(found) < 4:
        return 0.0
    step = np.diff(found).min()
    multiples = (values - found[0]) / step
    is_grid = np.abs(multiples - np.rint(multiples)).max() < 0.01
    return step if is_grid and size / step < 256 else 0.0
