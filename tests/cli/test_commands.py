"""The commands export and predict, on tiny models and on every kind of bad file."""

import errno
import hashlib
import json
import os
import runpy
import subprocess
import sys
import sysconfig
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from outcomes import files_in

from keras_rbcn import RBCNModel
from keras_rbcn._backend import keras
from keras_rbcn.cli import commands
from keras_rbcn.layers import RectifiedConv2D

IMAGES = np.random.default_rng(0).normal(size=(30, 6, 6, 2)).astype("float32")


def _student():
    inputs = keras.Input((6, 6, 2), name="images")
    x = RectifiedConv2D(8, 3, padding="same", name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x), name="student")


def _two_inputs():
    first, second = keras.Input((4,), name="first"), keras.Input((4,), name="second")
    outputs = keras.layers.Subtract(name="difference")([first, second])
    return keras.Model([first, second], outputs, name="two")


@pytest.fixture(scope="module")
def files(tmp_path_factory, run):
    """A folder of good files, and what the student in them predicts."""
    folder = tmp_path_factory.mktemp("files")
    student = _student()
    student.save(folder / "student.keras")
    model = RBCNModel(student)
    model.compile("adam", "mse")
    model.save(folder / "model.keras")
    _two_inputs().save(folder / "two.keras")
    np.savez(folder / "images.npz", IMAGES)
    np.savez(folder / "expected.npz", student.predict(IMAGES, verbose=0))
    pair = {"first": np.full((3, 4), 5.0), "second": np.full((3, 4), 2.0)}
    np.savez(folder / "pair.npz", **pair)
    for name, data in (("student", "images"), ("two", "pair")):
        result = run(
            *("export", folder / f"{name}.keras", folder / f"{name}.tflite"),
            *("--verify-data", folder / f"{data}.npz"),
            *("--report", folder / f"{name}.json"),
        )
        assert result.exit_code == 0, result.stderr
    return folder


def _assert_user_error(result, *fragments, exit_code=2):
    assert result.exit_code == exit_code, result.output
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: "), result.stderr
    assert "Traceback" not in result.output
    if exit_code == 2:
        assert len(lines) == 1, result.stderr
    for fragment in fragments:
        assert fragment in result.stderr


# --- the command line itself ------------------------------------------------------


def test_version(run):
    result = run("--version")
    assert result.exit_code == 0
    assert result.output == f"keras-rbcn {metadata.version('keras-rbcn')}\n"


def test_help_names_the_commands(run):
    result = run("--help")
    assert result.exit_code == 0
    for command in ("demo", "profile", "binarize", "train", "export", "predict"):
        assert f" {command} " in result.output


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ([], "expected a command"),
        (["demonstrate"], "demonstrate"),
        (["--loud"], "--loud"),
        (["predict"], "FILE.tflite"),
        (["demo", "--epochs", "0"], "--epochs"),
        (["demo", "--epochs", "many"], "--epochs"),
        (["demo", "--seed", "-1"], "--seed"),
        (["demo", "--output", ""], "the name of a folder"),
    ],
)
def test_wrong_usage(run, arguments, fragment):
    _assert_user_error(run(*arguments), fragment)


def test_ctrl_c(run, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "predict", interrupt)
    result = run("predict", "a.tflite", "b.npz")
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


def test_a_defect_of_the_program_is_not_blamed_on_the_user(run, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "predict", fail)
    result = run("predict", "a.tflite", "b.npz")
    assert isinstance(result.exception, ZeroDivisionError)


