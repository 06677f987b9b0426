"""The plots of a report, as SVG that is part of the page."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from keras_rbcn.export.document.agreement import Agreement
from keras_rbcn.export.document.markup import Element, clean, element
from keras_rbcn.export.document.promise import Promise

# A colour that nothing else has: that of the page's text takes its place.
_TEXT = "#010203"
# Colours that differ for colour-blind eyes, on white and on black.
_KINDS = {"1-bit": "#0072B2", "1-bit in float32": "#56B4E9", "int8": "#E69F00"}
_OTHER_KIND = "#888888"
_DECIDED, _UNDECIDED, _LIMIT = "#0072B2", "#E69F00", "#D55E00"
# Inches; wide enough for a phone, where it is hardly made smaller.
_WIDTH = 5.6
_INCHES_PER_BAR = 0.2
_NAME_LENGTH = 34
_BINS_PER_DECADE = 4
_STYLE = {
    "font.size": 8.0,
    "svg.fonttype": "none",
    # A name is no formula, whatever signs are in it.
    "text.parse_math": False,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color"), _TEXT
    ),
    "ytick.color": _TEXT,
}


def bytes_by_layer(promise: Promise) -> Element | None:
    """A bar for what the file stores of each layer, and a mark for what was promised.

    None if there is no layer with parameters.
    """
    rows = [row for row in promise.layers if row.stored_bits or row.promised_bits]
    if not rows:
        return None
    kinds = dict.fromkeys(row.kind for row in rows if row.stored_bits)
    with _style():
        figure = Figure(
            (_WIDTH, 1.1 + _INCHES_PER_BAR * max(len(rows), 3)), layout="constrained"
        )
        axes = figure.subplots()
        places = range(len(rows))
        stored = [row.stored_bits / 8 for row in rows]
        colours = [_KINDS.get(row.kind, _OTHER_KIND) for row in rows]
        axes.barh(places, stored, color=colours, height=0.7)
        promised = [row.promised_bits / 8 for row in rows]
        (mark,) = axes.plot(
            promised, places, "|", color=_TEXT, markersize=8, label="promised"
        )
        axes.set_yticks(places, [_short(row.layers) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)  # The first layer is on top.
        axes.set_xlabel("bytes")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        patches = [
            Patch(color=_KINDS.get(kind, _OTHER_KIND), label=kind) for kind in kinds
        ]
        _finish(figure, axes, [*patches, mark], "x")
        return _to_svg(
            figure,
            "bytes-by-layer",
            "Bytes of parameters in the file, by layer",
            f"One bar for each of {len(rows)} layers; the table has the numbers.",
        )


def histogram(agreement: Agreement, name: str) -> Element:
    """How far the samples are from the student, with the limit of rounding.

    Args:
        agreement: What was measured.
        name: What the figure is called within the page.
    """
    values = np.asarray(agreement.relative_differences, float)
    undecided = np.asarray(agreement.undecided_samples, bool)
    bins = Bins(values, agreement.rounding_limit)
    with _style():
        figure = Figure((_WIDTH, 2.4), layout="constrained")
        axes = figure.subplots()
        bottom = np.zeros(bins.count)
        handles = []
        for mask, colour, label in (
            (~undecided, _DECIDED, "no input close to zero"),
            (undecided, _UNDECIDED, "rounding decides a sign"),
        ):
            heights = bins.counts(values[mask])
            if mask.any():
                axes.bar(bins.centres, heights, bins.width, bottom, color=colour)
                handles.append(Patch(color=colour, label=label))
            bottom += heights
        limit = axes.axvline(
            math.log10(agreement.rounding_limit),
            color=_LIMIT,
            linestyle="--",
            label=f"limit of rounding, {agreement.rounding_limit:g}",
        )
        axes.set_xticks(*bins.ticks())
        axes.set_xlim(bins.limits())
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel("samples")
        axes.set_xlabel("largest difference of a sample, relative to the spread")
        _finish(figure, axes, [*handles, limit], "y")
        return _to_svg(
            figure,
            name,
            f"Differences of {len(values)} samples in the interpreter "
            f"{agreement.interpreter}",
            f"{agreement.beyond_rounding:.1%} of the samples are beyond the limit.",
        )


class Bins:
    """Bins of equal width on a logarithmic scale, and places for what is on none.

    Args:
        values: What is counted.
        limit: A value that lies on the scale in any case.
    """

    def __init__(self, values: np.ndarray, limit: float) -> None:
        on_scale = values[np.isfinite(values) & (values > 0)]
        # With room on both sides of the limit.
        scale = np.append(on_scale, [0.9 * limit, limit])
        self._first = math.floor(np.log10(scale.min()))
        self._last = math.floor(np.log10(scale.max())) + 1
        self.width = 1 / _BINS_PER_DECADE
        self._has_zero = bool((values == 0).any())
        self._has_infinite = not np.isfinite(values).all()
        self._inner = (self._last - self._first) * _BINS_PER_DECADE
        self.count = self._inner + 2
        first = self._first - 3.5 * self.width
        last = self._last + 3.5 * self.width
        middle = self._first + (np.arange(self._inner) + 0.5) * self.width
        self.centres = np.array([first, *middle, last])

    def counts(self, values: np.ndarray) -> np.ndarray:
        """How many values are in each bin: first zeros, last what is not finite."""
        finite = values[np.isfinite(values)]
        positive = np.log10(finite[finite > 0])
        places = np.floor((positive - self._first) / self.width).astype(int)
        inner = np.bincount(np.clip(places, 0, self._inner - 1), minlength=self._inner)
        return np.array([np.sum(finite == 0), *inner, len(values) - len(finite)])

    def limits(self) -> tuple[float, float]:
        """Where the bins begin and end."""
        first = self.centres[0] - self.width if self._has_zero else self._first
        last = self.centres[-1] + self.width if self._has_infinite else self._last
        return float(first), float(last)

    def ticks(self) -> tuple[list[float], list[str]]:
        """Where there are marks below the bins, and what they say."""
        step = max(1, math.ceil((self._last - self._first) / 8))
        exponents = range(self._first, self._last + 1, step)
        ticks = [(float(one), f"1e{one}") for one in exponents]
        if self._has_zero:
            ticks.insert(0, (float(self.centres[0]), "0"))
        if self._has_infinite:
            ticks.append((float(self.centres[-1]), "not finite"))
        return [place for place, _ in ticks], [text for _, text in ticks]


def _style() -> Any:
    # Not as the user's own figures are: the same everywhere.
    return matplotlib.style.context(["default", _STYLE])


def _short(layers: Sequence[str]) -> str:
    """The first name, or its end, which tells more than its beginning."""
    name = clean(layers[0])
    if len(name) > _NAME_LENGTH:
        name = f"...{name[-_NAME_LENGTH + 3 :]}"
    return name if len(layers) == 1 else f"{name} +{len(layers) - 1}"


def _finish(figure: Figure, axes: Any, handles: list[Any], grid: str) -> None:
    axes.grid(axis=grid, color=_OTHER_KIND, alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False)
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)


def _to_svg(figure: Figure, name: str, title: str, description: str) -> Element:
    """The figure as an element of a page; the same figure is the same text."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # It measures with a font that lacks a character; the reader's may have it.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        with matplotlib.rc_context({"svg.hashsalt": name}):
            figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = ElementTree.fromstring(buffer.getvalue())
    _strip(svg)
    _adapt(svg, name)
    for size in ("width", "height"):
        del svg.attrib[size]
    svg.set("role", "img")
    svg.set("aria-labelledby", f"{name}-title {name}-description")
    svg.insert(0, element("title", title, id=f"{name}-title"))
    svg.insert(1, element("desc", description, id=f"{name}-description"))
    return svg


def _strip(parent: Element) -> None:
    """Leaves out namespaces, which HTML does not need, and what is not drawn."""
    parent.tag = _without_namespace(parent.tag)
    for name in list(parent.attrib):
        parent.attrib[_without_namespace(name)] = parent.attrib.pop(name)
    for child in list(parent):
        # The style would be that of the whole page.
        if _without_namespace(child.tag) in ("metadata", "style"):
            parent.remove(child)
        else:
            _strip(child)


def _without_namespace(name: str) -> str:
    return name.rpartition("}")[2]


def _adapt(svg: Element, name: str) -> None:
    """Gives a figure ids that no other one of the page has, and the page's colour."""
    for one in svg.iter():
        for key, found in one.attrib.items():
            value = found.replace(_TEXT, "currentColor")
            if key == "id":
                one.set(key, f"{name}-{value}")
            elif key == "href":
                one.set(key, value.replace("#", f"#{name}-", 1))
            else:
                one.set(key, value.replace("url(#", f"url(#{name}-"))
