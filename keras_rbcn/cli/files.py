"""Files that a user names: checked before the work, and never left half-written."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import typer

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


def check_name_for_tensorflow(path: Path) -> None:
    """Checks that TensorFlow, which is to read the file, can be given its name.

    Raises:
        UserError: If it is not in UTF-8.
    """
    _check_encoding(path, path, "read")


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
    _check_encoding(path, path.absolute(), "write")
    target = resolved(path)
    if path.is_dir():
        raise UserError(f"cannot write '{path}': it is a folder, name a file.")
    if not path.parent.is_dir():
        raise UserError(
            f"cannot write '{path}': there is no folder '{path.parent}', create it."
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"cannot write '{path}': its folder is closed to writing.")
    for other in inputs:
        if other is not None and target == resolved(other):
            raise UserError(f"'{path}' is named twice: give the outputs other names.")
    if suffix and path.suffix != suffix:
        raise UserError(f"cannot write '{path}': its name does not end in {suffix}.")


def folder_path(text: str) -> Path:
    """The path that a user typed for a folder to write to.

    Raises:
        typer.BadParameter: If it is empty, which is the current folder to `Path`.
    """
    if not text:
        raise typer.BadParameter("expected the name of a folder; '.' is the current.")
    return Path(text)


def check_output_folder(path: Path) -> None:
    """Checks, before any work is done, that files can be written to the folder.

    Args:
        path: The folder, which may be missing still.

    Raises:
        UserError: If it is a file, or is closed to writing or cannot be created.
    """
    _check_encoding(path, path.absolute(), "write")
    resolved(path)
    if path.exists() and not path.is_dir():
        raise UserError(f"expected a folder for the results, but '{path}' is a file.")
    nearest = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not nearest.is_dir():
        raise UserError(f"cannot create the folder '{path}': '{nearest}' is a file.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(
            f"cannot write to the folder '{path}': '{nearest}' is closed to writing."
        )


def resolved(path: Path) -> Path:
    """The path without links.

    Raises:
        UserError: If a link leads to itself, by way of others perhaps.
    """
    try:
        return path.resolve()
    except RuntimeError:  # That of a link; nothing else is looked at.
        raise UserError(
            f"'{path}' is no file and no folder, but a link that leads to itself: "
            "remove it, or name another."
        ) from None


def _check_encoding(path: Path, used: Path, what: str) -> None:
    try:
        str(used).encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(
            f"cannot {what} '{path}': TensorFlow takes only names in UTF-8."
        ) from None


def create_folder(path: Path) -> None:
    """Creates the folder, and those that it lies in, if they are missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot create the folder '{path}': {error.strerror}.") from (
            error
        )


def write_text(path: Path, text: str) -> None:
    """Writes a text file."""
    with written_beside(path) as beside:
        beside.write_text(text, "utf-8")


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
    # Not by `np.savez`, which takes no array of the name "file".
    with written_beside(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
