"""The data sets: handwritten digits, and fashion articles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn._backend import keras
from keras_rbcn.datasets.idx import read_idx
from keras_rbcn.datasets.splits import (
    Arrays,
    Splits,
    as_pipelines,
    check_arguments,
    split,
)

# Where Debian's package dataset-fashion-mnist puts its files.
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")

_DOWNLOAD_FROM = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_CACHE_SUBFOLDER = os.path.join("datasets", "fashion-mnist")
_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


def digits(
    batch_size: int | None = None, seed: int = 0, test_fraction: float = 0.25
) -> Splits:
    """Handwritten digits: 1,797 grey images of 8x8 pixels, 10 classes.

    They come with scikit-learn, and need no download. The split is stratified: each
    class has the same share of the training and of the test images.

    Args:
        batch_size: Images in a batch, or None for NumPy arrays.
        seed: Decides the split, and the order of the training pipeline.
        test_fraction: Share of the images that are test images, between 0 and 1.

    Returns:
        `Splits`: `train` and `test`, each `Arrays` of `x`, float32 in [-1, 1] (black
        is -1) and shape `(samples, 8, 8, 1)`, and `y`, int32 class numbers 0 to 9 of
        shape `(samples,)`. With a batch size, each is a `tf.data.Dataset` of batches
        of them instead, the last of which may be smaller. The training pipeline is
        shuffled anew in each epoch, in an order that `seed` and TensorFlow's global
        seed (`keras.utils.set_random_seed`) decide.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> train, test = digits()
        >>> train.x.shape, test.y.shape
        ((1347, 8, 8, 1), (450,))
        >>> digits(batch_size=32).train.element_spec[0].shape
        TensorShape([None, 8, 8, 1])

    Reference:
        Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
        Learning Repository, 1998.
    """
    # Takes a second to import, which programs without it need not wait for.
    from sklearn.datasets import load_digits

    check_arguments(batch_size, seed, test_fraction)
    images, labels = load_digits(return_X_y=True)
    # Pixels count from 0 to 16 how much of a cell is covered by ink.
    data = Arrays(_scaled(images.reshape(-1, 8, 8), 16), labels.astype(np.int32))
    return _finished(split(data, test_fraction, seed), batch_size, seed)


def fashion_mnist(
    batch_size: int | None = None, seed: int = 0, test_fraction: float | None = None
) -> Splits:
    """Fashion-MNIST: 70,000 grey images of 28x28 pixels of articles, 10 classes.

    Its four files are taken from the first of these that has them all:

    1. Keras' cache, `datasets/fashion-mnist` in the folder that the environment
       variable `KERAS_HOME` names, or else in `~/.keras`;
    2. Debian's package `dataset-fashion-mnist`, in `/usr/share/datasets/fashion-mnist`;
    3. the network: Keras downloads them, 30 MB, into its cache.

    Args:
        batch_size: Images in a batch, or None for NumPy arrays.
        seed: Decides the order of the training pipeline, and the split if
            `test_fraction` is given.
        test_fraction: None for the data set's own split, 60,000 to 10,000; or the
            share of all images that are test images, in a stratified split.

    Returns:
        `Splits`, as of `digits`, with images of shape `(samples, 28, 28, 1)`.

    Raises:
        ConnectionError: If no folder has the files and they cannot be downloaded.
        ValueError: If an argument is out of its range, or a file is damaged; names
            the file.

    Example:
        >>> train, test = fashion_mnist()  # doctest: +SKIP
        >>> train.x.shape, test.y.shape  # doctest: +SKIP
        ((60000, 28, 28, 1), (10000,))

    Reference:
        Xiao, Rasul and Vollgraf, "Fashion-MNIST: a Novel Image Dataset for
        Benchmarking Machine Learning Algorithms", arXiv 1708.07747.
    """
    check_arguments(batch_size, seed, test_fraction)
    folder = _find_fashion_mnist() or _download_fashion_mnist()
    splits = Splits(*(_read_fashion_mnist(folder, part) for part in ("train", "test")))
    if test_fraction is not None:
        both = zip(*splits, strict=True)
        everything = Arrays(*(np.concatenate(parts) for parts in both))
        splits = split(everything, test_fraction, seed)
    return _finished(splits, batch_size, seed)


def _finished(splits: Splits, batch_size: int | None, seed: int) -> Splits:
    return splits if batch_size is None else as_pipelines(splits, batch_size, seed)


def _scaled(images: Any, white: int) -> Any:
    """Images from [0, white] to float32 in [-1, 1], with an axis of one channel."""
    return (images[..., np.newaxis] / np.float32(white / 2) - 1).astype(np.float32)


def _keras_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _find_fashion_mnist() -> Path | None:
    for folder in (_keras_folder() / _CACHE_SUBFOLDER, DEBIAN_FOLDER):
        if all((folder / name).is_file() for pair in _FILES.values() for name in pair):
            return folder
    return None


def _download_fashion_mnist() -> Path:
    root = _keras_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
        for name in (name for pair in _FILES.values() for name in pair):
            path = keras.utils.get_file(
                name,
                origin=_DOWNLOAD_FROM + name,
                cache_dir=str(root),
                cache_subdir=_CACHE_SUBFOLDER,
            )
    except Exception as error:  # Keras raises bare exceptions.
        raise ConnectionError(
            f"Fashion-MNIST could not be downloaded: {error}. Its files are in neither "
            f"'{root / _CACHE_SUBFOLDER}' nor '{DEBIAN_FOLDER}'. Without a network, "
            "run `apt-get install dataset-fashion-mnist` (Debian, Ubuntu), or copy "
            f"{', '.join(sum(_FILES.values(), ()))} into the first of them."
        ) from error
    # Keras chooses another folder if this one cannot be written.
    return Path(path).parent


def _read_fashion_mnist(folder: Path, part: str) -> Arrays:
    paths = [folder / name for name in _FILES[part]]
    images, labels = (read_idx(path) for path in paths)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise ValueError(
            f"Expected '{paths[0]}' to hold images and '{paths[1]}' one label for each "
            f"of them, received arrays of shapes {images.shape} and {labels.shape}. "
            f"Delete both, and get them again."
        )
    return Arrays(_scaled(images, 255), labels.astype(np.int32))
