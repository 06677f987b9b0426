"""What the stock runtime costs: bytes beside Larq Compute Engine's, time beside float.

The same networks, in full precision and 1-bit, as files for both runtimes. Times are of
one thread on this machine, each file in turn, as ratios of medians. In the stock
interpreter (LiteRT) a 1-bit convolution is computed as a real one, so that no gain is
to be seen, only what its emulation adds. Larq Compute Engine has no fast kernels but
for 64-bit ARM: what it takes here, by its reference kernels, tells of no device.

    python benchmarks/runtimes.py --output benchmarks/results/runtimes.json
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from conversions import settle
from result_files import described, machine, markdown_table, write_results

import keras_rbcn as rbcn

SEED = 0
ROUNDS = 60
NETWORKS = {
    "CifarResNet18, 32x32": (rbcn.applications.CifarResNet18, (32, 32, 3)),
    "ResNet18, 224x224": (rbcn.applications.ResNet18, (224, 224, 3)),
}
COLUMNS = (
    "network",
    "float32, bytes",
    "1-bit for lce, bytes",
    "1-bit for litert, bytes",
    "litert to float32, bytes",
    "litert to float32, time",
    "litert to lce, time",
)


def measure(build: Any, shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Sizes of the three files, and how long each takes."""
    images = np.random.default_rng(SEED).normal(size=(16, *shape)).astype("float32")
    teacher, student = build(), build(network="rbcn")
    settle(student, images)
    with tempfile.TemporaryDirectory() as folder:
        paths = {
            name: Path(folder) / f"{name}.tflite" for name in ("float", "lce", "litert")
        }
        sizes = {
            name: rbcn.export_tflite(
                teacher if name == "float" else student,
                path,
                images,
                verify_samples=4,
                runtime="lce" if name == "lce" else "litert",
            ).bytes
            for name, path in paths.items()
        }
        files = {name: rbcn.TFLiteModel(path) for name, path in paths.items()}
        seconds: dict[str, list[float]] = {name: [] for name in files}
        for _ in range(rounds):
            for name, file in files.items():
                start = time.perf_counter()
                file.predict(images[:1])
                seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(values)) for name, values in seconds.items()}
    return {"bytes": sizes, "seconds": medians}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--network", choices=NETWORKS, nargs="+", default=[*NETWORKS])
    arguments = parser.parse_args()
    found = {
        name: measure(*NETWORKS[name], arguments.rounds) for name in arguments.network
    }
    lines: list[tuple[str, ...]] = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1))]
    for name, result in found.items():
        sizes, seconds = result["bytes"], result["seconds"]
        lines.append(
            (
                name,
                *(f"{sizes[kind]:,}" for kind in ("float", "lce", "litert")),
                f"1/{sizes['float'] / sizes['litert']:.1f}",
                f"{seconds['litert'] / seconds['float']:.2f} x",
                f"{seconds['litert'] / seconds['lce']:.2f} x",
            )
        )
    here = machine()
    text = (
        "# What the stock runtime costs\n\n"
        f"Written by benchmarks/runtimes.py on {described(here)}.\n\n"
        f"{markdown_table(lines)}\n"
        f"Time of one inference, one thread, {arguments.rounds} runs of each file in "
        "turn, ratio of medians; in LiteRT's interpreter, and for lce in Larq Compute "
        "Engine's, whose fast kernels are for 64-bit ARM and are not in use here.\n"
    )
    print(text)
    if arguments.output:
        write_results(arguments.output, {"networks": found, "machine": here}, text)


if __name__ == "__main__":
    main()
