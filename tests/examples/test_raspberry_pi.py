"""examples/raspberry_pi computes what the package computes."""

import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import vectors
from PIL import Image

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn._grey import _WEIGHTS
from keras_rbcn.bundle.metadata import FORMAT, FORMAT_VERSION, METADATA_NAME
from keras_rbcn.layers import RectifiedConv2D

FOLDER = Path(__file__).parents[2] / "examples" / "raspberry_pi"
VECTORS = json.loads(vectors.PATH.read_text("utf-8"))
LABELS = ["cat", "dog", "red fox"]


@pytest.fixture
def programs(monkeypatch):
    """The modules of the example."""
    monkeypatch.syspath_prepend(FOLDER)
    reader = importlib.import_module("bundle_reader")
    return reader, importlib.import_module("classify")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A bundle for each runtime, and images."""
    folder = tmp_path_factory.mktemp("bundles")
    model = keras.Sequential(
        [
            keras.Input((8, 12, 3)),
            RectifiedConv2D(16, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ],
        name="pets",
    )
    random = np.random.default_rng(0)
    for number, size in enumerate([(8, 12), (30, 20), (5, 40)]):
        pixels = random.integers(0, 256, (*size, 3)).astype("uint8")
        Image.fromarray(pixels).save(folder / f"{number}.png")
    for runtime in ("lce", "litert"):
        rbcn.export_bundle(
            model,
            folder / runtime,
            labels=LABELS,
            preprocessing=rbcn.ImagePreprocessing.from_range(-1, 1, 0.875),
            verify_data=random.normal(size=(4, 8, 12, 3)),
            runtime=runtime,
        )
    return folder


def _reader(reader, told, labels=None):
    """A bundle of the example, of metadata without files."""
    bundle = object.__new__(reader.Bundle)
    bundle.input = bundle.output = told
    bundle.labels = labels
    return bundle


@pytest.mark.parametrize("case", VECTORS["images"], ids=lambda case: case["name"])
def test_images_become_the_same_inputs(programs, case):
    pixels = np.array(case["pixels"], np.uint8)
    pixels = pixels.reshape(case["height"], case["width"], 3)
    told = case["input"]
    received = _reader(programs[0], told).preprocess(pixels)
    assert received.shape == tuple(told["shape"])
    assert str(received.dtype) == told["dtype"]
    expected = np.array(case["expected"])
    if told["quantization"] is None:
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            received.ravel(), expected, rtol=0, atol=1e-5 * scale
        )
    else:
        np.testing.assert_array_equal(received.ravel(), expected)


@pytest.mark.parametrize("case", VECTORS["scores"], ids=lambda case: case["name"])
def test_scores_become_the_same_classes(programs, case):
    told = case["output"]
    bundle = _reader(programs[0], told, case["labels"])
    received = bundle.best(np.array([case["scores"]], told["dtype"]), case["top"])
    assert [label for label, _ in received] == [e["label"] for e in case["expected"]]
    np.testing.assert_allclose(
        [score for _, score in received], [e["score"] for e in case["expected"]]
    )


def test_it_classifies_as_the_package_does(programs, bundles, capsys):
    images = sorted(map(str, bundles.glob("*.png")))
    programs[1].main([str(bundles / "litert"), *images, "--top", "3"])
    name, *lines = capsys.readouterr().out.splitlines()
    assert name == "pets"
    bundle = rbcn.Bundle(bundles / "litert")
    for number, path in enumerate(images):
        title, *best = lines[4 * number : 4 * number + 4]
        assert title.startswith(path)
        pixels = tf.io.decode_png(tf.io.read_file(path)).numpy()
        assert [line.split(maxsplit=1) for line in best] == [
            [f"{p.score:.1%}", p.label] for p in bundle.classify(pixels, 3)
        ]


def test_photos_are_turned_upright(programs, bundles, tmp_path):
    pixels = np.asarray(Image.open(bundles / "0.png"))
    exif = Image.Exif()
    exif[0x0112] = 6  # To be turned by 90 degrees, clockwise.
    Image.fromarray(pixels).save(tmp_path / "lying.png", exif=exif)
    upright = programs[1].read_image(tmp_path / "lying.png")
    np.testing.assert_array_equal(upright, np.rot90(pixels, -1))


def test_what_it_refuses(programs, bundles, tmp_path):
    image = str(bundles / "0.png")
    _copy_altered(bundles / "litert", tmp_path)
    for folder, path, fragment in (
        (bundles / "lce", image, "take the program in C\\+\\+"),
        (tmp_path / "exchanged", image, "was exchanged"),
        (tmp_path / "newer", image, "format version 2"),
        (tmp_path / "labels", image, "1 labels for 3 scores"),
        (tmp_path / "other", image, "how images become inputs"),
        (tmp_path / "cut", image, "is no bundle"),
        (tmp_path / "none", image, "is no bundle: there is no file '.*json'$"),
        (bundles / "litert", "none.png", "there is no file 'none.png'$"),
        (bundles / "litert", __file__, "test_raspberry_pi.py"),
    ):
        with pytest.raises(SystemExit, match=f"error: .*{fragment}"):
            programs[1].main([str(folder), str(path)])


def _copy_altered(bundle, folder):
    """Copies of a bundle with something wrong in each, by what it is."""
    for name in ("exchanged", "newer", "labels", "other", "cut"):
        shutil.copytree(bundle, folder / name)
    with open(folder / "exchanged" / "model.tflite", "ab") as file:
        file.write(b"x")
    _edit(folder / "newer", lambda told: told.update(format_version=2))
    (folder / "labels" / "labels.txt").write_text("cat\n")
    _edit(folder / "other", lambda told: told["inputs"][0].update(image=None))
    (folder / "cut" / "metadata.json").write_text("{")


def _edit(folder, change):
    told = json.loads((folder / "metadata.json").read_text())
    change(told)
    (folder / "metadata.json").write_text(json.dumps(told))


def test_the_programs_know_the_format_of_this_package(programs):
    reader = programs[0]
    assert (reader.FORMAT, reader.FORMAT_VERSION) == (FORMAT, FORMAT_VERSION)
    assert reader.METADATA == METADATA_NAME
    header = (FOLDER / "bundle.h").read_text()
    assert f'{{"{FORMAT}"}}' in header
    assert f'value.at("format_version") == {FORMAT_VERSION}' in header
    assert f'"/{METADATA_NAME}"' in header


def test_grey_is_that_of_this_package(programs):
    assert programs[0]._GREY.tolist() == list(_WEIGHTS)
    red, green, blue = _WEIGHTS
    sum_of_colours = f"{red} * pixel[0] + {green} * pixel[1] + {blue} * pixel[2]"
    header = (FOLDER / "preprocessing.h").read_text()
    assert f"({sum_of_colours} + 500) / 1000;" in header


def test_what_is_included_is_there():
    for path in (*FOLDER.glob("*.h"), *FOLDER.glob("*.cc")):
        for name in re.findall(r'#include "([^"/]+)"', path.read_text()):
            assert (FOLDER / name).is_file()


def _json_header():
    """The folder to include nlohmann/json from: TensorFlow ships a copy."""
    found = Path(tf.sysconfig.get_include()).rglob("nlohmann/json.hpp")
    return next(found).parents[1]


@pytest.fixture(scope="module")
def vectors_test(tmp_path_factory):
    """The C++ code, compiled into a program that reads the vectors."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no compiler for C++")
    program = tmp_path_factory.mktemp("cc") / "vectors_test"
    source = Path(__file__).with_name("vectors_test.cc")
    subprocess.run(
        [
            *(compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror"),
            *("-ffp-contract=off", f"-I{FOLDER}", "-isystem", str(_json_header())),
            *(str(source), "-o", str(program)),
        ],
        check=True,
    )
    return program


def test_the_program_in_cpp_computes_the_same(vectors_test):
    result = subprocess.run(
        [vectors_test, vectors.PATH], capture_output=True, text=True, check=False
    )
    names = [case["name"] for kind in ("images", "scores") for case in VECTORS[kind]]
    assert result.stdout.splitlines() == names
    assert result.returncode == 0


def test_the_program_in_cpp_notices_other_numbers(vectors_test, tmp_path):
    changed = json.loads(vectors.PATH.read_text("utf-8"))
    changed["images"][-1]["expected"][-1] += 1
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(changed))
    result = subprocess.run(
        [vectors_test, path], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == f"wrong: {changed['images'][-1]['name']}"


@pytest.fixture(scope="module")
def int8_bundle(tmp_path_factory):
    """A bundle that differs in all from the others: grey, in integers, no labels."""
    folder = tmp_path_factory.mktemp("int8") / "Bär"
    model = keras.Sequential(
        [
            keras.Input((6, 5, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    inputs = np.random.default_rng(1).uniform(0, 1, (32, 6, 5, 1)).astype("float32")
    rbcn.export_bundle(
        model,
        folder,
        name="Bär",
        preprocessing=rbcn.ImagePreprocessing(0, 255),
        verify_data=inputs,
        runtime="litert",
        real_layers="int8",
        calibration_data=inputs,
        input_type="int8",
        output_type="int8",
    )
    return folder


def _understood_in_cpp(program, folder):
    return subprocess.run(
        [program, "--bundle", folder], capture_output=True, text=True, check=False
    )


def test_the_program_in_cpp_reads_exported_bundles(vectors_test, bundles, int8_bundle):
    for folder in (bundles / "lce", bundles / "litert", int8_bundle):
        result = _understood_in_cpp(vectors_test, folder)
        assert result.returncode == 0, result.stdout
        bundle = rbcn.Bundle(folder)
        expected = vectors.understood(bundle.metadata) | {"labels": bundle.labels or []}
        # The program does not look at them.
        del expected["sha256"], expected["runtime"]
        vectors.assert_close(json.loads(result.stdout), expected)


def test_what_the_program_in_cpp_refuses(vectors_test, bundles, tmp_path):
    _copy_altered(bundles / "lce", tmp_path)
    for name, problem in (
        ("exchanged", "model.tflite is not the model of metadata.json"),
        ("newer", "another format version than 1"),
        ("labels", "1 labels for 3 classes"),
        ("other", "how images become inputs"),
        ("cut", "parse error"),
        ("none", "cannot read '.*/none/metadata.json'"),
    ):
        result = _understood_in_cpp(vectors_test, tmp_path / name)
        assert result.returncode == 1
        assert re.search(problem, result.stdout)
