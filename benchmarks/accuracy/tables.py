"""The tables of the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ablation import Found
from contenders import CONTENDERS, QUESTIONS, TEACHERS
from lines import CHOSEN_AT, Rows, of
from places import Places
from scores import Score, difference
from sizes import SIZES, Size

sys.path.insert(0, str(Path(__file__).parents[1]))

from result_files import markdown_table

_VALIDATION = "validation_accuracy"


def result_table(found: Found, times: dict[str, float]) -> str:
    """Accuracies, and the share of the teacher's lead that is made up for.

    What is known of no contender has no column.

    Args:
        found: The contenders of one size.
        times: How long a contender trains, to the plain student.
    """
    agreement = found.figure.replace("accuracy", "agreement")
    columns: dict[str, list[str]] = {
        "contender": list(found.rows),
        "seeds": [str(len(rows)) for rows in found.rows.values()],
        "learning rate": [f"{r[0]['learning_rate']:g}" for r in found.rows.values()],
        "accuracy, %": [str(found.score(name)) for name in found.rows],
        "of the gap closed": [f"{100 * found.share(name):.0f}%" for name in found.rows],
        "agrees with its teacher, %": [
            str(Score(rows, agreement)) if agreement in rows[0] else ""
            for rows in found.rows.values()
        ],
        "time per epoch": [
            f"{times[name]:.2f} x" if name in times else "" for name in found.rows
        ],
        ".tflite, bytes": [
            f"{size:,}" if (size := found.file_size(name)) else ""
            for name in found.rows
        ],
    }
    known = {title: cells for title, cells in columns.items() if any(cells)}
    lines = [("---", *["---:"] * (len(known) - 1)), *zip(*known.values(), strict=True)]
    return markdown_table([tuple(known), *lines])


def times_of(size: str, places: Places) -> dict[str, float]:
    """How long contenders train, to the plain student; none if not measured."""
    path = places.epoch_time(size)
    return dict(json.loads(path.read_text())["ratio"]) if path.exists() else {}


def budget_table(rows: Rows) -> str:
    """What was trained for longer, or with fewer images; nothing if nothing was."""
    lines = [
        ("networks", "images", "epochs", "contender", "rate", "seeds", "accuracy, %"),
        ("---", "---:", "---:", "---", *["---:"] * 3),
    ]
    for size, usual in CHOSEN_AT.items():
        budget = SIZES[size]
        for name in [*CONTENDERS, *QUESTIONS]:
            if name in TEACHERS and size != "few":
                continue  # Those of the usual budget.
            epochs = budget.teacher_epochs if name in TEACHERS else budget.epochs
            for rate, score in _by_rate(rows, size, name):
                lines.append(
                    (
                        usual,
                        images_of(budget),
                        str(epochs),
                        name,
                        f"{rate:g}",
                        str(score.seeds),
                        str(score),
                    )
                )
    return markdown_table(lines)


def images_of(budget: Size) -> str:
    """What an epoch goes through, in words."""
    images = f"{budget.images:,}"
    return f"{budget.repeats} times {images}" if budget.repeats > 1 else images


def full_precision_table(rows: Rows) -> str:
    """The networks that students start from, or learn from."""
    lines = [
        ("networks", "in full precision", "learning rate", "accuracy, %"),
        ("---", "---", "---:", "---:"),
    ]
    for size in ("large", "small"):
        for name in TEACHERS:
            told = name.removeprefix("full precision, ")
            for rate, score in _by_rate(rows, size, name):
                lines.append((size, told, f"{rate:g}", str(score)))
    return markdown_table(lines)


def _by_rate(rows: Rows, size: str, name: str) -> list[tuple[float, Score]]:
    """What a contender reached by validation, rate by rate."""
    own = of(rows, size, name)
    return [
        (rate, Score([row for row in own if row["learning_rate"] == rate], _VALIDATION))
        for rate in sorted({row["learning_rate"] for row in own})
    ]


def question_table(rows: Rows, size: str) -> str:
    """What each change does to the contender that it changes, at the same rate."""
    lines = [
        (
            "contender",
            "change",
            "learning rate",
            "seeds",
            "accuracy, %",
            "difference, points",
        ),
        ("---", "---", *["---:"] * 4),
    ]
    for name, question in QUESTIONS.items():
        for rate, score in _by_rate(rows, size, name):
            own = of(rows, size, name, learning_rate=rate)
            base = of(rows, size, question.base, learning_rate=rate)
            more = difference(own, base, _VALIDATION)
            told = "not run without" if more is None else f"{more:+}"
            if more and more.seeds < score.seeds:
                told += f" (seeds in common: {more.seeds})"
            lines.append(
                (
                    question.base,
                    question.change,
                    f"{rate:g}",
                    str(score.seeds),
                    str(score),
                    told,
                )
            )
    return markdown_table(lines)


def rate_table(rows: Rows, size: str) -> str:
    """Validation accuracy of each contender by learning rate, at the first seed."""
    rates = sorted({row["learning_rate"] for row in rows if row["size"] == size})
    lines = [("contender", *(f"{rate:g}" for rate in rates))]
    lines.append(("---", *["---:"] * len(rates)))
    for name in CONTENDERS:
        own = of(rows, size, name, seed=0)
        by_rate = {r["learning_rate"]: r[_VALIDATION] for r in own}
        if own:
            cells = [f"{100 * by_rate[r]:.2f}" if r in by_rate else "" for r in rates]
            lines.append((name, *cells))
    return markdown_table(lines)
