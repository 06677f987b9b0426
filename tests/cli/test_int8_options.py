"""Commands that export with real layers in int8."""

import json

import numpy as np
import pytest
from outcomes import assert_user_error, files_in

from keras_rbcn import TFLiteModel, quantize_real_layers
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D

IMAGES = np.random.default_rng(0).normal(size=(24, 8, 8, 3)).astype("float32")
INT8 = ("--real-layers", "int8")


@pytest.fixture
def folder(tmp_path):
    """A folder with a student, and inputs for it."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", name="first")(inputs)
    x = keras.layers.BatchNormalization()(RectifiedConv2D(16, 3, padding="same")(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    student = keras.Model(inputs, keras.layers.Dense(4, name="last")(x))
    student.save(tmp_path / "student.keras")
    np.savez(tmp_path / "images.npz", IMAGES)
    return tmp_path


def test_export(run, folder):
    result = run(
        *("export", folder / "student.keras", folder / "out.tflite"),
        *("--verify-data", folder / "images.npz", *INT8),
        *("--calibration-data", folder / "images.npz"),
        *("--input-type", "int8", "--output-type", "int8"),
        *("--report", folder / "report.json"),
    )
    assert result.exit_code == 0, result.stderr
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["int8"]["layers"] == ["first", "last"]
    file = TFLiteModel(folder / "out.tflite")
    assert (file.input_dtypes, file.output_dtypes) == ([np.int8], [np.int8])


def test_predict(run, folder):
    result = run(
        *("export", folder / "student.keras", folder / "out.tflite"),
        *("--verify-data", folder / "images.npz", *INT8),
        *("--calibration-data", folder / "images.npz"),
        *("--input-type", "int8", "--output-type", "int8"),
    )
    assert result.exit_code == 0, result.stderr
    file = TFLiteModel(folder / "out.tflite")
    (given,), (read,) = file.input_quantizations, file.output_quantizations
    wide = IMAGES * 3  # Some lie beyond the ends of int8.
    steps = np.round(wide / np.float32(given.scale)) + given.zero_point
    integers = np.clip(steps, -128, 127).astype("int8")
    assert {-128, 127} <= set(integers.ravel())
    gave = file.predict(integers)
    expected = (gave.astype("float32") - read.zero_point) * np.float32(read.scale)
    np.savez(folder / "real.npz", wide.astype("float64"))
    np.savez(folder / "integers.npz", integers)
    for name in ("real", "integers"):
        result = run(
            *("predict", folder / "out.tflite", folder / f"{name}.npz"),
            *("--output", folder / "scores.npz"),
        )
        assert result.exit_code == 0, result.stderr
        assert "float32, of int8" in result.output
        with np.load(folder / "scores.npz") as written:
            (received,) = written.values()
        np.testing.assert_array_equal(received, expected)
    pixels = np.random.default_rng(1).integers(0, 256, (4, 8, 8, 3), "uint8")
    (folder / "photos").mkdir()
    for number, image in enumerate(pixels):
        png = tf.io.encode_png(image).numpy()
        (folder / "photos" / f"{number}.png").write_bytes(png)
    np.savez(folder / "pixels.npz", pixels)
    found = []
    for source, options in (("photos", ()), ("pixels.npz", ("--rescale", -1, 1))):
        result = run(
            *("predict", folder / "out.tflite", folder / source, *options),
            *("--output", folder / "scores.npz"),
        )
        assert result.exit_code == 0, result.stderr
        with np.load(folder / "scores.npz") as written:
            found.append(written[file.output_names[0]])
    np.testing.assert_array_equal(*found)
    steps = (pixels / np.float32(127.5) - 1) / np.float32(given.scale)
    integers = np.clip(np.rint(steps) + given.zero_point, -128, 127).astype("int8")
    np.testing.assert_allclose(
        found[0], read.to_numbers(file.predict(integers)), atol=2 * read.scale
    )


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (IMAGES * np.float32(np.nan), "no numbers (NaN)"),
        (np.zeros((4, 8, 8, 3), "uint8"), "element type int8"),
    ],
)
def test_predict_refuses(run, folder, array, message):
    result = run(
        *("export", folder / "student.keras", folder / "out.tflite"),
        *("--verify-data", folder / "images.npz", *INT8),
        *("--calibration-data", folder / "images.npz", "--input-type", "int8"),
    )
    assert result.exit_code == 0, result.stderr
    np.savez(folder / "bad.npz", array)
    result = run("predict", folder / "out.tflite", folder / "bad.npz")
    assert_user_error(result, message)


def test_a_student_that_has_its_ranges(run, folder):
    student = keras.models.load_model(folder / "student.keras")
    quantize_real_layers(student, IMAGES).save(folder / "small.keras")
    arguments = (
        *("export", folder / "small.keras", folder / "out.tflite"),
        *("--verify-data", folder / "images.npz"),
    )
    assert run(*arguments, *INT8).exit_code == 0
    (folder / "out.tflite").unlink()
    assert_user_error(run(*arguments), "--real-layers int8")
    assert not (folder / "out.tflite").exists()


def test_bundle(run, folder):
    result = run(
        *("bundle", folder / "student.keras", folder / "bundle"),
        *("--verify-data", folder / "images.npz", "--rescale", -1, 1, *INT8),
        *("--calibration-data", folder / "images.npz", "--input-type", "int8"),
    )
    assert result.exit_code == 0, result.stderr
    metadata = json.loads((folder / "bundle" / "metadata.json").read_text("utf-8"))
    (value,) = metadata["inputs"]
    low = -(128 + value["quantization"]["zero_point"]) * value["quantization"]["scale"]
    assert value["dtype"] == "int8"
    np.testing.assert_allclose(low, IMAGES.min(), atol=value["quantization"]["scale"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (INT8, "needs --calibration-data"),
        (("--calibration-data", "images.npz"), "is for --real-layers int8"),
        (("--input-type", "int8"), "nothing in the model has a range"),
        (("--input-type", "int8"), "--real-layers int8 and --calibration-data as well"),
        ((*INT8, "--calibration-data", "none.npz"), "none.npz"),
        (("--real-layers", "int4"), "--real-layers"),
    ],
)
@pytest.mark.parametrize(
    ("command", "out"), [("export", "out.tflite"), ("bundle", "b")]
)
def test_what_cannot_be_asked_for(run, folder, command, out, options, message):
    before = files_in(folder)
    typed = [folder / o if o.endswith(".npz") else o for o in options]
    result = run(
        *(command, folder / "student.keras", folder / out),
        *("--verify-data", folder / "images.npz", *typed),
    )
    assert_user_error(result, message)
    assert files_in(folder) == before
