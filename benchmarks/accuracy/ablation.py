"""What each part of the method adds, at each size of the study."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from contenders import PLAIN, SEEDS, TEACHER
from lines import Rows
from scores import Score, difference, share_closed

sys.path.insert(0, str(Path(__file__).parents[1]))

from result_files import markdown_table


class Step(NamedTuple):
    """From a contender to one that has a part more, each at its own best rate."""

    part: str
    without: str
    with_it: str


_BIREAL_PRETRAINED = "Bi-Real Net, pretrained, distillation"
_R_PRETRAINED = "R, pretrained, distillation"
_RG_PRETRAINED = "R+G, pretrained, distillation"
STEPS = (
    Step("rectification", PLAIN, "R"),
    Step("distillation", PLAIN, "Bi-Real Net, distillation"),
    Step("distillation", "R", "R, distillation"),
    Step("distillation", "R+G", "R+G, distillation"),
    Step("rectification", "Bi-Real Net, distillation", "R, distillation"),
    Step("discriminators", "R", "R+G"),
    Step("discriminators", "R, distillation", "R+G, distillation"),
    Step("pretraining", "Bi-Real Net, distillation", _BIREAL_PRETRAINED),
    Step("pretraining", "R, distillation", _R_PRETRAINED),
    Step("pretraining", "R+G, distillation", _RG_PRETRAINED),
    Step("rectification", _BIREAL_PRETRAINED, _R_PRETRAINED),
    Step("discriminators", _R_PRETRAINED, _RG_PRETRAINED),
    Step("strategy B", "R+G", "R+G+B"),
    Step(
        "attention matching",
        "Bi-Real Net, distillation",
        "Bi-Real Net, distillation and attention",
    ),
    Step("ReActNet's layers", "R", "ReActNet"),
    Step("ReActNet's layers", "R+G, distillation", "ReActNet, R+G, distillation"),
)


class Found(NamedTuple):
    """The contenders of one size.

    Attributes:
        title: Of the size.
        rows: The lines of each contender at its best rate.
        figure: Which accuracy counts.
    """

    title: str
    rows: dict[str, Rows]
    figure: str

    def score(self, name: str) -> Score:
        """What a contender reached."""
        return Score(self.rows[name], self.figure)

    def file_size(self, name: str) -> int | None:
        """Bytes of its `.tflite` file; None before the last step of the study."""
        size: int | None = self.rows[name][0].get("tflite_bytes")
        return size

    def best(self, names: Iterable[str]) -> str:
        """Which contender is chosen: by validation, whatever accuracy counts."""
        return max(
            names, key=lambda name: Score(self.rows[name], "validation_accuracy").mean
        )

    def share(self, name: str) -> float:
        """How much of the plain student's distance to the teacher one makes up for."""
        return share_closed(*(self.score(n).mean for n in (name, PLAIN, TEACHER)))

    def shares(self, name: str) -> str:
        """The smallest and the largest of these, over the seeds that both have."""
        plain = {row["seed"]: row[self.figure] for row in self.rows[PLAIN]}
        teacher = self.score(TEACHER).mean
        shares = [
            share_closed(row[self.figure], plain[row["seed"]], teacher)
            for row in self.rows[name]
            if row["seed"] in plain
        ]
        return f"{100 * min(shares):.0f} to {100 * max(shares):.0f}%"

    def gain(self, step: Step) -> Score | None:
        """What a part adds, over the seeds that both have; None if there are none."""
        if step.without not in self.rows or step.with_it not in self.rows:
            return None
        with_it, without = self.rows[step.with_it], self.rows[step.without]
        return difference(with_it, without, self.figure)

    def is_clear(self, step: Step) -> bool:
        """Whether a part adds or costs more than the spread, and surely so."""
        gain, spread = self.gain(step), self.spread(step)
        if gain is None or spread is None:
            return False
        return abs(gain.mean) > spread and gain.is_clear

    def spread(self, step: Step) -> float | None:
        """What seeds differ by, with the part, without it, or in what it adds.

        The largest of the three: a single one of them may be small by chance. None if
        there are fewer than `SEEDS` seeds.
        """
        gain = self.gain(step)
        if gain is None or gain.seeds < SEEDS:
            return None
        scores = (gain, self.score(step.without), self.score(step.with_it))
        return max(score.spread for score in scores if score.spread is not None)


def ablation_table(sizes: Iterable[Found]) -> str:
    """A line for each part and what it is added to, a column for each size.

    What is clear is bold.
    """
    sizes = list(sizes)
    lines = [
        ("part", "added to", *(found.title.removeprefix("The ") for found in sizes)),
        ("---", "---", *["---:"] * len(sizes)),
    ]
    for step in STEPS:
        cells = [_cell(found, step) for found in sizes]
        if any(cells):
            lines.append((step.part, step.without, *cells))
    return markdown_table(lines)


def _cell(found: Found, step: Step) -> str:
    gain = found.gain(step)
    if gain is None:
        return ""
    told = f"{gain:+} ({gain.seeds})"
    return f"**{told}**" if found.is_clear(step) else told
