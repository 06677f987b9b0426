"""What int8 for the real layers brings and costs: bytes, and accuracy on real images.

Sizes are those of files: of the full-precision network in float32, and of the 1-bit
one with its real layers in float32 and in int8. Accuracy is that of the files
themselves, on the validation images of the study in `accuracy/`, with students that it
has trained: run it first. Ranges are measured on training images, and one epoch more
with the student's own settings tells whether training with rounding, which is called
quantisation-aware, does better. The test images are not looked at.

    python benchmarks/int8.py --output benchmarks/results/int8.json
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from conversions import settle
from result_files import described, machine, markdown_table, write_results

sys.path.insert(0, str(Path(__file__).parent / "accuracy"))

from contenders import contender
from lines import best_rate, of, read_lines
from parts import model_of
from places import Places
from sizes import SIZES
from study_images import batches, images
from training import compile_for

import keras_rbcn as rbcn
from keras_rbcn._backend import keras

SEED = 0
SAMPLES = 512
# Of the images that a file is judged by: 1-bit operators are slow here.
JUDGED = 10_000
# Training on with rounded values wants a small rate.
FINE_TUNING_RATE = 1e-4
NETWORKS = {
    "CifarResNet18, 32x32": (rbcn.applications.CifarResNet18, (32, 32, 3)),
    "ResNet18, 224x224": (rbcn.applications.ResNet18, (224, 224, 3)),
}
# The second is `recipes.default()`.
CONTENDERS = ("Bi-Real Net", "R, distillation", "ReActNet, R+G, distillation")


def sizes(build: Any, shape: tuple[int, ...]) -> dict[str, int]:
    """Bytes of a network's files; what the weights are does not matter."""
    data = np.random.default_rng(SEED).normal(size=(8, *shape)).astype("float32")
    teacher, student = build(), build(network="rbcn")
    settle(student, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"

        def size(model: Any, **arguments: Any) -> int:
            report = rbcn.export_tflite(
                model, path, data, verify_samples=4, **arguments
            )
            return report.bytes

        int8 = {"real_layers": "int8", "calibration_data": data}
        return {
            "full precision, float32": size(teacher, runtime="litert"),
            "1-bit, float32": size(student),
            "1-bit, int8": size(student, **int8),
        }


def accuracy(model: Any, path: Path, data: tuple[Any, Any], **arguments: Any) -> float:
    """That of the file of a model."""
    x, y = data
    rbcn.export_tflite(model, path, x, verify_samples=32, **arguments)
    return float((rbcn.TFLiteModel(path).predict(x).argmax(1) == y).mean())


def measure(name: str, row: dict[str, Any], places: Places) -> dict[str, Any]:
    """What int8 costs a student of the study, by its line."""
    size, chosen = SIZES[row["size"]], contender(name)
    student = keras.models.load_model(places.student(row["digest"]), compile=False)
    teacher = keras.models.load_model(places.teacher(row["teacher"]), compile=False)
    data = images(size.data, size.images)
    x, y = data.validation
    judged = x[:JUDGED], np.ravel(y[:JUDGED])
    keras.utils.set_random_seed(SEED)
    rounded = rbcn.quantize_real_layers(student, data.train[0], samples=SAMPLES)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        found = {"float32": accuracy(student, path, judged)}
        found["bytes, float32"] = path.stat().st_size
        found["int8"] = accuracy(rounded, path, judged, real_layers="int8")
        found["bytes, int8"] = path.stat().st_size
        model = model_of(chosen, size, teacher, rounded)
        train = batches(data.train, size, SEED)
        compile_for(model, chosen, FINE_TUNING_RATE, len(train), len(train))
        model.fit(train, epochs=1, verbose=2)
        found["int8, trained on"] = accuracy(model, path, judged, real_layers="int8")
    return found


def size_table(found: dict[str, dict[str, int]]) -> str:
    kinds = list(next(iter(found.values())))
    lines = [
        ("network", *(f"{kind}, bytes" for kind in kinds), "full precision to int8"),
        ("---", *["---:"] * (len(kinds) + 1)),
    ]
    for name, sizes_ in found.items():
        ratio = sizes_["full precision, float32"] / sizes_["1-bit, int8"]
        bytes_ = (f"{size:,}" for size in sizes_.values())
        lines.append((name, *bytes_, f"{ratio:.1f} x"))
    return markdown_table(lines)


def accuracy_table(found: dict[str, list[dict[str, float]]]) -> str:
    """Means over the seeds; and the largest loss of one."""
    lines: list[tuple[str, ...]] = [
        (
            "student",
            "seeds",
            "float32",
            "int8",
            "points lost, at most",
            "int8, trained on",
            "points lost, at most",
            "bytes, float32",
            "bytes, int8",
        ),
        ("---", *["---:"] * 8),
    ]
    for name, rows in found.items():

        def mean(kind: str, rows: list[dict[str, float]] = rows) -> str:
            return f"{100 * np.mean([row[kind] for row in rows]):.2f} %"

        lines.append(
            (
                name,
                str(len(rows)),
                mean("float32"),
                mean("int8"),
                f"{max(points_lost(row, 'int8') for row in rows):.2f}",
                mean("int8, trained on"),
                f"{max(points_lost(row, 'int8, trained on') for row in rows):.2f}",
                f"{rows[0]['bytes, float32']:,}",
                f"{rows[0]['bytes, int8']:,}",
            )
        )
    return markdown_table(lines)


def points_lost(row: dict[str, float], kind: str) -> float:
    """How much less the file in int8 gets right, in points."""
    return 100 * (row["float32"] - row[kind])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    parser.add_argument("--contender", nargs="+", default=[*CONTENDERS])
    arguments = parser.parse_args()
    places = Places()
    rows = read_lines(places.lines)
    costs: dict[str, list[dict[str, float]]] = {}
    for name in arguments.contender:
        rate = best_rate(rows, name, "small")
        for row in of(rows, "small", name, learning_rate=rate):
            if not places.student(row["digest"]).exists():
                raise SystemExit(f"Run the study first: there is no student of {name}.")
            costs.setdefault(name, []).append(measure(name, row, places))
    bytes_ = {name: sizes(*network) for name, network in NETWORKS.items()}
    here = machine()
    text = (
        "# int8 for the real layers\n\n"
        f"Written by benchmarks/int8.py on {described(here)}.\n\n"
        f"{size_table(bytes_)}\n"
        "Accuracy of the files of students of the study (small, all its seeds) on "
        f"{JUDGED:,} validation images of Fashion-MNIST. Ranges from {SAMPLES} "
        "training images; trained on for one epoch.\n\n"
        f"{accuracy_table(costs)}"
    )
    print(text)
    if arguments.output:
        result = {"bytes": bytes_, "accuracy": costs, "machine": here}
        write_results(arguments.output, result, text)


if __name__ == "__main__":
    main()
