"""The lines that the study leaves: one for each run that has ended."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from contenders import CONTENDERS, QUESTIONS, TEACHER, TEACHERS, names, settings_of
from places import Places

Rows = list[dict[str, Any]]
# The learning rates that each contender chooses from, by its validation accuracy. The
# first runs had 1e-3 in place of 3e-2: it was the worst of all, and 1e-2 the best.
RATES = (3e-3, 1e-2, 3e-2)
# Where it chooses: at the first seed of its own size; of the size with the usual budget
# for those that differ in theirs alone.
CHOSEN_AT = {
    **dict.fromkeys(("double", "triple", "long", "few"), "small"),
    "large_triple": "large",
}
# Sizes whose teachers are those of another one.
TEACHERS_OF = {size: where for size, where in CHOSEN_AT.items() if size != "few"}


def read_lines(path: Path) -> Rows:
    """All lines of a file; none if there is no file."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def read_study(places: Places) -> Rows:
    """The lines of all runs, with what the last step found of those it has tested."""
    tested = {row["digest"]: row for row in read_lines(places.tested)}
    rows = read_lines(places.lines)
    return [{**row, **tested.get(row["digest"], {})} for row in rows]


def of(rows: Rows, size: str, contender: str, **fields: Any) -> Rows:
    """The lines of one contender at one size, with given values of other fields.

    Known by its settings: it may have run under another name.
    """
    if contender in TEACHERS:
        size = TEACHERS_OF.get(size, size)
    wanted = {"size": size, "settings": settings_of(contender), **fields}
    return [
        row for row in rows if all(row[name] == value for name, value in wanted.items())
    ]


def name_of(row: dict[str, Any]) -> str | None:
    """What the contender of a line is called now; None if it is none any more."""
    known = (
        name for name in [*names(), *TEACHERS] if settings_of(name) == row["settings"]
    )
    return next(known, None)


def best_rate(rows: Rows, contender: str, size: str) -> float | None:
    """The learning rate that a contender has chosen, if it has.

    A change to a contender is asked about at that contender's rate.
    """
    while contender in QUESTIONS:
        contender = QUESTIONS[contender].base
    elsewhere = TEACHERS_OF if contender in TEACHERS else CHOSEN_AT
    where = elsewhere.get(size, size)
    # At another size there is only what was chosen here; so for a size to try scripts.
    candidates = of(rows, where, contender, seed=0) or of(rows, size, contender, seed=0)
    if not candidates:
        return None
    best = max(candidates, key=lambda row: row["validation_accuracy"])
    return float(best["learning_rate"])


def finals(rows: Rows, size: str) -> dict[str, Rows]:
    """The lines of each contender of a size at its best rate, seed by seed."""
    found = {}
    for name in CONTENDERS:
        rate = best_rate(rows, name, size)
        own = of(rows, size, name, learning_rate=rate)
        if own:
            found[name] = sorted(own, key=lambda row: row["seed"])
    return found


def figure_that_counts(found: Iterable[Rows]) -> str:
    """Test accuracy, once all networks of a conclusion have one.

    Args:
        found: The lines of each of its contenders.
    """
    own = [row for rows in found for row in rows]
    tested = bool(own) and all("test_accuracy" in row for row in own)
    return "test_accuracy" if tested else "validation_accuracy"


def best_teacher(rows: Rows, size: str, name: str = TEACHER) -> str | None:
    """The digest of the teacher that knew most of the validation images."""
    teachers = of(rows, size, name)
    best = max(teachers, key=lambda row: row["validation_accuracy"], default=None)
    return best and str(best["digest"])


def needed_teacher(rows: Rows, size: str, name: str = TEACHER) -> str:
    """The same of one that must be there.

    Raises:
        SystemExit: If it is not.
    """
    digest = best_teacher(rows, size, name)
    if digest is None:
        raise SystemExit(
            f"There is no teacher {name!r} of size {size!r}: run study.py with "
            f'--teachers --contender "{name}".'
        )
    return digest
