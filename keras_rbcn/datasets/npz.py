"""Reader of .npz files: images and labels that a user saved with NumPy."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn.datasets.splits import (
    DEFAULT_TEST_FRACTION,
    Arrays,
    Splits,
    as_pipelines,
    check_arguments,
    check_rescale,
    rescaled,
    split,
)

# How the names of a part's two arrays end; those for testing by preference.
_TRAIN_PARTS = ("_train", "")
_TEST_PARTS = ("_val", "_test")


def npz_file(
    path: str | os.PathLike[str],
    batch_size: int | None = None,
    seed: int = 0,
    test_fraction: float | None = None,
    rescale: tuple[float, float] | None = None,
) -> Splits:
    """Images and labels of an .npz file, such as `numpy.savez` writes.

    The file holds `x_train` and `y_train`, and for testing `x_val` and `y_val` or else
    `x_test` and `y_test`; or it holds `x` and `y` in place of the first two. If it has
    none for testing, a part of the training data is split off at random so that each
    class keeps its share.

    Args:
        path: The file. Each x has the shape `(samples, ...)` and any real type; each y
            holds class numbers, counted from 0, of an integer type and of shape
            `(samples,)` or `(samples, 1)`.
        batch_size: Images in a batch, or None for NumPy arrays.
        seed: Decides the split, and the order of the training pipeline.
        test_fraction: Share of the samples that is split off for testing, between 0 and
            1; None for 0.2 if the file has no samples for testing.
        rescale: None to take the numbers as they are; or, for images of type uint8,
            what 0 and 255 become: `(-1.0, 1.0)` makes them like those of `digits`.

    Returns:
        `Splits`, as of `digits`, with samples of type float32.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If the file is damaged or no .npz file, an array is missing or is
            not as described, or an argument is out of its range; names the file and
            the array.

    Example:
        >>> x, y = np.zeros((10, 8, 8, 1), "uint8"), np.arange(10) % 2
        >>> np.savez("images.npz", x=x, y=y)
        >>> train, test = npz_file("images.npz", rescale=(-1.0, 1.0))
        >>> train.x.shape, test.y.shape, train.x.min()
        ((8, 8, 8, 1), (2,), -1.0)
    """
    check_arguments(batch_size, seed, test_fraction)
    check_rescale(rescale)
    parts = _parts(path, array_names(path))
    if len(parts) > 1 and test_fraction is not None:
        raise ValueError(
            f"Expected no share to split off for testing, because '{os.fspath(path)}' "
            f"has samples for it, x{parts[1]}; received: "
            f"test_fraction={test_fraction!r}."
        )
    arrays = [_read_part(path, part, rescale) for part in parts]
    if len(arrays) == 1:
        splits = split(arrays[0], test_fraction or DEFAULT_TEST_FRACTION, seed)
    else:
        splits = Splits(*arrays)
        shapes = [one.x.shape[1:] for one in splits]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"Expected the samples of both parts of '{os.fspath(path)}' to have "
                f"one shape, received: x{parts[0]} of {shapes[0]}, x{parts[1]} of "
                f"{shapes[1]}."
            )
    return splits if batch_size is None else as_pipelines(splits, batch_size, seed)


def array_names(path: str | os.PathLike[str]) -> list[str]:
    """The names of the arrays in an .npz file.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is damaged or no .npz file.
    """
    with _opened(path) as file:
        return list(file.files)


def read_arrays(path: str | os.PathLike[str], names: Sequence[str]) -> list[np.ndarray]:
    """Reads arrays of real numbers, with one sample at least, from an .npz file.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is damaged or no .npz file, or an array is none of real
            numbers or has no samples.
    """
    with _opened(path) as file:
        arrays = [file[name] for name in names]
    for name, array in zip(names, arrays, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            kind = getattr(array, "dtype", "no array")
            raise ValueError(
                f"Expected '{name}' in '{os.fspath(path)}' to hold real numbers; its "
                f"type is {kind}."
            )
        if array.ndim == 0 or array.size == 0:
            raise ValueError(
                f"Expected '{name}' in '{os.fspath(path)}' to hold samples; its shape "
                f"is {array.shape}."
            )
    return arrays


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    with open(path, "rb") as content:
        if not zipfile.is_zipfile(content):
            raise ValueError(
                f"Expected '{os.fspath(path)}' to be an .npz file, but it is none: "
                "write it with numpy.savez(path, x=images)."
            )
    try:
        with np.load(path, allow_pickle=False) as file:
            yield file
    # Each of the formats inside (zip, deflate, npy) has errors of its own.
    except Exception as error:
        reason = str(error) or type(error).__name__
        if "allow_pickle" in reason:
            reason = "it holds pickled Python objects, which are not loaded for safety"
        raise ValueError(f"Cannot read '{os.fspath(path)}': {reason}.") from error


def _parts(path: str | os.PathLike[str], names: Sequence[str]) -> list[str]:
    """How the names of the training arrays end, and then those of the test arrays."""
    whole = []
    for part in (*_TRAIN_PARTS, *_TEST_PARTS):
        pair = (f"x{part}", f"y{part}")
        found = [name for name in pair if name in names]
        if len(found) == 1:
            raise ValueError(
                f"Expected '{os.fspath(path)}' to hold {pair[0]} together with "
                f"{pair[1]}; of the two it holds only {found[0]}."
            )
        whole += [part] if found else []
    train = [part for part in _TRAIN_PARTS if part in whole][:1]
    if not train:
        raise ValueError(
            f"Expected '{os.fspath(path)}' to hold the arrays x_train and y_train (and "
            "x_val and y_val, or x_test and y_test, for testing), or x and y; it holds "
            f"{list(names)}."
        )
    return train + [part for part in _TEST_PARTS if part in whole][:1]


def _read_part(
    path: str | os.PathLike[str], part: str, rescale: tuple[float, float] | None
) -> Arrays:
    x, y = read_arrays(path, [f"x{part}", f"y{part}"])
    x_name, y_name = (f"'{name}{part}' in '{Path(path)}'" for name in "xy")
    if rescale is not None and x.dtype != np.uint8:
        raise ValueError(
            f"Expected {x_name} to be images of type uint8, with values from 0 to 255, "
            f"since they are to be rescaled; received: dtype={x.dtype}. Leave out "
            "`rescale` to take the numbers as they are."
        )
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise ValueError(
            f"Expected {y_name} to hold class numbers, integers of shape (samples,), "
            f"received: shape={y.shape}, dtype={y.dtype}. For one-hot labels, write "
            "y.argmax(axis=1)."
        )
    if len(x) != len(y):
        raise ValueError(
            f"Expected one label for each sample, received: {len(x)} samples as "
            f"{x_name}, {len(y)} labels as {y_name}."
        )
    if y.min() < 0 or y.max() >= 2**31:
        raise ValueError(
            f"Expected {y_name} to hold class numbers, counted from 0, received "
            f"numbers from {y.min()} to {y.max()}."
        )
    # Too large numbers become infinite, and are refused.
    with np.errstate(over="ignore"):
        x = x.astype(np.float32)
    if not np.isfinite(x).all():
        raise ValueError(
            f"Expected {x_name} to hold finite numbers of type float32; it holds NaN "
            "or infinity."
        )
    return Arrays(x if rescale is None else rescaled(x, rescale), y.astype(np.int32))
