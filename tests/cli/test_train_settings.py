"""The settings of train: on the command line, in YAML, in TOML, and as written."""

import dataclasses
import inspect
import typing

import pytest
import yaml
from outcomes import assert_user_error

from keras_rbcn import binarize
from keras_rbcn.cli import app
from keras_rbcn.cli.train import options
from keras_rbcn.cli.train.config import to_yaml
from keras_rbcn.conversion.binarize import STYLES
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.layers.rectified_conv2d import EXPORTABLE_QUANTIZERS
from keras_rbcn.losses.adversarial import ADVERSARIAL_LOSSES
from keras_rbcn.losses.kernel import KERNEL_LOSS_GRADIENTS
from keras_rbcn.recipes import RECIPES
from keras_rbcn.training.taps import AUTOMATIC_TAPS

# Every setting, with another value than its default.
TYPED = {
    "teacher": "some/teacher.keras",
    "student": "other/student.keras",
    "style": "plain",
    "kernel_quantizer": "swish_sign",
    "data": "images",
    "rescale": ["-0.5", "1e0"],
    "validation_fraction": "0.25",
    "epochs": "7",
    "pretrain_epochs": "3",
    "pretrain_learning_rate": "2e-3",
    "batch_size": "8",
    "optimizer": "sgd",
    "learning_rate": "1e-5",
    "schedule": "constant",
    "recipe": "paper",
    "kernel_weight": "2e-3",
    "adversarial_weight": "0.5",
    "feature_matching_weight": "0.25",
    "distillation": "1",
    "temperature": "2.5",
    "attention_weight": "3",
    "label_smoothing": "0.125",
    "gradient_penalty": "2",
    "adversarial_loss": "log",
    "kernel_loss_gradient": "straight_through",
    "discriminator_accuracy_limit": "0.9",
    "taps": "none",
    "strategy_b_learning_rate": "3e-4",
    "scale_learning_rate": "2e-5",
    "output": "results",
    "overwrite": "true",
    "seed": "11",
    "deterministic": "false",
}
REQUIRED = ["--data", "digits", "--output", "out"]


@pytest.fixture
def settings(run, monkeypatch, tmp_path):
    """What the command line makes of its arguments, without any work."""
    monkeypatch.chdir(tmp_path)
    received = []
    monkeypatch.setattr(app, "run_training", received.append)

    def read(*arguments):
        result = run("train", *arguments)
        assert result.exit_code == 0, result.output
        return received.pop()

    return read


def _as_arguments(values):
    arguments = []
    for name, value in values.items():
        option = f"--{name.replace('_', '-')}"
        if value == "true":
            arguments += [option]
        elif value == "false":
            arguments += [option.replace("--", "--no-")]
        else:
            arguments += [option, *(value if isinstance(value, list) else [value])]
    return arguments


def test_the_same_settings_from_three_sources(settings, tmp_path):
    expected = settings(*_as_arguments(TYPED))
    defaults = settings("--teacher", "t.keras", *REQUIRED)
    for field in dataclasses.fields(expected):
        assert field.name in TYPED
        assert getattr(expected, field.name) != getattr(defaults, field.name)
    lines = [
        f"{name}: [{', '.join(value)}]"
        if isinstance(value, list)
        else f"{name}: {value}"
        for name, value in TYPED.items()
    ]
    for name in ("run.yaml", "run.yml"):
        (tmp_path / name).write_text("# of a test\n" + "\n".join(lines))
        assert settings("--config", name) == expected
    text = ("teacher", "student", "style", "data", "optimizer", "schedule", "output")
    text += (
        "kernel_quantizer",
        "adversarial_loss",
        "kernel_loss_gradient",
        "taps",
        "recipe",
    )
    lines = [
        f'{name} = "{value}"' if name in text else f"{name} = {value}"
        for name, value in TYPED.items()
    ]
    (tmp_path / "run.toml").write_text("\n".join(lines).replace("'", ""))
    assert settings("--config", "run.toml") == expected


