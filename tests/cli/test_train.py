"""The command train: what it trains, what it leaves, and what it refuses."""

import csv
import errno
import json
import os
import re
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from kernels import kernel_quantizers
from outcomes import files_in
from PIL import Image
from tensorflow.python.framework import config as tf_config

from keras_rbcn import (
    RBCNModel,
    binarize,
    copy_weights,
    full_precision_counterpart,
    recipes,
)
from keras_rbcn._backend import keras
from keras_rbcn.callbacks.log_file import LogFile
from keras_rbcn.cli.train import run as run_module
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.training.description import weights_digest

EPOCHS, BATCH, SEED = 2, 16, 3
FILES = {
    "config.yaml",
    "history.csv",
    "student.keras",
    "summary.json",
    "training_log.jsonl",
    "training_log.png",
}
layers = keras.layers


def network(
    convolution,
    name,
    classes=3,
    shape=(6, 6, 1),
    first=None,
    activation=None,
    copies=1,
):
    inputs = [keras.Input(shape, name=f"image{number}") for number in range(copies)]
    x = inputs[0] if copies == 1 else layers.Add()(inputs)
    x = layers.Activation(first)(x) if first else x
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="first")(x)
    x = layers.BatchNormalization(momentum=0.5, name="first_norm")(x)
    x = convolution(4, 3, padding="same", name="conv")(x)
    x = layers.BatchNormalization(momentum=0.5, name="norm")(x)
    pooled = None in shape
    x = layers.GlobalAveragePooling2D()(x) if pooled else layers.Flatten()(x)
    outputs = [
        layers.Dense(classes, activation=activation, name=f"scores{number}")(x)
        for number in range(copies)
    ]
    model = keras.Model(inputs, outputs if copies > 1 else outputs[0], name=name)
    # Biases that are not zero: it looks trained.
    model.set_weights([weight + 0.01 for weight in model.get_weights()])
    return model


def _data(samples, seed):
    """Bytes of images of three classes: the brightest of three stripes."""
    y = np.arange(samples) % 3
    x = np.random.default_rng(seed).integers(0, 100, (samples, 6, 6, 1))
    for image, label in zip(x, y, strict=True):
        image[2 * label : 2 * label + 2] += 100
    return x.astype("uint8"), y


TRAIN, TEST = _data(48, 0), _data(24, 1)


def _scaled(x):
    return x.astype("float32") * np.float32(2 / 255) - 1


def _trained(teacher):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher.compile(keras.optimizers.Adam(0.02), loss)
    teacher.fit(_scaled(TRAIN[0]), TRAIN[1], epochs=10, verbose=0)
    return teacher


@pytest.fixture(autouse=True, scope="module")
def _determinism():
    yield
    tf_config.disable_op_determinism()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder of good files: a teacher that was trained, a student, and data."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("files")
    _trained(network(layers.Conv2D, "teacher")).save(folder / "teacher.keras")
    network(RectifiedConv2D, "student").save(folder / "student.keras")
    (x, y), (x_test, y_test) = TRAIN, TEST
    arrays = {"y_train": y, "y_test": y_test}
    np.savez(folder / "data.npz", x_train=_scaled(x), x_test=_scaled(x_test), **arrays)
    np.savez(folder / "bytes.npz", x=x, y=y)
    for part, (images, labels) in (("train", TRAIN), ("val", TEST)):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / "images" / part / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[..., 0]).save(path)
    return folder


@pytest.fixture
def train(files, run, monkeypatch):
    """Runs the command in the folder of files, with small defaults."""
    defaults = {
        "student": "student.keras",
        "data": "data.npz",
        "epochs": 1,
        "batch_size": BATCH,
    }

    def invoke(*arguments, **settings):
        monkeypatch.chdir(files)
        for name, value in (defaults | settings).items():
            if value is not None:
                values = value if isinstance(value, tuple) else (value,)
                arguments += (f"--{name.replace('_', '-')}", *values)
        return run("train", *arguments)

    return invoke


def _weights(path):
    return keras.models.load_model(path, compile=False).get_weights()


def _assert_same_weights(found, expected):
    for one, two in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, two)


