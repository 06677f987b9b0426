"""What export and predict run models on: folders of images, and scaled pixels."""

import json

import numpy as np
import pytest
from outcomes import assert_user_error
from PIL import Image

from keras_rbcn._backend import keras
from keras_rbcn.cli.errors import UserError
from keras_rbcn.cli.samples import read_samples

layers = keras.layers
# In the order of their paths; twice as high and wide as the model's images.
NAMES = ["ant/0.png", "ant/1.png", "bee/0.png", "bee/1.PNG", "loose.png"]
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype("uint8")


def _scaled(low, high):
    """The mean of four pixels each, which a bilinear image of half the size is."""
    means = PIXELS.reshape(5, 4, 2, 4, 2, 3).mean(axis=(2, 4))
    return (means / 255 * (high - low) + low).astype("float32")


def _inputs(shape):
    inputs = keras.Input(shape, name="photo")
    x = layers.Flatten()(inputs)
    return inputs, layers.Dense(3, name="scores")(x)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, run):
    """A model and its file, and the images in a folder and as arrays."""
    path = tmp_path_factory.mktemp("samples")
    keras.utils.set_random_seed(0)
    keras.Model(*_inputs((4, 4, 3)), name="student").save(path / "student.keras")
    for name, image in zip(NAMES, PIXELS, strict=True):
        (path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path / "images" / name)
    (path / "images" / ".hidden").mkdir()
    Image.fromarray(PIXELS[0]).save(path / "images" / ".hidden" / "0.png")
    (path / "images" / "notes.txt").write_text("no image")
    np.savez(path / "bytes.npz", PIXELS[:, ::2, ::2])
    result = run(
        *("export", path / "student.keras", path / "student.tflite"),
        *("--verify-data", path / "images", "--report", path / "report.json"),
    )
    assert result.exit_code == 0, result.output
    assert not result.stderr
    return path


def test_export_compares_on_the_images_of_a_folder(folder):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    (agreement,) = report["agreements"]
    assert agreement["data"] == "verify_data"
    assert agreement["samples"] == len(NAMES)


@pytest.mark.parametrize(
    ("options", "scale"), [((), (-1, 1)), (("--rescale", "0", "1"), (0, 1))]
)
def test_predict_on_a_folder_names_the_images(folder, run, tmp_path, options, scale):
    out = tmp_path / "out.npz"
    result = run(
        *("predict", folder / "student.tflite", folder / "images"),
        *("--output", out, *options),
    )
    assert result.exit_code == 0, result.output
    model = keras.models.load_model(folder / "student.keras", compile=False)
    expected = model.predict(_scaled(*scale), verbose=0)
    with np.load(out) as written:
        assert written["files"].tolist() == NAMES
        np.testing.assert_allclose(written["scores"], expected, atol=1e-4)
    cells = [line.split("│")[1:3] for line in result.stdout.splitlines() if "│" in line]
    found = {name.strip(): int(best) for name, best in cells}
    assert found == dict(zip(NAMES, expected.argmax(axis=1), strict=True))


def test_bytes_are_rescaled_as_in_training(folder, run, tmp_path):
    out, arrays = tmp_path / "out.npz", tmp_path / "floats.npz"
    np.savez(arrays, PIXELS[:, ::2, ::2] / 127.5 - 1)
    found = []
    for data, options in (
        (folder / "bytes.npz", ("--rescale", "-1", "1")),
        (arrays, ()),
        (folder / "bytes.npz", ()),
    ):
        result = run(
            "predict", folder / "student.tflite", data, "--output", out, *options
        )
        assert result.exit_code == 0, result.output
        found.append(np.load(out)["scores"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    assert np.abs(found[2] - found[1]).max() > 1


def test_few_of_many_images_are_of_every_folder(folder):
    names = ["photo"], [(4, 4, 3)]
    samples = read_samples(folder / "images", *names, None, count=3)
    assert samples.names == [NAMES[0], NAMES[2], NAMES[4]]
    np.testing.assert_allclose(samples.x, _scaled(-1, 1)[::2], atol=1e-5)
    assert read_samples(folder / "images", *names, None, count=9).names == NAMES


def test_only_the_bytes_of_several_inputs_are_rescaled(tmp_path):
    path = tmp_path / "pair.npz"
    np.savez(path, photo=PIXELS, age=np.full((5, 1), 7.0))
    samples = read_samples(
        path, ["age", "photo"], [(1,), (8, 8, 3)], rescale=(0.0, 255.0)
    )
    np.testing.assert_array_equal(samples.x[0], np.full((5, 1), 7.0))
    np.testing.assert_allclose(samples.x[1], PIXELS, atol=1e-4)


@pytest.mark.parametrize(
    "shapes", [[(4, 4, 2)], [(48,)], [(4, 4, 3), (4, 4, 3)]], ids=str
)
def test_a_folder_for_a_model_that_takes_no_images(folder, shapes):
    with pytest.raises(UserError, match="one input, images of 1, 3 or 4 channels"):
        read_samples(folder / "images", ["a", "b"][: len(shapes)], shapes, None)


@pytest.mark.parametrize(
    ("images", "options", "fragment"),
    [
        ("empty", (), "to hold images (.bmp"),
        ("broken", (), "0.png' as an image: it is damaged"),
        ("none", (), "no file"),
        ("images", ("--rescale", "1", "0"), "rescale=(1.0, 0.0)"),
        ("floats.npz", ("--rescale", "0", "1"), "of type uint8"),
    ],
)
def test_samples_that_cannot_be_read(folder, run, tmp_path, images, options, fragment):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "0.png").write_text("<html>")
    np.savez(tmp_path / "floats.npz", _scaled(-1, 1))
    path = folder / images if images == "images" else tmp_path / images
    export = "export", folder / "student.keras", tmp_path / "o.tflite"
    for command in (
        ("predict", folder / "student.tflite", path),
        (*export, "--verify-data", path),
    ):
        assert_user_error(run(*command, *options), fragment)
    assert not (tmp_path / "o.tflite").exists()


def test_a_scale_for_no_data(folder, run, tmp_path):
    result = run(
        *("export", folder / "student.keras", tmp_path / "out.tflite"),
        *("--rescale", "0", "1"),
    )
    assert_user_error(result, "--rescale is for --verify-data")


def test_outputs_of_any_name_are_written(run, tmp_path):
    inputs = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten()(inputs)
    ends = [keras.layers.Dense(2, name=name)(flat) for name in ("file", "files")]
    keras.Model(inputs, ends).save(tmp_path / "model.keras")
    (tmp_path / "images").mkdir()
    Image.fromarray(PIXELS[0, :4, :4, 0]).save(tmp_path / "images" / "a.png")
    file, out = tmp_path / "model.tflite", tmp_path / "out.npz"
    exported = run(
        *("export", tmp_path / "model.keras", file),
        *("--verify-data", tmp_path / "images"),
    )
    assert exported.exit_code == 0, exported.stderr
    result = run("predict", file, tmp_path / "images", "--output", out)
    assert result.exit_code == 0, result.stderr
    with np.load(out) as arrays:
        assert set(arrays) == {"file", "files", "image_files"}
        assert arrays["files"].shape == (1, 2)
        assert arrays["image_files"].tolist() == ["a.png"]
