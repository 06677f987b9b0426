"""How messages name many things."""

from __future__ import annotations

from collections.abc import Iterable


def listed(things: Iterable[object], count: int = 8) -> str:
    """The first things of many, and how many there are."""
    texts = [str(thing) for thing in things]
    text = ", ".join(texts[:count])
    if len(texts) <= count:
        return text
    return f"{text}, ... ({len(texts)} in total)"
