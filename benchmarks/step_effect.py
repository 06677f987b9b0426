"""How far one training step moves the feature maps of a fresh 1-bit student.

Why one step need not lower the loss of a deep student with random weights: the features
behind the last 1-bit convolution, of the same images before and after one step of Adam,
may have nothing in common. 1.0 is the correlation of features that stay.

    python benchmarks/step_effect.py --output benchmarks/results/step_effect.json
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from result_files import write_results

import keras_rbcn as rbcn
from keras_rbcn._backend import keras

NETWORKS = ("MobileNetV2", "MobileNet", "ResNet50")
RATES = (1e-3, 1e-4, 1e-5)
IMAGES = 16
SIZE = 64


def correlation(before: Any, after: Any) -> float:
    """Of two sets of features, about the mean of each feature over the images."""
    a, b = before - before.mean(0), after - after.mean(0)
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def pooled_features(student: Any) -> Any:
    (layer,) = (
        layer
        for layer in student.layers
        if isinstance(layer, keras.layers.GlobalAveragePooling2D)
    )
    return keras.Model(student.input, layer.output)


def measure(name: str, rate: float) -> float:
    keras.utils.set_random_seed(0)
    build = getattr(keras.applications, name)
    teacher = build(weights=None, input_shape=(SIZE, SIZE, 3), classes=10)
    student = rbcn.binarize(teacher)
    generator = np.random.default_rng(0)
    images = generator.normal(size=(IMAGES, SIZE, SIZE, 3)).astype("float32")
    features = pooled_features(student)
    before = np.asarray(features(images, training=True))
    student.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    student.run_eagerly = True
    student.train_on_batch(images, np.arange(IMAGES) % 10)
    after = np.asarray(features(images, training=True))
    return correlation(before.reshape(IMAGES, -1), after.reshape(IMAGES, -1))


def markdown(result: dict[str, Any]) -> str:
    head = " | ".join(f"{rate:g}" for rate in RATES)
    lines = [
        "# How far one step moves the features of a fresh student\n",
        f"Written by benchmarks/step_effect.py: {result['versions']}. Correlation of "
        f"the pooled features of {IMAGES} images of {SIZE}x{SIZE} before and after "
        "one step of Adam; 1 where nothing moves. Random weights, style birealnet.\n",
        f"| network | {head} |",
        f"| --- |{' ---: |' * len(RATES)}",
    ]
    for name, values in result["rows"].items():
        shown = " | ".join(f"{value:.2f}" for value in values)
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    packages = ("keras-rbcn", "tensorflow")
    result = {
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "rates": list(RATES),
        "rows": {name: [measure(name, rate) for rate in RATES] for name in NETWORKS},
    }
    print(markdown(result))
    if arguments.output:
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
