"""Whether one training step lowers the loss of fresh 1-bit students, over many batches.

Of the networks of conversions.py, with random weights: a step of Adam on a batch of
random images, from the same weights for each of several batches, and the loss of that
batch before and after. In a deep network of signs one batch tells little: a flipped
sign changes all that follows.

    python benchmarks/first_step.py --output benchmarks/results/first_step.json
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import conversions
import numpy as np
from result_files import (
    described,
    machine,
    markdown_table,
    measured_apart,
    write_results,
)

import keras_rbcn as rbcn
from keras_rbcn._backend import keras

BATCHES = 9
BATCH = 16
RATES = (1e-3, 1e-5)


def batches(shape: tuple[int, ...], as_bytes: bool) -> Any:
    generator = np.random.default_rng(1)
    size = (BATCHES, BATCH, *shape)
    images = (
        generator.uniform(0, 255, size) if as_bytes else generator.normal(size=size)
    )
    return images.astype(np.float32)


def measure(name: str) -> dict[str, Any]:
    keras.utils.set_random_seed(0)
    teacher = conversions.NETWORKS[name]()
    images = batches(teacher.input_shape[1:], name in conversions.TAKES_BYTES)
    conversions.settle(teacher, images[0])
    student = rbcn.binarize(teacher)
    optimizer = keras.optimizers.Adam()
    student.compile(optimizer, "sparse_categorical_crossentropy")
    labels = np.arange(BATCH) % conversions.CLASSES
    optimizer.build(student.trainable_variables)
    state = [*student.variables, *optimizer.variables]
    start = [variable.numpy() for variable in state]
    steps = {}
    for rate in RATES:
        steps[str(rate)] = []
        for batch in images:
            for variable, value in zip(state, start, strict=True):
                variable.assign(value)
            optimizer.learning_rate = rate
            losses = [float(student.train_on_batch(batch, labels)) for _ in range(2)]
            steps[str(rate)].append(losses)
    return {"network": name, "steps": steps}


def cell(steps: list[list[float]]) -> str:
    falls = sum(after < before for before, after in steps)
    before, after = (statistics.median(column) for column in zip(*steps, strict=True))
    return f"{falls} of {len(steps)}: {before:.2f}, {after:.2f}"


def markdown(result: dict[str, Any]) -> str:
    lines = [
        ("network", *(f"Adam {rate:.0e}" for rate in RATES)),
        ("---",) * (len(RATES) + 1),
        *(
            (row["network"], *(cell(row["steps"][str(rate)]) for rate in RATES))
            for row in result["rows"]
        ),
    ]
    return (
        "# One training step of fresh 1-bit students\n\n"
        f"Written by benchmarks/first_step.py on {described(result['machine'])}: how "
        f"many of {BATCHES} batches of {BATCH} random images have a lower loss after "
        "one step on them, from the same weights each, and the medians of the loss "
        "before and after. Style birealnet, without a teacher.\n\n"
        + markdown_table(lines)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("first_step.json"))
    parser.add_argument("--models", nargs="+", choices=conversions.NETWORKS)
    parser.add_argument("--one", choices=conversions.NETWORKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    rows = {}
    if arguments.output.exists():
        kept = json.loads(arguments.output.read_text())["rows"]
        rows = {row["network"]: row for row in kept}
    names = [name for name in conversions.NETWORKS if "QuantConv2D" not in name]
    for name in arguments.models or names:
        rows[name] = measured_apart(__file__, "--one", name)
        ordered = [rows[known] for known in names if known in rows]
        result = {"machine": machine(), "rows": ordered}
        write_results(arguments.output, result, markdown(result))
        print(name, {k: cell(v) for k, v in rows[name]["steps"].items()}, flush=True)


if __name__ == "__main__":
    main()
