"""What a data set looks like to a user: training and test data, in one of two forms."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from keras_rbcn._backend import tf

# Of data that a user has, without a part for testing.
DEFAULT_TEST_FRACTION = 0.2
# What black and white become in images of a folder.
DEFAULT_RESCALE = (-1.0, 1.0)


class Arrays(NamedTuple):
    """Images and labels in memory; unpacks as `x, y`.

    Args:
        x: Images, float32 of shape `(samples, height, width, channels)`, in [-1, 1]
            if the library brings them.
        y: Class numbers, int32, shape `(samples,)`.

    Example:
        >>> x, y = Arrays(np.zeros((2, 8, 8, 1), "float32"), np.array([3, 7], "int32"))
        >>> y.tolist()
        [3, 7]
    """

    x: Any
    y: Any


class Splits(NamedTuple):
    """Training and test data; unpacks as `train, test`.

    Args:
        train: `Arrays`, or a `tf.data.Dataset` of batches `(x, y)`.
        test: The same.

    Example:
        >>> train, test = Splits(Arrays([0.0, 0.5], [0, 1]), Arrays([1.0], [1]))
        >>> test.y
        [1]
    """

    train: Any
    test: Any


def split(data: Arrays, test_fraction: float, seed: int) -> Splits:
    """Splits at random so that each class keeps its share on both sides.

    Raises:
        ValueError: If a class has too few samples for that.
    """
    # Takes a second to import, which programs without it need not wait for.
    from sklearn.model_selection import train_test_split

    try:
        x_train, x_test, y_train, y_test = train_test_split(
            data.x, data.y, test_size=test_fraction, stratify=data.y, random_state=seed
        )
    except ValueError as error:
        raise ValueError(
            f"Expected enough samples to split off {test_fraction:.4g} of each class "
            f"for testing, received {len(data.y)} samples of {len(np.unique(data.y))} "
            f"classes: {error}"
        ) from error
    return Splits(Arrays(x_train, y_train), Arrays(x_test, y_test))


def as_pipelines(splits: Splits, batch_size: int, seed: int) -> Splits:
    """Turns arrays into pipelines of batches; the training data are shuffled."""
    train = tf.data.Dataset.from_tensor_slices(tuple(splits.train))
    test = tf.data.Dataset.from_tensor_slices(tuple(splits.test))
    train = train.shuffle(len(splits.train.y), seed=seed)
    # There is nothing to tune in memory, and a tuned pipeline ends late: TensorFlow
    # 2.21 waits for a thread that sleeps up to as long as the epoch took.
    options = tf.data.Options()
    options.autotune.enabled = False
    return Splits(
        *(
            data.batch(batch_size).prefetch(2).with_options(options)
            for data in (train, test)
        )
    )


def check_arguments(batch_size: Any, seed: Any, test_fraction: Any) -> None:
    """Raises if an argument that all data sets share is not what it must be."""
    if batch_size is not None and (not is_integer(batch_size) or batch_size < 1):
        raise ValueError(
            "Expected `batch_size` to be a positive integer, or None for NumPy arrays, "
            f"received: batch_size={batch_size!r}."
        )
    if not is_integer(seed) or not 0 <= seed < 2**32:
        raise ValueError(
            "Expected `seed` to be an integer from 0 to 2**32 - 1, received: "
            f"seed={seed!r}."
        )
    # An integer would be a number of images to scikit-learn.
    if test_fraction is not None and not 0.0 < test_fraction < 1.0:
        raise ValueError(
            "Expected `test_fraction` to lie between 0 and 1, both excluded, received: "
            f"test_fraction={test_fraction!r}."
        )


def check_rescale(rescale: Any) -> None:
    """Raises unless it is None or two finite numbers in rising order."""
    if rescale is None:
        return
    try:
        low, high = (float(value) for value in rescale)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high or not np.isfinite(high - low):
        raise ValueError(
            "Expected `rescale` to be what black and white become, two numbers of "
            f"which the second is the larger, received: rescale={rescale!r}."
        )


def rescaled(images: Any, rescale: tuple[float, float]) -> Any:
    """Float images from [0, 255] to the range."""
    low, high = rescale
    return images * ((high - low) / 255.0) + low


def is_integer(value: Any) -> bool:
    """Whether it is an integer of Python or NumPy; truth values are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
