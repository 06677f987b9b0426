"""How far right files, and files with one wrong padding, lie from their students.

The figures behind the thresholds of keras_rbcn.export.verification: random residual
networks are exported, rightly, and from twins of which one 1-bit convolution pads with
the other value. Every file is compared with the student as `export_tflite` does.

    python benchmarks/export_agreement.py --output RESULTS.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from result_files import write_results

from keras_rbcn._backend import keras
from keras_rbcn._samples import Signature, input_signature
from keras_rbcn.export.converter import convert
from keras_rbcn.export.verification import (
    FLIP_FACTOR,
    LIMIT,
    NUDGE,
    ROUNDING,
    _effect_of_nudging,
    _relative_differences,
    _student_outputs,
    compare,
)
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel

DEPTHS = (4, 8, 16, 48)
# Height and width of the maps, and channels; one network of each, with its own seed.
SIZES = ((8, 16), (12, 32), (8, 64))
PADDINGS = (1.0, 0.0)
SAMPLES = 64
# Deep and wide enough for rounding to decide a sign in every sample: one network, and
# fewer samples, since the 1-bit operators are slow here.
DEEP = 48
DEEP_SIZE = (16, 64)
DEEP_SAMPLES = 16
CLASSES = 10
COLUMNS = {
    "beyond_rounding": "beyond rounding",
    "median": "median difference",
    "nudging": "mean under nudging",
    "ratio": "ratio to nudging",
    "undecided": "undecided",
}


def network(size: int, channels: int, paddings: list[float], seed: int) -> Any:
    """A residual network of `len(paddings)` 1-bit convolutions, of random weights."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inputs = keras.Input((size, size, 3), name="images")
    x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    for number, padding in enumerate(paddings):
        name = f"convolution_{number}"
        y = RectifiedConv2D(channels, 3, padding="same", pad_values=padding, name=name)(
            x
        )
        x = layers.Add()([x, layers.BatchNormalization()(y)])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(CLASSES, name="logits")(x))
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape[0]
            layer.set_weights(
                [
                    generator.uniform(0.5, 1.5, count),
                    generator.normal(0, 0.3, count),
                    generator.normal(0, 0.3, count),
                    generator.uniform(0.5, 2.0, count),
                ]
            )
    return model


@dataclass(frozen=True)
class Student:
    """A student, its samples, and what is the same for every file of it."""

    model: Any
    signature: Signature
    samples: Any
    outputs: Any
    undecided: Any
    nudging: float | None

    @classmethod
    def measured(cls, model: Any, samples: Any) -> Student:
        signature = input_signature(model)
        (outputs,), undecided = _student_outputs(model, signature, [samples])
        nudging = None
        if undecided.any():
            nudging = _effect_of_nudging(model, signature, [samples[undecided]])
        return cls(model, signature, samples, outputs, undecided, nudging)

    def compared(self, model: Any) -> dict[str, Any]:
        """Compares the student with the file of `model`, as the export does."""
        file = TFLiteModel(convert(model, self.signature).content)
        agreement = compare(self.model, self.signature, file, [self.samples], "random")
        return {
            "passed": agreement.passed,
            "beyond_rounding": agreement.beyond_rounding,
            "median": agreement.median_relative_difference,
            "undecided": agreement.undecided,
            **self._on_undecided(file),
        }

    def _on_undecided(self, file: TFLiteModel) -> dict[str, Any]:
        """How the file would fare in a network of which no sample is decided."""
        if self.nudging is None:
            return {"nudging": None, "ratio": None, "passed_undecided": None}
        chosen = self.undecided
        differences = _relative_differences(
            [self.outputs[chosen]], [file.predict(self.samples[chosen])]
        )
        typical = float(np.median(differences))
        within = float(np.mean(differences > ROUNDING)) <= LIMIT
        return {
            "nudging": self.nudging,
            "ratio": typical / self.nudging if self.nudging else None,
            "passed_undecided": within
            or typical <= ROUNDING + FLIP_FACTOR * self.nudging,
        }


