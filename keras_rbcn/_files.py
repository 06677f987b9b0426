"""Files that are never half-written, folders that can be written to, digests."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

# The mode of a folder that is nobody else's business.
OWNER_ONLY = 0o700


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes the place of `path` at the end.

    Until then an older file at `path` stays as it is; if the writing fails, for good.
    The new one has the permissions of the older one.

    A link is followed: what it points to is replaced.

    Args:
        path: The file to be.

    Raises:
        OSError: If the file cannot be written, or `path` is a device or another
            special file. It names `path`, where the system names no file or the one
            beside.

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
        with _naming(path, beside, unnamed=True):
            yield beside
            if path.exists():
                _copy_mode(path, beside)
            os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(folder: Path, mode: int = 0o777) -> Iterator[Path]:
    """A new folder to write to, which takes the place of `folder` at the end.

    Until then an older folder there stays as it is; if the writing fails, for good. It
    goes with all that is in it: whether it may is for the caller to check. Between the
    old one and the new one there is a moment without either. The new one has the
    permissions of the old one, and so has each file that the old one had too.

    A link is followed: what it points to is replaced.

    Args:
        folder: The folder to be.
        mode: Its permissions if it is new, before the process's mask.

    Raises:
        OSError: If it cannot be written. It names what is at fault by its place in
            `folder`.

    Example:
        >>> with replacing_folder(Path("new")) as beside:
        ...     (beside / "a.txt").write_text("whole")
        5
        >>> Path("new/a.txt").read_text()
        'whole'
    """
    folder = folder.resolve()
    beside, old = (folder.with_name(f".{uuid.uuid4().hex}") for _ in range(2))
    try:
        with _naming(folder, beside):
            # Nobody is to read here what they could not read in the older folder.
            beside.mkdir(OWNER_ONLY if folder.exists() else mode)
            yield beside
            if not folder.exists():
                beside.rename(folder)
                return
            _copy_modes(folder, beside)
            folder.rename(old)
            try:
                beside.rename(folder)
            except BaseException:
                old.rename(folder)
                raise
            shutil.rmtree(old)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextlib.contextmanager
def _naming(path: Path, beside: Path, unnamed: bool = False) -> Iterator[None]:
    """Names in an OSError of the block `path`, or what is in it, and not `beside`.

    Args:
        path: What the user knows.
        beside: Where it is written.
        unnamed: Whether an error that names no file, as that of a full disk, is of
            this one.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str | bytes | os.PathLike):
            named = Path(os.fsdecode(error.filename))
        elif unnamed and error.errno is not None:
            named = beside
        else:
            raise
        if not named.is_relative_to(beside):
            raise
        meant = path / named.relative_to(beside)
        raise OSError(error.errno, error.strerror, str(meant)) from error


def _copy_mode(old: Path, new: Path) -> None:
    mode = stat.S_IMODE(old.stat().st_mode)
    if stat.S_IMODE(new.stat().st_mode) != mode:  # Not every file system has them.
        new.chmod(mode)


def _copy_modes(old: Path, new: Path) -> None:
    """Gives a folder, and what is in it, the permissions of what it replaces."""
    for path in new.rglob("*"):
        replaced = old / path.relative_to(new)
        if replaced.exists():
            _copy_mode(replaced, path)
    _copy_mode(old, new)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits.

    Args:
        path: The file; it may be larger than the memory.

    Raises:
        OSError: If it cannot be read.

    Example:
        >>> _ = Path("empty.txt").write_bytes(b"")
        >>> file_digest(Path("empty.txt"))[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


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
