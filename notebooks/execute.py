"""Executes the notebooks of this folder in place, so that their outputs are kept.

    python notebooks/execute.py              # all of them
    python notebooks/execute.py quickstart   # one

What would differ from run to run or from machine to machine is taken out: times, the
Python version, TensorFlow's start-up messages.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
TIMEOUT_SECONDS = 600

# Lines that TensorFlow's C++ code writes, such as "I0000 00:00:1795.97 26 port.cc:153]".
_CPP_LOG = re.compile(
    r"^(?:[IWEF]\d{4} [^\n]*\]|\d{4}-\d\d-\d\d [\d:.]+: [IWEF] |"
    r"WARNING: All log messages before absl|"
    r"To enable the following instructions:)[^\n]*\n?",
    re.MULTILINE,
)
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> Any:
    """Runs a notebook in a temporary folder, and returns it with its new outputs.

    Args:
        path: The .ipynb file; it is not changed.

    Returns:
        The notebook, cleaned.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
        ValueError: If an output names a folder of this machine.
    """
    notebook = nbformat.read(path, as_version=4)
    # Where it is set, the pictures would not come into the notebook.
    environment = {k: v for k, v in os.environ.items() if k != "MPLBACKEND"}
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=TIMEOUT_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
        ).execute(env=environment)
        clean(notebook)
        for private in (folder, str(Path.home()), str(FOLDER.resolve().parent)):
            if private in nbformat.writes(notebook):
                raise ValueError(f"An output of {path.name} names a folder: {private}")
    return notebook


def clean(notebook: Any) -> None:
    """Takes out of an executed notebook what depends on the run or on the machine."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                output.text = _CPP_LOG.sub("", output.text)
        cell.outputs = [output for output in cell.outputs if output.get("text") != ""]


def _joined(outputs: list[Any]) -> list[Any]:
    """Joins what one stream wrote in pieces, which depends on timing."""
    joined: list[Any] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if (
            before is not None
            and output.output_type == before.output_type == "stream"
            and output.name == before.name
        ):
            before.text += output.text
        else:
            joined.append(output)
    return joined


def main(names: list[str]) -> None:
    """Executes and rewrites the named notebooks of this folder; all if none is named.

    Args:
        names: Names of notebooks, such as "quickstart".

    Raises:
        ValueError: If there is no notebook of a name.
    """
    paths = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
    unknown = set(names) - set(paths)
    if unknown:
        raise ValueError(
            f"Expected names of notebooks out of {list(paths)}, received: "
            f"{sorted(unknown)}."
        )
    for path in [paths[name] for name in names or paths]:
        print(f"executing {path.name}")
        notebook = execute(path)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main(sys.argv[1:])
