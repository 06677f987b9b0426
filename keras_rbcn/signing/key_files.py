"""Files that hold a secret."""

from __future__ import annotations

import os
import stat
import warnings
from pathlib import Path

from keras_rbcn._files import naming_the_cause

# No key is longer, and a slip of the user's may name a film.
_MAX_BYTES = 2**20


def read_file(path: Path, what: str) -> bytes:
    """The contents of a small file that a user named.

    Args:
        path: The file.
        what: What it should be, for the messages.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is a folder, or too large for what it should be.
    """
    if path.is_dir():
        raise ValueError(f"Expected {what}, received a folder: path={str(path)!r}.")
    try:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file '{path}' for {what}.") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"Expected {what}, but file '{path}' is larger than any.")
    return content


def warn_if_open(path: Path) -> None:
    """Warns if others can read the file of a secret, or write it."""
    open_to_others = stat.S_IRWXG | stat.S_IRWXO
    if os.name == "posix" and path.stat().st_mode & open_to_others:
        warnings.warn(
            f"Other users of this machine may read or write the key file '{path}': run "
            f"chmod 600 '{path}'.",
            stacklevel=4,
        )


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Writes a file that is not there yet.

    Raises:
        FileExistsError: If it is.
        OSError: If it cannot be written; then nothing is left of it.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    except FileExistsError:
        raise FileExistsError(
            f"There is a file '{path}' already, and keys are never overwritten: name "
            "another, or remove it if nothing needs it."
        ) from None
    try:
        with (
            naming_the_cause("The key cannot be written", path),
            open(descriptor, "wb") as file,
        ):
            file.write(content)
    except BaseException:
        path.unlink()
        raise
