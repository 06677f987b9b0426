"""The panels of a training log's picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from keras_rbcn._figure import NotebookFigure
from keras_rbcn.callbacks.log_file import Record

# Colours that differ for colour-blind eyes too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#555555")
# Of layers, from the first to the last.
_MAP = "viridis"
_DPI = 120
_WIDTH, _HEIGHT = 6.0, 3.4
_COLUMNS = 2
# More lines than this cannot be told apart.
_LINES = 8
_INCHES_PER_ROW = 0.13
_NAME_LENGTH = 24
# Longer lines need no points.
_POINTS = 25
# From which ratio of the largest value to the smallest the scale is logarithmic.
_LOGARITHMIC = 30
_PERCENT = FuncFormatter(lambda share, _: f"{100 * share:.4g}%")
_METHOD = (
    "kernel",
    "adversarial",
    "feature_matching",
    "discriminator",
    "distillation",
    "attention",
)


class _Panel(NamedTuple):
    """What is drawn into one place of the figure, and how high it is, in inches."""

    title: str
    draw: Callable[[Any], None]
    height: float = _HEIGHT


class _Series(NamedTuple):
    """Values by epoch, one row for each name; NaN where there is none."""

    epochs: np.ndarray
    names: list[str]
    values: np.ndarray

    def only(self, names: list[str]) -> _Series:
        """Those of some names."""
        rows = [self.names.index(name) for name in names]
        return _Series(self.epochs, names, self.values[rows])

    @property
    def is_logarithmic(self) -> bool:
        positive = self.values[np.isfinite(self.values) & (self.values > 0)]
        if not positive.size or np.nanmin(self.values) < 0:
            return False
        return bool(positive.max() > _LOGARITHMIC * positive.min())


def draw(title: str, records: list[Record]) -> Figure:
    """Draws all that the records of a log hold."""
    panels = _panels(records)
    rows = [panels[i : i + _COLUMNS] for i in range(0, len(panels), _COLUMNS)]
    heights = [max(panel.height for panel in row) for row in rows]
    # Not by pyplot, which would open a window or touch the user's own figures.
    figure = NotebookFigure(
        figsize=(_WIDTH * _COLUMNS, sum(heights) + 0.4),
        dpi=_DPI,
        layout="constrained",
    )
    figure.suptitle(title)
    # A part of its own for each row: names of layers take room from no other row.
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)
    for row, part in zip(rows, parts[:, 0], strict=True):
        grid = part.add_gridspec(1, _COLUMNS)
        for column, panel in enumerate(row):
            axes = part.add_subplot(grid[column])
            axes.set_title(panel.title, fontsize="medium")
            axes.set_xlabel("epoch")
            axes.spines[["top", "right"]].set_visible(False)
            panel.draw(axes)
            # The same for all, whatever is missing where.
            axes.set_xlim(records[0]["epoch"] + 0.5, records[-1]["epoch"] + 1.5)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure


def _panels(records: list[Record]) -> list[_Panel]:
    logs = _series(records, "logs")
    task, method, metrics = map(logs.only, _kinds_of_logs(logs.names))
    rates = _series(records, "learning_rate")
    flips = _series(records, "sign_flips")
    accuracies = _series(records, "discriminator_accuracy")
    candidates = [
        (task, _Panel("Task loss", lambda axes: _draw_logs(axes, task))),
        (metrics, _Panel("Metrics", lambda axes: _draw_logs(axes, metrics))),
        (
            method,
            _Panel(
                "Losses of the method, unweighted",
                lambda axes: _draw_logs(axes, method),
            ),
        ),
        (
            accuracies,
            _Panel(
                "Accuracy of the discriminators",
                lambda axes: _draw_accuracies(axes, accuracies),
            ),
        ),
        (flips, _flips_panel(flips)),
        (_series(records, "scale_mean"), _scales_panel(records)),
        (rates, _Panel("Learning rate", lambda axes: _lines(axes, rates, _COLOURS))),
    ]
    return [panel for series, panel in candidates if series.names]


def _series(records: list[Record], group: str) -> _Series:
    every = [item for record in records for item in record.get(group, {}).items()]
    # None was no finite number; of a list, such as a value per class, nothing is drawn.
    names = list(
        dict.fromkeys(
            name for name, value in every if isinstance(value, int | float | None)
        )
    )
    values = [
        [_number(record.get(group, {}).get(name)) for record in records]
        for name in names
    ]
    # Counted from 1, as Keras does when it prints.
    epochs = np.array([record["epoch"] + 1 for record in records])
    shape = (len(names), len(records))
    return _Series(epochs, names, np.array(values, float).reshape(shape))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


# --- logs -----------------------------------------------------------------------------


def _kinds_of_logs(names: list[str]) -> tuple[list[str], list[str], list[str]]:
    """Names of the task losses, of the other losses of the method, and of metrics."""
    of_method = [f"{name}_loss" for name in _METHOD]
    method = [name for name in names if name in of_method]
    # With terms of the method in it, the total cannot be compared with `val_loss`.
    total = ["loss"] if "task_loss" in names else []
    losses = [n for n in names if n == "loss" or n.endswith("_loss")]
    task = [name for name in losses if name not in (*method, *total)]
    passed = (*losses, "discriminator_accuracy", "lr", "learning_rate")
    return task, method, [name for name in names if name not in passed]


def _draw_logs(axes: Any, logs: _Series) -> None:
    """Lines of one colour for training and validation, and two styles."""
    kinds = list(dict.fromkeys(map(_kind, logs.names)))
    colours = [_COLOURS[kinds.index(_kind(n)) % len(_COLOURS)] for n in logs.names]
    styles = ["--" if name.startswith("val_") else "-" for name in logs.names]
    finite = logs.values[np.isfinite(logs.values)]
    is_share = bool(finite.size) and finite.min() >= 0 and finite.max() <= 1
    if is_share and any("acc" in name for name in logs.names):
        _lines(axes, logs, colours, styles, logarithmic=False)
        axes.yaxis.set_major_formatter(_PERCENT)
    else:
        _lines(axes, logs, colours, styles)


def _kind(name: str) -> str:
    name = name.removeprefix("val_")
    return "loss" if name == "task_loss" else name


def _lines(
    axes: Any,
    series: _Series,
    colours: Any,
    styles: Any = None,
    logarithmic: bool | None = None,
) -> None:
    """One line for each name, with a legend if they are few."""
    if logarithmic is None:
        logarithmic = series.is_logarithmic
    lines = series.values
    if logarithmic:
        axes.set_yscale("log")
        lines = _with_zeros_below(axes, lines)
    marker = "." if len(series.epochs) <= _POINTS else ""
    for number, (name, values) in enumerate(zip(series.names, lines, strict=True)):
        shown = np.isfinite(values)
        axes.plot(
            series.epochs[shown],
            values[shown],
            color=colours[number % len(colours)],
            linestyle=styles[number] if styles else "-",
            linewidth=1.4,
            marker=marker,
            label=_shortened(name),
        )
    axes.grid(alpha=0.3)
    if len(series.names) <= _LINES:
        axes.legend(fontsize=7, edgecolor="none")


def _with_zeros_below(axes: Any, values: np.ndarray) -> np.ndarray:
    """Zeros lie nowhere on a logarithmic scale: they are drawn on a line below."""
    zero = values == 0
    if not zero.any():
        return values
    below = np.nanmin(np.where(values > 0, values, np.nan)) / 3
    axes.axhline(below, color="#555555", linestyle=":", linewidth=1)
    axes.annotate(
        "0",
        (0, below),
        xycoords=("axes fraction", "data"),
        xytext=(2, 2),
        textcoords="offset points",
        fontsize=7,
        color="#555555",
    )
    return np.where(zero, below, values)


# --- layers and taps ------------------------------------------------------------------


def _draw_accuracies(axes: Any, series: _Series) -> None:
    colours = _colours_by_depth(len(series.names))
    _lines(axes, series, colours, logarithmic=False)
    for level, text in ((0.5, "judges by a coin"), (1.0, "has won")):
        axes.axhline(level, color="#555555", linestyle=":", linewidth=1)
        axes.annotate(
            text,
            (1, level),
            xycoords=("axes fraction", "data"),
            xytext=(0, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7,
            color="#555555",
        )
    finite = series.values[np.isfinite(series.values)]
    axes.set_ylim(min(0.45, finite.min(initial=1.0) - 0.02), 1.02)
    axes.yaxis.set_major_formatter(_PERCENT)
    if len(series.names) > _LINES:
        _add_depth_bar(axes, series.names, colours)


def _flips_panel(flips: _Series) -> _Panel:
    title = "Sign flips in the epoch, share of the kernel"
    if len(flips.names) > _LINES:
        return _map_panel(f"{title} (grey: none)", flips, logarithmic=True)

    def lines(axes: Any) -> None:
        colours = _colours_by_depth(len(flips.names))
        some = bool(np.any(flips.values > 0))
        _lines(axes, flips, colours, logarithmic=some)
        if some:
            _label_shares(axes.yaxis)

    return _Panel(title, lines)


def _label_shares(axis: Any) -> None:
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(_PERCENT)
    axis.set_minor_formatter(NullFormatter())


def _scales_panel(records: list[Record]) -> _Panel:
    means, low, high = (
        _series(records, f"scale_{name}") for name in ("mean", "min", "max")
    )
    if len(means.names) > _LINES:
        return _map_panel("Scales C, mean of the layer", means)

    def lines(axes: Any) -> None:
        colours = _colours_by_depth(len(means.names))
        _lines(axes, means, colours)
        for colour, *bounds in zip(colours, low.values, high.values, strict=True):
            axes.fill_between(means.epochs, *bounds, color=colour, alpha=0.12, lw=0)

    return _Panel("Scales C, mean and range of the layer", lines)


def _map_panel(title: str, series: _Series, logarithmic: bool = False) -> _Panel:
    """A row for each name, the first on top; if logarithmic, of shares."""

    def draw_map(axes: Any) -> None:
        values, norm = np.ma.masked_invalid(series.values), None
        if logarithmic:
            values = np.ma.masked_less_equal(values, 0)
            some = values.count() > 0
            norm = LogNorm(values.min(), values.max()) if some else LogNorm(0.01, 1)
        edges = np.append(series.epochs - 0.5, series.epochs[-1] + 0.5)
        rows = np.arange(len(series.names) + 1) - 0.5
        mesh = axes.pcolormesh(edges, rows, values, cmap=_MAP, norm=norm)
        axes.set_facecolor("#cccccc")  # Where there is no value.
        axes.set_ylim(len(series.names) - 0.5, -0.5)
        names = [_shortened(name) for name in series.names]
        axes.set_yticks(range(len(names)), names, fontsize=6)
        bar = axes.figure.colorbar(mesh, ax=axes, pad=0.02)
        if logarithmic:
            _label_shares(bar.ax.yaxis)

    height = 0.9 + _INCHES_PER_ROW * len(series.names)
    return _Panel(title, draw_map, max(height, _HEIGHT))


def _colours_by_depth(count: int) -> list[Any]:
    # The end of the map is too bright for lines on white.
    return list(matplotlib.colormaps[_MAP](np.linspace(0, 0.9, max(count, 1))))


def _add_depth_bar(axes: Any, names: list[str], colours: list[Any]) -> None:
    """Tells which colour is which name, where a legend would be too long."""
    norm = BoundaryNorm(np.arange(len(names) + 1) - 0.5, len(names))
    bar = axes.figure.colorbar(
        ScalarMappable(norm, ListedColormap(colours)), ax=axes, pad=0.02
    )
    bar.ax.minorticks_off()
    bar.set_ticks(range(len(names)), labels=[_shortened(name) for name in names])
    bar.ax.tick_params(labelsize=min(7, 110 / len(names)))
    bar.ax.invert_yaxis()


def _shortened(name: str) -> str:
    """The name, or its end, which tells more than its beginning."""
    return name if len(name) <= _NAME_LENGTH else f"...{name[-_NAME_LENGTH + 3 :]}"
