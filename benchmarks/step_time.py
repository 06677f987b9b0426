"""Time and peak memory of a training step: RBCNModel beside what it is made of.

A WideResNet-like student of 16-32-64 kernels at 32x32 (18 1-bit convolutions, a
shortcut around each), batch 64. The contenders run interleaved in one process, round
after round, so that a busy machine slows all alike; figures are medians over rounds.
Peak memory is the resident set of a process that runs one contender alone.

    python benchmarks/step_time.py --output benchmarks/results/step_time.json
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # larq is imported before keras_rbcn here.

import larq
import numpy as np
from result_files import described, machine, markdown_table, write_results
from rich.console import Console
from rich.table import Table

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf

WIDTHS = (16, 32, 64)
BLOCKS = 6
BATCH = 64
CLASSES = 10


def network(convolution: Callable[..., Any], activation: bool, name: str) -> Any:
    """A residual network with a shortcut around each convolution behind the first."""
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(WIDTHS[0], 3, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    for stage, width in enumerate(WIDTHS):
        for block in range(BLOCKS):
            strides = 2 if stage and not block else 1
            shortcut = x
            if strides == 2:
                shortcut = layers.AveragePooling2D(2)(x)
                shortcut = layers.Conv2D(width, 1, use_bias=False)(shortcut)
                shortcut = layers.BatchNormalization()(shortcut)
            y = convolution(
                width, 3, strides, padding="same", name=f"conv{stage}_{block}"
            )(x)
            y = layers.BatchNormalization(name=f"norm{stage}_{block}")(y)
            x = layers.add([shortcut, y])
            x = layers.ReLU()(x) if activation else x
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(x), name=name)


def plain_convolution(filters: int, size: int, strides: int, **kwargs: Any) -> Any:
    return larq.layers.QuantConv2D(
        filters,
        size,
        strides,
        use_bias=False,
        pad_values=1.0,
        input_quantizer="approx_sign",
        kernel_quantizer="approx_sign",
        kernel_constraint="weight_clip",
        **kwargs,
    )


def plain_larq() -> Any:
    return network(plain_convolution, False, "student")


def full_precision() -> Any:
    def convolution(*args: Any, **kwargs: Any) -> Any:
        return keras.layers.Conv2D(*args, use_bias=False, **kwargs)

    return network(convolution, True, "teacher")


def rectified() -> Any:
    return network(rbcn.layers.RectifiedConv2D, False, "student")


def with_taps(taps: Any, **settings: Any) -> Any:
    model = rbcn.RBCNModel(rectified(), full_precision(), taps, check_teacher=False)
    return compiled(model, **settings)


def compiled(model: Any, **settings: Any) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, **settings)
    return model


CONTENDERS: dict[str, Callable[[], Any]] = {
    "plain larq fit": lambda: compiled(plain_larq()),
    "teacher inference": lambda: compiled(full_precision()),
    "RBCN, rectified only": lambda: compiled(rbcn.RBCNModel(rectified())),
    "RBCN, a discriminator per stage": lambda: with_taps("stage"),
    "RBCN, a discriminator per convolution": lambda: with_taps("convolution"),
}
PLAIN, TEACHER = list(CONTENDERS)[:2]


def data(steps: int) -> Any:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, CLASSES, BATCH)
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat(steps)
    # With it, the end of an epoch waits for a thread of TensorFlow's that wakes up
    # 10 (2**k - 1) ms after the start, which would count as time of the steps.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def run(name: str, model: Any, batches: Any, steps: int) -> float:
    """Seconds per step."""
    start = time.perf_counter()
    if name == TEACHER:
        model.predict(batches, verbose=0)
    else:
        model.fit(batches, verbose=0)
    return (time.perf_counter() - start) / steps


def measure_times(rounds: int, steps: int) -> dict[str, float]:
    models = {name: build() for name, build in CONTENDERS.items()}
    batches = data(steps)
    times: dict[str, list[float]] = {name: [] for name in models}
    for index in range(rounds + 1):
        for name, model in models.items():
            seconds = run(name, model, batches, steps)
            if index:  # The first round traces and warms up.
                times[name].append(seconds)
        print(f"round {index} of {rounds}", file=sys.stderr, flush=True)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_memory(name: str, steps: int) -> float:
    """MiB that a process of its own needs beyond its imports."""
    command = [sys.executable, __file__, "--memory-of", name, "--steps", str(steps)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(result.stdout.splitlines()[-1])


def print_memory_of(name: str, steps: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run(name, CONTENDERS[name](), data(steps), steps)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print((after - before) / 1024)


COLUMNS = ("contender", "ms per step", "x (plain + teacher)", "peak MiB", "x plain")


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["contender"],
        f"{row['milliseconds']:.1f}",
        f"{row['time_ratio']:.2f}",
        f"{row['peak_mib']:.0f}",
        f"{row['memory_ratio']:.2f}",
    )


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*cells(row))
    Console().print(table)


def markdown(result: dict[str, Any]) -> str:
    lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1))]
    lines += [cells(row) for row in result["rows"]]
    return (
        "# Time and peak memory of a training step\n\n"
        f"Written by benchmarks/step_time.py on {described(result['machine'])}; "
        f"batch {BATCH}, medians of {result['setting']['rounds']} rounds.\n\n"
        + markdown_table(lines)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--memory-of", choices=CONTENDERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print_memory_of(arguments.memory_of, arguments.steps)
        return
    memory = {name: peak_memory(name, arguments.steps) for name in CONTENDERS}
    times = measure_times(arguments.rounds, arguments.steps)
    base = times[PLAIN] + times[TEACHER]
    rows = [
        {
            "contender": name,
            "milliseconds": 1000 * times[name],
            "time_ratio": times[name] / base,
            "peak_mib": memory[name],
            "memory_ratio": memory[name] / memory[PLAIN],
        }
        for name in CONTENDERS
    ]
    show(rows)
    if arguments.output:
        result = {
            "machine": machine(),
            "setting": {"batch": BATCH, "widths": WIDTHS, "rounds": arguments.rounds},
            "rows": rows,
        }
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
