"""A folder with one file of records, and a manifest that tells what they are."""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn._backend import tf
from keras_rbcn._files import make_writable, naming_the_cause, replacing

_MANIFEST = "teacher_cache.json"
_RECORDS = "teacher-*.tfrecord"
_UNFINISHED = "unfinished-*.tfrecord"
# A file that nobody has written to for so long is of a program that was killed.
_ABANDONED_SECONDS = 3600
# Of the largest value: what the teacher makes of a batch differs by rounding alone.
_TOLERANCE = 0.02


class UnusableError(Exception):
    """Why the records cannot be used; empty if there are none yet."""


class CacheFolder:
    """Tensors of a teacher for each batch, in TensorFlow's format of records.

    Each tensor is a record, and each record has a checksum. The manifest is written
    last, so that a file that was not finished does not count.

    Args:
        path: The folder; it is created.

    Raises:
        TypeError: If it is no path.
        ValueError: If it is a file, or a folder with other files in it.
        OSError: If it cannot be created or written.
    """

    def __init__(self, path: Any) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                "Expected `cache_teacher` to be the path of a folder, received: "
                f"cache_teacher={path!r}."
            )
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(
                "Expected `cache_teacher` to be a folder, received the path of a file: "
                f"cache_teacher='{path}'."
            )
        with naming_the_cause("cache_teacher cannot be written", self.path):
            make_writable(self.path)
        own = {self._manifest, self.path / "lost+found"}
        own |= {*self.path.glob(_RECORDS), *self.path.glob(_UNFINISHED)}
        entries = [e for e in self.path.iterdir() if not e.name.startswith(".")]
        others = [entry.name for entry in entries if entry not in own]
        if others:
            raise ValueError(
                "Expected `cache_teacher` to be an empty folder or one that holds such "
                f"a cache, received: '{path}', which holds {sorted(others)[:3]}."
            )

    def __str__(self) -> str:
        return str(self.path)

    @property
    def _manifest(self) -> Path:
        return self.path / _MANIFEST

    def size(self) -> int:
        """Bytes of the records that are there."""
        return sum(file.stat().st_size for file in self.path.glob(_RECORDS))

    def check(
        self, identity: dict[str, Any], first: Sequence[Any], batches: int
    ) -> None:
        """Raises UnusableError unless whole records of this identity are there.

        All records are read once, so that a damaged one is found before training.

        Args:
            identity: What the records must have been written for.
            first: Tensors of the first batch, the key in front, which must be those of
                the first records.
            batches: Number of batches; negative if it is not known.
        """
        if not self._manifest.exists():
            raise UnusableError("")
        try:
            manifest = self._read()
            file, count = self.path / manifest["file"], manifest["batches"]
            saved = manifest["identity"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UnusableError(f"its manifest cannot be read ({error!r})") from None
        other = [name for name, value in identity.items() if saved.get(name) != value]
        if other:
            raise UnusableError(f"it was written for another {' and '.join(other)}")
        try:
            found = sum(1 for _ in tf.data.TFRecordDataset(str(file)))
        except tf.errors.OpError as error:
            kind = type(error).__name__
            raise UnusableError(f"its file is damaged ({kind})") from None
        if found != count * len(first):
            raise UnusableError(
                f"its file holds {found} records in place of {count * len(first)}"
            )
        if batches >= 0 and batches != count:
            raise UnusableError(
                f"it was written for other data: {count} batches, now {batches}"
            )
        records = tf.data.TFRecordDataset(str(file)).take(len(first))
        for number, (record, tensor) in enumerate(zip(records, first, strict=True)):
            there = tf.io.parse_tensor(record, tensor.dtype)
            if number == 0 and not np.array_equal(there, tensor):
                raise UnusableError("it was written for other data")
            if not _equal_nearly(there, tensor):
                # Of the same weights and configuration: its code has changed.
                raise UnusableError("it was written for a teacher that computes others")

    def write(self, identity: dict[str, Any], records: Iterable[list[Any]]) -> None:
        """Writes records, and then the manifest; older ones are removed first.

        If another program has written the same meanwhile, its records stay.

        Raises:
            OSError: If the disk is full, or cannot be written; nothing stays then.
        """
        self.give_up()
        name = f"{uuid.uuid4().hex}.tfrecord"
        unfinished = self.path / f"unfinished-{name}"
        try:
            count = _write_records(unfinished, records)
            if self._manifest.exists() and self._read().get("identity") == identity:
                return
            file = unfinished.replace(self.path / f"teacher-{name}")
            manifest = {"file": file.name, "batches": count, "identity": identity}
            with replacing(self._manifest) as beside:
                beside.write_text(json.dumps(manifest, indent=1))
        finally:  # Interrupted, perhaps after hours: no gigabytes stay.
            unfinished.unlink(missing_ok=True)

    def records(self, specs: Sequence[Any]) -> Any:
        """What was written, as a dataset of one tuple of tensors for each batch.

        Args:
            specs: `tf.TensorSpec` of each tensor.
        """
        file = self.path / self._read()["file"]

        def parse(records: Any) -> tuple[Any, ...]:
            return tuple(
                tf.ensure_shape(tf.io.parse_tensor(record, spec.dtype), spec.shape)
                for record, spec in zip(
                    tf.unstack(records, len(specs)), specs, strict=True
                )
            )

        return tf.data.TFRecordDataset(str(file)).batch(len(specs), True).map(parse)

    def give_up(self) -> None:
        """Removes the cache, but for what another program is writing."""
        self._manifest.unlink(missing_ok=True)
        for file in self.path.glob(_RECORDS):
            file.unlink(missing_ok=True)
        for file in self.path.glob(_UNFINISHED):
            if time.time() - file.stat().st_mtime > _ABANDONED_SECONDS:
                file.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        return dict(json.loads(self._manifest.read_text("utf-8")))


def _write_records(path: Path, records: Iterable[list[Any]]) -> int:
    """Writes records to a file; returns for how many batches.

    Raises:
        OSError: If the file cannot be written. Errors in making the records stay.
    """
    count = 0
    with _as_os_errors():
        writer = tf.io.TFRecordWriter(str(path))
    try:
        for tensors in records:
            with _as_os_errors():
                for one in tensors:
                    writer.write(tf.io.serialize_tensor(one).numpy())
            count += 1
    finally:
        with _as_os_errors():
            writer.close()
    return count


@contextlib.contextmanager
def _as_os_errors() -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(None, error.message) from error


def _equal_nearly(one: Any, other: Any) -> bool:
    one, other = (np.asarray(tf.cast(x, tf.float64)) for x in (one, other))
    if one.shape != other.shape or not one.size:
        return bool(one.shape == other.shape)
    return bool(np.abs(one - other).max() <= _TOLERANCE * np.abs(other).max())
