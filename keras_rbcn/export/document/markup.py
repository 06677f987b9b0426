"""Builds pages of HTML; texts are escaped wherever they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from xml.etree import ElementTree

Element = ElementTree.Element
# What a page may hold at some place.
Content = str | Element | None | Iterable["Content"]

# Control characters and halves of characters, which no page may hold.
_NO_CHARACTER = re.compile(
    "[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


def clean(text: str) -> str:
    """The text with a replacement character for all that a page cannot hold."""
    return _NO_CHARACTER.sub("\ufffd", text)


def element(tag: str, *contents: Content, **attributes: str) -> Element:
    """An element of a page.

    Args:
        tag: Its name.
        *contents: Texts, other elements, or what yields such; None is left out.
        **attributes: Its attributes. `class_` is `class`, and `_` stands for `-`.
    """
    names = {name.rstrip("_").replace("_", "-"): name for name in attributes}
    made = Element(tag, {key: clean(attributes[name]) for key, name in names.items()})
    _append(made, contents)
    return made


def _append(parent: Element, content: Content) -> None:
    if isinstance(content, str):
        # Where a text belongs depends on whether an element stands before it.
        if len(parent):
            parent[-1].tail = (parent[-1].tail or "") + clean(content)
        else:
            parent.text = (parent.text or "") + clean(content)
    elif isinstance(content, Element):
        parent.append(content)
    elif content is not None:
        for part in content:
            _append(parent, part)


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Content]],
    numbers: Sequence[int] = (),
) -> Element:
    """A table that scrolls where it is wider than the page.

    Args:
        caption: What it shows.
        header: The titles of the columns.
        rows: Its rows, of which the first cell names the row.
        numbers: Which columns hold numbers.
    """

    def cell(tag: str, column: int, content: Content, scope: str | None) -> Element:
        made = element(tag, content)
        if column in numbers:
            made.set("class", "number")
        if scope:
            made.set("scope", scope)
        return made

    def line(cells: Sequence[Content]) -> Element:
        first, *others = cells
        return element(
            "tr",
            cell("th", 0, first, "row"),
            (cell("td", column, one, None) for column, one in enumerate(others, 1)),
        )

    titles = (cell("th", column, one, "col") for column, one in enumerate(header))
    made = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", titles)),
        element("tbody", map(line, rows)),
    )
    if len(header) == 2:
        made.set("class", "pairs")
    return element(
        "div",
        made,
        class_="wide",
        # So that a keyboard can scroll it.
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def to_text(page: Element) -> str:
    """The page as text."""
    body = ElementTree.tostring(page, encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{body}\n"
