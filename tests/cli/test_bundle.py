"""The commands bundle and classify."""

import json
from pathlib import Path

import numpy as np
import pytest
from outcomes import assert_user_error, files_in

from keras_rbcn import Bundle, ImagePreprocessing
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D


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
        (("student.keras", "images"), "to be new or empty"),
        (("student.keras", "images", "--overwrite"), "older bundle"),
        (("student.keras", "b", "--labels", "none.txt"), "none.txt"),
        (("student.keras", "b", "--labels", "student.keras"), "label a line"),
        (("student.keras", "b", "--labels", "bad.json"), "summary.json"),
        (("student.keras", "b", "--provenance", "bad.json"), "bad.json"),
        (("student.keras", "b", "--labels", "numbers.json"), "no names"),
        (("student.keras", "b", "--labels", "three.txt"), "3 labels"),
        (("student.keras", "b", "--rescale", "1", "0"), "black and white"),
        (("student.keras", "b", "--crop-fraction", "0.5"), "needs --rescale"),
        (
            ("student.keras", "b", "--rescale", "0", "1", "--crop-fraction", "2"),
            "`crop_fraction`",
        ),
        (("student.keras", "b", "--verify-data", "none"), "none"),
        (("student.keras", "b", "--verify-data", "three.txt"), "three.txt"),
        (("student.keras", "b", "--name", " "), "`name`"),
        (("student.keras", "b", "--runtime", "coreml"), "coreml"),
        (("vector.keras", "b", "--verify-data", "images"), "images of 1, 3 or 4"),
        (("vector.keras", "b", "--rescale", "0", "1"), "images of 1 or 3 channels"),
    ],
)
def test_mistakes_write_nothing(here, run, arguments, fragment):
    Path("bad.json").write_text("[]")
    Path("numbers.json").write_text('{"classes": 2}')
    Path("three.txt").write_text("a\nb\nc\n")
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
        (("images", "images"), "not written by export_bundle"),
        (("pets",), "IMAGES"),
    ],
)
def test_mistakes_of_classify(here, run, arguments, fragment):
    _write(run, "--runtime", "litert")
    Path("empty").mkdir()
    assert_user_error(run("classify", *arguments), fragment)


def test_the_commands_are_listed(run):
    listed = run("--help").output
    for command in ("bundle", "classify"):
        assert f" {command} " in listed
