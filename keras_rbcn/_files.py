"""Files that are never half-written, and folders that can be written to."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` at the end.

    Until then an older file at `path` stays as it is; if the writing fails, for good.

    A link is followed: what it points to is replaced.

    Args:
        path: The file to be.

    Raises:
        OSError: If the file cannot be written, or `path` is a device or another
            special file.

    Example:
        >>> with replacing(Path("new.txt")) as beside:
        ...     beside.write_text("whole")
        5
        >>> Path("new.txt").read_text()
        'whole'
    """
    path = path.resolve()
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is no ordinary file", str(path))
    # The suffix stays: some libraries choose the format by it.
    beside = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def naming_the_cause(problem: str, path: Path) -> Iterator[None]:
    """Says in an OSError of the block what could not be done, and to which path.

    Args:
        problem: The beginning of the message.
        path: What the message ends with.

    Raises:
        OSError: In place of the block's, of the same class and number.

    Example:
        >>> with naming_the_cause("no log", Path("log.txt")):
        ...     raise PermissionError(13, "Permission denied", "elsewhere")
        Traceback (most recent call last):
        PermissionError: [Errno 13] no log: Permission denied: 'log.txt'
    """
    try:
        yield
    except OSError as error:
        message = f"{problem}: {error.strerror}"
        raise type(error)(error.errno, message, str(path)) from None


def make_writable(folder: Path) -> None:
    """Creates a folder if it is not there, and writes to it, to see whether one can.

    Args:
        folder: The folder.

    Raises:
        OSError: If it cannot be created or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
