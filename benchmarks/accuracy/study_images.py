"""The images of the study: training, validation and test, and its training batches."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sizes import Size
from sklearn.model_selection import train_test_split

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf

# Which of the training images are kept to choose by never changes.
SPLIT_SEED = 0


class Source(NamedTuple):
    """Where images come from.

    Attributes:
        load: Returns a pair of images, float32 in [-1, 1], and labels to train with,
            and one to test with.
        validation: How many of the training images decide between settings.
        shift: Pixels that a training image is moved by at the most, either way.
        channels: Of each image.
        classes: How many there are.
    """

    load: Callable[[], Any]
    validation: int
    shift: int = 2
    channels: int = 1
    classes: int = 10


def _load_cifar(name: str) -> Any:
    """CIFAR by Keras' loader, which takes it from Keras' cache or the network."""
    try:
        parts = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises bare exceptions.
        raise SystemExit(
            f"{name} could not be loaded: {error}. Keras downloads it, or takes it "
            "from the folder 'datasets' of its cache, ~/.keras, if the files of its "
            "Python version are there."
        ) from error
    return [
        (x.astype(np.float32) / np.float32(127.5) - 1, y[:, 0].astype(np.int32))
        for x, y in parts
    ]


def _cifar(classes: int) -> Source:
    load = functools.partial(_load_cifar, f"cifar{classes}")
    return Source(load, validation=5_000, shift=4, channels=3, classes=classes)


SOURCES = {
    "fashion_mnist": Source(rbcn.datasets.fashion_mnist, validation=10_000),
    "digits": Source(rbcn.datasets.digits, validation=200),
    "cifar10": _cifar(10),
    "cifar100": _cifar(100),
}


class Images(NamedTuple):
    """Training, validation and test images, each with its labels."""

    train: Any
    validation: Any
    test: Any


@functools.cache
def images(data: str, count: int) -> Images:
    """Images by the name of their source, with so many of them to train on."""
    source = SOURCES[data]
    (x, y), test = source.load()
    x, left_x, y, left_y = train_test_split(
        x, y, test_size=source.validation, stratify=y, random_state=SPLIT_SEED
    )
    return Images((x[:count], y[:count]), (left_x, left_y), test)


def batches(data: Any, size: Size, seed: int) -> Any:
    """Training batches: another order each time, mirrored and shifted at random."""
    shift = SOURCES[size.data].shift

    def augmented(sample: Any, key: Any) -> Any:
        (x, y), key = sample, tf.stack([tf.cast(seed, tf.int64), key])
        flip = tf.random.stateless_uniform((), key) < 0.5
        x = tf.where(flip, tf.reverse(x, [1]), x)
        padded = tf.pad(x, [[shift, shift], [shift, shift], [0, 0]], constant_values=-1)
        return tf.image.stateless_random_crop(padded, x.shape, key), y

    samples = tf.data.Dataset.from_tensor_slices(data)
    shuffled = samples.shuffle(len(data[1]), seed=seed).repeat(size.repeats)
    keys = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    made = tf.data.Dataset.zip((shuffled, keys)).map(augmented)
    return made.batch(size.batch, drop_remainder=True).prefetch(2).with_options(options)
