"""The demo: what it trains, what it leaves, and that a seed decides its figures."""

import dataclasses
import json

import larq
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tensorflow.python.framework import config

from keras_rbcn._backend import keras
from keras_rbcn.cli.demo import DemoResult, run_demo
from keras_rbcn.cli.demo.network import build_network, plain_convolution
from keras_rbcn.cli.demo.results import FileResult, NetworkResult
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel

EPOCHS, SEED = 2, 3
NAMES = [
    "full-precision teacher",
    "full-precision counterpart",
    "1-bit plain",
    "1-bit rectified",
    "1-bit rectified + discriminators",
    "1-bit rectified + distillation",
    "1-bit pretrained + distillation",
]
TEACHERS = 2
FILES = [
    "accuracy_and_size.png",
    "export_report.json",
    "results.json",
    "results.md",
    "student.tflite",
    "training_curves.png",
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory, run):
    """The command's output and its folder."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "results"
    result = run("demo", "--output", folder, "--epochs", EPOCHS, "--seed", SEED)
    assert result.exit_code == 0, result.output
    yield result.stdout, folder
    config.disable_op_determinism()


@pytest.fixture(scope="module")
def results(demo):
    return json.loads((demo[1] / "results.json").read_text("utf-8"))


def test_it_leaves_these_files(demo):
    assert sorted(path.name for path in demo[1].iterdir()) == FILES
    assert str(demo[1]) in demo[0].splitlines()[-1]


def test_it_prints_one_table(demo, results):
    lines = demo[0].splitlines()
    for network in results["networks"]:
        (row,) = [
            line
            for line in lines
            if line.startswith("│")
            and network["name"] in line
            and line.split("│")[1].strip() == network["name"]
        ]
        assert f"{network['accuracy']:.2%}" in row
        assert f"{network['bytes']:,}" in row
        assert f"{network['seconds']:.1f} s" in row
    (row,) = [line for line in lines if line.startswith("│ student.tflite")]
    assert f"{results['file']['same_class']}/{results['test_images']}" in row
    # The same cells as Markdown.
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert f"| {' | '.join(cells)} |" in (demo[1] / "results.md").read_text("utf-8")


def test_progress_is_visible(demo):
    for name in NAMES:
        for epoch in range(1, EPOCHS + 1):
            start = f"{name:<33} epoch {epoch:>3}/{EPOCHS}  loss "
            assert any(line.startswith(start) for line in demo[0].splitlines())


def test_the_file_reaches_the_printed_accuracy(demo, results):
    """On images split and scaled here, without the package's data set."""
    images, labels = load_digits(return_X_y=True)
    _, images, _, labels = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=SEED
    )
    path = demo[1] / "student.tflite"
    scaled = (images.reshape(-1, 8, 8, 1) / 8 - 1).astype("float32")
    right = TFLiteModel(path).predict(scaled).argmax(axis=1) == labels
    assert results["file"]["accuracy"] == np.mean(right)
    assert results["file"]["bytes"] == path.stat().st_size
    assert results["file"]["same_class"] >= 0.99 * len(labels)


def test_sizes_are_those_of_binary_and_of_real_kernels(results):
    sizes = {network["name"]: network["bytes"] for network in results["networks"]}
    plain, *rectified = (sizes[name] for name in NAMES[TEACHERS:])
    assert {*rectified} == {results["file"]["bytes"]}
    rectified = rectified[0]
    assert plain == pytest.approx(rectified, rel=0.01)
    # The four inner kernels have 9 * (2 * 32 * 32 + 32 * 64 + 64 * 64) weights.
    saved = 9 * (2 * 32 * 32 + 32 * 64 + 64 * 64) * (32 - 1) / 8
    for teacher in NAMES[:TEACHERS]:
        assert sizes[teacher] - plain == pytest.approx(saved, rel=0.05)


def test_the_pictures_are_pictures(demo):
    for name in ("training_curves.png", "accuracy_and_size.png"):
        content = (demo[1] / name).read_bytes()
        assert content.startswith(b"\x89PNG\r\n")
        width, height = np.frombuffer(content[16:24], ">u4")
        assert min(width, height) > 300


def test_the_same_seed_gives_the_same_figures(demo, results, tmp_path):
    again = run_demo(tmp_path, EPOCHS, SEED, progress=lambda line: None)
    for network, before in zip(again.networks, results["networks"], strict=True):
        now = dataclasses.asdict(network)
        assert now | {"seconds": 0} == before | {"seconds": 0}
    assert dataclasses.asdict(again.file) == results["file"]


def test_a_folder_that_is_a_file(run, tmp_path):
    (tmp_path / "taken").write_text("")
    result = run("demo", "--output", tmp_path / "taken")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert "taken" in line


# --- the network ------------------------------------------------------------------


def test_networks_are_paired_by_name():
    teacher = build_network(keras.layers.Conv2D, "teacher", activation=True)
    for convolution in (plain_convolution, RectifiedConv2D):
        student = build_network(convolution, "student")
        names = {layer.name for layer in student.layers}
        assert names < {layer.name for layer in teacher.layers}
        assert teacher.output_shape == student.output_shape


@pytest.mark.parametrize("convolution", [plain_convolution, RectifiedConv2D])
def test_each_binary_convolution_has_a_shortcut_and_signed_inputs(convolution):
    student = build_network(convolution, "student")
    binary = [x for x in student.layers if isinstance(x, larq.layers.QuantConv2D)]
    assert [layer.filters for layer in binary] == [32, 32, 64, 64]
    images = np.random.default_rng(0).uniform(-1, 1, (16, 8, 8, 1))
    inputs = keras.Model(student.input, [layer.input for layer in binary])(images)
    for layer, values in zip(binary, inputs, strict=True):
        assert 0.05 < np.mean(values.numpy() < 0) < 0.95
        prefix = layer.name.removesuffix("_convolution")
        add = student.get_layer(f"{prefix}_add")
        ways = [tensor.node.layer.name for tensor in add.input]
        assert f"{prefix}_normalization" in ways
        assert len(ways) == 2


# --- what is said about the result ------------------------------------------------


def _result(*correct):
    """A result whose students got these numbers of 100 test images right."""
    networks = [
        NetworkResult(
            name=name,
            kind="student" if number >= TEACHERS else "teacher",
            correct=right,
            accuracy=right / 100,
            bytes=1000,
            seconds=1.0,
            history={},
        )
        for number, (name, right) in enumerate(
            zip(NAMES, (100, 100, *correct), strict=True)
        )
    ]
    file = FileResult("student.tflite", NAMES[-1], 98, 0.98, 1000, "", 100, 1e-6)
    return DemoResult(0, 25, 400, 100, networks, file, {})


@pytest.mark.parametrize(
    ("correct", "said", "unsaid"),
    [
        (
            (99, 97, 98, 98, 98),
            ["'1-bit plain' (99 right", "weakest 97"],
            "'1-bit rectified'",
        ),
        (
            (97, 98, 97, 98, 97),
            [f"'{NAMES[3]}' and '{NAMES[5]}' (98 right"],
            "'1-bit plain'",
        ),
        ((98, 98, 98, 98, 98), ["All 1-bit students got 98"], "weakest"),
    ],
)
def test_it_says_which_student_won_and_claims_nothing(correct, said, unsaid):
    notes = " ".join(_result(*correct).notes())
    for fragment in said:
        assert fragment in notes
    assert unsaid not in notes
    assert "too easy to rank" in notes
    assert "nothing is claimed" in notes
