"""The names of the classes: a file with a line for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

LABELS_NAME = "labels.txt"


def check_labels(labels: Any) -> list[str]:
    """The labels as a list.

    Raises:
        ValueError: If they are not strings that fit a line each.
    """
    if isinstance(labels, str) or not isinstance(labels, Sequence | tuple):
        raise ValueError(
            "Expected `labels` to be a list of strings, the names of the classes in "
            f"the order of their numbers, received: labels={labels!r}."
        )
    for number, label in enumerate(labels):
        # What breaks lines in some language breaks them here: no app is to count
        # other lines than another. White space at the ends gets lost in editors.
        if (
            not isinstance(label, str)
            or label != label.strip()
            or len(label.splitlines()) != 1
        ):
            raise ValueError(
                "Expected `labels` to be strings of one line, neither empty nor with "
                f"white space at the ends, received: labels[{number}]={label!r}."
            )
    return list(labels)


def labels_file(labels: Sequence[str]) -> bytes:
    """The bytes of the file."""
    return "".join(f"{label}\n" for label in labels).encode("utf-8")


def read_labels(content: bytes, source: str) -> list[str]:
    """Reads the file.

    Args:
        content: Its bytes.
        source: What to call it in messages.

    Raises:
        ValueError: If it is not what `labels_file` writes.
    """
    try:
        text = content.decode("utf-8")
        if not text.endswith("\n"):
            raise ValueError("its last line does not end in a line break.")
        return check_labels(text[:-1].split("\n"))
    except ValueError as error:
        raise ValueError(f"Expected {source} to hold one label a line: {error}") from (
            None
        )
