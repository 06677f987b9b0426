"""What `binarize` makes of networks that this project did not write.

Networks of keras.applications and of larq's documentation, with random weights, are
binarised, trained for a step and exported, each in a process of its own. Results are
kept as they come: another run does what is missing, `--models` does those again.

    python benchmarks/conversions.py --docs docs/binarize.md \
        --output benchmarks/results/conversions.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from applications_table import with_table
from result_files import machine, markdown_table, versions, write_results

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn.conversion.binarize import STYLES
from keras_rbcn.layers import RectifiedConv2D

CLASSES = 10
TRAINED = 8  # Images of the training step.
VERIFIED = 16  # Images on which file and student are compared, and signs counted.
# Of Adam, for the training step. One step is chance in a deep network of signs, and too
# long a step in dense layers of 4096 units: so every start of either rate is told.
RATES = (1e-3, 1e-5)
STARTS = 3
# More tell more: a batch is to be learnt by heart, with rates that fall to zero.
STEPS = 80
FIRST_RATES = (1e-2, 1e-3)
LAST = 5  # Steps whose mean is the loss at the end.
STYLE = "birealnet"  # The one that is measured from all starts.


def application(name: str, size: int = 64) -> Any:
    make = getattr(keras.applications, name)
    return make(weights=None, input_shape=(size, size, 3), classes=CLASSES)


def mnist() -> Any:
    """The convolutional network of larq's introduction to MNIST, in full precision."""
    layers = keras.layers
    model = keras.Sequential([keras.Input((28, 28, 1))], name="larq_mnist")
    for filters, pooled in ((32, True), (64, True), (64, False)):
        model.add(layers.Conv2D(filters, 3, use_bias=False))
        if pooled:
            model.add(layers.MaxPooling2D())
        model.add(layers.BatchNormalization(scale=False))
        model.add(layers.ReLU())
    return with_classifier(model, 64)


def binarynet() -> Any:
    """BinaryNet for CIFAR-10, larq's second example, in full precision."""
    layers = keras.layers
    model = keras.Sequential([keras.Input((32, 32, 3))], name="larq_binarynet")
    for filters in (128, 256, 512):
        for pooled in (False, True):
            model.add(layers.Conv2D(filters, 3, padding="same", use_bias=False))
            if pooled:
                model.add(layers.MaxPooling2D())
            model.add(layers.BatchNormalization(scale=False))
            model.add(layers.ReLU())
    return with_classifier(model, 1024, 1024)


def with_classifier(model: Any, *units: int) -> Any:
    """The dense layers that both examples end in."""
    layers = keras.layers
    model.add(layers.Flatten())
    for size in units:
        model.add(layers.Dense(size, use_bias=False))
        model.add(layers.BatchNormalization(scale=False))
        model.add(layers.ReLU())
    model.add(layers.Dense(CLASSES, use_bias=False))
    model.add(layers.BatchNormalization(scale=False))
    model.add(layers.Softmax())
    return model


