"""The picture of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from keras_rbcn._figure import NotebookFigure
from keras_rbcn.device.report import FileTimings

# Of the kinds of file as in the picture of a profile; grey for the rest.
_COLOURS = {"1-bit": "#0072B2", "int8": "#E69F00"}
_OTHER_COLOUR = "#555555"


def plot_latencies(
    title: str, files: Sequence[FileTimings], caution: str | None
) -> Figure:
    """Draws a horizontal bar for each file, with its spread.

    Args:
        title: What was measured.
        files: The bars.
        caution: What is written beneath the title, in red; None for nothing.
    """
    figure = NotebookFigure(
        figsize=(8.0, 1.8 + 0.5 * len(files)), dpi=120, layout="constrained"
    )
    axes = figure.subplots()
    figure.suptitle(title)
    if caution is not None:
        axes.set_title(caution, color="#B00020", fontsize="medium", wrap=True)
    places = range(len(files))
    medians = [row.median for row in files]
    below = [row.median - min(row.latencies) for row in files]
    above = [max(row.latencies) - row.median for row in files]
    colours = [_COLOURS.get(row.name, _OTHER_COLOUR) for row in files]
    axes.barh(
        places, medians, xerr=[below, above], color=colours, height=0.6, capsize=4
    )
    axes.set_yticks(places, [row.name for row in files])
    axes.invert_yaxis()  # The first file is on top.
    axes.set_xlim(left=0)
    axes.set_xlabel("time of one inference [ms], median and spread of the runs")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
