"""Time and peak memory of a training step: RBCNModel beside what it is made of.

A WideResNet-like student at 32x32 (18 1-bit convolutions in three stages, a shortcut
around each), of two widths and with two batch sizes. The contenders run interleaved in
one process, round after round, so that a busy machine slows all alike; figures are
medians over rounds. Peak memory is the resident set of a process that runs one
contender alone, beyond its imports; operations are those of the graph of a step.

    python benchmarks/step_time.py --output benchmarks/results/step_time.json

A result file that exists is kept, but for the settings that are measured again
(`--setting`).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # larq is imported before keras_rbcn here.

import larq
import numpy as np
from result_files import (
    described,
    machine,
    markdown_table,
    measured_apart,
    write_results,
)
from rich.console import Console
from rich.table import Table

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf

BLOCKS = 6
CLASSES = 10
TEMPERATURE = 4.0


class Setting(NamedTuple):
    """Kernels of the three stages, images in a batch; how long is measured."""

    widths: tuple[int, int, int]
    batch: int
    steps: int
    rounds: int


SETTINGS = {
    "16-32-64, batch 64": Setting((16, 32, 64), 64, 8, 7),
    "16-32-64, batch 256": Setting((16, 32, 64), 256, 3, 5),
    "64-128-256, batch 64": Setting((64, 128, 256), 64, 3, 5),
    "64-128-256, batch 256": Setting((64, 128, 256), 256, 2, 3),
}


def network(
    widths: Any, convolution: Callable[..., Any], activation: bool, name: str
) -> Any:
    """A residual network with a shortcut around each convolution behind the first."""
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(widths[0], 3, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization()(x)
    for stage, width in enumerate(widths):
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


def plain_larq(widths: Any) -> Any:
    return network(widths, plain_convolution, False, "student")


def full_precision(widths: Any) -> Any:
    def convolution(*args: Any, **kwargs: Any) -> Any:
        return keras.layers.Conv2D(*args, use_bias=False, **kwargs)

    return network(widths, convolution, True, "teacher")


def rectified(widths: Any) -> Any:
    return network(widths, rbcn.layers.RectifiedConv2D, False, "student")


class Distiller(keras.Model):
    """Logits distillation as Keras' users write it: both networks in one train_step."""

    def __init__(self, student: Any, teacher: Any) -> None:
        super().__init__()
        self.student, self.teacher = student, teacher
        teacher.trainable = False
        self.divergence = keras.losses.KLDivergence()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return self.student(inputs, training=training)

    def train_step(self, data: Any) -> Any:
        x, y = data
        soft = tf.nn.softmax(self.teacher(x, training=False) / TEMPERATURE)
        with tf.GradientTape() as tape:
            logits = self.student(x, training=True)
            ours = tf.nn.softmax(logits / TEMPERATURE)
            loss = self.compiled_loss(y, logits)
            loss += 0.1 * TEMPERATURE**2 * self.divergence(soft, ours)
        variables = self.student.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return {"loss": loss}


def compiled(model: Any, **settings: Any) -> Any:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, **settings)
    return model


RECTIFIED = {
    "kernel_weight": 1e-4,
    "kernel_loss_gradient": "straight_through",
    "distillation": 0.0,
}


def with_taps(
    widths: Any,
    taps: Any,
    **settings: Any,
) -> Any:
    models = rectified(widths), full_precision(widths)
    model = rbcn.RBCNModel(*models, taps, check_teacher=False)
    judged = {"adversarial_weight": 0.01} if taps else {}
    return compiled(model, **{**RECTIFIED, **judged, **settings})


PLAIN, TEACHER = "plain larq fit", "teacher inference"
CACHED = "RBCN, per stage, cache_teacher"
CONTENDERS: dict[str, Callable[[Any], Any]] = {
    PLAIN: lambda w: compiled(plain_larq(w)),
    TEACHER: lambda w: compiled(full_precision(w)),
    "Keras-style distiller": lambda w: compiled(
        Distiller(plain_larq(w), full_precision(w))
    ),
    "RBCN, rectified only": lambda w: compiled(
        rbcn.RBCNModel(rectified(w)), **RECTIFIED
    ),
    "RBCN, distillation alone": lambda w: with_taps(w, [], distillation=0.1),
    "RBCN, per stage": lambda w: with_taps(w, "stage"),
    "RBCN, per stage, distillation": lambda w: with_taps(w, "stage", distillation=0.1),
    "RBCN, per stage, strategy B": lambda w: with_taps(
        w, "stage", strategy_b_optimizer=keras.optimizers.Adam(1e-3)
    ),
    CACHED: lambda w: with_taps(w, "stage"),
    "RBCN, per convolution": lambda w: with_taps(w, "convolution"),
}


def data(setting: Setting) -> Any:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(setting.batch, 32, 32, 3)).astype("float32")
    labels = rng.integers(0, CLASSES, setting.batch)
    batches = tf.data.Dataset.from_tensors((images, labels)).repeat(setting.steps)
    # With it, the end of an epoch waits for a thread of TensorFlow's that wakes up
    # 10 (2**k - 1) ms after the start, which would count as time of the steps.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


class EpochTimes(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self.start)


