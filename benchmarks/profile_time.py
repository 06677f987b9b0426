"""Time that a profile takes: ResNet-18 and ResNet-50 at 224x224, and a file.

The contenders run one after another in one process, round after round. The first round
counts, since a user profiles a model once; imports and the building of models do not.

    python benchmarks/profile_time.py --output benchmarks/results/profile_time.json
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from result_files import described, machine, markdown_table, write_results

from keras_rbcn import applications
from keras_rbcn._backend import keras
from keras_rbcn.export import export_tflite
from keras_rbcn.profiling import profile

AIM = 3  # Seconds, on two cores.
COLUMNS = (
    "network",
    "first s",
    "median s",
    "slowest s",
    "parameters",
    "Mbit",
    "operations",
    "file Mbit",
)


def contenders(folder: Path) -> dict[str, Any]:
    student = applications.RBCN("resnet18")
    rng = np.random.default_rng(0)
    for weight in student.weights:
        if weight.shape.rank == 1:  # As after training: the converter drops zeros.
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    path = folder / "resnet18.tflite"
    images = rng.normal(size=(1, 224, 224, 3))
    export_tflite(student, path, verify_data=images, verify_samples=1)
    return {
        "ResNet-18": applications.ResNet18(),
        "ResNet-18, 1-bit": student,
        "ResNet-18, 1-bit, .tflite": path,
        "ResNet-50 (keras.applications)": keras.applications.ResNet50(weights=None),
    }


def measure(rounds: int) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        models = contenders(Path(folder))
        seconds: dict[str, list[float]] = {name: [] for name in models}
        results = {}
        for _ in range(rounds):
            for name, model in models.items():
                start = time.perf_counter()
                results[name] = profile(model)
                seconds[name].append(time.perf_counter() - start)
    return [
        {
            "network": name,
            "first_seconds": seconds[name][0],
            "median_seconds": statistics.median(seconds[name]),
            "slowest_seconds": max(seconds[name]),
            "parameters": result.parameters,
            "memory_mbit": result.memory_mbit,
            "operations": result.operations,
            "file_bytes": result.file_bytes,
        }
        for name, result in results.items()
    ]


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["network"],
        f"{row['first_seconds']:.2f}",
        f"{row['median_seconds']:.2f}",
        f"{row['slowest_seconds']:.2f}",
        f"{row['parameters']:,}",
        f"{row['memory_mbit']:.2f}",
        f"{row['operations']:.3e}",
        f"{8 * row['file_bytes'] / 1e6:.2f}" if row["file_bytes"] else "",
    )


def markdown(result: dict[str, Any]) -> str:
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1))]
    lines += [cells(row) for row in result["rows"]]
    return (
        "# Time that a profile takes\n\n"
        f"Written by benchmarks/profile_time.py on {described(result['machine'])}; "
        f"{result['rounds']} rounds. The aim was less than {AIM} s.\n\n"
        + markdown_table(lines)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    rows = measure(arguments.rounds)
    result = {"machine": machine(), "rounds": arguments.rounds, "rows": rows}
    print(markdown(result))
    if arguments.output:
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
