"""Files that are never half-written."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` at the end.

    Until then an older file at `path` stays as it is; if the writing fails, for good.

    Args:
        path: The file to be.

    Example:
        >>> with replacing(Path("new.txt")) as beside:
        ...     beside.write_text("whole")
        5
        >>> Path("new.txt").read_text()
        'whole'
    """
    # The suffix stays: some libraries choose the format by it.
    beside = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