def test_command_line_goes_before_file_and_file_before_default(settings, tmp_path):
    (tmp_path / "run.yaml").write_text("epochs: 5\nseed: 6\nrescale: [0, 1]\n")
    found = settings(*REQUIRED, "--epochs", "9", "--config", "run.yaml")
    assert (found.epochs, found.seed, found.rescale) == (9, 6, (0.0, 1.0))
    assert found.batch_size == settings(*REQUIRED).batch_size
    (tmp_path / "run.yaml").write_text("deterministic: no\noverwrite: yes\n")
    found = settings(*REQUIRED, "--config", "run.yaml")
    assert (found.deterministic, found.overwrite) == (False, True)
    found = settings("--deterministic", "--config", "run.yaml", *REQUIRED)
    assert (found.deterministic, found.overwrite) == (True, True)


def test_null_and_an_empty_file_leave_the_defaults(settings, tmp_path):
    defaults = settings(*REQUIRED)
    for text in ("", "# nothing\n", "epochs: null\nstudent: ~\nrescale:\n"):
        (tmp_path / "run.yaml").write_text(text)
        assert settings(*REQUIRED, "--config", "run.yaml") == defaults


def test_what_is_written_is_read_as_the_same(settings, tmp_path):
    expected = settings(*_as_arguments(TYPED))
    (tmp_path / "run.yaml").write_text(to_yaml(expected, "run.yaml"))
    found = settings("--config", "run.yaml", "--output", "new")
    paths = {
        "teacher": tmp_path / "some" / "teacher.keras",
        "student": tmp_path / "other" / "student.keras",
        "data": str(tmp_path / "images"),
    }
    # What must not be repeated is left out.
    paths |= {"output": found.output, "overwrite": False}
    assert found == dataclasses.replace(expected, **paths)
    assert str(found.output) == "new"
    # Other readers see numbers.
    written = yaml.safe_load((tmp_path / "run.yaml").read_text())
    assert written["learning_rate"] == 1e-5
    assert written["rescale"] == [-0.5, 1.0]
    assert written["deterministic"] is False
    named = settings("--teacher", "t.keras", *REQUIRED)
    assert yaml.safe_load(to_yaml(named, "run.yaml"))["data"] == "digits"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_decides_what_is_not_given(settings, name, tmp_path):
    recipe = RECIPES[name]()
    with_teacher = ["--teacher", "t.keras", *REQUIRED]
    assert settings(*with_teacher, "--recipe", name).as_recipe() == recipe
    (tmp_path / "run.yaml").write_text(f"recipe: {name}\nkernel_weight: 0.25\n")
    found = settings(*with_teacher, "--config", "run.yaml", "--taps", "none")
    untapped = recipe.without_taps()
    method = dataclasses.replace(untapped.settings, kernel_weight=0.25)
    assert found.as_recipe() == dataclasses.replace(untapped, settings=method)
    # What needs a teacher is off without one.
    assert settings(*REQUIRED, "--recipe", name).as_recipe() == recipe.without_teacher()
    # Which the student's own counterpart may be.
    found = settings(*REQUIRED, "--recipe", name, "--pretrain-epochs", "1")
    assert found.as_recipe() == recipe
    default = settings(*with_teacher)
    assert (default.as_recipe() == recipe) == (name == "default")


@pytest.mark.parametrize(
    ("option", "known"),
    [
        (options.AdversarialLoss, ADVERSARIAL_LOSSES),
        (options.KernelLossGradient, KERNEL_LOSS_GRADIENTS),
        (options.Taps, (*AUTOMATIC_TAPS, "none")),
        (options.StyleName, STYLES),
        (options.KernelQuantizerName, EXPORTABLE_QUANTIZERS),
        (options.Recipe, RECIPES),
    ],
)
def test_choices_are_those_of_the_library(option, known):
    named = typing.get_origin(option) is typing.Literal
    choices = option if named else typing.get_args(option)[0]
    if type(None) in typing.get_args(choices):  # Then the recipe decides.
        choices = typing.get_args(choices)[0]
    assert typing.get_args(choices) == tuple(known)