def _assert_user_error(result, *fragments, exit_code=2):
    assert result.exit_code == exit_code, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == errors[0]
    assert "Traceback" not in result.output
    for fragment in fragments:
        assert fragment in errors[0]


# --- what it trains ---------------------------------------------------------------


def _trained_in_python(files, x, test, optimizer, softmax=False, **settings):
    """What a user would write."""
    keras.utils.set_random_seed(SEED)
    teacher = keras.models.load_model(files / "teacher.keras", compile=False)
    student = keras.models.load_model(files / "student.keras", compile=False)
    recipe = recipes.default()
    taps = settings.pop("taps", recipe.taps)
    settings = {**recipe.settings.to_arguments(), **settings}
    model = RBCNModel(student, teacher, taps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **settings)
    history = model.fit(
        *x, batch_size=BATCH, epochs=EPOCHS, validation_data=test, verbose=0
    )
    return student.get_weights(), history.history


def test_it_trains_what_the_same_python_trains(files, train, tmp_path):
    weight = 0.01  # Off in the default recipe.
    result = train(
        output=tmp_path,
        teacher="teacher.keras",
        epochs=EPOCHS,
        seed=SEED,
        adversarial_weight=weight,
    )
    assert result.exit_code == 0, result.output
    x, x_test = _scaled(TRAIN[0]), _scaled(TEST[0])
    steps = EPOCHS * 3  # Of 48 samples in batches of 16.
    adam = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-2, steps))
    weights, history = _trained_in_python(
        files, (x, TRAIN[1]), (x_test, TEST[1]), adam, adversarial_weight=weight
    )
    _assert_same_weights(_weights(tmp_path / "student.keras"), weights)
    with open(tmp_path / "history.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"epoch", *history}
    for name, values in history.items():
        assert [float(row[name]) for row in rows] == values
    log = (tmp_path / "training_log.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in log]
    for name, values in history.items():
        assert [record["logs"][name] for record in records] == values
    assert [set(record["sign_flips"]) for record in records] == [{"conv"}] * EPOCHS
    assert set(records[0]["discriminator_accuracy"]) == {"norm"}
    with Image.open(tmp_path / "training_log.png") as image:
        assert image.format == "PNG"


def test_every_setting_reaches_the_training(files, train, tmp_path):
    method = {
        "kernel_weight": 1e-3,
        "adversarial_weight": 0.1,
        "feature_matching_weight": 0.3,
        "distillation": 0.5,
        "temperature": 2.0,
        "attention_weight": 0.2,
        "label_smoothing": 0.1,
        "gradient_penalty": 0.5,
        "adversarial_loss": "log",
        "kernel_loss_gradient": "straight_through",
        "discriminator_accuracy_limit": 0.9,
        "taps": "stage",
    }
    result = train(
        **method,
        output=tmp_path,
        teacher="teacher.keras",
        epochs=EPOCHS,
        seed=SEED,
        optimizer="sgd",
        schedule="constant",
        learning_rate=0.01,
        strategy_b_learning_rate=0.02,
        scale_learning_rate=0.003,
    )
    assert result.exit_code == 0, result.output
    x, x_test = _scaled(TRAIN[0]), _scaled(TEST[0])
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    others = {
        "scale_optimizer": keras.optimizers.Adam(0.003),
        "strategy_b_optimizer": keras.optimizers.Adam(0.02),
        "strategy_b_every": 3,  # Of 48 samples in batches of 16.
    }
    weights, _ = _trained_in_python(
        files, (x, TRAIN[1]), (x_test, TEST[1]), sgd, **method, **others
    )
    _assert_same_weights(_weights(tmp_path / "student.keras"), weights)


def test_a_student_made_of_the_teacher_and_the_same_again(
    files, train, run, tmp_path, monkeypatch
):
    first, second = tmp_path / "first", tmp_path / "second"
    result = train(
        student=None,
        teacher="teacher.keras",
        style="reactnet",
        data="images",
        output=first,
    )
    assert result.exit_code == 0, result.output
    assert {path.name for path in first.iterdir()} == FILES | {"binarization.json"}
    teacher = keras.models.load_model(files / "teacher.keras", compile=False)
    _, report = binarize(teacher, "reactnet", return_report=True)
    written = json.loads((first / "binarization.json").read_text("utf-8"))
    assert written == json.loads(report.to_json())
    student = keras.models.load_model(first / "student.keras", compile=False)
    names = [type(layer).__name__ for layer in student.layers]
    assert "RSign" in names
    assert "RectifiedConv2D" in names
    # In another folder, since paths are written in full.
    monkeypatch.chdir(tmp_path)
    result = run("train", "--config", "first/config.yaml", "--output", "second")
    assert result.exit_code == 0, result.output
    _assert_same_weights(
        _weights(second / "student.keras"), _weights(first / "student.keras")
    )
    for name in ("history.csv", "training_log.jsonl"):
        assert (second / name).read_bytes() == (first / name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "SteSign"),
        ({"recipe": "paper"}, "ApproxSign"),
        ({"recipe": "paper", "kernel_quantizer": "swish_sign"}, "SwishSign"),
    ],
)
def test_the_recipe_decides_how_kernels_become_signs(
    train, tmp_path, settings, expected
):
    result = train(student=None, teacher="teacher.keras", output=tmp_path, **settings)
    assert result.exit_code == 0, result.output
    student = keras.models.load_model(tmp_path / "student.keras", compile=False)
    assert kernel_quantizers(student) == {expected}


