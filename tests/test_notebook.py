"""The notebooks run, and the kept ones have their outputs and nothing of a machine."""

import base64
import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

from keras_rbcn import recipes

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = ["binarize", "quickstart"]
# Calls of `fit`, each with a line for the first epoch.
TRAININGS = {"binarize": 2, "quickstart": 3}


@pytest.fixture(scope="module")
def execute():
    """The module notebooks/execute.py, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=NAMES)
def path(request):
    return FOLDER / f"{request.param}.ipynb"


@pytest.fixture
def kept(path):
    return nbformat.read(path, as_version=4)


def _read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _outputs(notebook):
    return [o for cell in notebook.cells for o in cell.get("outputs", [])]


def _text(notebook):
    return "\n".join(
        o.get("text") or o.data.get("text/plain", "") for o in _outputs(notebook)
    )


def _prose(notebook):
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def _pictures(notebook):
    data = [
        o.data["image/png"]
        for o in _outputs(notebook)
        if "image/png" in o.get("data", {})
    ]
    return [base64.b64decode(picture) for picture in data]


def test_these_are_all():
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


def test_it_runs_on_a_small_setting(execute, path, kept, monkeypatch):
    monkeypatch.setenv("KERAS_RBCN_EPOCHS", "1")
    before = path.read_bytes()
    notebook = execute.execute(path)
    assert path.read_bytes() == before
    assert [cell.source for cell in notebook.cells] == [c.source for c in kept.cells]
    assert len(_pictures(notebook)) == len(_pictures(kept))
    lines = re.findall(r"^epoch +(\d+) ", _text(notebook), re.M)
    assert lines == ["1"] * TRAININGS[path.stem]


def test_the_kept_one_was_run_from_top_to_bottom(kept):
    nbformat.validate(kept)
    code = _code(kept)
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert all(cell.outputs for cell in code if "print(" in cell.source)
    kinds = {output.output_type for output in _outputs(kept)}
    assert kinds <= {"stream", "display_data", "execute_result"}
    assert not [o for o in _outputs(kept) if o.get("name") == "stderr"]


@pytest.mark.parametrize(("name", "pictures"), [("binarize", 2), ("quickstart", 5)])
def test_the_kept_one_has_pictures(name, pictures):
    found = _pictures(_read(name))
    assert len(found) >= pictures
    assert all(picture.startswith(b"\x89PNG\r\n") for picture in found)


def test_the_kept_one_shows_a_student_that_learned_and_was_exported():
    text = _text(_read("quickstart"))
    (accuracy,) = re.findall(r"1-bit student: ([\d.]+)%", text)
    assert float(accuracy) >= 97
    (in_file,) = re.findall(r"student\.tflite: ([\d.]+)%", text)
    assert float(in_file) == pytest.approx(float(accuracy), abs=1)
    assert text.count("LceBconv2d") >= 4
    (times,) = re.findall(r"([\d.]+) times smaller", text)
    assert float(times) > 5


def test_what_the_text_of_quickstart_says_of_the_discriminators():
    notebook = _read("quickstart")
    text = _text(notebook)
    (accuracy,) = re.findall(r"second student: ([\d.]+)%", text)
    assert float(accuracy) >= 95
    taps = re.findall(r"^Tap\(student='(\w+)', teacher='(\w+)'\)$", text, re.M)
    assert taps == [(f"block{number}_norm",) * 2 for number in (1, 2, 3, 4)]
    shares = re.findall(r"^discriminator at (\w+): right about (\d+)%$", text, re.M)
    assert [name for name, _ in shares] == [student for student, _ in taps]
    assert all(80 < int(share) < 99 for _, share in shares)
    prose = _prose(notebook)
    assert "all four end above 80 %, and none has won" in prose
    (weight,) = re.findall(r"The paper's weight is (\d+)", prose)
    assert float(weight) == recipes.paper().settings.adversarial_weight


@pytest.mark.parametrize("name", NAMES)
def test_the_text_says_what_the_recipe_holds(name):
    text = _prose(_read(name))
    recipe = recipes.default()
    (weight,) = re.findall(r"weight (?:of )?([\d.]+) (?:in the sum|included)", text)
    assert float(weight) == recipe.settings.distillation
    (rate,) = re.findall(r"from (\de-\d) (?:down )?to 0", text)
    assert float(rate) == recipe.learning_rate
    assert "so they are off" in text
    assert not recipe.settings.uses("kernel_weight")
    assert not recipe.settings.uses_discriminators


class TestWhatTheTextOfBinarizeSays:
    """What is written between the cells was read from outputs, and must stay so."""

    @pytest.fixture
    def text(self):
        return _text(_read("binarize"))

    def test_the_student_guesses_at_first_and_learns(self, text):
        accuracies = dict(
            re.findall(r"^(teacher|student \w+ training) +([\d.]+)%", text, re.M)
        )
        assert 5 < float(accuracies["student before training"]) < 25
        assert float(accuracies["student after training"]) >= 97
        assert float(accuracies["teacher"]) >= 97
        (in_file,) = re.findall(r"student\.tflite: ([\d.]+)%", text)
        after = float(accuracies["student after training"])
        assert float(in_file) == pytest.approx(after, abs=1)

    def test_what_became_of_the_layers(self, text):
        (table,) = re.findall(r"style 'birealnet'\n(.*?)└", text, re.S)
        rows = dict(re.findall(r"^│ (\w+) +│ ([^│]*?) +│", table, re.M))
        assert [name for name, kind in rows.items() if "> Rectified" in kind] == [
            "block_a",
            "block_b",
            "wide",
            "sep",
        ]
        assert [name for name, kind in rows.items() if kind.startswith("-")] == [
            "stem_relu",
            "block_a_relu",
            "block_add",
            "block_relu",
        ]
        added = [name for name, kind in rows.items() if kind == "+ Add"]
        assert added == ["block_a_shortcut", "block_b_shortcut", "sep_shortcut"]
        assert rows["sep_depthwise"] == "SeparableConv2D > DepthwiseConv2D"

    def test_the_signs_of_the_separable_convolution_change_more_later(self, text):
        changing = re.findall(r"^│ (\w+) +│ [\d.]+% │ +([\d.]+)%", text, re.M)
        names = [name for name, _ in changing]
        assert names == ["block_a", "block_b", "wide", "sep"] * 2
        shares = [float(share) for _, share in changing]
        assert shares[3] == min(shares[:4])
        assert shares[3] < shares[7]
        assert "suspicious" not in text

    def test_the_file_keeps_the_promise(self, text):
        rows = {
            name: [float(number.replace(",", "")) for number in numbers.split()]
            for name, numbers in re.findall(
                r"^(teacher|student, promised|student\.tflite) {2,}"
                r"((?:[\d,.]+ *){4})$",
                text,
                re.M,
            )
        }
        teacher, promised = rows["teacher"], rows["student, promised"]
        delivered = rows["student.tflite"]
        assert teacher[0] == 0 < promised[0] == delivered[0]
        assert 0.9 * promised[1] < delivered[1] < promised[1]
        assert promised[3] == delivered[3]
        assert text.count(" LceBconv2d ") == 4
        (size, megabit) = re.findall(r"file: ([\d,]+) bytes = ([\d.]+) Mbit", text)[0]
        assert f"student.tflite, {size} bytes" in text
        assert float(megabit) > delivered[2]


def test_the_kept_one_names_no_machine(kept):
    content = nbformat.writes(kept)
    assert not re.search(r"/(?:home|root|tmp|work|Users|usr)/|[A-Z]:\\\\", content)
    assert set(kept.metadata) == {"kernelspec", "language_info"}
    assert not any("execution" in cell.metadata for cell in kept.cells)


def test_the_first_cell_stops_where_no_package_exists(kept, monkeypatch):
    first = _code(kept)[0]
    monkeypatch.setattr("sys.version_info", (3, 13, 0))
    with pytest.raises(RuntimeError, match=r"3\.10, 3\.11 or 3\.12.*2026\.07"):
        exec(first.source, {})


def test_a_notebook_that_is_not_there(execute):
    with pytest.raises(ValueError, match=r"\['binarize', 'quickstart'\].*'quick'"):
        execute.main(["quick"])


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
