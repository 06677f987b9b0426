"""Reads the fields of a JSON object, and says which of them is not what it must be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class Fields:
    """The fields of one JSON object.

    Those that nobody asks for are left aside.

    Args:
        value: What was read.
        where: What to call it in a message.

    Raises:
        ValueError: If it is no object; likewise from the methods, if a field is missing
            or is not what was asked for.
    """

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise ValueError(
                f"Expected {where} to be an object, received: {_shown(value)}."
            )
        self._value = value
        self._where = where

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Fields:
        """Reads an object out of a file's bytes."""
        try:
            value = json.loads(content.decode("utf-8"), parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"Expected {where} to be JSON: {error}") from None
        return cls(value, where)

    def text(self, name: str) -> str:
        """A string that is not empty."""
        return self._checked(name, "a string", lambda v: isinstance(v, str) and v != "")

    def choice(self, name: str, choices: Sequence[str]) -> str:
        """One of a few strings."""
        wanted = f"one of {', '.join(choices)}"
        return self._checked(name, wanted, lambda v: v in choices)

    def integer(self, name: str, least: int | None = None) -> int:
        """An integer, not smaller than `least`."""
        wanted = "an integer" + (f" from {least}" if least is not None else "")
        return self._checked(
            name, wanted, lambda v: _is_integer(v) and (least is None or v >= least)
        )

    def number(self, name: str, positive: bool = False) -> float:
        """A finite number."""
        wanted = "a positive number" if positive else "a number"
        return float(
            self._checked(
                name, wanted, lambda v: _is_number(v) and (v > 0 or not positive)
            )
        )

    def numbers(self, name: str, count: int, positive: bool = False) -> list[float]:
        """A list of so many finite numbers."""
        wanted = f"{count} {'positive ' if positive else ''}numbers"
        return list(
            map(
                float,
                self._checked(
                    name,
                    wanted,
                    lambda v: (
                        isinstance(v, list)
                        and len(v) == count
                        and all(_is_number(n) and (n > 0 or not positive) for n in v)
                    ),
                ),
            )
        )

    def sizes(self, name: str) -> tuple[int, ...]:
        """A list of positive integers, perhaps an empty one."""
        return tuple(
            self._checked(
                name,
                "a list of positive integers",
                lambda v: (
                    isinstance(v, list) and all(_is_integer(n) and n > 0 for n in v)
                ),
            )
        )

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """None for null, else what a method of this class reads."""
        return None if self._field(name) is None else read(name)

    def object(self, name: str) -> Fields:
        """An object in this one."""
        return Fields(self._field(name), f"{self._where}, {name}")

    def objects(self, name: str) -> list[Fields]:
        """A list of objects, at least one."""
        values = self._checked(
            name, "a list of objects", lambda v: isinstance(v, list) and v
        )
        return [
            Fields(value, f"{self._where}, {name}[{number}]")
            for number, value in enumerate(values)
        ]

    def refuse(self, name: str, wanted: str) -> ValueError:
        """The error for a field that is not what it must be."""
        return ValueError(
            f"Expected {self._where}, {name}, to be {wanted}, received: "
            f"{_shown(self._value[name])}."
        )

    def _field(self, name: str) -> Any:
        if name not in self._value:
            raise ValueError(f"Expected {self._where} to have a field '{name}'.")
        return self._value[name]

    def _checked(self, name: str, wanted: str, fits: Callable[[Any], Any]) -> Any:
        value = self._field(name)
        if not fits(value):
            raise self.refuse(name, wanted)
        return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    # Integers without end are no finite number either.
    try:
        return (_is_integer(value) or isinstance(value, float)) and math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
