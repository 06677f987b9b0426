"""Writes docs/evidence.md and its plots from the lines that the study left.

    python benchmarks/accuracy/report.py

Nothing in that document is typed by hand but the words; run it again after more lines.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from contenders import CONTENDERS, QUESTIONS, TEACHER
from lines import Rows, best_rate
from result_files import markdown_table

PLAIN = "Bi-Real Net"
HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "accuracy"
DOCUMENT = HERE.parents[1] / "docs" / "evidence.md"
# arXiv 1908.07748, tables of CIFAR-100 (stages 64-64-128-256) and of ImageNet.
PUBLISHED = (
    ("CIFAR-100, ResNet-18", "Bi-Real Net", "63.81"),
    ("CIFAR-100, ResNet-18", "R", "64.13"),
    ("CIFAR-100, ResNet-18", "R+G", "65.02"),
    ("CIFAR-100, ResNet-18", "R+G+B", "66.27"),
    ("ImageNet, ResNet-18", "full precision", "69.3"),
    ("ImageNet, ResNet-18", "XNOR-Net", "51.2"),
    ("ImageNet, ResNet-18", "Bi-Real Net", "56.4"),
    ("ImageNet, ResNet-18", "RBCN", "59.5"),
)


class Score:
    """What one contender reached at one size, over its seeds.

    Args:
        rows: Its lines at its best learning rate.
        name: Of the figure in them that counts.
    """

    def __init__(self, rows: Rows, name: str) -> None:
        self.values = np.array([row[name] for row in rows])
        self.mean = float(self.values.mean())
        self.seeds = len(rows)
        # Of the seeds as a sample; one has no spread.
        self.spread = float(self.values.std(ddof=1)) if self.seeds > 1 else None

    def __str__(self) -> str:
        text = f"{100 * self.mean:.2f}"
        return text if self.spread is None else f"{text} ± {100 * self.spread:.2f}"


def finals(rows: Rows, size: str) -> dict[str, Rows]:
    """The lines of each contender of a size at its best rate, seed by seed."""
    found = {}
    for name in CONTENDERS:
        own = [r for r in rows if (r["size"], r["contender"]) == (size, name)]
        if not own:
            continue
        rate = best_rate(rows, name, size)
        at_rate = [row for row in own if row["learning_rate"] == rate]
        found[name] = sorted(at_rate, key=lambda row: row["seed"])
    return found


def conclusion_table(found: dict[str, Rows], figure: str) -> str:
    """Accuracies, and the share of the teacher's lead that is made up for."""
    scores = {name: Score(rows, figure) for name, rows in found.items()}
    lead = scores[TEACHER].mean - scores[PLAIN].mean
    lines = [
        (
            "contender",
            "seeds",
            "learning rate",
            "accuracy, %",
            "of the gap closed",
            "agrees with the teacher, %",
            "s per epoch, to the plain one",
        ),
        ("---", *["---:"] * 6),
    ]
    agreement = figure.replace("accuracy", "agreement")
    pace = np.median([row["seconds_per_epoch"] for row in found[PLAIN]])
    for name, rows in found.items():
        share = (scores[name].mean - scores[PLAIN].mean) / lead
        agrees = Score(rows, agreement) if agreement in rows[0] else ""
        seconds = np.median([row["seconds_per_epoch"] for row in rows])
        lines.append(
            (
                name,
                str(scores[name].seeds),
                f"{rows[0]['learning_rate']:g}",
                str(scores[name]),
                f"{100 * share:.0f}%",
                str(agrees),
                f"{seconds / pace:.2f} x",
            )
        )
    return markdown_table(lines)


def question_table(rows: Rows, size: str) -> str:
    """What each change does to the contender that it changes, at the same rate."""
    lines = [
        ("change", "to", "learning rate", "accuracy, %", "difference, points"),
        ("---", "---", "---:", "---:", "---:"),
    ]
    for name, question in QUESTIONS.items():
        own = [r for r in rows if (r["size"], r["contender"]) == (size, name)]
        for row in own:
            same = [
                r["validation_accuracy"]
                for r in rows
                if (r["size"], r["contender"], r["learning_rate"], r["seed"])
                == (size, question.base, row["learning_rate"], row["seed"])
            ]
            accuracy = row["validation_accuracy"]
            lines.append(
                (
                    question.change,
                    question.base,
                    f"{row['learning_rate']:g}",
                    f"{100 * accuracy:.2f}",
                    f"{100 * (accuracy - same[0]):+.2f}" if same else "",
                )
            )
    return markdown_table(lines)
