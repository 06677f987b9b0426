"""Files that are never half-written."""

from __future__ import annotations

import contextlib
import errno
import os
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