def rows(depths: list[int]) -> Iterator[dict[str, Any]]:
    cases = [
        (depth, size, channels, seed, padding)
        for depth in depths
        if depth < DEEP
        for seed, (size, channels) in enumerate(SIZES)
        for padding in PADDINGS
    ]
    if DEEP in depths:
        cases.append((DEEP, *DEEP_SIZE, 2, 1.0))
    for depth, size, channels, seed, padding in cases:
        started = time.perf_counter()
        paddings = [padding] * depth
        count = DEEP_SAMPLES if depth >= DEEP else SAMPLES
        samples = np.random.default_rng(seed).normal(size=(count, size, size, 3))
        model = network(size, channels, paddings, seed)
        student = Student.measured(model, samples.astype(np.float32))
        common = {
            "depth": depth,
            "size": size,
            "channels": channels,
            "seed": seed,
            "pad_values": padding,
        }
        right = student.compared(model)
        yield {**common, "file": "right", "changed": None, **right}
        for changed in (0, depth // 2, depth - 1):
            twin_paddings = paddings.copy()
            twin_paddings[changed] = 1.0 - padding
            twin = network(size, channels, twin_paddings, seed)
            twin.set_weights(model.get_weights())
            wrong = student.compared(twin)
            yield {**common, "file": "wrong", "changed": changed, **wrong}
        seconds = time.perf_counter() - started
        print(f"{common}: {seconds:.0f} s", file=sys.stderr)


def written(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in ("beyond_rounding", "undecided"):
        return f"{value:.0%}"
    return f"{value:.1f}" if name == "ratio" else f"{value:.1e}"


def ranged(rows: list[dict[str, Any]], name: str) -> str:
    values = [row[name] for row in rows if row[name] is not None]
    if not values:
        return "-"
    low, high = written(name, min(values)), written(name, max(values))
    return low if low == high else f"{low} to {high}"


def summary(rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    passed = sum(row["passed"] for row in rows)
    judged = [row for row in rows if row["passed_undecided"] is not None]
    alone = sum(row["passed_undecided"] for row in judged)
    values = " | ".join(ranged(rows, name) for name in COLUMNS)
    return (
        f"| {first['depth']} | {first['file']} | {passed} of {len(rows)} "
        f"| {alone} of {len(judged)} | {values} |"
    )


def described(row: dict[str, Any]) -> str:
    values = ", ".join(
        f"{label} {written(name, row[name])}" for name, label in COLUMNS.items()
    )
    size = f"{row['size']}x{row['size']}x{row['channels']}"
    return (
        f"- {row['file']}, {row['depth']} convolutions of {size}, pad_values "
        f"{row['pad_values']}, changed: {row['changed']}; {values}"
    )


def mistakes(rows: list[dict[str, Any]], judgement: str) -> list[str]:
    wrongly = [
        described(row)
        for row in rows
        if row[judgement] is not None and row[judgement] != (row["file"] == "right")
    ]
    return wrongly or ["None."]


def markdown(result: dict[str, Any]) -> str:
    rows = result["rows"]
    lines = [
        "# Right and wrong files beside their students\n",
        f"Written by benchmarks/export_agreement.py: {result['versions']}. Random "
        f"residual networks, {SAMPLES} samples each ({DEEP_SAMPLES} for {DEEP} "
        "convolutions); differences are relative to the spread of an output's channel. "
        "A wrong file pads one of the 1-bit convolutions with "
        f"the other value. Thresholds: {result['thresholds']}.\n",
        'Nudging is measured on the undecided samples. "Accepted on undecided alone" '
        "is what the criterion would say if they were all that there is, as in a deep "
        "network; "
        "the ratio is that of their median difference to the mean under nudging.\n",
        "| 1-bit convolutions | file | accepted | accepted on undecided alone | "
        f"{' | '.join(COLUMNS.values())} |",
        f"| ---: | --- | ---: | ---: |{' ---: |' * len(COLUMNS)}",
    ]
    for depth in sorted({row["depth"] for row in rows}):
        for file in ("right", "wrong"):
            group = [r for r in rows if (r["depth"], r["file"]) == (depth, file)]
            lines.append(summary(group))
    lines += ["\n## Judged wrongly\n", *mistakes(rows, "passed")]
    lines += ["\n## Judged wrongly on the undecided samples alone\n"]
    lines += mistakes(rows, "passed_undecided")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=list(DEPTHS))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    packages = ("keras-rbcn", "tensorflow", "larq-compute-engine")
    result = {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "thresholds": {
            "rounding": ROUNDING,
            "limit": LIMIT,
            "nudge": NUDGE,
            "flip_factor": FLIP_FACTOR,
        },
        "rows": list(rows(arguments.depths)),
    }
    print(markdown(result))
    if arguments.output:
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
