"""What a model is run on: arrays of an .npz file, or a folder of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_rbcn.cli.errors import UserError, user_errors
from keras_rbcn.cli.files import check_input, check_name_for_tensorflow
from keras_rbcn.datasets.image_folder import CHANNELS, find_images, read_images
from keras_rbcn.datasets.npz import array_names, read_arrays
from keras_rbcn.datasets.splits import DEFAULT_RESCALE, check_rescale, rescaled

Rescale = tuple[float, float] | None


class Samples(NamedTuple):
    """What a model is run on.

    Args:
        x: An array `(samples, ...)`, or a list of them for several inputs.
        names: Of the images' files, within their folder; None for arrays.
    """

    x: Any
    names: list[str] | None


def check_samples(path: Path) -> None:
    """Checks that there is such a file, or such a folder.

    Raises:
        UserError: If there is neither, or the file cannot be read.
    """
    if not path.is_dir():
        check_input(path)


def read_samples(
    path: Path,
    names: Sequence[str],
    shapes: Sequence[tuple[Any, ...]],
    rescale: Rescale,
    count: int | None = None,
) -> Samples:
    """Reads samples from an .npz file, or from a folder of images.

    Args:
        path: A folder, with images in it or in folders in it; or an .npz file. For a
            model of one input, the file holds one array, or one named "x" or as the
            input. For several inputs, it holds an array of each name, or unnamed
            arrays in the inputs' order.
        names: Names of the model's inputs.
        shapes: Their shapes, without the batch.
        rescale: What pixels of 0 and 255 become; None for [-1, 1] in a folder, and for
            arrays as they are. Of arrays, those of type uint8 are rescaled.
        count: Of a folder, how many images at most, spread evenly; None for all.

    Raises:
        UserError: If the samples cannot be read.
    """
    with user_errors():
        check_rescale(rescale)
    if path.is_dir():
        return _read_folder(path, shapes, rescale or DEFAULT_RESCALE, count)
    check_input(path)
    with user_errors():
        arrays = read_arrays(path, _choose(path, array_names(path), names))
    if rescale is not None:
        arrays = _rescaled_bytes(path, arrays, rescale)
    return Samples(arrays[0] if len(arrays) == 1 else arrays, None)


def image_format(shapes: Sequence[tuple[Any, ...]]) -> tuple[tuple[int, int], int]:
    """Height and width, and channels, of the images that a model takes.

    Args:
        shapes: Of the model's inputs, without the batch.

    Raises:
        UserError: If it does not take images, or not images alone.
    """
    if len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] in CHANNELS:
        height, width, channels = shapes[0]
        return (height, width), channels
    listed = ", ".join(map(str, shapes))
    raise UserError(
        "expected a model of one input, images of 1, 3 or 4 channels, for a folder of "
        f"images; its inputs are of shape {listed}."
    )


def _read_folder(
    path: Path,
    shapes: Sequence[tuple[Any, ...]],
    rescale: tuple[float, float],
    count: int | None,
) -> Samples:
    size, channels = image_format(shapes)
    with user_errors():
        files = find_images(path)
        if count is not None and count < len(files):
            # Of every class, which are folders one after the other.
            places = np.linspace(0, len(files) - 1, count).round().astype(int)
            files = [files[place] for place in places]
        for file in files:
            check_name_for_tensorflow(file)
        x = read_images(files, size, channels, rescale)
    return Samples(x, [str(file.relative_to(path)) for file in files])


def _rescaled_bytes(
    path: Path, arrays: Sequence[np.ndarray], rescale: tuple[float, float]
) -> list[np.ndarray]:
    if not any(array.dtype == np.uint8 for array in arrays):
        types = [str(array.dtype) for array in arrays]
        raise UserError(
            f"expected '{path}' to hold images of type uint8, with values from 0 to "
            f"255, since --rescale is given; received: {', '.join(types)}. Leave out "
            "--rescale to take the numbers as they are."
        )
    return rescaled_bytes(arrays, rescale)


def rescaled_bytes(
    arrays: Sequence[np.ndarray], rescale: tuple[float, float]
) -> list[np.ndarray]:
    """Arrays of type uint8 from [0, 255] to the range; others as they are."""
    return [
        rescaled(array.astype(np.float32), rescale)
        if array.dtype == np.uint8
        else array
        for array in arrays
    ]


def _choose(path: Path, keys: Sequence[str], names: Sequence[str]) -> list[str]:
    """The keys of the arrays to read, in the order of the inputs."""
    if set(names) <= set(keys):
        return list(names)
    if len(names) == 1:
        if len(keys) == 1:
            return list(keys)
        if "x" in keys:
            return ["x"]
        wanted = f"one array, or one named 'x' or '{names[0]}'"
    else:
        unnamed = [f"arr_{number}" for number in range(len(names))]
        if set(keys) == set(unnamed):
            return unnamed
        wanted = f"arrays named {list(names)}, or as many unnamed ones in this order"
    raise UserError(f"expected '{path}' to hold {wanted}; it holds {list(keys)}.")