def test_without_a_teacher(train, tmp_path):
    result = train(output=tmp_path)
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert summary["teacher_accuracy"] is None
    assert "teacher" not in yaml.safe_load((tmp_path / "config.yaml").read_text())
    header = (tmp_path / "history.csv").read_text().splitlines()[0]
    assert "adversarial_loss" not in header


@pytest.mark.parametrize("teacher", [None, "teacher.keras"])
def test_a_start_from_the_counterpart(files, train, tmp_path, teacher):
    settings = {"teacher": teacher, "pretrain_epochs": 3, "epochs": EPOCHS}
    result = train(output=tmp_path, seed=SEED, **settings)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == FILES | {
        "counterpart.keras",
        "pretraining.csv",
    }
    # What a user would write.
    keras.utils.set_random_seed(SEED)
    student = keras.models.load_model(files / "student.keras", compile=False)
    counterpart = full_precision_counterpart(student)
    recipe, steps = recipes.default(), 3  # 48 samples in batches of 16.
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    counterpart.compile(recipe.pretraining_optimizer(3, steps), loss, ["accuracy"])
    data, test = (_scaled(TRAIN[0]), TRAIN[1]), (_scaled(TEST[0]), TEST[1])
    fit = {"batch_size": BATCH, "validation_data": test, "verbose": 0}
    accuracies = counterpart.fit(*data, epochs=3, **fit).history["val_accuracy"]
    copy_weights(counterpart, student, recipe.pretrained_kernel_magnitude)
    taught_by = teacher and keras.models.load_model(files / teacher, compile=False)
    model = recipe.model(student, taught_by or counterpart)
    model.compile(loss=loss, **recipe.compile_arguments(EPOCHS, steps))
    model.fit(*data, epochs=EPOCHS, **fit)
    _assert_same_weights(
        _weights(tmp_path / "counterpart.keras"), counterpart.get_weights()
    )
    _assert_same_weights(_weights(tmp_path / "student.keras"), student.get_weights())
    with open(tmp_path / "pretraining.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_accuracy"]) for row in rows] == accuracies
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert summary["counterpart_accuracy"] == accuracies[-1]
    by_command = summary["teacher_accuracy"]
    assert by_command == (accuracies[-1] if teacher is None else 1.0)
    assert summary["teacher_sha256"] == weights_digest(model.teacher).hexdigest()
    header = (tmp_path / "history.csv").read_text("utf-8").splitlines()[0]
    assert "distillation_loss" in header


def test_a_pretraining_that_fails_leaves_no_student(train, tmp_path):
    settings = {"pretrain_epochs": 2, "pretrain_learning_rate": 1e38}
    result = train(output=tmp_path, **settings)
    _assert_user_error(result, "--pretrain-learning-rate", exit_code=1)
    assert not (tmp_path / "student.keras").exists()


