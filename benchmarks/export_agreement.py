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
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from result_files import write_results

from keras_rbcn._backend import keras
from keras_rbcn._samples import input_signature
from keras_rbcn.export.converter import convert
from keras_rbcn.export.matching import match
from keras_rbcn.export.signs import NEAR_ZERO
from keras_rbcn.export.verification import LIMIT, ROUNDING, compare, run_student
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
    "undecided": "undecided",
    "beyond_rounding": "beyond rounding",
    "median": "median difference",
    "beyond_with_signs": "beyond rounding on the file's signs",
    "contradicting": "contradicting signs",
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


def compared(model: Any, other: Any, samples: Any) -> dict[str, Any]:
    """Compares a student with the file of another model, as the export does."""
    file = TFLiteModel(convert(other, input_signature(other)).content)
    signature = input_signature(model)
    # Which operator is which layer of the student, whose kernels are the same.
    matching = match(file.graph, convert(model, signature).calls)
    run = run_student(model, signature, [samples])
    agreement = compare(model, signature, file, [samples], "random", matching, run)
    return {
        "passed": agreement.passed,
        "undecided": agreement.undecided,
        "beyond_rounding": agreement.beyond_rounding,
        "median": agreement.median_relative_difference,
        "beyond_with_signs": agreement.beyond_rounding_with_file_signs,
        "contradicting": agreement.contradicting_signs,
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
        samples = samples.astype(np.float32)
        common = {
            "depth": depth,
            "size": size,
            "channels": channels,
            "seed": seed,
            "pad_values": padding,
        }
        right = compared(model, model, samples)
        yield {**common, "file": "right", "changed": None, **right}
        for changed in (0, depth // 2, depth - 1):
            twin_paddings = paddings.copy()
            twin_paddings[changed] = 1.0 - padding
            twin = network(size, channels, twin_paddings, seed)
            twin.set_weights(model.get_weights())
            wrong = compared(model, twin, samples)
            yield {**common, "file": "wrong", "changed": changed, **wrong}
        seconds = time.perf_counter() - started
        print(f"{common}: {seconds:.0f} s", file=sys.stderr)


def written(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1e}" if name == "median" else f"{value:.0%}"


def ranged(rows: list[dict[str, Any]], name: str) -> str:
    values = [row[name] for row in rows if row[name] is not None]
    if not values:
        return "-"
    low, high = written(name, min(values)), written(name, max(values))
    return low if low == high else f"{low} to {high}"


def summary(rows: list[dict[str, Any]]) -> str:
    first = rows[0]
    passed = sum(row["passed"] for row in rows)
    values = " | ".join(ranged(rows, name) for name in COLUMNS)
    return (
        f"| {first['depth']} | {first['file']} | {passed} of {len(rows)} | {values} |"
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


def mistakes(rows: list[dict[str, Any]]) -> list[str]:
    wrongly = [
        described(row) for row in rows if row["passed"] != (row["file"] == "right")
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
        "Undecided are samples with an input of a 1-bit layer whose sign rounding "
        "decides. Where more samples are beyond rounding than the limit, the student "
        "is run on the signs that the file computed; contradicting are samples with a "
        "sign that rounding does not explain.\n",
        f"| 1-bit convolutions | file | accepted | {' | '.join(COLUMNS.values())} |",
        f"| ---: | --- | ---: |{' ---: |' * len(COLUMNS)}",
    ]
    for depth in sorted({row["depth"] for row in rows}):
        for file in ("right", "wrong"):
            group = [r for r in rows if (r["depth"], r["file"]) == (depth, file)]
            lines.append(summary(group))
    lines += ["\n## Judged wrongly\n", *mistakes(rows)]
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
            "near_zero": NEAR_ZERO,
        },
        "rows": list(rows(arguments.depths)),
    }
    print(markdown(result))
    if arguments.output:
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
