"""A file of records, one for each epoch: JSON lines, or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_rbcn._files import make_writable, naming_the_cause, replacing

# What a record holds besides `logs`: values by name of layer, tap or optimizer.
GROUPS = (
    "learning_rate",
    "sign_flips",
    "clipped",
    "scale_mean",
    "scale_min",
    "scale_max",
    "discriminator_accuracy",
)
_COUNTERS = ("epoch", "step")
_LOGS = "logs"

Record = dict[str, Any]


def flattened(record: Record) -> dict[str, Any]:
    """The values of a record by column: `loss`, `sign_flips/conv1`."""
    flat: dict[str, Any] = {}
    for group, value in record.items():
        if group == _LOGS:
            flat |= {_log_column(name): one for name, one in value.items()}
        elif group in GROUPS:
            flat |= {f"{group}/{name}": one for name, one in value.items()}
        else:
            flat[group] = value
    return flat


def read_records(path: Path) -> list[Record]:
    """The records of a file; a line that was not finished is left out.

    Args:
        path: Path that ends in `.jsonl` or `.csv`.

    Raises:
        ValueError: If the file is no log, or a line of it is damaged; names the line.
        OSError: If it cannot be read.
    """
    text = path.read_bytes().decode("utf-8", errors="replace")
    lines = text.split("\n")[:-1]
    if text and not lines:  # The first line is never written by halves.
        raise _something_else(path)
    is_csv = path.suffix == ".csv"
    columns = next(csv.reader(lines[:1]), []) if is_csv else []
    if is_csv and lines and tuple(columns[:2]) != _COUNTERS:
        raise _something_else(path)
    records = []
    for number, line in enumerate(lines[is_csv:], start=1 + is_csv):
        try:
            record = _from_cells(columns, line) if is_csv else json.loads(line)
            if tuple(record)[:2] != _COUNTERS or not isinstance(record["epoch"], int):
                raise ValueError("it does not begin with epoch and step")
        except (ValueError, TypeError) as error:
            if number == 1:
                raise _something_else(path) from None
            raise ValueError(
                f"Expected each line of '{path}' to hold one epoch, but line {number} "
                f"is damaged: {error}. Take the line out, or name another file."
            ) from None
        records.append(record)
    return records


class LogFile:
    """Writes records to a file.

    A record is appended and reaches the disk before `append` returns, so that a kill
    leaves whole lines, and one at most that is not. Where a line does not do, the file
    is written anew beside the old one: if a record has columns that the file has not,
    or a write has failed before.

    Args:
        path: Path that ends in `.jsonl` (an object a line) or `.csv` (a row a line).

    Raises:
        ValueError: If the path ends otherwise, or is a folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix not in (".jsonl", ".csv"):
            raise ValueError(
                "Expected `path` to end in '.jsonl' (JSON lines) or '.csv', received: "
                f"path='{path}'."
            )
        if self.path.is_dir():
            raise ValueError(
                f"Expected `path` to be a file, received a folder: path='{path}'."
            )
        self._records: list[Record] = []
        self._columns: list[str] = []
        # How long the file is, if it holds all records.
        self._size: int | None = None

    def check(self) -> None:
        """Creates the folder, and checks that the file can be written.

        Raises:
            ValueError: If there is a file that is no log.
            OSError: If the folder cannot be created, or nothing written to it.
        """
        with naming_the_cause("TrainingLog cannot write its file", self.path):
            make_writable(self.path.parent)
            if self.path.exists():
                read_records(self.path)

    def begin(self, epoch: int) -> None:
        """Begins at an epoch: keeps the records of those before it, and no others."""
        found = read_records(self.path) if self.path.exists() else []
        self._records = [record for record in found if record["epoch"] < epoch]
        self._write_all()

    def append(self, record: Record) -> None:
        """Writes a record behind the others.

        Raises:
            OSError: If it cannot be written. It will be with the next one that can.
        """
        self._records.append(record)
        new = [name for name in flattened(record) if name not in self._columns]
        is_whole = self._size is not None and _size(self.path) == self._size
        if not is_whole or (new and self.path.suffix == ".csv") or self._size == 0:
            self._write_all()
            return
        data, size, self._size = self._encoded([record]), self._size, None
        with open(self.path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._size = (size or 0) + len(data)

    def _write_all(self) -> None:
        self._size = None
        columns = {name: None for one in self._records for name in flattened(one)}
        self._columns = list(columns)
        data = self._encoded(self._records, header=bool(columns))
        with replacing(self.path) as beside, open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        self._size = len(data)

    def _encoded(self, records: Iterable[Record], header: bool = False) -> bytes:
        text = io.StringIO()
        if self.path.suffix == ".jsonl":
            for record in records:
                text.write(json.dumps(_without_nan(record), allow_nan=False) + "\n")
            return text.getvalue().encode()
        rows = csv.writer(text, lineterminator="\n")
        if header:
            rows.writerow(self._columns)
        for record in records:
            flat = flattened(record)
            rows.writerow([_cell(flat.get(name, "")) for name in self._columns])
        return text.getvalue().encode()


def _something_else(path: Path) -> ValueError:
    return ValueError(
        f"Expected '{path}' to be a file that TrainingLog has written, or none, but it "
        "holds something else. Name another file, or remove it."
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _log_column(name: str) -> str:
    """The column of a log; with a prefix if it would be read as something else."""
    group, slash, _ = name.partition("/")
    is_taken = name in _COUNTERS or (slash and group in (*GROUPS, _LOGS))
    return f"{_LOGS}/{name}" if is_taken else name


def _from_cells(columns: list[str], line: str) -> Record:
    (cells,) = csv.reader([line])
    if len(cells) != len(columns):
        raise ValueError(f"it has {len(cells)} cells for {len(columns)} columns")
    record: Record = {}
    for column, cell in zip(columns, cells, strict=True):
        group, slash, name = column.partition("/")
        if not cell:
            continue
        if column in _COUNTERS:
            record[column] = int(cell)
        elif slash and group in (*GROUPS, _LOGS):
            record.setdefault(group, {})[name] = _value(cell)
        else:
            record.setdefault(_LOGS, {})[column] = _value(cell)
    return record


def _cell(value: Any) -> str:
    return json.dumps(value) if isinstance(value, list) else str(value)


def _value(cell: str) -> Any:
    for read in (int, float, json.loads):
        try:
            return read(cell)
        except ValueError:
            pass
    return cell


def _without_nan(value: Any) -> Any:
    """The value with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
