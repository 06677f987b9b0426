"""Time and memory of the two slow calls on a network of full size, beside their limits.

Each call runs in a process of its own. Its seconds are those of the call alone: imports
and the building of the model do not count. Peak memory is the resident set of the whole
process, imports and model included. `profile_time.py` measures profiles.

The exported network has moving statistics as after training: without, fewer signs are
left to rounding, and the second comparison, on the file's own signs, is not needed.

    python benchmarks/limits.py --output benchmarks/results/limits.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from conversions import settle
from result_files import (
    described,
    machine,
    markdown_table,
    measured_apart,
    write_results,
)

import keras_rbcn as rbcn
from keras_rbcn._backend import keras

SEED = 0
SAMPLES = 64  # What `export_tflite` compares unless told otherwise.
COLUMNS = ("call", "seconds", "limit", "peak GiB", "limit", "within")


def binarize_resnet50() -> float:
    model = keras.applications.ResNet50(weights=None)
    start = time.perf_counter()
    rbcn.binarize(model)
    return time.perf_counter() - start


def export_resnet18() -> float:
    student = rbcn.applications.RBCN("resnet18")
    images = np.random.default_rng(SEED).normal(size=(SAMPLES, 224, 224, 3))
    images = images.astype("float32")
    settle(student, images[:16])
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        rbcn.export_tflite(
            student,
            Path(folder) / "resnet18.tflite",
            images,
            verify_samples=SAMPLES,
        )
        return time.perf_counter() - start


# What is called, and its limits in seconds and GiB.
CALLS: dict[str, tuple[Callable[[], float], float, float | None]] = {
    "binarize, ResNet-50 (keras.applications) at 224x224": (
        binarize_resnet50,
        20,
        None,
    ),
    f"export, verified on {SAMPLES} samples, 1-bit ResNet-18 at 224x224": (
        export_resnet18,
        90,
        4,
    ),
}


def measure(call: str) -> dict[str, Any]:
    """Runs a call; for a process of its own."""
    keras.utils.set_random_seed(SEED)
    seconds = CALLS[call][0]()
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"call": call, "seconds": seconds, "peak_gib": kibibytes / 2**20}


def measure_apart(call: str) -> dict[str, Any]:
    """Measures in a fresh process, and compares with the limits."""
    row = measured_apart(__file__, "--worker", call)
    _, seconds, gib = CALLS[call]
    within = row["seconds"] < seconds and (gib is None or row["peak_gib"] < gib)
    return row | {"limit_seconds": seconds, "limit_gib": gib, "within": within}


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["call"],
        f"{row['seconds']:.1f}",
        f"{row['limit_seconds']}",
        f"{row['peak_gib']:.2f}",
        "" if row["limit_gib"] is None else f"{row['limit_gib']}",
        "yes" if row["within"] else "NO",
    )


def markdown(result: dict[str, Any]) -> str:
    lines = [COLUMNS, ("---", *["---:"] * 4, "---"), *map(cells, result["rows"])]
    return (
        "# Limits of time and memory\n\n"
        f"Written by benchmarks/limits.py on {described(result['machine'])}.\n\n"
        + markdown_table(lines)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--worker", choices=CALLS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(measure(arguments.worker)))
        return
    rows = [measure_apart(call) for call in CALLS]
    result = {"machine": machine(), "rows": rows}
    print(markdown(result))
    if arguments.output:
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