def test_a_counterpart_of_a_training_that_failed_is_kept_for_the_next(train, tmp_path):
    settings = {"pretrain_epochs": 1, "learning_rate": 1e38}
    result = train(output=tmp_path, **settings)
    _assert_user_error(result, "--learning-rate", exit_code=1)
    counterpart = tmp_path / "unfinished" / "counterpart.keras"
    result = train(output=tmp_path, teacher=counterpart, overwrite=())
    _assert_user_error(result, str(counterpart))
    assert counterpart.exists()
    result = train(output=tmp_path / "new", teacher=counterpart)
    assert result.exit_code == 0, result.output


def test_models_within_have_no_start(train, tmp_path):
    inputs = keras.Input((6, 6, 1))
    outer = keras.Model(inputs, network(RectifiedConv2D, "inner")(inputs))
    outer.save(tmp_path / "outer.keras")
    settings = {"student": tmp_path / "outer.keras", "taps": "none"}
    result = train(output=tmp_path / "out", pretrain_epochs=1, **settings)
    _assert_user_error(result, "no models within, found: ['inner']", "flatten")
    assert not (tmp_path / "out").exists()


# --- what it says and leaves ------------------------------------------------------


def test_summary_and_what_it_prints(files, train, tmp_path):
    result = train(output=tmp_path / "new" / "folder", teacher="teacher.keras")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "new" / "folder"
    assert {path.name for path in folder.iterdir()} == FILES
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert (summary["training_samples"], summary["validation_samples"]) == (48, 24)
    assert summary["classes"] == 3
    for name, path in (
        ("teacher_accuracy", files / "teacher.keras"),
        ("accuracy", folder / "student.keras"),
    ):
        model = keras.models.load_model(path, compile=False)
        right = model.predict(_scaled(TEST[0]), verbose=0).argmax(axis=1) == TEST[1]
        assert summary[name] == pytest.approx(right.mean())
        assert f"{right.mean():.2%} of 24 validation samples" in result.stdout
    assert str(folder) in result.stdout
    assert "Epoch 1/1" not in result.stderr


@pytest.mark.parametrize(
    ("data", "settings", "samples", "classes"),
    [
        ("bytes.npz", {"rescale": (-1, 1)}, (38, 10), 3),
        # This teacher knows bytes as well, and there is nothing to say.
        (
            "bytes.npz",
            {"validation_fraction": 0.5, "teacher": "teacher.keras"},
            (24, 24),
            3,
        ),
        ("images", {}, (48, 24), ["class0", "class1", "class2"]),
        ("images/train", {}, (39, 9), ["class0", "class1", "class2"]),
    ],
)
def test_kinds_of_data(train, tmp_path, data, settings, samples, classes):
    result = train(**settings, data=data, output=tmp_path)
    assert result.exit_code == 0, result.output
    assert not result.stderr
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    found = (summary["training_samples"], summary["validation_samples"])
    assert found == samples
    assert summary["classes"] == classes


def test_named_data(files, train, tmp_path):
    digits = network(RectifiedConv2D, "digits", classes=10, shape=(8, 8, 1))
    digits.save(tmp_path / "student.keras")
    result = train(
        data="digits",
        student=tmp_path / "student.keras",
        output=tmp_path / "out",
        batch_size=512,
    )
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    assert (summary["training_samples"], summary["validation_samples"]) == (1437, 360)


@pytest.mark.parametrize(
    ("activation", "from_logits"),
    [("softmax", False), ("log_softmax", True), ("sigmoid", None)],
)
def test_models_that_end_in_an_activation(train, tmp_path, activation, from_logits):
    student = network(RectifiedConv2D, "s", activation=activation)
    student.save(tmp_path / "student.keras")
    result = train(output=tmp_path / "out", student=tmp_path / "student.keras")
    assert result.exit_code == 0, result.output
    assert not result.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text("utf-8"))
    found = summary["last_epoch"]["val_loss"]
    trained = keras.models.load_model(tmp_path / "out" / "student.keras", compile=False)
    scores = trained.predict(_scaled(TEST[0]), verbose=0)
    if from_logits is None:
        # Keras looks through a sigmoid: what is in front of it are the logits.
        scores, from_logits = np.log(scores / (1 - scores)), True
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    assert found == pytest.approx(float(loss(TEST[1], scores)), rel=1e-3)


