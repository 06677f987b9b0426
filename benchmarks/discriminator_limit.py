"""What `discriminator_accuracy_limit` does: the discriminators' course on digits.

Trains the demo's rectified student with feature discriminators, with and without the
limit, from the same teacher, seed and batches.

    python benchmarks/discriminator_limit.py --output RESULTS.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from result_files import write_results

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.cli.demo.network import build_network

BATCH = 64
LIMITS = (1.0, 0.8)
SEED = 0
KEPT = ("discriminator_accuracy", "discriminator_loss", "adversarial_loss")


def fitted(model: Any, epochs: int, **settings: Any) -> dict[str, list[float]]:
    train, test = rbcn.datasets.digits(BATCH, SEED, 0.2)
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, epochs * len(train))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras.optimizers.Adam(schedule)
    model.compile(optimizer, loss, metrics=["accuracy"], **settings)
    return model.fit(train, epochs=epochs, validation_data=test, verbose=0).history


def course(teacher: Any, limit: float, epochs: int) -> dict[str, Any]:
    keras.utils.set_random_seed(SEED)
    student = build_network(rbcn.layers.RectifiedConv2D, "student")
    rbcn.copy_weights(teacher, student)
    model = rbcn.RBCNModel(student, teacher)
    history = fitted(
        model,
        epochs,
        discriminator_accuracy_limit=limit,
        kernel_weight=1e-4,
        kernel_loss_gradient="straight_through",
        adversarial_weight=0.01,
        distillation=0.0,
    )
    return {
        "limit": limit,
        "test_accuracy": history["val_accuracy"][-1],
        **{name: history[name] for name in KEPT},
    }


def markdown(result: dict[str, Any]) -> str:
    lines = [
        "# The discriminators with and without a limit\n",
        f"Written by benchmarks/discriminator_limit.py: digits, {result['epochs']} "
        f"epochs, seed {SEED}, {result['versions']}.\n",
        "| limit | epoch | accuracy | loss | student's adversarial loss |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in result["rows"]:
        for epoch in (0, result["epochs"] // 2, result["epochs"] - 1):
            values = " | ".join(f"{row[name][epoch]:.3f}" for name in KEPT)
            lines.append(f"| {row['limit']} | {epoch + 1} | {values} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(SEED)
    teacher = build_network(keras.layers.Conv2D, "teacher", activation=True)
    fitted(teacher, arguments.epochs)
    packages = ("keras-rbcn", "tensorflow", "larq")
    result = {
        "epochs": arguments.epochs,
        "seed": SEED,
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "rows": [course(teacher, limit, arguments.epochs) for limit in LIMITS],
    }
    print(markdown(result))
    if arguments.output:
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
