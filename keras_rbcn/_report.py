"""What all reports can do: print as a table, show in a notebook, and become JSON."""

from __future__ import annotations

import dataclasses
import html
import io
import json
import math
import os
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_rbcn._files import replacing


class Report:
    """Base class of reports: dataclasses that define `__rich__`."""

    # Columns of the text, whatever the terminal.
    _WIDTH = 88

    def to_dict(self) -> dict[str, Any]:
        """The report as dictionaries, lists, strings and finite numbers.

        What is not finite, such as the difference of an output that is NaN, is None.
        """
        return plain(dataclasses.asdict(self))  # type: ignore[call-overload]

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The report as JSON.

        Args:
            path: A file to write it to as well.

        Returns:
            The JSON text.
        """
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False)
        if path is not None:
            with replacing(Path(path)) as beside:
                beside.write_text(text + "\n", "utf-8")
        return text

    def __str__(self) -> str:
        buffer = io.StringIO()
        # Neither the width of a terminal nor its colours: the same text everywhere,
        # in a notebook too.
        console = Console(
            file=buffer, width=self._WIDTH, color_system=None, force_jupyter=False
        )
        console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def __rich__(self) -> Any:
        """What rich prints."""
        raise NotImplementedError


def save_figure(figure: Any, path: str | os.PathLike[str]) -> None:
    """Writes a figure of matplotlib to a file, which is never half-written.

    Args:
        figure: The figure.
        path: The file. How its name ends tells the format.

    Raises:
        ValueError: If the name ends in no format that matplotlib writes.
    """
    formats = figure.canvas.get_supported_filetypes()
    # Left to matplotlib, a name without an ending would get one.
    if Path(path).suffix.lower().removeprefix(".") not in formats:
        raise ValueError(
            "Expected `path` to end in a format of figures, one of "
            f"{', '.join(f'.{name}' for name in sorted(formats))}; received: "
            f"path={os.fspath(path)!r}. Name the file 'profile.png', for example."
        )
    with replacing(Path(path)) as beside:
        figure.savefig(beside)


def plain(value: Any) -> Any:
    """What JSON can hold of dictionaries, lists, strings and numbers.

    Tuples become lists, and numbers that are not finite None.
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
