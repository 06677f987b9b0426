"""Settings and fixtures that all tests share."""

import os
import types

# Tests run side by side (`pytest -n 2`): one thread each is faster than two that
# wait for each other. Set before TensorFlow starts.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
import pytest

from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D

# Fixtures that several folders use, in a module of their own.
pytest_plugins = ["devices"]

# Two devices, for replicas: TensorFlow takes this only before it is first used.
(_cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(
    _cpu, [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(autouse=True, scope="session")
def _no_autotuning():
    """Lets no iterator wait when it is deleted.

    TensorFlow's thread that tunes a pipeline sleeps twice as long each time, up to a
    minute, and at times is not woken when its iterator goes: then all wait for it,
    whatever test is running. Programs that tests start are tuned as a user's.
    """
    original = tf.data.Dataset.__iter__

    def untuned(dataset):
        if tf.inside_function():
            return original(dataset)
        options = tf.data.Options()
        options.autotune.enabled = False
        return original(dataset.with_options(options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.data.Dataset, "__iter__", untuned)
        yield


@pytest.fixture(autouse=True, scope="session")
def _no_collection_by_the_converter():
    """Leaves it to Python when to collect garbage.

    TensorFlow's converter has it collected each time, which takes the longer the more
    networks a process has seen, and this one has seen hundreds.
    """
    from tensorflow.lite.python import lite

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lite, "gc", types.SimpleNamespace(collect=lambda: 0))
        yield


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same random state, and from fresh layer names."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def mirrored_strategy():
    """Two replicas, on the two virtual CPUs.

    One for all tests: TensorFlow mixes up what two such strategies on the same devices
    of one process send.
    """
    devices = tf.config.list_logical_devices("CPU")
    assert len(devices) == 2
    return tf.distribute.MirroredStrategy([device.name for device in devices])


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
