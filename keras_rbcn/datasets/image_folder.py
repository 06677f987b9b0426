"""Readers of folders of images: one subfolder for each class, or any images."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn.datasets.image_decoding import decode_pixels
from keras_rbcn.datasets.splits import (
    DEFAULT_RESCALE,
    DEFAULT_TEST_FRACTION,
    Splits,
    check_arguments,
    check_rescale,
    is_integer,
    rescaled,
)

_COLOR_MODES = {1: "grayscale", 3: "rgb", 4: "rgba"}
CHANNELS = tuple(_COLOR_MODES)
# What Keras reads.
_FORMATS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_TRAIN_FOLDER = "train"
# The first of these that there is.
_TEST_FOLDERS = ("validation", "val", "test")


def image_folder(
    path: str | os.PathLike[str],
    image_size: tuple[int, int],
    channels: int = 3,
    batch_size: int = 32,
    seed: int = 0,
    test_fraction: float | None = None,
    rescale: tuple[float, float] = DEFAULT_RESCALE,
) -> Splits:
    """Images of a folder with one subfolder for each class, read while training.

    The names of the subfolders are the classes, numbered in alphabetical order. If the
    folder holds a folder `train`, the subfolders are taken from there, and those for
    testing from `validation`, `val` or `test` beside it, whichever of these is there
    first. If it has none for testing, some images are split off at random.

    Args:
        path: The folder. Its images are .bmp, .gif (the first frame), .jpeg, .jpg and
            .png files; others are left aside.
        image_size: Height and width in pixels that all images are resized to, bilinear
            and without regard to their aspect ratio.
        channels: 1 (grey), 3 (red, green, blue) or 4 (and alpha).
        batch_size: Images in a batch.
        seed: Decides the split, and the order of the training pipeline.
        test_fraction: Share of the images that is split off for testing, between 0 and
            1; None for 0.2 if there is no folder for testing.
        rescale: What black (0) and white (255) become.

    Returns:
        `Splits`: `train` and `test`, each a `tf.data.Dataset` of batches of images,
        float32 of shape `(batch, height, width, channels)`, and class numbers, int32
        of shape `(batch,)`. The training pipeline is shuffled anew in each epoch, in an
        order that `seed` and TensorFlow's global seed decide. As with
        `keras.utils.image_dataset_from_directory`, which does the reading, the
        pipelines have the attributes `class_names` and `file_paths`.

    Raises:
        OSError: If there is no such folder.
        ValueError: If a folder has no subfolders or no images, a class has no images
            to train on, the classes for testing are others, or an argument is out of
            its range. An image that cannot be decoded is found only when it is read,
            and raises `tf.errors.InvalidArgumentError` then.

    Example:
        >>> for name in ("cats", "dogs"):
        ...     for number in range(5):
        ...         image = np.full((12, 9, 3), 25 * number, "uint8")
        ...         Path("pets", name).mkdir(parents=True, exist_ok=True)
        ...         path = f"pets/{name}/{number}.png"
        ...         tf.io.write_file(path, tf.io.encode_png(image))
        >>> train, test = image_folder("pets", image_size=(8, 8), batch_size=4)
        >>> train.class_names, len(train.file_paths), len(test.file_paths)
        (['cats', 'dogs'], 8, 2)
        >>> train.element_spec[0].shape
        TensorShape([None, 8, 8, 3])
    """
    check_arguments(batch_size, seed, test_fraction)
    check_rescale(rescale)
    check_format(image_size, channels, batch_size)
    folders = part_folders(Path(path))
    if len(folders) > 1 and test_fraction is not None:
        raise ValueError(
            "Expected no share to split off for testing, because there is a folder "
            f"'{folders[1]}' for it; received: test_fraction={test_fraction!r}."
        )
    fraction = test_fraction or DEFAULT_TEST_FRACTION
    classes = _check_images(folders, fraction)
    reading: dict[str, Any] = {
        "class_names": classes,
        "color_mode": _COLOR_MODES[channels],
        "image_size": tuple(image_size),
        "batch_size": batch_size,
        "seed": seed,
    }
    # Keras prints how many files it has found.
    with contextlib.redirect_stdout(io.StringIO()):
        read = keras.utils.image_dataset_from_directory
        if len(folders) > 1:
            parts = [
                read(str(folder), shuffle=shuffle, **reading)
                for folder, shuffle in zip(folders, (True, False), strict=True)
            ]
        else:
            parts = read(
                str(folders[0]), validation_split=fraction, subset="both", **reading
            )
    _check_every_class(folders[0], parts[0])
    return Splits(*(_with_rescaled_images(part, rescale) for part in parts))


def unreadable_image(paths: Sequence[str], channels: int) -> str | None:
    """The first of the files that Keras cannot decode as an image, or None."""
    for path in paths:
        try:
            # As Keras does it.
            content = tf.io.read_file(path)
            tf.io.decode_image(content, channels, expand_animations=False)
        except tf.errors.OpError:
            return path
    return None


def find_images(folder: Path) -> list[Path]:
    """The images in a folder and in the folders in it, in the order of their paths.

    Raises:
        ValueError: If there are none.
    """
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if is_image(path)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise ValueError(
            f"Expected the folder '{folder}' to hold images ({', '.join(_FORMATS)}); "
            "it holds none."
        )
    return found


def read_images(
    paths: Sequence[Path],
    image_size: tuple[int, int],
    channels: int,
    rescale: tuple[float, float],
) -> np.ndarray:
    """Reads images into memory, resized and rescaled as `image_folder` does it.

    Returns:
        float32 array `(images, height, width, channels)`.

    Raises:
        ValueError: If a file cannot be decoded as an image; names it.
    """
    images = [
        tf.image.resize(read_pixels(path, channels), image_size).numpy()
        for path in paths
    ]
    return rescaled(np.stack(images), rescale)


def read_pixels(path: Path, channels: int) -> np.ndarray:
    """Reads the pixels of an image, as `image_folder` does it.

    Files that it cannot make grey are read too: see `decode_pixels`.

    Returns:
        uint8 array `(height, width, channels)`.

    Raises:
        ValueError: If the file cannot be decoded as an image; names it.
    """
    try:
        return decode_pixels(tf.io.read_file(str(path)), channels).numpy()
    except tf.errors.OpError as error:
        raise ValueError(
            f"Cannot read '{path}' as an image: it is damaged, or no file of BMP, GIF, "
            "JPEG or PNG. Remove it, or save it again."
        ) from error


def check_format(image_size: Any, channels: Any, batch_size: Any) -> None:
    """Raises if an argument that all files of images share is not what it must be."""
    sizes = tuple(image_size) if isinstance(image_size, list | tuple) else ()
    if len(sizes) != 2 or not all(is_integer(s) and s > 0 for s in sizes):
        raise ValueError(
            "Expected `image_size` to be a height and a width in pixels, received: "
            f"image_size={image_size!r}."
        )
    if channels not in _COLOR_MODES:
        raise ValueError(
            f"Expected `channels` to be one of {list(_COLOR_MODES)}, received: "
            f"channels={channels!r}."
        )
    if batch_size is None:
        raise ValueError(
            "Expected `batch_size` to be a positive integer, because images of a "
            "folder are not held in memory, received: batch_size=None."
        )


def part_folders(root: Path) -> list[Path]:
    """The folder with the classes to train on; then that of the test images, if any."""
    train = root / _TRAIN_FOLDER
    # A class may be called "train": then it holds images rather than folders.
    if not (train.is_dir() and subfolders(train)):
        return [root]
    test = [root / name for name in _TEST_FOLDERS if (root / name).is_dir()]
    return [train, *test[:1]]


def subfolders(folder: Path) -> list[str]:
    """The names of the classes, in the order of their numbers."""
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _check_images(folders: Sequence[Path], test_fraction: float) -> list[str]:
    """Checks that there are images for both parts, and returns the classes."""
    for folder in folders:
        classes = subfolders(folder)
        if not classes:
            raise ValueError(
                f"Expected the folder '{folder}' to hold one subfolder of images for "
                "each class; it holds no folders."
            )
        found = sum(is_image(path) for path in folder.rglob("*"))
        # As Keras splits.
        tested = int(found * test_fraction) if len(folders) == 1 else found
        if not tested or (len(folders) == 1 and tested == found):
            raise ValueError(
                f"Expected the subfolders of '{folder}' to hold enough images to train "
                f"and test on, received: {found} images ({', '.join(_FORMATS)})"
                + (f", test_fraction={test_fraction}." if len(folders) == 1 else ".")
            )
    # The number of a class is its place in the list.
    if subfolders(folders[0]) != subfolders(folders[-1]):
        first, second = (set(subfolders(folder)) for folder in folders)
        raise ValueError(
            "Expected the same classes for training and for testing, received: "
            f"{sorted(first - second)} only in '{folders[0]}', "
            f"{sorted(second - first)} only in '{folders[1]}'. A class without test "
            "images needs an empty folder."
        )
    return classes


def is_image(path: Path) -> bool:
    """Whether its name is that of an image that can be read."""
    return path.name.lower().endswith(_FORMATS)


def _check_every_class(folder: Path, train: Any) -> None:
    names = {Path(path).relative_to(folder).parts[0] for path in train.file_paths}
    missing = sorted(set(train.class_names) - names)
    if missing:
        raise ValueError(
            f"Expected images of every class in '{folder}' to train on, received none "
            f"of {missing}, or so few that all were split off for testing."
        )


def _with_rescaled_images(dataset: Any, rescale: tuple[float, float]) -> Any:
    result = dataset.map(lambda images, labels: (rescaled(images, rescale), labels))
    # As Keras gives them; what `map` returns has lost them.
    result.class_names = dataset.class_names
    result.file_paths = dataset.file_paths
    return result
