"""Reads reports of exports back from JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from keras_rbcn.export.document.report import FORMAT_VERSION, ExportReport


def read_report(path_or_text: str | os.PathLike[str]) -> ExportReport:
    """Reads a report; see `ExportReport.from_json`."""
    text, source = _text_of(path_or_text)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"Expected {source} to be the JSON of an ExportReport, received: "
            f"{text[:40]!r}, which is no JSON ({error})."
        ) from None
    _check_version(values, source)
    try:
        report = TypeAdapter(ExportReport).validate_json(text, strict=True)
    except ValidationError as error:
        raise ValueError(
            f"Expected {source} to be the JSON of an ExportReport of format version "
            f"{FORMAT_VERSION}, but {_first(error)}."
        ) from None
    _check_samples(report, source)
    return report


def _text_of(path_or_text: str | os.PathLike[str]) -> tuple[str, str]:
    """The text, and what to call it in a message."""
    if isinstance(path_or_text, str) and path_or_text.lstrip()[:1] in ("{", "["):
        return path_or_text, "`path_or_text`"
    name = os.fspath(path_or_text)
    if not os.path.isfile(name):
        raise FileNotFoundError(
            "Expected `path_or_text` to be the path of an existing file, or the JSON "
            f"of an ExportReport, received: path_or_text={name[:200]!r}."
        )
    try:
        return Path(name).read_text("utf-8"), f"file '{name}'"
    except UnicodeDecodeError:
        raise ValueError(
            f"Expected file '{name}' to be the JSON of an ExportReport, received a "
            "file that is no text in UTF-8."
        ) from None


def _check_version(values: Any, source: str) -> None:
    version = values.get("format_version") if isinstance(values, dict) else None
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ValueError(
            f"Expected {source} to be the JSON of an ExportReport, an object with a "
            f"format_version, received: format_version={version!r}."
        )
    if version > FORMAT_VERSION:
        raise ValueError(
            f"Expected {source} to have a format version up to {FORMAT_VERSION}, the "
            f"newest that this keras_rbcn knows, received: format_version={version}. "
            "Update keras_rbcn."
        )


def _check_samples(report: ExportReport, source: str) -> None:
    """Checks that what is told of each sample is told of all."""
    for number, one in enumerate(report.agreements):
        for name in ("relative_differences", "undecided_samples"):
            length = len(getattr(one, name))
            if length != one.samples:
                raise ValueError(
                    f"Expected {source} to be the JSON of an ExportReport, but "
                    f"'agreements.{number}.{name}' has {length} entries for "
                    f"{one.samples} samples."
                )


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "the whole"
    received = repr(first["input"])
    received = received if len(received) <= 80 else f"{received[:80]}..."
    return f"of '{place}' it says: {first['msg']}, received: {received}"
