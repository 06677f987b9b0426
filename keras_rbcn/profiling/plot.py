"""The picture of a profile."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from keras_rbcn._figure import NotebookFigure

# Colours that differ for colour-blind eyes too.
_COLOURS = {"binary": "#0072B2", "int8": "#E69F00", "real": "#555555"}
_LABELS = {"binary": "1-bit", "int8": "int8", "real": "real"}
_DPI = 120
_WIDTH = 10.0
_INCHES_PER_BAR = 0.19
_NAME_LENGTH = 40
# From which ratio of the largest bar to the smallest the scale is logarithmic.
_LOGARITHMIC = 100


class Bars(NamedTuple):
    """One bar for each layer.

    Attributes:
        title: What the bars show.
        values: Their lengths.
        kinds: What each is made of for the most part: "binary", "int8" or "real".
    """

    title: str
    values: list[float]
    kinds: list[str]


def plot_bars(title: str, names: list[str], *panels: Bars) -> Figure:
    """Draws panels of horizontal bars beside each other, one bar for each name."""
    # Not by pyplot, which would open a window or touch the user's own figures.
    height = 1.6 + _INCHES_PER_BAR * max(len(names), 4)
    figure = NotebookFigure(figsize=(_WIDTH, height), dpi=_DPI, layout="constrained")
    figure.suptitle(title)
    places = range(len(names))
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, bars in zip(all_axes, panels, strict=True):
        colours = [_COLOURS[kind] for kind in bars.kinds]
        axes.barh(places, bars.values, color=colours, height=0.75)
        positive = [value for value in bars.values if value > 0]
        logarithmic = max(positive, default=0) > _LOGARITHMIC * min(positive, default=0)
        if logarithmic:
            axes.set_xscale("log")
            # Room for the smallest bar, whose length on this scale means nothing.
            axes.set_xlim(left=min(positive) / 2)
        axes.xaxis.set_major_formatter(EngFormatter(sep=" "))
        scale = ", logarithmic" if logarithmic else ""
        axes.set_title(bars.title + scale, fontsize="medium")
        axes.grid(axis="x", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_yticks(places, [_shortened(name) for name in names], fontsize=7)
    all_axes[0].set_ylim(len(names) - 0.4, -0.6)  # The first layer is on top.
    _add_legend(figure, {kind for bars in panels for kind in bars.kinds})
    return figure


def _add_legend(figure: Figure, kinds: set[str]) -> None:
    handles = [
        Patch(color=colour, label=_LABELS[kind])
        for kind, colour in _COLOURS.items()
        if kind in kinds
    ]
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=len(handles),
            frameon=False,
        )


def _shortened(name: str) -> str:
    """The name, or its end, which tells more than its beginning."""
    return name if len(name) <= _NAME_LENGTH else f"...{name[-_NAME_LENGTH + 3 :]}"
