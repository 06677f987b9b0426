"""The commands bundle and classify."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from outcomes import assert_user_error, files_in
from PIL import Image

from keras_rbcn import Bundle, ImagePreprocessing
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.signing.encryption import MAGIC
from keras_rbcn.signing.folders import MAX_FILES


def _student():
    inputs = keras.Input((6, 9, 3), name="photo")
    x = RectifiedConv2D(8, 3, padding="same", name="binary")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(2)(x), name="pets")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A student, images of two classes, and files of labels."""
    folder = tmp_path_factory.mktemp("made")
    _student().save(folder / "student.keras")
    random = np.random.default_rng(0)
    for number in range(6):
        image = random.integers(0, 256, (12, 7 + number, 3)).astype("uint8")
        path = folder / "images" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        tf.io.write_file(str(path), tf.io.encode_png(image))
    pixels = random.integers(0, 256, (4, 6, 9, 3)).astype("uint8")
    np.savez(folder / "pixels.npz", pixels)
    np.savez(folder / "numbers.npz", pixels.astype("float32") / 127.5 - 1)
    # As an editor of another system leaves it.
    (folder / "labels.txt").write_bytes("\ufeffcat\r\ndog\r\n\r\n".encode())
    summary = {"classes": ["a", "b"], "accuracy": 1.0}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A folder of these files, in which the commands run."""
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write(run, *arguments, labels="labels.txt", data="images"):
    result = run(
        *("bundle", "student.keras", "pets", "--labels", labels),
        *("--verify-data", data, *arguments),
    )
    assert result.exit_code == 0, result.stderr
    return result


def test_a_bundle_of_a_folder(here, run):
    result = _write(run)
    assert "Wrote " in result.stdout
    assert "files to pets: labels.txt, metadata.json" in result.stdout
    assert "LceBconv2d" in result.stdout
    assert result.stderr == ""
    bundle = Bundle("pets")
    assert bundle.labels == ["cat", "dog"]
    assert bundle.metadata.inputs[0].image == ImagePreprocessing(
        [127.5] * 3, [127.5] * 3
    )


def test_labels_and_settings_of_a_training(here, run):
    settings = ("--rescale", "0", "1", "--crop-fraction", "0.5", "--name", "my pets")
    origin = ("--provenance", "summary.json")
    _write(run, *settings, *origin, "--runtime", "litert", labels="summary.json")
    bundle = Bundle("pets")
    assert bundle.labels == ["a", "b"]
    assert bundle.metadata.name == "my pets"
    assert bundle.metadata.model.runtime == "litert"
    assert (
        json.loads(bundle.files["report.json"])["provenance"]["given"]["accuracy"]
        == 1.0
    )
    expected = ImagePreprocessing([0] * 3, [255] * 3, 0.5)
    assert bundle.metadata.inputs[0].image == expected


@pytest.mark.parametrize("data", ["pixels.npz", "numbers.npz"])
def test_arrays(here, run, data):
    result = _write(run, "--rescale", "-1", "1", data=data)
    assert result.stderr == ""
    assert Bundle("pets").image_shape == (6, 9, 3)
    result = _write(run, "--overwrite", data="numbers.npz")
    assert "does not say how pixels become inputs" in result.stderr
    assert Bundle("pets").metadata.inputs[0].image is None
    result = run("classify", "pets", "images")
    assert_user_error(result, "does not say how an image becomes")


def test_images_with_names_that_are_no_text(here, run):
    name = os.fsdecode(b"caf\xe9.png")
    Path("odd").mkdir()
    Path("odd", name).write_bytes(Path("images/a/0.png").read_bytes())
    _write(run)
    for command in (
        ("bundle", "student.keras", "b", "--verify-data", "odd"),
        ("classify", "pets", "odd"),
        ("classify", "pets", Path("odd", name)),
        ("predict", "pets/model.tflite", "odd"),
    ):
        assert_user_error(run(*command), r"cannot read 'odd/caf\udce9.png'", "UTF-8")
    assert not Path("b").exists()


def test_names_are_no_markup(here, run):
    arguments = (
        "student.keras",
        "odd",
        "--verify-data",
        "images",
        "--name",
        "[/x] [b]",
    )
    assert run("bundle", *arguments).exit_code == 0
    result = run("classify", "odd", "images")
    assert result.exit_code == 0
    assert "[/x] [b]" in result.stdout


def test_classify(here, run):
    _write(run)
    paths = sorted(Path("images").rglob("*.png"))
    result = run("classify", "pets", "images/b", paths[0], "--top", "2")
    assert result.exit_code == 0, result.stderr
    bundle = Bundle("pets")
    expected = []
    for path in (*sorted(Path("images/b").iterdir()), paths[0]):
        pixels = tf.io.decode_png(tf.io.read_file(str(path))).numpy()
        for label, score in bundle.classify(pixels):
            expected.append([label, f"{score:.1%}"])
    cells = [
        [cell.strip() for cell in line.split("│")[2:4]]
        for line in result.stdout.splitlines()
        if "%" in line
    ]
    assert cells == expected
    assert result.stdout.count("images/") == 4
    top = run("classify", "pets", paths[0], "--top", "1")
    assert top.stdout.count("%") == 1


def test_signed_and_encrypted(here, run):
    _write(run)
    keys = ("--private", "private.pem", "--public", "public.pem")
    for command in (
        ("keygen", *keys, "--encryption", "secret.key"),
        ("sign", "pets", "--key", "private.pem"),
        ("encrypt", "pets", "pets.rbcn", "--key", "secret.key"),
    ):
        assert run(*command).exit_code == 0
    open_one = run("classify", "pets", "images", "--verify-key", "public.pem")
    assert open_one.exit_code == 0, open_one.stderr
    closed = run(
        *("classify", "pets.rbcn", "images", "--verify-key", "public.pem"),
        *("--key", "secret.key"),
    )
    assert closed.exit_code == 0, closed.stderr
    assert closed.stdout == open_one.stdout
    Path("pets/labels.txt").write_text("dog\ncat\n")
    altered = run("classify", "pets", "images", "--verify-key", "public.pem")
    assert altered.exit_code == 1
    assert altered.stderr.startswith("error: ")
    assert "changed: labels.txt" in altered.stderr
    assert_user_error(run("classify", "pets.rbcn", "images"), "is encrypted")


def test_an_export_that_fails(here, run):
    # A kernel that covers more than its zero-padded inputs is converted wrongly.
    layer = RectifiedConv2D(
        8, 3, dilation_rate=2, padding="same", pad_values=0.0, name="wrong"
    )
    keras.Sequential([keras.Input((4, 5, 16)), layer]).save("wrong.keras")
    result = run("bundle", "wrong.keras", "b")
    assert result.exit_code == 1
    assert "  layer: wrong" in result.stderr.splitlines()
    assert not Path("b").exists()


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("none.keras", "b"), "none.keras"),
        (("student.keras", "student.keras"), "is a file"),
        (("student.keras", "none/b"), "Create 'none'"),
        (("student.keras", "images"), "FOLDER to be new or empty"),
        (("student.keras", "images"), "pass --overwrite to replace"),
        (("student.keras", "images", "--overwrite"), "older bundle"),
        (("student.keras", "b", "--labels", "none.txt"), "none.txt"),
        (("student.keras", "b", "--labels", "student.keras"), "label a line"),
        (("student.keras", "b", "--labels", "bad.json"), "summary.json"),
        (("student.keras", "b", "--provenance", "bad.json"), "bad.json"),
        (("student.keras", "b", "--labels", "numbers.json"), "no names"),
        (("student.keras", "b", "--labels", "three.txt"), "3 labels"),
        (("student.keras", "b", "--labels", "nul.txt"), "labels[1]='d\\x00g'"),
        (("student.keras", "."), "FOLDER to be another than the current one"),
        (("student.keras", "b", "--rescale", "1", "0"), "black and white"),
        (("student.keras", "b", "--crop-fraction", "0.5"), "needs --rescale"),
        (
            ("student.keras", "b", "--rescale", "0", "1", "--crop-fraction", "2"),
            "--crop-fraction 2.0",
        ),
        (("student.keras", "b", "--verify-data", "none"), "none"),
        (("student.keras", "b", "--verify-data", "three.txt"), "three.txt"),
        (("student.keras", "b", "--name", " "), "Expected --name"),
        (("student.keras", "b", "--runtime", "coreml"), "coreml"),
        (("vector.keras", "b", "--verify-data", "images"), "images of 1, 3 or 4"),
        (("vector.keras", "b", "--rescale", "0", "1"), "images of 1 or 3 channels"),
    ],
)
def test_mistakes_write_nothing(here, run, arguments, fragment):
    Path("bad.json").write_text("[]")
    Path("numbers.json").write_text('{"classes": 2}')
    Path("three.txt").write_text("a\nb\nc\n")
    Path("nul.txt").write_text("cat\nd\0g\n")
    layers = [keras.Input((4,)), keras.layers.Dense(2)]
    keras.Sequential(layers).save("vector.keras")
    before = files_in(here)
    assert_user_error(run("bundle", *arguments), fragment)
    assert files_in(here) == before


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("none", "images"), "none"),
        (("pets", "none.png"), "none.png"),
        (("pets", "empty"), "to hold images"),
        (("pets", "labels.txt"), "Cannot read 'labels.txt' as an image"),
        (("pets", "images", "--top", "0"), "--top"),
        (("pets", "images", "--verify-key", "none.pem"), "none.pem"),
        (("pets", "images", "--key", "env:NO_SUCH"), "NO_SUCH"),
        (("alone/model.tflite", "images"), "Run it by keras-rbcn predict"),
        (("alone", "images"), "to hold 'metadata.json'"),
        (("plain", "images"), "--rescale of keras-rbcn bundle"),
        (("plain", "images"), "give keras-rbcn predict its inputs"),
        (("secret.rbcn", "images"), "pass its key as --key"),
        (("images", "images"), "not written by export_bundle"),
        (("pets",), "IMAGES"),
    ],
)
def test_mistakes_of_classify(here, run, arguments, fragment):
    _write(run, "--runtime", "litert")
    Path("empty").mkdir()
    Path("secret.rbcn").write_bytes(MAGIC)
    Path("alone").mkdir()
    Path("alone/model.tflite").write_bytes(Path("pets/model.tflite").read_bytes())
    for number in range(MAX_FILES):
        Path("alone", f"{number}.txt").touch()
    if "plain" in arguments:
        result = run(
            *("bundle", "student.keras", "plain", "--runtime", "litert"),
            *("--verify-data", "numbers.npz"),
        )
        assert "warning: the bundle does not say how pixels" in result.stderr
    assert_user_error(run("classify", *arguments), fragment)


def test_what_takes_no_images_is_not_to_be_rescaled(here, run):
    inputs = [keras.Input((4,), name="a"), keras.Input((4,), name="b")]
    keras.Model(inputs, keras.layers.Add()(inputs)).save("two.keras")
    values = np.ones((3, 4), "float32")
    np.savez("two.npz", a=values, b=values)
    result = run("bundle", "two.keras", "two", "--verify-data", "two.npz")
    assert result.exit_code == 0, result.stderr
    assert "rescale" not in result.stderr


def test_warnings_speak_of_options(here, run):
    result = run("bundle", "student.keras", "b", "--runtime", "litert")
    assert result.exit_code == 0, result.stderr
    assert "no --verify-data was given" in result.stderr


@pytest.mark.parametrize("name", ["colour.bmp", "colour.gif", "cmyk.jpg"])
def test_files_of_any_colours_for_a_grey_model(here, run, name):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Flatten()(inputs)
    keras.Model(inputs, keras.layers.Dense(3)(x)).save("grey.keras")
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (8, 8, 3)).astype("uint8")
    Path("photos").mkdir()
    image = Image.fromarray(pixels)
    image = image.convert("CMYK") if name == "cmyk.jpg" else image
    image.save(Path("photos", name))
    result = run(
        *("bundle", "grey.keras", "grey", "--verify-data", "photos"),
        *("--runtime", "litert"),
    )
    assert result.exit_code == 0, result.stderr
    result = run("classify", "grey", f"photos/{name}")
    assert result.exit_code == 0, result.stderr
    result = run("predict", "grey/model.tflite", "photos", "--output", "out.npz")
    assert result.exit_code == 0, result.stderr
    bundle = Bundle("grey")
    with Image.open(Path("photos", name)) as image:
        colours = np.asarray(image.convert("RGB"))
    expected = bundle.model.predict(bundle.preprocess(colours))
    with np.load("out.npz") as written:
        received = written[bundle.model.output_names[0]]
    # TensorFlow and Pillow turn CMYK into colours by formulas of their own.
    atol = 0.1 if name == "cmyk.jpg" else 1e-5
    np.testing.assert_allclose(received, expected, atol=atol)


def test_the_commands_are_listed(run):
    listed = run("--help").output
    for command in ("bundle", "classify"):
        assert f" {command} " in listed
