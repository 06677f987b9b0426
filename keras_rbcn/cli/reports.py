"""Reports of exports that a user names, and what they are to tell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_rbcn.cli.errors import UserError, user_errors
from keras_rbcn.cli.files import check_input, check_output, written_beside
from keras_rbcn.export import ExportReport
from keras_rbcn.export.provenance import checked_provenance

_SUFFIXES = (".json", ".html")


def check_reports(paths: Sequence[Path], *others: Path | None) -> None:
    """Checks, before any work is done, that reports can be written.

    Args:
        paths: Where they are to be written.
        *others: Files that must not be replaced.

    Raises:
        UserError: If one cannot be, or its name does not say what it is to be.
    """
    for number, path in enumerate(paths):
        check_output(path, *others, *paths[:number])
        if path.suffix not in _SUFFIXES:
            raise UserError(
                f"cannot write '{path}': the name of a report ends in "
                f"{' or '.join(_SUFFIXES)}."
            )


def write_reports(report: ExportReport, paths: Sequence[Path]) -> None:
    """Writes a report, each time in the form that the name tells."""
    for path in paths:
        with written_beside(path) as beside:
            if path.suffix == ".html":
                report.to_html(beside)
            else:
                report.to_json(beside)


def read_provenance(path: Path) -> dict[str, Any]:
    """Reads what a report is to tell of where a model comes from.

    Raises:
        UserError: If the file cannot be read, or is no JSON object.
    """
    check_input(path)
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read '{path}' as JSON: {error}.") from error
    if not isinstance(found, dict):
        raise UserError(
            f"expected '{path}' to hold a JSON object, such as {{\"commit\": "
            f'"1a2b3c"}}, received a {type(found).__name__}.'
        )
    with user_errors():
        return checked_provenance(found)
