"""Accuracies over seeds."""

from __future__ import annotations

import numpy as np
from lines import Rows
from scipy import stats


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

    @property
    def is_clear(self) -> bool:
        """Whether 0 is outside the 95 % interval of the mean, by Student's t.

        Of differences, that is; three seeds need a mean of 2.5 standard deviations.
        """
        if self.spread is None:
            return False
        reach = stats.t.ppf(0.975, self.seeds - 1) * self.spread / self.seeds**0.5
        return bool(abs(self.mean) > reach)

    def __str__(self) -> str:
        return format(self)

    def __format__(self, sign: str) -> str:
        text = f"{100 * self.mean:{sign}.2f}"
        return text if self.spread is None else f"{text} ± {100 * self.spread:.2f}"


def difference(rows: Rows, others: Rows, name: str) -> Score | None:
    """What one contender has more than another, over the seeds that both have."""
    by_seed = {row["seed"]: row[name] for row in others}
    paired = [row for row in rows if row["seed"] in by_seed]
    more = [{name: row[name] - by_seed[row["seed"]]} for row in paired]
    return Score(more, name) if more else None


def share_closed(score: float, plain: float, teacher: float) -> float:
    """How much of the plain student's distance to the teacher is made up for."""
    return (score - plain) / (teacher - plain)
