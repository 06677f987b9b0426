"""The names of the classes: a file with a line for each."""

from __future__ import annotations

import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

from keras_rbcn.export.wording import listed

LABELS_NAME = "labels.txt"
# How files of text begin that some editors write; in a label, it cannot be seen.
_BYTE_ORDER_MARK = "\ufeff"


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
        if not (isinstance(label, str) and _fits_a_line(label)):
            raise ValueError(
                "Expected `labels` to be strings of one line, neither empty nor with "
                "white space at the ends nor with control characters in them, "
                f"received: labels[{number}]={label!r}."
            )
    return list(labels)


def _fits_a_line(label: str) -> bool:
    # What breaks lines in some language breaks them here: no app is to count other
    # lines than another. White space at the ends gets lost in editors.
    if label != label.strip() or len(label.splitlines()) != 1:
        return False
    # Nor is there anything that cannot be written, or that no app shows.
    odd = any(unicodedata.category(character) in ("Cc", "Cs") for character in label)
    return not odd and _BYTE_ORDER_MARK not in label


def warn_of_equal(labels: Sequence[str]) -> None:
    """Warns where users of an app cannot tell two classes apart.

    No more: the usual list of ImageNet's classes has two that are called "crane".
    """
    counts = Counter(labels)
    equal = [label for label in counts if counts[label] > 1]
    if equal:
        names = listed(map(repr, equal), 5)
        warnings.warn(
            f"Several of the `labels` are the same: {names}. Whoever sees such a label "
            "cannot tell which class is meant: say in each what they differ in.",
            UserWarning,
            stacklevel=3,
        )


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
