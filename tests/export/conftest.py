"""Models and data that the tests of the export share."""

import numpy as np
import pytest

from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D


@pytest.fixture
def build_student():
    """Builds a Sequential model of the given layers on images of 8x8x32."""

    def build(*layers, shape=(8, 8, 32)):
        return keras.Sequential([keras.Input(shape), *layers])

    return build


@pytest.fixture
def student(build_student):
    """One rectified convolution, "rc", with a batch normalisation and a classifier."""
    return build_student(
        RectifiedConv2D(32, 3, padding="same", name="rc"),
        keras.layers.BatchNormalization(),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(4, name="logits"),
    )


@pytest.fixture
def images():
    """Sixteen random images for `student`."""
    return np.random.default_rng(0).normal(size=(16, 8, 8, 32)).astype("float32")
