"""Files that a user names: checked before the work, and never left half-written."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn._files import replacing
from keras_rbcn.cli.errors import UserError


def check_input(path: Path) -> None:
    """Checks that the file can be read.

    Raises:
        UserError: If there is no such file, or it cannot be read.
    """
    try:
        with open(path, "rb"):
            pass
    except FileNotFoundError:
        raise UserError(f"there is no file '{path}'.") from None
    except IsADirectoryError:
        raise UserError(f"expected a file, but '{path}' is a folder.") from None
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}.") from None


def check_output(path: Path, *inputs: Path | None, suffix: str = "") -> None:
    """Checks, before any work is done, that the file can be written.

    Args:
        path: Where a file is to be written; an older one there will be replaced.
        *inputs: Files that must not be replaced.
        suffix: How the name must end, so that a slip does not replace another file.

    Raises:
        UserError: If the path is a folder, its folder is missing or closed, its name
            ends otherwise, or it is one of the other files.
    """
    if path.is_dir():
        raise UserError(f"cannot write '{path}': it is a folder, name a file.")
    if not path.parent.is_dir():
        raise UserError(
            f"cannot write '{path}': there is no folder '{path.parent}', create it."
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"cannot write '{path}': its folder is closed to writing.")
    for other in inputs:
        if other is not None and path.resolve() == other.resolve():
            raise UserError(f"'{path}' is named twice: give the outputs other names.")
    if not path.name.endswith(suffix):
        raise UserError(f"cannot write '{path}': its name does not end in {suffix}.")


@contextlib.contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A path to write to, renamed to `path` at the end.

    So that no half-written file stands there at any time.
    """
    try:
        with replacing(path) as beside:
            yield beside
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}.") from error


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Writes named arrays as an .npz file."""
    # To an open file, since NumPy appends ".npz" to the names of others.
    with written_beside(path) as beside, open(beside, "wb") as file:
        np.savez(file, **arrays)


def read_inputs(path: Path, names: Sequence[str]) -> Any:
    """Reads what a model is to be run on from an .npz file.

    Args:
        path: For a model of one input, a file with one array, or with an array named
            "x" or as the input. For several inputs, a file with an array of each
            name, or with unnamed arrays in the inputs' order.
        names: Names of the model's inputs.

    Returns:
        An array `(samples, ...)`, or a list of them for several inputs.

    Raises:
        UserError: If the file is no such file, or holds none or several such arrays.
    """
    check_input(path)
    if not zipfile.is_zipfile(path):
        raise UserError(
            f"expected an .npz file, but '{path}' is none: write it with "
            "numpy.savez(path, x=images)."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            keys = _choose(path, file.files, names)
            arrays = [_checked(path, key, file[key]) for key in keys]
    except UserError:
        raise
    # Each of the formats inside (zip, deflate, npy) has errors of its own.
    except Exception as error:
        reason = str(error) or type(error).__name__
        if "allow_pickle" in reason:
            reason = "it holds pickled Python objects, which are not loaded for safety"
        raise UserError(f"cannot read '{path}': {reason}.") from error
    return arrays[0] if len(arrays) == 1 else arrays


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


def _checked(path: Path, key: str, array: Any) -> Any:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = getattr(array, "dtype", "no array")
        raise UserError(
            f"expected '{key}' in '{path}' to hold real numbers; its type is {kind}."
        )
    if array.ndim == 0 or array.size == 0:
        raise UserError(
            f"expected '{key}' in '{path}' to hold samples; its shape is {array.shape}."
        )
    return array
