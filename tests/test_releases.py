"""Files that releases have written load, and say what they said.

Each folder under `tests/data/releases` was written by one release, with
`tests/data/releases/write.py`, and stays as it is.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn._files import file_digest
from keras_rbcn.callbacks.log_file import read_records
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign
from keras_rbcn.quantization import QuantizedLayer

RELEASES = Path(__file__).parent / "data" / "releases"
FOLDERS = sorted(path for path in RELEASES.iterdir() if path.is_dir())
# What a float32 interpreter or TensorFlow may compute otherwise on another processor,
# as a share of how far the values go: rounding, as sums run in another order. No sign
# hangs on it in the kept samples.
ROUNDING = 1e-5
# Where values are rounded to 8 bits, one in the middle of two integers may become the
# other one, and a sign behind it may flip: in the median of the samples, a step of 255.
STEP = 0.01


@pytest.fixture(params=FOLDERS, ids=[path.name for path in FOLDERS])
def release(request):
    """The folder of a release."""
    return request.param


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text("utf-8"))


def files(folder, pattern):
    """Files of a kind, of which there must be some."""
    found = sorted(folder.glob(pattern))
    assert found, f"{folder.name} holds no {pattern}"
    return found


def kept(path, kind):
    """Arrays of a .npz file beside another one, by the names of inputs or outputs."""
    with np.load(path.with_suffix(".npz")) as arrays:
        return {
            name.removeprefix(f"{kind}/"): arrays[name]
            for name in arrays.files
            if name.startswith(f"{kind}/")
        }


def assert_close(received, expected, int8=False):
    assert received.shape == expected.shape
    assert received.dtype == expected.dtype
    received, expected = (one.astype(np.float64) for one in (received, expected))
    difference = np.abs(received - expected).reshape(len(expected), -1).max(1)
    if int8:
        assert np.median(difference) <= STEP * np.ptp(expected)
    else:
        assert difference.max() <= ROUNDING * np.ptp(expected)


def as_list(values):
    return values if isinstance(values, list) else [values]


def test_there_is_a_release():
    assert FOLDERS


def test_all_files_are_there_and_as_they_were(release):
    listed = manifest(release)
    assert listed["release"] == release.name
    found = {
        str(path.relative_to(release)): file_digest(path)
        for path in release.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert found
    assert found == listed["files"]
    # The least that each release promises.
    for pattern in (
        "exports/*.tflite",
        "students/*.keras",
        "training/model.keras",
        "training/log.*",
        "bundle/*",
        "bundle.rbcn",
    ):
        files(release, pattern)


def test_exported_files_compute_what_they_did(release):
    kinds = set()
    for path in files(release, "exports/*.tflite"):
        file = rbcn.TFLiteModel(path)
        outputs = kept(path, "output")
        assert file.output_names == list(outputs)
        int8 = "int8" in path.stem
        received = as_list(file.predict(kept(path, "input")))
        for one, expected in zip(received, outputs.values(), strict=True):
            assert_close(one, expected, int8)
        kinds.add(
            (file.interpreter != "larq", len(outputs), outputs.popitem()[1].dtype)
        )
    # Both runtimes; one output and two; real numbers and integers.
    assert len(kinds) >= 6


def test_reports_are_read_back(release):
    origins = []
    for path in files(release, "exports/*.tflite"):
        report = rbcn.ExportReport.from_json(path.with_suffix(".json"))
        assert report.agreement.passed
        assert report.sha256 == file_digest(path)
        assert report.bytes == path.stat().st_size
        assert report.binary_convolutions
        assert (report.int8 is not None) == ("int8" in path.stem)
        saved = json.loads(path.with_suffix(".json").read_text("utf-8"))
        again = json.loads(json.dumps(report.to_dict()))
        assert without_more(again, saved) == saved
        origins.append(report.provenance)
    assert any("training" in one and "data" in one["given"] for one in origins)


def without_more(again, saved):
    """Without the fields that a later release knows and the older one did not."""
    if isinstance(saved, dict):
        return {k: without_more(again[k], saved[k]) for k in again if k in saved}
    if isinstance(saved, list):
        pairs = zip(again, saved, strict=True)
        return [without_more(one, other) for one, other in pairs]
    return again


def test_students_load_and_compute_what_they_did(release):
    kinds = set()
    for path in files(release, "students/*.keras"):
        model = keras.models.load_model(path)
        int8 = "int8" in path.stem
        received = as_list(model.predict(list(kept(path, "input").values()), verbose=0))
        for one, expected in zip(received, kept(path, "output").values(), strict=True):
            assert_close(one, expected, int8)
        kinds |= {type(layer) for layer in model.layers}
    assert {RectifiedConv2D, RSign, RPReLU, QuantizedLayer} <= kinds


def test_students_are_exported_again(release, tmp_path):
    """What is exported of a kept student computes what it was to compute."""
    for path in files(release, "students/*.keras"):
        model, inputs = keras.models.load_model(path), kept(path, "input")
        target = tmp_path / f"{path.stem}.tflite"
        int8 = "int8" in path.stem
        types = "int8" if int8 else "float32"
        rbcn.export_tflite(model, target, inputs, real_layers=types)
        received = as_list(rbcn.TFLiteModel(target).predict(inputs))
        for one, expected in zip(received, kept(path, "output").values(), strict=True):
            assert_close(one, expected, int8)


def test_a_model_in_training_goes_on(release):
    path = release / "training" / "model.keras"
    model = keras.models.load_model(path)
    assert isinstance(model, rbcn.RBCNModel)
    settings = json.loads((release / "training" / "settings.json").read_text("utf-8"))
    assert settings.items() <= as_json(model.get_compile_config()).items()
    steps = json.loads((release / "training" / "steps.json").read_text("utf-8"))
    assert steps == {name: int(getattr(model, name).iterations) for name in steps}
    images = kept(path, "input")["image"]
    (scores,) = kept(path, "output").values()
    assert_close(model.predict(images, verbose=0), scores)
    with np.load(path.with_suffix(".npz")) as arrays:
        labels = arrays["labels"]
    measured = model.evaluate(
        images, labels, batch_size=16, verbose=0, return_dict=True
    )
    for name, value in kept(path, "evaluate").items():
        np.testing.assert_allclose(measured[name], value, rtol=1e-4)
    before = model.get_weights()
    assert np.isfinite(model.train_on_batch(images, labels)).all()
    assert any(np.any(a != b) for a, b in zip(before, model.get_weights(), strict=True))


def as_json(values):
    return json.loads(json.dumps(values))


def test_logs_are_read_and_drawn(release):
    records = [read_records(path) for path in files(release, "training/log.*")]
    assert len(records) == 2
    assert [[row["epoch"] for row in one] for one in records] == [[0, 1], [0, 1]]
    for path in files(release, "training/log.*"):
        titles = {
            axes.get_title() for axes in rbcn.callbacks.plot_training_log(path).axes
        }
        assert {"Task loss", "Learning rate"} <= titles


def test_bundles_verify_and_classify_as_they_did(release):
    public, key = release / "public.pem", release / "TEST_DATA_ONLY.key"
    with np.load(release / "photo.npz") as arrays:
        photo = arrays["photo"]
    expected = json.loads((release / "classes.json").read_text("utf-8"))
    rbcn.signing.verify(release / "bundle", public)
    secret = key.read_text().strip()
    for bundle in (
        rbcn.Bundle(release / "bundle", verify_key=public),
        rbcn.Bundle(
            release / "bundle.rbcn",
            verify_key=public,
            decryption_key=bytes.fromhex(secret),
        ),
    ):
        found = bundle.classify(photo)
        assert [one.label for one in found] == [one["label"] for one in expected]
        np.testing.assert_allclose(
            [one.score for one in found], [one["score"] for one in expected], rtol=1e-4
        )
        report = rbcn.ExportReport.from_json(bundle.files["report.json"].decode())
        assert report.sha256 == bundle.metadata.model.sha256


def test_no_private_key_is_kept(release):
    for path in release.rglob("*"):
        assert path.is_dir() or b"PRIVATE" not in path.read_bytes()
