"""Corrupted files never end the process without a message."""

import subprocess
import sys
from pathlib import Path

import larq_compute_engine
import numpy as np
import pytest

from keras_rbcn._backend import keras
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign

CASES = 360


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of ours, which carries a checksum, and four without."""
    folder = tmp_path_factory.mktemp("files")
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(33, 3, padding="same")(inputs)
    x = RectifiedConv2D(33, 3, padding="same")(RSign()(x))
    x = RPReLU()(keras.layers.BatchNormalization()(x))
    x = RectifiedConv2D(8, 3, strides=2, padding="same")(x)
    x = keras.layers.MaxPooling2D()(x)
    x = RectifiedConv2D(8, 1)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(x))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    export_tflite(model, folder / "ours.tflite", verify_data=images)
    foreign = folder / "foreign.tflite"
    foreign.write_bytes(larq_compute_engine.convert_keras_model(model))
    # The number of files is not a divisor of that of the kinds of damage.
    return [folder / "ours.tflite", *[foreign] * 4]


def test_corrupted_files_end_in_a_message(files, tmp_path):
    log = tmp_path / "case"
    script = Path(__file__).with_name("corrupted_files.py")
    run = subprocess.run(
        [sys.executable, str(script), str(log), "0", str(CASES), *map(str, files)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert run.returncode == 0, f"case {log.read_text()}: {run.stderr[-2000:]}"
    refused, ran = map(int, run.stdout.split("done")[1].split())
    assert refused + ran == CASES
    # Damage to weights of a file without a checksum cannot be seen.
    assert refused > CASES / 2
    assert ran > 0
