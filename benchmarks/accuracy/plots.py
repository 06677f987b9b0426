"""Pictures of what the study found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lines import Rows
from matplotlib.figure import Figure

# Colours that differ for colour-blind eyes too.
_SEED, _MEAN, _TEACHER = "#0072B2", "#D55E00", "#555555"
# For lines that lie on each other.
_STYLES = ("-", "--", "-.", ":")
FAR_BEHIND = 5.0  # Points of accuracy.


def plot_accuracies(found: dict[str, Rows], figure: str, teacher: str, path: Path):
    """Each seed of each contender as a point, and their means.

    Args:
        found: Lines by contender.
        figure: Name of the accuracy in them.
        teacher: The contender that is drawn as a line across.
        path: Of the picture.
    """
    students = [name for name in found if name != teacher]
    picture = Figure(figsize=(8, 0.4 * len(students) + 1.4), dpi=120, layout="tight")
    axes = picture.subplots()
    for height, name in enumerate(reversed(students)):
        values = [100 * row[figure] for row in found[name]]
        axes.plot(values, [height] * len(values), "o", color=_SEED, alpha=0.6)
        axes.plot(np.mean(values), height, "|", color=_MEAN, markersize=16, mew=2.5)
    level = 100 * np.mean([row[figure] for row in found[teacher]])
    axes.axvline(level, color=_TEACHER, linestyle="--", label=teacher)
    _zoom(axes, [np.array([r[figure] for r in found[name]]) for name in students])
    axes.set_yticks(range(len(students)), list(reversed(students)))
    which = figure.replace("_", " ")
    axes.set_xlabel(f"{which}, %: each seed, and the mean")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    picture.savefig(path)


def _zoom(axes: Any, accuracies: list[Any]) -> None:
    """Leaves out one contender that is far behind, which would squeeze all others."""
    means = [100 * values.mean() for values in accuracies]
    heights = sorted(range(len(means)), key=means.__getitem__)
    if len(heights) < 3 or means[heights[1]] - means[heights[0]] < FAR_BEHIND:
        return
    left = min(100 * accuracies[n].min() for n in heights[1:])
    right = axes.get_xlim()[1]
    axes.set_xlim(left - 0.1 * (right - left), right)
    height = len(means) - 1 - heights[0]
    axes.annotate(
        f"\N{LEFTWARDS ARROW} {means[heights[0]]:.2f}",
        (0.01, height),
        xycoords=("axes fraction", "data"),
        va="center",
        color=_MEAN,
    )


def plot_discriminators(found: dict[str, Rows], path: Path) -> list[str]:
    """The discriminators' accuracy over the epochs, a line for each contender's seed.

    Args:
        found: Lines by contender.
        path: Of the picture, which is not written if none has discriminators.

    Returns:
        Names of the contenders that have.
    """
    name = "discriminator_accuracy"
    judged = {
        contender: [
            [value for history in row["histories"] for value in history.get(name, [])]
            for row in rows
        ]
        for contender, rows in found.items()
    }
    judged = {contender: rows for contender, rows in judged.items() if all(rows)}
    if not judged:
        return []
    picture = Figure(figsize=(8, 4), dpi=120, layout="tight")
    axes = picture.subplots()
    for number, (contender, rows) in enumerate(judged.items()):
        for seed, values in enumerate(rows):
            label = contender if seed == 0 else None
            epochs = range(1, len(values) + 1)
            axes.plot(
                epochs,
                values,
                color=f"C{number}",
                linestyle=_STYLES[number % len(_STYLES)],
                alpha=0.8,
                label=label,
            )
    for level, what in ((0.5, "guessing"), (1.0, "all told apart")):
        axes.axhline(level, color=_TEACHER, linestyle=":", linewidth=1)
        axes.annotate(what, (1, level), fontsize=8, va="bottom")
    axes.set_ylim(0.35, 1.08)
    axes.set_xlabel("epoch")
    axes.set_ylabel("discriminators' accuracy")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    picture.savefig(path)
    return list(judged)
