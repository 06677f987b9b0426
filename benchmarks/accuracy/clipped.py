"""Where the study's students have their latent kernels and scales, after training.

Kernels are kept in [-1, 1]. The gradient of approx_sign is 0 there, that of ste_sign
and of magnitude_aware_sign is 1: a kernel that has got to the clip stays in the one
case. A scale that has become negative has passed zero, where its filter gives nothing.

    python benchmarks/accuracy/clipped.py --output .../results/accuracy/clipped.json
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import larq
import numpy as np
from contenders import TEACHER, names
from lines import of, read_lines
from places import Places

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from result_files import described, machine, markdown_table, write_results  # noqa: E402

import keras_rbcn as rbcn  # noqa: E402
from keras_rbcn._backend import keras  # noqa: E402

SIZE, SEED = "small", 0
# As the latent kernels are float32, and Adam may take them off the clip by a hair.
CLIP = 0.99


def measure(student: Any) -> dict[str, float]:
    """Shares of a student's latent kernels and scales."""
    layers = [
        one for one in student.submodules if isinstance(one, larq.layers.QuantConv2D)
    ]
    kernels = np.concatenate(
        [np.abs(one.kernel.latent_variable.numpy()).ravel() for one in layers]
    )
    scales = [
        np.ravel(one.scale.numpy())
        for one in layers
        if isinstance(one, rbcn.layers.RectifiedConv2D)
    ]
    found = {
        "kernels at the clip": float(np.mean(kernels > CLIP)),
        "mean abs(W)": float(kernels.mean()),
    }
    if scales:
        found["negative scales"] = float(np.mean(np.concatenate(scales) < 0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    places = Places()
    rows = read_lines(places.lines)
    found = []
    for name in names():
        for row in of(rows, SIZE, name, seed=SEED) if name != TEACHER else ():
            path = places.student(row["digest"])
            # Students lie on the machine that has trained them.
            if path.exists() and not row["settings"].get("real"):
                student = keras.models.load_model(path, compile=False)
                kept = {
                    key: row[key] for key in ("learning_rate", "validation_accuracy")
                }
                found.append({"contender": name, **kept, **measure(student)})
    lines = [
        (
            "contender",
            "learning rate",
            "accuracy, %",
            "kernels at the clip",
            "mean abs(W)",
            "negative scales",
        ),
        ("---", *["---:"] * 5),
    ]
    for one in found:
        negative = one.get("negative scales")
        lines.append(
            (
                one["contender"],
                f"{one['learning_rate']:g}",
                f"{100 * one['validation_accuracy']:.2f}",
                f"{one['kernels at the clip']:.1%}",
                f"{one['mean abs(W)']:.2f}",
                "" if negative is None else f"{negative:.1%}",
            )
        )
    here = machine()
    text = (
        "# Latent kernels and scales after training\n\n"
        f"Written by benchmarks/accuracy/clipped.py on {described(here)}.\n\n"
        f"Students of the study ({SIZE}, seed {SEED}) that were trained on this "
        "machine; validation accuracy. At the clip are latent kernels W with abs(W) > "
        f"{CLIP}.\n\n"
        f"{markdown_table(lines)}"
    )
    print(text)
    if arguments.output:
        write_results(arguments.output, {"students": found, "machine": here}, text)


if __name__ == "__main__":
    main()
