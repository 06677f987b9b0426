"""`keras-rbcn export --report --provenance`: JSON, pages, where a student is from."""

import json

import numpy as np
import pytest

from keras_rbcn._backend import keras
from keras_rbcn.datasets import fingerprint
from keras_rbcn.export import ExportReport
from keras_rbcn.layers import RectifiedConv2D

IMAGES = np.random.default_rng(0).normal(size=(12, 6, 6, 2)).astype("float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            RectifiedConv2D(8, 3, name="conv"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    model.save(folder / "student.keras")
    labels = np.arange(12) % 2
    np.savez(folder / "data.npz", x=IMAGES, y=labels)
    return folder


def _export(run, folder, *options):
    return run(
        *("export", folder / "student.keras", folder / "student.tflite"),
        *("--verify-data", folder / "data.npz", *options),
    )


def _refused(result, *fragments):
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    for fragment in fragments:
        assert fragment in line


def test_both_forms_of_the_report(run, folder):
    (folder / "origin.json").write_text('{"commit": "1a2b3c"}')
    result = _export(
        *(run, folder, "--report", folder / "a.json", "--report", folder / "a.html"),
        *("--provenance", folder / "origin.json"),
    )
    assert result.exit_code == 0, result.stderr
    report = ExportReport.from_json(folder / "a.json")
    assert report.provenance["given"] == {"commit": "1a2b3c"}
    page = (folder / "a.html").read_text("utf-8")
    assert page == report.to_html()
    assert "1a2b3c" in page


def test_the_summary_of_a_training_goes_into_the_report(run, folder, tmp_path):
    out = tmp_path / "run"
    result = run(
        *("train", "--student", folder / "student.keras", "--epochs", 1),
        *("--data", folder / "data.npz", "--validation-fraction", 0.5),
        *("--output", out),
    )
    assert result.exit_code == 0, result.output
    result = run(
        *("export", out / "student.keras", tmp_path / "student.tflite"),
        *("--verify-data", folder / "data.npz", "--report", tmp_path / "report.json"),
        *("--provenance", out / "summary.json"),
    )
    assert result.exit_code == 0, result.output
    provenance = ExportReport.from_json(tmp_path / "report.json").provenance
    given = provenance["given"]
    assert given == json.loads((out / "summary.json").read_text("utf-8"))
    assert given["student_sha256"] == provenance["student"]["weights_sha256"]
    assert given["teacher_sha256"] is None
    assert given["data_sha256"] == fingerprint(folder / "data.npz")
    assert given["settings"]["epochs"] == 1
    assert given["settings"]["data"] == str(folder / "data.npz")


@pytest.mark.parametrize(
    ("options", "fragments"),
    [
        (("--report", "a.txt"), ("a.txt", ".json or .html")),
        (("--report", "a"), (".json or .html",)),
        (("--report", "a.html", "--report", "a.html"), ("named twice",)),
        (("--report", "student.tflite"), ("named twice",)),
        (("--provenance", "none.json"), ("there is no file", "none.json")),
        (("--provenance", "text.json"), ("text.json", "as JSON")),
        (("--provenance", "latin.json"), ("latin.json", "as JSON")),
        (("--provenance", "list.json"), ("list.json", "JSON object", "list")),
        (("--provenance", "nan.json"), ("provenance['a']", "nan")),
        (("--report", "o.json", "--provenance", "o.json"), ("named twice",)),
    ],
)
def test_wrong_names_and_files_are_refused_before_the_work(
    run, folder, tmp_path, monkeypatch, options, fragments
):
    def export_tflite(*args, **kwargs):
        pytest.fail("exported before the options were checked")

    monkeypatch.setattr("keras_rbcn.cli.commands.export_tflite", export_tflite)
    (tmp_path / "text.json").write_text("no json")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe4"}')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "nan.json").write_text('{"a": NaN}')
    (tmp_path / "o.json").write_text("{}")
    typed = [one if one.startswith("--") else tmp_path / one for one in options]
    result = run(
        *("export", folder / "student.keras", tmp_path / "student.tflite"),
        *("--verify-data", folder / "data.npz", *typed),
    )
    _refused(result, *fragments)
    assert not (tmp_path / "student.tflite").exists()