def test_defaults_are_those_of_binarize_and_of_the_layer():
    of_binarize = inspect.signature(binarize).parameters
    of_layer = inspect.signature(RectifiedConv2D).parameters
    assert of_binarize["style"].default == app.DEFAULT_STYLE
    for known in (
        of_binarize["kernel_quantizer"].default,
        of_layer["kernel_quantizer"].default,
        RECIPES["default"]().kernel_quantizer,
    ):
        assert known == app.DEFAULT_KERNEL_QUANTIZER


BAD_YAML = {
    "epoch: 3": ("'epoch'", "did you mean 'epochs'?"),
    "batch-size: 3": ("'batch-size'", "did you mean 'batch_size'?"),
    "config: run.yaml": ("'config'",),
    "colour: red": ("'colour'", "the settings are"),
    "1: 2": ("unknown setting '1'",),
    "epochs: many": ("'epochs'", "'many'"),
    "epochs: 2.5": ("'epochs'", "'2.5'"),
    "epochs: true": ("'epochs'", "'true'"),
    "epochs: 0": ("'epochs'", "'0'"),
    "epochs: [1]": ("'epochs'", "one value"),
    "epochs: {a: 1}": ("'epochs'", "one value"),
    "rescale: 1": ("'rescale'", "a list"),
    "rescale: [1]": ("'rescale'", "2 values"),
    "rescale: [0, 1, 2]": ("'rescale'", "2 values"),
    "rescale: [0, x]": ("'rescale'", "'x'"),
    "taps: all": ("'taps'", "'stage'"),
    "learning_rate: 1e-3x": ("'learning_rate'", "1e-3x"),
    "deterministic: maybe": ("'deterministic'", "maybe"),
    "epochs: 3\nepochs: 4": ("'epochs' twice",),
    "text": ("epochs: 10",),
    "- epochs": ("epochs: 10",),
    "a: b: c": ("cannot read",),
    "epochs: &a [*a]": ("cannot read",),
    "? [a]\n: b": ("cannot read",),
    "--- 1\n--- 2": ("cannot read",),
    "[" * 3000: ("cannot read",),
    b"\xff\xfe": ("cannot read",),
    b"\x00": ("cannot read",),
}
BAD_TOML = {
    "epoch = 3": ("'epoch'", "did you mean 'epochs'?"),
    "epochs = 2.5": ("'epochs'", "2.5"),
    "epochs = true": ("'epochs'", "True"),
    "epochs = 1979-05-27": ("'epochs'",),
    "rescale = [0, 1, 2]": ("'rescale'", "2 values"),
    "epochs = 3\nepochs = 4": ("cannot read",),
    "[train]\nepochs = 3": ("'train'",),
    "epochs": ("cannot read",),
    b"\xff": ("cannot read",),
}


@pytest.mark.parametrize(
    ("name", "content", "fragments"),
    [
        *(("bad.yaml", content, fragments) for content, fragments in BAD_YAML.items()),
        *(("bad.toml", content, fragments) for content, fragments in BAD_TOML.items()),
    ],
)
def test_bad_files(run, tmp_path, monkeypatch, name, content, fragments):
    monkeypatch.setattr(app, "run_training", None)
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert_user_error(run("train", *REQUIRED, "--config", path), name, *fragments)


def test_a_wrong_value_is_told_although_the_command_line_goes_first(run, tmp_path):
    (tmp_path / "bad.yaml").write_text("epochs: many")
    result = run("train", *REQUIRED, "--epochs", 3, "--config", tmp_path / "bad.yaml")
    assert_user_error(result, "bad.yaml", "'epochs'")


def test_no_code_in_a_file_is_run(run, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(f"seed: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']")
    assert_user_error(run("train", *REQUIRED, "--config", path), "'seed'")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["none.yaml", "folder.yaml", "settings.json"])
def test_what_is_no_file_of_settings(run, tmp_path, name):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "settings.json").write_text("{}")
    assert_user_error(run("train", *REQUIRED, "--config", tmp_path / name), name)
