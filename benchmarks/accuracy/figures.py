"""Figures that sentences of the report take from the study's lines."""

from __future__ import annotations

from typing import NamedTuple

from contenders import CONCLUSIVE, PLAIN, TEACHER
from lines import Rows, best_rate, figure_that_counts, finals, of
from scores import Score, difference, share_closed


class Runs(NamedTuple):
    """A contender, or a question, at one learning rate; None is its best one."""

    contender: str
    learning_rate: float | None
    size: str = "small"

    def told(self, rows: Rows) -> str:
        """Their accuracy; nothing if there are none."""
        own = self._rows(rows)
        if not own:
            return ""
        seeds = "one seed" if len(own) == 1 else f"{len(own)} seeds"
        return f"{Score(own, 'validation_accuracy')} % ({seeds})"

    def _rows(self, rows: Rows) -> Rows:
        rate = self.learning_rate or best_rate(rows, self.contender, self.size)
        return of(rows, self.size, self.contender, learning_rate=rate)


class Share(Runs):
    """Of the small networks' gap between plain student and teacher, what they close."""

    def told(self, rows: Rows) -> str:
        """The share in percent; nothing if it is not known."""
        ends = [
            of(rows, "small", name, learning_rate=best_rate(rows, name, "small"))
            for name in (PLAIN, TEACHER)
        ]
        found = [self._rows(rows), *ends]
        if not all(found):
            return ""
        means = [Score(own, "validation_accuracy").mean for own in found]
        return f"{100 * share_closed(*means):.0f}%"


class Gain(NamedTuple):
    """What one contender has more than another, each at its best rate."""

    with_it: str
    without: str
    size: str = "small"

    def told(self, rows: Rows) -> str:
        """Points over the seeds that both have; nothing if there are none."""
        found = finals(rows, self.size)
        pair = [found.get(name, []) for name in (self.with_it, self.without)]
        return _points(difference(*pair, _figure(rows)))


class Difference(NamedTuple):
    """What one contender, or question, has more than another at the same rate."""

    with_it: str
    without: str
    learning_rate: float
    size: str = "small"

    def told(self, rows: Rows) -> str:
        """Points over the seeds that both have; nothing if there are none."""
        pair = [
            of(rows, self.size, name, learning_rate=self.learning_rate)
            for name in (self.with_it, self.without)
        ]
        return _points(difference(*pair, "validation_accuracy"))


class Counted(NamedTuple):
    """Which images gains are measured with."""

    def told(self, rows: Rows) -> str:
        """Those of test, or of validation."""
        return _figure(rows).partition("_")[0]


def _points(more: Score | None) -> str:
    if more is None:
        return ""
    return f"{more:+}" if more.seeds > 1 else f"{more:+} (one seed)"


def _figure(rows: Rows) -> str:
    sizes = [finals(rows, size) for size in CONCLUSIVE]
    return figure_that_counts(own for found in sizes for own in found.values())


class Finding:
    """A paragraph, with the names of its figures in braces."""

    def __init__(
        self, text: str, **figures: Runs | Gain | Difference | Counted
    ) -> None:
        self.text, self.figures = text, figures

    def told(self, rows: Rows) -> str:
        """The paragraph with its figures; nothing if one is not there."""
        figures = {name: runs.told(rows) for name, runs in self.figures.items()}
        return self.text.format(**figures) + "\n" if all(figures.values()) else ""