def test_the_commands_of_the_readme(files, run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("teacher.keras", "images"):
        (tmp_path / name).symlink_to(files / name)
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    commands = re.findall(r"^    keras-rbcn (.*)$", text, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        result = run(*command.replace("--epochs 50", "--epochs 1").split())
        assert result.exit_code == 0, (command, result.output)
        assert not result.stderr
    predicted = [line for line in result.stdout.splitlines() if ".png" in line]
    assert len(predicted) == 20


# --- warnings ---------------------------------------------------------------------


def test_a_teacher_that_does_not_know_the_data(files, train, tmp_path):
    x, y = TRAIN
    np.savez(tmp_path / "data.npz", x=_scaled(x), y=(y + 1) % 3)
    result = train(
        teacher="teacher.keras", data=tmp_path / "data.npz", output=tmp_path / "out"
    )
    assert result.exit_code == 0, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: the teacher does hardly better than guessing")


def test_a_teacher_of_other_pixels(files, train, tmp_path):
    # Bytes are all alike to its first layer.
    _trained(network(layers.Conv2D, "t", first="tanh")).save(tmp_path / "t.keras")
    settings = {"teacher": tmp_path / "t.keras", "data": "bytes.npz"}
    result = train(**settings, output=tmp_path / "out")
    assert result.exit_code == 0, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: the teacher gets ")
    assert "100.00% with --rescale -1 1" in line


def test_what_the_library_warns_of_while_training(train, tmp_path, monkeypatch):
    def fit(self, *args, **kwargs):
        warnings.warn("in two\nlines", UserWarning, stacklevel=1)
        raise KeyboardInterrupt

    monkeypatch.setattr(RBCNModel, "fit", fit)
    result = train(output=tmp_path)
    assert result.stderr.splitlines() == ["warning: in two lines", "interrupted"]


def test_signs_that_never_change(train, tmp_path):
    student = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Rescaling(1.0, offset=2.0),
            RectifiedConv2D(4, 3, name="blind"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    student.save(tmp_path / "student.keras")
    result = train(output=tmp_path / "out", student=tmp_path / "student.keras")
    assert result.exit_code == 0, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: ")
    assert "['blind']" in line


# --- older results ----------------------------------------------------------------


def test_results_are_not_overwritten_silently(train, tmp_path):
    (tmp_path / "config.yaml").write_text("mine")
    before = files_in(tmp_path)
    result = train(output=tmp_path)
    _assert_user_error(result, "config.yaml", "--overwrite")
    assert files_in(tmp_path) == before


def test_overwriting_replaces_all_results(train, tmp_path):
    for name in (*FILES, "binarization.json", "notes.txt"):
        (tmp_path / name).write_text("old")
    result = train("--overwrite", output=tmp_path)
    assert result.exit_code == 0, result.output
    left = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert set(left) == FILES | {"notes.txt"}
    assert left.pop("notes.txt") == b"old"
    assert b"old" not in left.values()


def test_the_student_to_train_is_not_overwritten(train, files, tmp_path):
    (tmp_path / "student.keras").write_bytes((files / "student.keras").read_bytes())
    before = files_in(tmp_path)
    result = train("--overwrite", output=tmp_path, student=tmp_path / "student.keras")
    _assert_user_error(result, "named twice")
    assert files_in(tmp_path) == before


# --- failures while training ------------------------------------------------------


def test_old_results_stay_until_the_new_ones_are_whole(train, tmp_path, monkeypatch):
    old = {tmp_path / name: b"old" for name in FILES}
    for path, content in old.items():
        path.write_bytes(content)

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "save_model", fail)
    result = train("--overwrite", output=tmp_path)
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"
    assert {path: path.read_bytes() for path in tmp_path.glob("*.*")} == old
    unfinished = tmp_path / "unfinished"
    begun = {"config.yaml", "history.csv", "training_log.jsonl"}
    assert {path.name for path in unfinished.iterdir()} == begun
    monkeypatch.undo()
    # Of another training, and no part of the next one.
    (unfinished / "binarization.json").write_text("old")
    result = train("--overwrite", output=tmp_path)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == FILES


def test_a_loss_that_is_no_number(train, tmp_path):
    result = train(output=tmp_path, epochs=3, learning_rate=1e30)
    _assert_user_error(result, "epoch 1", "--learning-rate", exit_code=1)
    assert not list(tmp_path.rglob("*.keras"))


def test_an_image_that_cannot_be_read_is_named(files, train, tmp_path):
    for label in range(3):
        for number in range(4):
            path = tmp_path / "images" / f"class{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(TRAIN[0][number, ..., 0]).save(path)
    path.write_text("<html>")
    result = train(data=tmp_path / "images", output=tmp_path / "out")
    _assert_user_error(result, str(path))


def test_a_full_disk(train, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keras.callbacks.CSVLogger, "on_epoch_end", full)
    result = train(output=tmp_path / "out")
    _assert_user_error(result, "history.csv", os.strerror(errno.ENOSPC))
    assert not list(tmp_path.rglob("*.keras"))


def test_a_log_that_cannot_be_written(train, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(LogFile, "append", full)
    result = train(output=tmp_path)
    assert result.exit_code == 0, result.output
    first, second = result.stderr.splitlines()
    assert first.startswith("warning: TrainingLog cannot write to")
    assert second.startswith("warning: there is no picture of the training")
    files = {path.name for path in tmp_path.iterdir()}
    assert files == FILES - {"training_log.png"}


# --- bad input --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "fragment"),
    [
        ({"data": None}, "--data"),
        ({"output": None}, "--output"),
        ({"student": None}, "--teacher"),
        ({"style": "plain"}, "--style"),
        ({"style": "x"}, "--style"),
        ({"kernel_quantizer": "ste_sign"}, "leave out --kernel-quantizer or --student"),
        ({"kernel_quantizer": "dorefa"}, "--kernel-quantizer"),
        ({"data": "digit"}, "Did you mean digits?"),
        ({"data": "nowhere"}, "no file or folder 'nowhere'"),
        ({"data": ""}, "no file or folder ''"),
        ({"data": "student.keras"}, ".npz"),
        ({"data": "images", "output": "images/out"}, "lies in that of the data"),
        ({"data": "images", "validation_fraction": 0.1}, "test_fraction=0.1"),
        ({"data": "digits", "rescale": (0, 1)}, "[-1, 1]"),
        ({"data": "fashion_mnist", "validation_fraction": 0.1}, "of its own"),
        ({"rescale": (0, 1)}, "uint8"),
        ({"data": "images", "rescale": (1, 0)}, "rescale=(1.0, 0.0)"),
        ({"validation_fraction": 1}, "--validation-fraction"),
        ({"validation_fraction": "nan"}, "--validation-fraction"),
        ({"epochs": 0}, "--epochs"),
        ({"epochs": 1.5}, "--epochs"),
        ({"batch_size": -1}, "--batch-size"),
        ({"learning_rate": 0}, "--learning-rate"),
        ({"learning_rate": "nan"}, "--learning-rate"),
        ({"pretrain_epochs": -1}, "--pretrain-epochs"),
        ({"pretrain_learning_rate": 0}, "--pretrain-learning-rate"),
        ({"student": "teacher.keras", "pretrain_epochs": 1}, "to have 1-bit layers"),
        ({"optimizer": "lion"}, "--optimizer"),
        ({"schedule": "step"}, "--schedule"),
        ({"kernel_weight": -1}, "--kernel-weight -1.0"),
        ({"adversarial_weight": "nan"}, "--adversarial-weight nan"),
        ({"distillation": 1}, "needs a teacher"),
        ({"attention_weight": 1}, "needs feature taps"),
        ({"adversarial_weight": 1}, "--adversarial-weight 1.0 needs feature taps"),
        ({"taps": "none", "attention_weight": 1, "teacher": "teacher.keras"}, "taps"),
        ({"taps": "all"}, "--taps"),
        ({"seed": 2**32}, "--seed"),
        ({"teacher": "none.keras"}, "no file 'none.keras'"),
        ({"teacher": "data.npz"}, "does not end in .keras"),
        ({"teacher": "student.keras", "student": "teacher.keras"}, "swapped"),
        ({"teacher": "student.keras", "student": None}, "binarised already"),
        ({"output": ""}, "the name of a folder"),
        ({"output": "data.npz"}, "is a file"),
        ({"output": "data.npz/out"}, "is a file"),
        ({"output": "\udcff"}, "UTF-8"),
    ],
)
def test_bad_settings(files, train, tmp_path, settings, fragment):
    before = files_in(files)
    result = train(**{"output": tmp_path / "out"} | settings)
    _assert_user_error(result, fragment)
    assert files_in(files) == before
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("teacher", "student", "fragments"),
    [
        ({"classes": 4}, {}, ("with 3 outputs", "with 4")),
        ({}, {"classes": 4}, ("with 4 outputs", "with 3")),
        ({"shape": (5, 6, 1)}, {}, ("(None, 6, 6, 1)", "(None, 5, 6, 1)")),
        ({"copies": 2}, {"copies": 2}, ("one input",)),
        ({"classes": 1}, {"classes": 1}, ("one score for each class", "(None, 1)")),
        ({"classes": 2}, {"classes": 2}, ("2 classes", "go up to 2")),
        ({"shape": (5, 6, 1)}, {"shape": (5, 6, 1)}, ("(5, 6, 1)", "(6, 6, 1)")),
        ({"shape": (None, 6, 1)}, {"shape": (None, 6, 1)}, ("static",)),
    ],
)
def test_models_that_do_not_fit(train, tmp_path, teacher, student, fragments):
    network(layers.Conv2D, "teacher", **teacher).save(tmp_path / "teacher.keras")
    network(RectifiedConv2D, "student", **student).save(tmp_path / "student.keras")
    before = files_in(tmp_path)
    result = train(
        teacher=tmp_path / "teacher.keras",
        output=tmp_path / "out",
        student=tmp_path / "student.keras",
    )
    _assert_user_error(result, *fragments)
    assert files_in(tmp_path) == before


def test_an_untrained_teacher(train, tmp_path):
    teacher = network(layers.Conv2D, "teacher")
    keras.Model.from_config(teacher.get_config()).save(tmp_path / "teacher.keras")
    result = train(teacher=tmp_path / "teacher.keras", output=tmp_path / "out")
    _assert_user_error(result, "to be trained", "train in Python")
    assert not (tmp_path / "out").exists()


def test_layers_of_other_names(train, tmp_path):
    student = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 3, padding="same", name="before"),
            RectifiedConv2D(4, 3, name="other"),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    student.save(tmp_path / "student.keras")
    arguments = {"teacher": "teacher.keras", "student": tmp_path / "student.keras"}
    result = train(**arguments, output=tmp_path / "out")
    _assert_user_error(result, "Pair layers of other names in Python", "--taps none")
    assert "taps=[" not in result.stderr
    assert train(**arguments, output=tmp_path / "out", taps="none").exit_code == 0


def test_images_for_a_model_of_other_channels(train, tmp_path):
    network(RectifiedConv2D, "s", shape=(6, 6, 2)).save(tmp_path / "student.keras")
    result = train(
        data="images", output=tmp_path / "out", student=tmp_path / "student.keras"
    )
    _assert_user_error(result, "1, 3 or 4 channels", "(6, 6, 2)")


def test_a_folder_of_other_classes(train, files, tmp_path):
    network(RectifiedConv2D, "s", classes=4).save(tmp_path / "student.keras")
    result = train(
        data="images", output=tmp_path / "out", student=tmp_path / "student.keras"
    )
    _assert_user_error(result, "4 classes", "['class0', 'class1', 'class2']")


def test_a_damaged_model(train, files, tmp_path):
    with zipfile.ZipFile(tmp_path / "student.keras", "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.21.0"}))
    result = train(output=tmp_path / "out", student=tmp_path / "student.keras")
    _assert_user_error(result, "cannot load")
