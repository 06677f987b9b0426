"""Checks of arguments that several parts make."""

from __future__ import annotations

import operator
from typing import Any


def check_positive_integer(name: str, value: Any) -> None:
    """Checks an argument that counts something.

    Args:
        name: The argument's.
        value: What was passed.

    Raises:
        ValueError: Unless it is a positive integer, of Python or NumPy.
    """
    try:
        # Booleans are integers to Python.
        number = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(
            f"Expected `{name}` to be a positive integer, received: {name}={value!r}."
        )