def mnist_of_larq() -> Any:
    """A network as larq's users write it, with larq's layers."""
    import larq  # Behind keras_rbcn, which settles which Keras larq finds.

    layers, signs = keras.layers, {"kernel_quantizer": "ste_sign"}
    both = {**signs, "input_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Sequential([keras.Input((28, 28, 1))], name="larq_mnist_1bit")
    model.add(larq.layers.QuantConv2D(32, 3, use_bias=False, **signs))
    model.add(layers.MaxPooling2D())
    model.add(layers.BatchNormalization(scale=False))
    model.add(larq.layers.QuantConv2D(64, 3, use_bias=False, **both))
    model.add(layers.BatchNormalization(scale=False))
    model.add(layers.Flatten())
    model.add(larq.layers.QuantDense(CLASSES, use_bias=False, **both))
    model.add(layers.Softmax())
    return model


NETWORKS: dict[str, Callable[[], Any]] = {
    "ResNet50": partial(application, "ResNet50"),
    "ResNet50V2": partial(application, "ResNet50V2"),
    "VGG16": partial(application, "VGG16"),
    "MobileNet": partial(application, "MobileNet"),
    "MobileNetV2": partial(application, "MobileNetV2"),
    "DenseNet121": partial(application, "DenseNet121"),
    "InceptionV3": partial(application, "InceptionV3", 75),
    "EfficientNetB0": partial(application, "EfficientNetB0"),
    "Xception": partial(application, "Xception", 75),
    "larq MNIST, full precision": mnist,
    "larq BinaryNet, full precision": binarynet,
    "larq MNIST, with QuantConv2D": mnist_of_larq,
}
# The other networks take images of mean 0 and spread 1.
TAKES_BYTES = {"EfficientNetB0"}


# --- one network, in a process of its own ---------------------------------------------


def measure(name: str) -> dict[str, Any]:
    keras.utils.set_random_seed(0)
    teacher = NETWORKS[name]()
    images = random_images(teacher.input_shape[1:], name in TAKES_BYTES)
    row: dict[str, Any] = {"network": name, "input_shape": teacher.input_shape[1:]}
    started = time.perf_counter()
    try:
        rbcn.binarize(teacher)
    except ValueError as error:
        return row | {"refused": str(error)}
    row["binarize_seconds"] = time.perf_counter() - started
    settle(teacher, images)
    row["styles"] = []
    for style in STYLES:
        row["styles"].append(measure_style(teacher, style, images))
        print(f"{name}: {row['styles'][-1]}", file=sys.stderr, flush=True)
    row["teacher"] = exported(teacher, images)
    return row


def random_images(shape: tuple[int, ...], as_bytes: bool) -> Any:
    generator = np.random.default_rng(0)
    if as_bytes:
        images = generator.uniform(0, 255, (VERIFIED, *shape))
    else:
        images = generator.normal(size=(VERIFIED, *shape))
    return images.astype(np.float32)


def settle(model: Any, images: Any) -> None:
    """Sets all moving statistics to those of the images, as training would."""
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def measure_style(teacher: Any, style: str, images: Any) -> dict[str, Any]:
    started = time.perf_counter()
    student, report = rbcn.binarize(teacher, style=style, return_report=True)
    row = {
        "style": style,
        "binary": len(report.binary_convolutions),
        "real": stay_real(student, report),
        "bits_before": report.bits_before,
        "bits": report.bits,
        "expected": expected_operators(student),
        "taps": len(rbcn.RBCNModel(student, teacher, check_teacher=False).taps),
        "steps": [step(student, teacher, images[:TRAINED], RATES[0], seed=0)],
    }
    if style == STYLE:
        for rate, seed in list(itertools.product(RATES, range(STARTS)))[1:]:
            other = rbcn.binarize(teacher, style=style)
            row["steps"].append(step(other, teacher, images[:TRAINED], rate, seed))
        row["batch"] = [
            learn_batch(rbcn.binarize(teacher, style=style), images, rate)
            for rate in FIRST_RATES
        ]
    settle(student, images)
    row["suspicious"] = list(rbcn.check_binary_inputs(student, images).suspicious)
    row |= exported(student, images)
    return row | {"seconds": time.perf_counter() - started}


def expected_operators(student: Any) -> int:
    """How often a rectified convolution is called: so many 1-bit ones in the file."""
    return sum(
        len(layer.inbound_nodes)
        for layer in student.layers
        if isinstance(layer, RectifiedConv2D)
    )


def stay_real(student: Any, report: Any) -> dict[str, int]:
    """Why layers with a kernel stay real, and how many for each reason."""
    real = {
        layer.name
        for layer in student.layers
        if hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")
        if not isinstance(layer, RectifiedConv2D)
    }
    reasons = (
        re.sub(r", from '[^']*',", "", change.reason)
        for change in report.layers
        # Activations within a layer that were left out have its name as well.
        if change.name in real and change.kind_after
    )
    return dict(Counter(reasons))


def step(
    student: Any, teacher: Any, images: Any, rate: float, seed: int
) -> dict[str, float]:
    """The loss of a batch before and after one training step on it.

    Chance are the discriminators and, where there is one, dropout.
    """
    keras.utils.set_random_seed(seed)
    model = rbcn.RBCNModel(student, teacher, taps="stage", check_teacher=False)
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(),
        kernel_weight=1e-4,
        kernel_loss_gradient="straight_through",
        adversarial_weight=0.01,
        distillation=0.0,
        run_eagerly=True,
    )
    labels = np.arange(len(images)) % CLASSES
    before, after = (
        float(model.train_on_batch(images, labels, return_dict=True)["loss"])
        for _ in range(2)
    )
    return {"learning_rate": rate, "seed": seed, "before": before, "after": after}