def test_console_script(tmp_path):
    script = Path(sysconfig.get_path("scripts"), "keras-rbcn")
    result = subprocess.run(
        [sys.executable, script, "predict", tmp_path / "none.tflite", "none.npz"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in result.stderr


def test_ctrl_c_while_tensorflow_is_imported(tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise KeyboardInterrupt")
    script = Path(sysconfig.get_path("scripts"), "keras-rbcn")
    result = subprocess.run(
        [sys.executable, script, "--version"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (130, "interrupted\n")


def test_names_that_are_no_text(files, run, tmp_path):
    model, data = (
        tmp_path / os.fsdecode(name) for name in (b"caf\xe9.tflite", b"caf\xe9.npz")
    )
    model.write_bytes((files / "student.tflite").read_bytes())
    data.write_bytes((files / "images.npz").read_bytes())
    outputs = [tmp_path / f"out.{suffix}" for suffix in ("json", "csv", "png")]
    options = zip(("--json", "--csv", "--plot"), outputs, strict=True)
    result = run("profile", model, *(word for option in options for word in option))
    assert result.exit_code == 0, result.output
    assert r"caf\udce9.tflite" in result.stdout
    assert all(output.stat().st_size for output in outputs)
    result = run("predict", model, data, "--output", tmp_path / "out.npz")
    assert result.exit_code == 0, result.output
    # TensorFlow itself reads models of Keras, and images.
    student = model.with_suffix(".keras")
    student.write_bytes((files / "student.keras").read_bytes())
    for command in (("profile", student), ("export", student, tmp_path / "a.tflite")):
        _assert_user_error(run(*command), "cannot read", "only names in UTF-8")
    _assert_user_error(
        run("export", files / "student.keras", model), "cannot write", "in UTF-8"
    )


def test_the_package_runs_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["keras_rbcn", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("keras_rbcn", run_name="__main__")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("keras-rbcn ")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        (("predict", "student.tflite", "images.npz"), "--output"),
        (("profile", "student.keras"), "--json"),
        (("profile", "student.keras"), "--csv"),
        (("profile", "student.keras"), "--plot"),
        (("export", "student.keras", "out.tflite"), "--report"),
        (("export", "student.keras"), None),
        (("binarize", "student.keras"), None),
        (("demo",), "--output"),
    ],
)
def test_links_that_lead_to_themselves(files, run, tmp_path, command, option):
    suffixes = {"export": ".tflite", "binarize": ".keras", "predict": ".npz"}
    loop = tmp_path / f"loop{suffixes.get(command[0], '.png')}"
    loop.symlink_to(loop.with_suffix(".back"))
    loop.with_suffix(".back").symlink_to(loop)
    name, *models = command
    typed = [tmp_path / m if m == "out.tflite" else files / m for m in models]
    result = run(name, *typed, *([option] if option else []), loop)
    _assert_user_error(result, f"'{loop}'", "leads to itself")
    assert len(list(tmp_path.iterdir())) == 2


# --- export -----------------------------------------------------------------------


def test_export_reports_the_file_that_it_wrote(files):
    content = (files / "student.tflite").read_bytes()
    report = json.loads((files / "student.json").read_text("utf-8"))
    assert report["bytes"] == len(content)
    assert report["sha256"] == hashlib.sha256(content).hexdigest()
    (agreement,) = report["agreements"]
    assert agreement["data"] == "verify_data"
    assert agreement["samples"] == len(IMAGES)
    assert report["binary_convolutions"] == ["conv"]


def test_export_of_a_whole_rbcn_model_is_that_of_its_student(files, run, tmp_path):
    out = tmp_path / "out.tflite"
    result = run(
        "export", files / "model.keras", out, "--verify-data", files / "images.npz"
    )
    assert result.exit_code == 0, result.stderr
    assert "LceBconv2d" in result.stdout
    assert out.read_bytes() == (files / "student.tflite").read_bytes()


def test_export_without_data_warns_in_one_line(files, run, tmp_path):
    result = run("export", files / "student.keras", tmp_path / "out.tflite")
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: ")
    assert "random" in line


def test_failed_export_names_the_layers_and_leaves_no_file(run, tmp_path):
    # A kernel that covers more than its zero-padded inputs is converted wrongly.
    layer = RectifiedConv2D(
        8, 3, dilation_rate=2, padding="same", pad_values=0.0, name="conv"
    )
    student = keras.Sequential([keras.Input((4, 5, 16)), layer])
    student.save(tmp_path / "student.keras")
    before = files_in(tmp_path)
    result = run(
        *("export", tmp_path / "student.keras", tmp_path / "out.tflite"),
        *("--report", tmp_path / "report.json"),
    )
    _assert_user_error(result, "  layer: conv", exit_code=1)
    assert files_in(tmp_path) == before


def _bad_models(folder):
    """Names of bad files, and what is said about each."""
    (folder / "folder.keras").mkdir()
    (folder / "text.keras").write_text("no model")
    good = (folder.parent / "student.keras").read_bytes()
    (folder / "cut.keras").write_bytes(good[: len(good) // 2])
    (folder / "student.h5").write_bytes(b"\x89HDF")
    with zipfile.ZipFile(folder / "keras3.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
    with zipfile.ZipFile(folder / "no_model.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.21.0"}))
        archive.writestr("config.json", json.dumps({"class_name": "Unknown"}))
    return {
        "none.keras": "there is no file",
        "folder.keras": "is a folder",
        "text.keras": "damaged",
        "cut.keras": "damaged",
        "student.h5": ".keras",
        "keras3.keras": "Keras 3.5.0",
        "no_model.keras": "cannot load",
    }


def test_export_of_bad_models(files, run):
    folder = files / "bad_models"
    folder.mkdir()
    bad = _bad_models(folder)
    before = files_in(folder)
    for name, fragment in bad.items():
        result = run("export", folder / name, folder / "out.tflite")
        _assert_user_error(result, name, fragment)
        assert files_in(folder) == before


@pytest.mark.parametrize(
    ("out", "report", "fragment"),
    [
        (".", "r.json", "is a folder"),
        ("none/out.tflite", "r.json", "there is no folder"),
        ("a_file/out.tflite", "r.json", "there is no folder"),
        ("student.keras", "r.json", "named twice"),
        ("out.tflite", ".", "is a folder"),
        ("out.tflite", "none/r.json", "there is no folder"),
        ("out.tflite", "out.tflite", "named twice"),
    ],
)
def test_export_to_where_nothing_can_be_written(
    files, run, tmp_path, out, report, fragment
):
    (tmp_path / "a_file").write_text("")
    (tmp_path / "student.keras").write_bytes((files / "student.keras").read_bytes())
    before = files_in(tmp_path)
    result = run(
        *("export", tmp_path / "student.keras", tmp_path / out),
        *("--report", tmp_path / report),
    )
    _assert_user_error(result, fragment)
    assert files_in(tmp_path) == before


def test_export_with_data_of_another_shape(files, run, tmp_path):
    np.savez(tmp_path / "wrong.npz", np.zeros((3, 5, 5, 2)))
    result = run(
        *("export", files / "student.keras", tmp_path / "out.tflite"),
        *("--verify-data", tmp_path / "wrong.npz"),
    )
    _assert_user_error(result, "(samples, 6, 6, 2)", "(3, 5, 5, 2)")
    assert not (tmp_path / "out.tflite").exists()


def test_a_full_disk_is_told_with_the_file(files, run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    out = tmp_path / "out.tflite"
    result = run(
        "export", files / "student.keras", out, "--verify-data", files / "images.npz"
    )
    _assert_user_error(result, f"{os.strerror(errno.ENOSPC)}: '{out}'")
    assert not list(tmp_path.iterdir())


# --- predict ----------------------------------------------------------------------


def test_predict_writes_what_the_keras_model_predicts(files, run, tmp_path):
    out = tmp_path / "out.npz"
    result = run(
        "predict", files / "student.tflite", files / "images.npz", "--output", out
    )
    assert result.exit_code == 0, result.stderr
    expected = np.load(files / "expected.npz")["arr_0"]
    with np.load(out) as written:
        assert written.files == ["logits"]
        np.testing.assert_allclose(written["logits"], expected, atol=1e-5)
    assert "20 of 30 samples" in result.stdout
    cells = [line.split("│")[1:3] for line in result.stdout.splitlines() if "│" in line]
    classes = {int(sample): int(best) for sample, best in cells}
    assert classes == dict(enumerate(expected[:20].argmax(axis=1)))


@pytest.mark.parametrize("key", ["x", "images", "anything"])
def test_predict_finds_the_array(files, run, tmp_path, key):
    arrays = {key: IMAGES[:1]}
    if key != "anything":  # A file of one array may name it as it likes.
        arrays["y"] = np.zeros(7)
    np.savez(tmp_path / "in.npz", **arrays)
    result = run("predict", files / "student.tflite", tmp_path / "in.npz")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize("named", [True, False])
def test_several_inputs_go_by_name_or_by_order(files, run, tmp_path, named):
    first, second = np.full((2, 4), 5.0), np.full((2, 4), 2.0)
    path, out = tmp_path / "in.npz", tmp_path / "out.npz"
    if named:
        np.savez(path, second=second, other=first, first=first)
    else:
        np.savez(path, first, second)
    result = run("predict", files / "two.tflite", path, "--output", out)
    assert result.exit_code == 0, result.stderr
    np.testing.assert_array_equal(np.load(out)["difference"], np.full((2, 4), 3.0))


def _bad_arrays(folder):
    """Names of bad files for the student, and what is said about each."""
    save = {
        "several.npz": {"a": IMAGES, "b": IMAGES},
        "no_array.npz": {},
        "strings.npz": {"x": np.array(["1", "2"])},
        "complex.npz": {"x": IMAGES.astype("complex64")},
        "empty.npz": {"x": IMAGES[:0]},
        "number.npz": {"x": np.float32(1)},
        "shape.npz": {"x": np.zeros((3, 6, 6, 1))},
        "one_image.npz": {"x": IMAGES[0]},
        "pickled.npz": {"x": np.array([{}], dtype=object)},
    }
    for name, arrays in save.items():
        np.savez(folder / name, **arrays)
    (folder / "text.npz").write_text("1,2,3")
    np.save(folder / "single.npy", IMAGES)
    (folder / "single.npy").rename(folder / "npy.npz")
    good = (folder.parent / "images.npz").read_bytes()
    (folder / "cut.npz").write_bytes(good[: len(good) // 2])
    middle = len(good) // 2
    flipped = good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]
    (folder / "flipped.npz").write_bytes(flipped)
    (folder / "folder.npz").mkdir()
    return {
        "several.npz": "['a', 'b']",
        "no_array.npz": "[]",
        "strings.npz": "real numbers",
        "complex.npz": "real numbers",
        "empty.npz": "(0, 6, 6, 2)",
        "number.npz": "hold samples",
        "shape.npz": "(3, 6, 6, 1)",
        "one_image.npz": "(6, 6, 2)",
        "pickled.npz": "pickled",
        "text.npz": "an .npz file",
        "npy.npz": "an .npz file",
        "cut.npz": "an .npz file",
        "flipped.npz": "annot read",
        "folder.npz": "a folder of images; its inputs are of shape (6, 6, 2)",
        "none.npz": "there is no file",
    }


def test_predict_on_bad_arrays(files, run):
    folder = files / "bad_arrays"
    folder.mkdir()
    bad = _bad_arrays(folder)
    before = files_in(folder)
    for name, fragment in bad.items():
        result = run(
            *("predict", files / "student.tflite", folder / name),
            *("--output", folder / "out.npz"),
        )
        _assert_user_error(result, fragment)
        assert files_in(folder) == before


def test_several_inputs_that_cannot_be_told_apart(files, run, tmp_path):
    np.savez(tmp_path / "in.npz", first=np.zeros((2, 4)), b=np.zeros((2, 4)))
    result = run("predict", files / "two.tflite", tmp_path / "in.npz")
    _assert_user_error(result, "['first', 'second']", "['first', 'b']")


def test_predict_with_bad_models(files, run, tmp_path):
    good = (files / "student.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(good[: len(good) // 2])
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "folder.tflite").mkdir()
    for path, fragment in (
        (tmp_path / "cut.tflite", "cut.tflite"),
        (tmp_path / "empty.tflite", "empty.tflite"),
        (tmp_path / "folder.tflite", "is a folder"),
        (tmp_path / "none.tflite", "there is no file"),
        (files / "student.keras", "student.keras"),
    ):
        _assert_user_error(run("predict", path, files / "images.npz"), fragment)


def test_a_full_disk_leaves_nothing_behind(files, run, tmp_path, monkeypatch):
    out = tmp_path / "out.npz"
    out.write_bytes(b"older results")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", full)
    result = run(
        "predict", files / "student.tflite", files / "images.npz", "--output", out
    )
    _assert_user_error(result, "out.npz", os.strerror(errno.ENOSPC))
    assert files_in(tmp_path) == {out: b"older results"}


def test_indices_beyond_their_table(run, tmp_path):
    table = keras.layers.Embedding(10, 4)
    keras.Sequential([keras.Input((3,), dtype="int32"), table]).save(
        tmp_path / "table.keras"
    )
    np.savez(tmp_path / "inside.npz", np.array([[1, 2, 9]], "int32"))
    np.savez(tmp_path / "beyond.npz", np.array([[1, 2, 10]], "int32"))
    model = tmp_path / "table.tflite"
    result = run(
        *("export", tmp_path / "table.keras", model),
        *("--verify-data", tmp_path / "inside.npz"),
    )
    assert result.exit_code == 0, result.stderr
    result = run("predict", model, tmp_path / "beyond.npz")
    _assert_user_error(result, "fails on these", "must lie within its table")