def run(name: str, model: Any, batches: Any, steps: int, folder: str) -> float:
    """Seconds per step."""
    times = EpochTimes()
    if name == TEACHER:
        start = time.perf_counter()
        model.predict(batches, verbose=0)
        times.seconds = [time.perf_counter() - start]
    elif name == CACHED:
        # The cache is checked, and a function traced, at the start of each `fit`.
        fit = {"cache_teacher": folder, "epochs": 2, "callbacks": [times]}
        model.fit(batches, verbose=0, **fit)
    else:
        model.fit(batches, verbose=0, callbacks=[times])
    return times.seconds[-1] / steps


@contextlib.contextmanager
def cache_folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "cache")


def measure_times(setting: Setting, names: list[str]) -> dict[str, float]:
    models = {name: CONTENDERS[name](setting.widths) for name in names}
    batches = data(setting)
    times: dict[str, list[float]] = {name: [] for name in models}
    with cache_folder() as folder:
        for index in range(setting.rounds + 1):
            for name, model in models.items():
                seconds = run(name, model, batches, setting.steps, folder)
                if index:  # The first round traces, fills caches and warms up.
                    times[name].append(seconds)
            print(f"round {index} of {setting.rounds}", file=sys.stderr, flush=True)
    return {name: statistics.median(values) for name, values in times.items()}


def measure_memory(setting: Setting, name: str) -> dict[str, float]:
    """What this process needs beyond its imports for steps of one contender.

    Returns:
        `peak_mib`, and `operations` of the graph of a step.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model, batches = CONTENDERS[name](setting.widths), data(setting)
    with cache_folder() as folder:
        run(name, model, batches, setting.steps, folder)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"peak_mib": (after - before) / 1024}
    if name != TEACHER:
        found["operations"] = operations(model, batches)
    return found


def operations(model: Any, batches: Any) -> int:
    """Operations in the graph of a step as it was traced, those of branches as well."""
    spec = tf.data.IteratorSpec(batches.element_spec)
    graph = model.train_tf_function.get_concrete_function(spec).graph.as_graph_def()
    return len(graph.node) + sum(len(one.node_def) for one in graph.library.function)


def measure(label: str, names: list[str]) -> dict[str, Any]:
    """Rows of one setting, each process with the memory to itself."""
    apart = (__file__, "--setting", label)
    times = measured_apart(*apart, "--apart", "times", "--contender", *names)
    memory = {
        name: measured_apart(*apart, "--apart", "memory", "--contender", name)
        for name in names
        if name != CACHED  # Which this process would have to fill first.
    }
    base = times[PLAIN] + times[TEACHER]
    plain = memory[PLAIN]["peak_mib"]
    rows = [
        {
            "contender": name,
            "milliseconds": 1000 * times[name],
            "time_ratio": times[name] / base,
            **memory.get(name, {}),
            "memory_ratio": memory[name]["peak_mib"] / plain
            if name in memory
            else None,
        }
        for name in names
    ]
    return {**SETTINGS[label]._asdict(), "rows": rows, "machine": machine()}


COLUMNS = (
    "contender",
    "ms per step",
    "x (plain + teacher)",
    "peak MiB",
    "x plain",
    "operations",
)


def cells(row: dict[str, Any]) -> tuple[str, ...]:
    peak, ratio = row.get("peak_mib"), row["memory_ratio"]
    return (
        row["contender"],
        f"{row['milliseconds']:.1f}",
        f"{row['time_ratio']:.2f}",
        "" if peak is None else f"{peak:.0f}",
        "" if ratio is None else f"{ratio:.2f}",
        f"{row['operations']:,}" if "operations" in row else "",
    )


def show(label: str, result: dict[str, Any]) -> None:
    table = Table(*COLUMNS, title=label)
    for row in result["rows"]:
        table.add_row(*cells(row))
    Console().print(table)


def markdown(results: dict[str, Any]) -> str:
    text = "# Time and peak memory of a training step\n\n"
    text += f"Written by benchmarks/step_time.py.\n{__doc__.split('    python')[0]}"
    text = text.replace(
        "Time and peak memory of a training step: RBCNModel", "RBCNModel"
    )
    for label in (name for name in SETTINGS if name in results):
        found = results[label]
        lines = [COLUMNS, ("---", *["---:"] * (len(COLUMNS) - 1))]
        lines += [cells(row) for row in found["rows"]]
        text += (
            f"## {label}\n\n{described(found['machine'])}; medians of "
            f"{found['rounds']} rounds of {found['steps']} steps.\n\n"
            + markdown_table(lines)
            + "\n"
        )
    return text.rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--setting", choices=SETTINGS, nargs="+", default=SETTINGS)
    parser.add_argument("--contender", choices=CONTENDERS, nargs="+")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--apart", choices=("times", "memory"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    names = list(arguments.contender or CONTENDERS)
    if arguments.apart:
        (label,), (name, *_) = arguments.setting, names
        memory = arguments.apart == "memory"
        setting = SETTINGS[label]
        found = (
            measure_memory(setting, name) if memory else measure_times(setting, names)
        )
        print(json.dumps(found))
        return
    output = arguments.output
    results = json.loads(output.read_text()) if output and output.exists() else {}
    for label in arguments.setting:
        results[label] = measure(label, names)
        show(label, results[label])
        if output:
            write_results(output, results, markdown(results))


if __name__ == "__main__":
    main()
