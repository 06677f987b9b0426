"""The commands binarize and profile: what they print, what they leave, what fails."""

import csv
import io
import json

import numpy as np
import pytest
from kernels import kernel_quantizers
from outcomes import assert_user_error, files_in
from PIL import Image
from rich.console import Console

from keras_rbcn import binarize, export_tflite
from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.profiling import profile

layers = keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A teacher with a 1x1 convolution, its student, and the file of that."""
    keras.utils.set_random_seed(0)
    path = tmp_path_factory.mktemp("models")
    teacher = keras.Sequential(name="teacher")
    teacher.add(keras.Input((8, 8, 3)))
    for name, size in (("first", 3), ("second", 3), ("third", 3)):
        teacher.add(layers.Conv2D(8, size, padding="same", name=name))
        teacher.add(layers.BatchNormalization(name=f"{name}_norm"))
        teacher.add(layers.ReLU(name=f"{name}_relu"))
    teacher.add(layers.GlobalAveragePooling2D(name="pooling"))
    teacher.add(layers.Dense(5, name="scores"))
    teacher.save(path / "teacher.keras")
    student = binarize(teacher)
    student.save(path / "student.keras")
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    export_tflite(student, path / "student.tflite", verify_data=images)
    (path / "text.keras").write_text("no model")
    (path / "text.tflite").write_text("no model")
    (path / "text.h5").write_text("no model")
    return path


def _kernel_quantizers(path):
    return kernel_quantizers(keras.models.load_model(path, compile=False))


def _kinds(path):
    student = keras.models.load_model(path, compile=False)
    return {
        layer.name: isinstance(layer, RectifiedConv2D)
        for layer in student.layers
        if layer.name in ("first", "second", "third")
    }


# --- binarize ---------------------------------------------------------------------


def test_binarize_writes_what_the_library_makes(folder, run, tmp_path):
    out, report = tmp_path / "out.keras", tmp_path / "report.json"
    result = run("binarize", folder / "teacher.keras", out, "--report", report)
    assert result.exit_code == 0, result.output
    found = keras.models.load_model(out, compile=False)
    expected = keras.models.load_model(folder / "student.keras", compile=False)
    assert found.get_config() == expected.get_config()
    for one, two in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)
    teacher = keras.models.load_model(folder / "teacher.keras", compile=False)
    _, changes = binarize(teacher, return_report=True)
    assert json.loads(report.read_text("utf-8")) == json.loads(changes.to_json())
    assert "RectifiedConv2D" in result.stdout
    assert str(out) in result.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"out.keras", "report.json"}


def test_wishes_and_style_of_binarize(folder, run, tmp_path):
    out = tmp_path / "out.keras"
    arguments = ("binarize", folder / "teacher.keras", out)
    assert run(*arguments).exit_code == 0
    assert _kinds(out) == {"first": False, "second": True, "third": True}
    result = run(*arguments, "--binary", "first", "--real", "second", "--real", "third")
    assert result.exit_code == 0, result.output
    assert _kinds(out) == {"first": True, "second": False, "third": False}
    assert _kernel_quantizers(out) == {"SteSign"}
    assert run(*arguments, "--style", "reactnet").exit_code == 0
    made = keras.models.load_model(out, compile=False).layers
    assert {"RSign", "RPReLU"} <= {type(layer).__name__ for layer in made}
    assert run(*arguments, "--kernel-quantizer", "approx_sign").exit_code == 0
    assert _kernel_quantizers(out) == {"ApproxSign"}


@pytest.mark.parametrize(
    ("teacher", "student", "options", "fragment"),
    [
        ("none.keras", "out.keras", (), "no file"),
        ("text.keras", "out.keras", (), "damaged"),
        ("student.keras", "out.keras", (), "binarised already"),
        ("teacher.keras", "out.h5", (), "does not end in .keras"),
        ("teacher.keras", "none/out.keras", (), "no folder"),
        ("teacher.keras", "teacher.keras", (), "named twice"),
        ("teacher.keras", "out.keras", ("--report", "out.keras"), "named twice"),
        ("teacher.keras", "out.keras", ("--style", "larq"), "--style"),
        (
            *("teacher.keras", "out.keras"),
            *(("--kernel-quantizer", "dorefa"), "--kernel-quantizer"),
        ),
        ("teacher.keras", "out.keras", ("--real", "fourth"), "--real fourth"),
        ("teacher.keras", "out.keras", ("--binary", "scores"), "'scores'"),
        ("teacher.keras", None, (), "STUDENT.keras"),
    ],
)
def test_binarize_refuses(
    folder, run, monkeypatch, teacher, student, options, fragment
):
    monkeypatch.chdir(folder)
    before = files_in(folder)
    models = [teacher] if student is None else [teacher, student]
    assert_user_error(run("binarize", *models, *options), fragment)
    assert files_in(folder) == before


# --- profile ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["teacher.keras", "student.keras", "student.tflite"])
def test_profile_prints_what_the_library_finds(folder, run, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "100")
    result = run("profile", folder / name)
    assert result.exit_code == 0, result.output
    console = Console(file=io.StringIO(), width=100)
    console.print(profile(folder / name))
    assert result.stdout == console.file.getvalue()
    assert name in result.stdout


def test_profile_writes_json_csv_and_plot(folder, run, tmp_path):
    paths = [tmp_path / name for name in ("out.json", "out.csv", "out.png")]
    result = run(
        *("profile", folder / "student.keras"),
        *("--reference", folder / "teacher.keras"),
        *("--json", paths[0], "--csv", paths[1], "--plot", paths[2]),
    )
    assert result.exit_code == 0, result.output
    expected = profile(folder / "student.keras", folder / "teacher.keras")
    assert json.loads(paths[0].read_text("utf-8")) == json.loads(expected.to_json())
    with open(paths[1], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(expected.layers) + 1
    assert int(rows[-1]["memory_bits"]) == expected.total.memory_bits
    with Image.open(paths[2]) as image:
        assert image.format == "PNG"
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    for path in paths:
        assert f"Wrote {path}" in result.stdout


@pytest.mark.parametrize(
    ("model", "options", "fragment"),
    [
        ("none.keras", (), "no file"),
        ("text.keras", (), "damaged"),
        ("text.tflite", (), "text.tflite"),
        ("text.h5", (), ".tflite or .keras"),
        ("student.keras", ("--reference", "none.tflite"), "no file"),
        ("student.keras", ("--json", "student.keras"), "named twice"),
        ("student.keras", ("--json", "a.png", "--plot", "a.png"), "named twice"),
        ("student.keras", ("--csv", "none/a.csv"), "no folder"),
        ("student.keras", ("--plot", "a.pdf"), "does not end in .png"),
    ],
)
def test_profile_refuses(folder, run, monkeypatch, model, options, fragment):
    monkeypatch.chdir(folder)
    before = files_in(folder)
    assert_user_error(run("profile", model, *options), fragment)
    assert files_in(folder) == before