def learn_batch(student: Any, images: Any, rate: float) -> dict[str, float]:
    """The loss of a batch before and after many steps on it, without a teacher."""
    keras.utils.set_random_seed(0)
    schedule = keras.optimizers.schedules.CosineDecay(rate, STEPS)
    student.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    labels = np.arange(len(images)) % CLASSES
    losses = [student.train_on_batch(images, labels) for _ in range(STEPS)]
    after = statistics.mean(losses[-LAST:])
    return {"learning_rate": rate, "before": losses[0], "after": after}


def exported(model: Any, images: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        try:
            report = rbcn.export_tflite(model, path, images, verify_samples=VERIFIED)
            failure = None
        except rbcn.ExportError as error:
            report, failure = error.report, str(error)
    if report is None:
        return {"export_failure": failure}
    return {
        "export_failure": failure,
        "operators": report.operator_counts,
        "bytes": report.bytes,
        "agreement": report.agreement and summed_up(report.agreement),
    }


def summed_up(agreement: Any) -> dict[str, Any]:
    """An agreement without what it tells of each sample and each layer."""
    single = ("relative_differences", "undecided_samples", "signs")
    return {
        name: value for name, value in vars(agreement).items() if name not in single
    }


# --- all networks ---------------------------------------------------------------------


def in_process(name: str) -> dict[str, Any]:
    """Measures a network in a process whose memory goes with it."""
    command = [sys.executable, __file__, "--one", name]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        return {"network": name, "died": run.returncode}
    return json.loads(run.stdout.splitlines()[-1])


def described_machine() -> dict[str, Any]:
    found = machine()
    package = "larq-compute-engine"
    found["versions"][package] = importlib.metadata.version(package)
    return found


def run_networks(names: list[str], output: Path) -> dict[str, Any]:
    rows = {}
    if output.exists():
        rows = {row["network"]: row for row in json.loads(output.read_text())["rows"]}
    missing = [name for name in NETWORKS if "died" in rows.get(name, {"died": None})]
    for name in names or missing:
        rows[name] = in_process(name)
        result = {
            "machine": described_machine(),
            "rows": [rows[known] for known in NETWORKS if known in rows],
        }
        write_results(output, result, markdown(result))
        print(json.dumps(rows[name]), flush=True)
    return json.loads(output.read_text())


# --- tables ---------------------------------------------------------------------------


COLUMNS = (
    "network",
    "style",
    "1-bit convolutions",
    "taps",
    *(f"one step with {rate:.0e}" for rate in RATES),
    *(f"{STEPS} steps from {rate:.0e}" for rate in FIRST_RATES),
    "`LceBconv2d`",
    "verified",
    "Mbit before",
    "Mbit after",
    "file, KiB",
    "teacher's file, KiB",
    "suspicious",
)


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return markdown_table(lines)


def verified(style: dict[str, Any]) -> str:
    if style["export_failure"]:
        return "REFUSED"
    on_file_signs = style["agreement"]["beyond_rounding_with_file_signs"] is not None
    return "yes, on the file's signs" if on_file_signs else "yes"


def loss_change(steps: list[dict[str, float]], rate: float) -> str:
    """How often a step lowers the loss, and the medians before and after."""
    found = [step for step in steps if step["learning_rate"] == rate]
    if not found:
        return ""
    falls = sum(step["after"] < step["before"] for step in found)
    before, after = (
        statistics.median(step[when] for step in found) for when in ("before", "after")
    )
    return f"{falls} of {len(found)}: {before:.2f}, {after:.2f}"


def cells(row: dict[str, Any], style: dict[str, Any]) -> tuple[str, ...]:
    in_file = style.get("operators", {}).get("LceBconv2d", 0)
    return (
        row["network"],
        style["style"],
        f"{style['binary']}",
        f"{style['taps']}",
        *(loss_change(style["steps"], rate) for rate in RATES),
        *(f"{b['before']:.2f}, {b['after']:.2f}" for b in style.get("batch", ())),
        *("" for _ in FIRST_RATES if "batch" not in style),
        f"{in_file} of {style['expected']}",
        verified(style),
        f"{style['bits_before'] / 1e6:.1f}",
        f"{style['bits'] / 1e6:.1f}",
        f"{style.get('bytes', 0) / 1024:,.0f}",
        f"{row['teacher'].get('bytes', 0) / 1024:,.0f}",
        f"{len(style['suspicious'])}",
    )


def why_real(style: dict[str, Any]) -> str:
    return "; ".join(f"{count} {why}" for why, count in style["real"].items())


def tables(rows: list[dict[str, Any]]) -> str:
    """What became of the networks, what stays real and why, and who was refused."""
    converted = [row for row in rows if "styles" in row]
    refused = [(row["network"], row["refused"]) for row in rows if "refused" in row]
    failures = [
        f"- {row['network']}, {export.get('style', 'the teacher')}: "
        f"{export['export_failure']}\n"
        for row in converted
        for export in (row["teacher"], *row["styles"])
        if export["export_failure"]
    ]
    parts = [
        table(COLUMNS, [cells(row, s) for row in converted for s in row["styles"]]),
        table(
            ("network", "stays real, and why"),
            # The choice of convolutions is the same in every style.
            [(row["network"], why_real(row["styles"][0])) for row in converted],
        ),
        table(("network", "refused"), refused),
    ]
    if failures:
        parts.append("Exports that were refused:\n\n" + "".join(failures))
    return "\n".join(parts)


def markdown(result: dict[str, Any]) -> str:
    machine = result["machine"]
    return (
        "# What binarize makes of networks that this project did not write\n\n"
        f"Written by benchmarks/conversions.py with Python {machine['python']}, "
        f"{versions(machine)}.\n\n"
        f"Random weights, {CLASSES} classes, random images. A step is one of Adam, "
        f"with the learning rate given, on {TRAINED} images: how many of the starts "
        "lower the loss (all that `RBCNModel` minimises), and its medians before and "
        f"after. {STEPS} steps are of Adam, without a teacher, on {VERIFIED} images, "
        "with a rate that falls to zero: the loss before, and the mean of the last "
        f"{LAST}. "
        f"File and student are compared, and signs counted, on {VERIFIED} images. "
        "Moving statistics are set to those of the images, in the teacher first and in "
        "the student behind the step. Suspicious are the layers that "
        "`check_binary_inputs` names.\n\n" + tables(result["rows"])
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=[], choices=NETWORKS)
    parser.add_argument("--output", type=Path, default=Path("conversions.json"))
    parser.add_argument("--docs", type=Path, help="document whose table is replaced")
    parser.add_argument("--one", choices=NETWORKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    result = run_networks(arguments.models, arguments.output)
    if arguments.docs:
        document = arguments.docs.read_text("utf-8")
        document = with_table(document, tables(result["rows"]))
        arguments.docs.write_text(document, "utf-8")


if __name__ == "__main__":
    main()
