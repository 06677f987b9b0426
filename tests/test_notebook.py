"""The notebook runs, and the kept one has its outputs and nothing of a machine."""

import base64
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
PATH = FOLDER / "quickstart.ipynb"


@pytest.fixture(scope="module")
def execute():
    """The module notebooks/execute.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def kept():
    return nbformat.read(PATH, as_version=4)


def _outputs(notebook):
    return [o for cell in notebook.cells for o in cell.get("outputs", [])]


def _text(notebook):
    return "".join(
        o.get("text") or o.data.get("text/plain", "") for o in _outputs(notebook)
    )


def _pictures(notebook):
    data = [
        o.data["image/png"]
        for o in _outputs(notebook)
        if "image/png" in o.get("data", {})
    ]
    return [base64.b64decode(picture) for picture in data]


def test_it_runs_on_a_small_setting(execute, kept, monkeypatch):
    monkeypatch.setenv("KERAS_RBCN_EPOCHS", "1")
    before = PATH.read_bytes()
    notebook = execute.execute(PATH)
    assert PATH.read_bytes() == before
    assert [cell.source for cell in notebook.cells] == [c.source for c in kept.cells]
    assert len(_pictures(notebook)) == len(_pictures(kept))
    assert re.findall(r"epoch +(\d+) ", _text(notebook)) == ["1", "1"]


def test_the_kept_one_was_run_from_top_to_bottom(kept):
    nbformat.validate(kept)
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs for cell in code if "print(" in cell.source)
    kinds = {output.output_type for output in _outputs(kept)}
    assert kinds <= {"stream", "display_data"}
    assert not [o for o in _outputs(kept) if o.get("name") == "stderr"]


def test_the_kept_one_has_pictures(kept):
    pictures = _pictures(kept)
    assert len(pictures) >= 4
    assert all(picture.startswith(b"\x89PNG\r\n") for picture in pictures)


def test_the_kept_one_shows_a_student_that_learned_and_was_exported(kept):
    text = _text(kept)
    (accuracy,) = re.findall(r"1-bit student: ([\d.]+)%", text)
    assert float(accuracy) >= 97
    (in_file,) = re.findall(r"student\.tflite: ([\d.]+)%", text)
    assert float(in_file) == pytest.approx(float(accuracy), abs=1)
    assert text.count("LceBconv2d") >= 4
    (times,) = re.findall(r"([\d.]+) times smaller", text)
    assert float(times) > 5


def test_the_kept_one_names_no_machine(kept):
    content = nbformat.writes(kept)
    assert not re.search(r"/(?:home|root|tmp|work|Users|usr)/|[A-Z]:\\\\", content)
    assert set(kept.metadata) == {"kernelspec", "language_info"}
    assert not any("execution" in cell.metadata for cell in kept.cells)


def test_the_first_cell_stops_where_no_package_exists(kept, monkeypatch):
    first = next(cell for cell in kept.cells if cell.cell_type == "code")
    monkeypatch.setattr("sys.version_info", (3, 13, 0))
    with pytest.raises(RuntimeError, match=r"3\.10, 3\.11 or 3\.12.*2026\.07"):
        exec(first.source, {})


def test_cleaning_keeps_what_is_no_chatter(execute):
    cell = nbformat.v4.new_code_cell("1")
    cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
    chatter = (
        "WARNING: All log messages before absl::InitializeLog() is called\n"
        "I0000 00:00:1795.9   26 port.cc:153] oneDNN custom operations are on.\n"
        "2026-11-24 19:52:59.952112: I external/reader.cc:83] Reading\n"
    )
    for said in ("", "UserWarning: look here\n"):
        stream = nbformat.v4.new_output("stream", name="stderr", text=chatter + said)
        cell.outputs = [stream]
        execute.clean(nbformat.v4.new_notebook(cells=[cell]))
        assert "".join(output.text for output in cell.outputs) == said
        assert len(cell.outputs) == bool(said)
    assert "execution" not in cell.metadata
