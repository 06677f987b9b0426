"""Recipes: what they hold, and that a model takes them as they are."""

import dataclasses
import os
import statistics
from unittest import mock

import numpy as np
import pytest

from keras_rbcn import recipes
from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.training.settings import TrainingSettings

with mock.patch.dict(os.environ):  # Scripts set variables for TensorFlow.
    import contenders
    import lines
    import places

EPOCHS, STEPS = 2, 3


def network(convolution):
    inputs = keras.Input((6, 6, 1))
    x = keras.layers.Conv2D(4, 3, name="first")(inputs)
    x = convolution(4, 3, padding="same", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


@pytest.fixture(scope="module")
def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(8 * STEPS, 6, 6, 1)).astype("float32")
    return x, random.integers(0, 3, len(x))


@pytest.fixture(scope="module")
def teacher(data):
    keras.utils.set_random_seed(0)
    model = network(keras.layers.Conv2D)
    model.compile("adam", LOSS)
    model.fit(*data, verbose=0)
    return model


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.mark.parametrize("name", recipes.RECIPES)
@pytest.mark.parametrize("taught", [True, False])
def test_a_model_takes_a_recipe_as_it_is(name, taught, teacher, data):
    recipe = recipes.RECIPES[name]()
    if not taught:
        recipe = recipe.without_teacher()
    model = recipe.model(network(RectifiedConv2D), teacher if taught else None)
    model.compile(loss=LOSS, **recipe.compile_arguments(EPOCHS, STEPS))
    assert model.settings == dataclasses.replace(
        recipe.settings, strategy_b_every=model.settings.strategy_b_every
    )
    history = model.fit(*data, batch_size=8, epochs=EPOCHS, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert ("adversarial_loss" in history) == model.settings.uses_discriminators
    assert [len(model.taps), model.teacher is None] == [int(taught), not taught]


def test_rates_fall_to_zero_at_the_end(teacher, data):
    recipe = dataclasses.replace(
        recipes.paper(), learning_rate=0.5, scale_learning_rate=0.25
    )
    arguments = recipe.compile_arguments(EPOCHS, STEPS)
    # Strategy B makes a step after each epoch.
    for name, rate, steps in (
        ("optimizer", 0.5, EPOCHS * STEPS),
        ("scale_optimizer", 0.25, EPOCHS * STEPS),
        ("strategy_b_optimizer", recipe.strategy_b_learning_rate, EPOCHS),
    ):
        schedule = arguments[name].get_config()["learning_rate"]["config"]
        assert (schedule["initial_learning_rate"], schedule["alpha"]) == (rate, 0.0)
        assert schedule["decay_steps"] == steps
    model = recipe.model(network(RectifiedConv2D), teacher)
    model.compile(loss=LOSS, **arguments)
    model.fit(*data, batch_size=8, epochs=EPOCHS, verbose=0)
    assert int(arguments["optimizer"].iterations) == EPOCHS * STEPS
    assert int(arguments["strategy_b_optimizer"].iterations) == EPOCHS


# Rows of the docstring's tables: contender, learning rate, number of seeds, size.
PRETRAINED = "this recipe, from its counterpart (20 epochs)"
RECIPE = "R, distillation: this recipe"
APPROX = "R, approx_sign kernels, learning rate 1e-2"
LONGER = "this recipe, 30 epochs (one seed)"
FULL_PRECISION = "full-precision teacher (20 epochs, one seed)"
ACCURACIES = [
    (FULL_PRECISION, contenders.TEACHER, 3e-3, 1, "small"),
    ("Bi-Real Net, learning rate 1e-2", "Bi-Real Net", 1e-2, 3, "small"),
    ("Bi-Real Net, distillation", "Bi-Real Net, distillation", 3e-2, 3, "small"),
    ("R (rectification, no kernel loss)", "R", 3e-2, 3, "small"),
    (RECIPE, "R, distillation", 3e-2, 3, "small"),
    ("R+G (discriminators), adversarial weight 0.01", "R+G", 3e-2, 3, "small"),
    ("R+G, distillation", "R+G, distillation", 3e-2, 3, "small"),
    (APPROX, "R, approx_sign kernels", 1e-2, 3, "small"),
    (LONGER, "R, distillation", 3e-2, 1, "triple"),
    (PRETRAINED, "R, pretrained, distillation", 3e-2, 3, "small"),
    (
        "Bi-Real Net, distillation, from its counterpart",
        "Bi-Real Net, pretrained, distillation",
        3e-2,
        3,
        "small",
    ),
    (FULL_PRECISION, contenders.TEACHER, 3e-3, 1, "large"),
    ("Bi-Real Net, learning rate 1e-2", "Bi-Real Net", 1e-2, 3, "large"),
    ("Bi-Real Net, distillation", "Bi-Real Net, distillation", 3e-2, 3, "large"),
    (RECIPE, "R, distillation", 3e-2, 3, "large"),
    ("R+G, distillation", "R+G, distillation", 3e-2, 3, "large"),
    (LONGER, "R, distillation", 3e-2, 1, "large_triple"),
    (PRETRAINED, "R, pretrained, distillation", 3e-2, 3, "large"),
    (
        "the same, learning rate 1e-2",
        "R, pretrained, distillation",
        1e-2,
        3,
        "large",
    ),
    (
        "Bi-Real Net, from its counterpart, 1e-2",
        "Bi-Real Net, pretrained, distillation",
        1e-2,
        3,
        "large",
    ),
    ("Bi-Real Net, learning rate 1e-3", "Bi-Real Net", 1e-3, 1, "small"),
    (APPROX, "R, approx_sign kernels", 1e-2, 1, "small"),
    (
        "the same, kernel loss with its full gradient",
        "R, approx_sign kernels, kernel loss with its full gradient",
        1e-2,
        1,
        "small",
    ),
    (
        "the same, kernel loss as in the paper",
        "R, approx_sign kernels, kernel loss as in the paper",
        1e-2,
        1,
        "small",
    ),
    (
        "R+G, approx_sign kernels, 1e-2, weight 0.1",
        "R+G, approx_sign kernels, weight 0.1",
        1e-2,
        1,
        "small",
    ),
]
# The same of the test images, where the students' learning rate is 1e-2.
TESTED = [
    ("full-precision teacher", contenders.TEACHER, 3e-3, 1, "large"),
    ("Bi-Real Net", "Bi-Real Net", 1e-2, 3, "large"),
    ("this recipe", "R, distillation", 1e-2, 3, "large"),
    (
        "this recipe, from its counterpart",
        "R, pretrained, distillation",
        1e-2,
        3,
        "large",
    ),
    (
        "Bi-Real Net, distillation, from its counterpart",
        "Bi-Real Net, pretrained, distillation",
        1e-2,
        3,
        "large",
    ),
]


def test_the_default_rests_on_the_lines_of_the_study():
    rows = lines.read_study(places.Places())
    expected = {}
    for figure, table in (
        ("validation_accuracy", ACCURACIES),
        ("test_accuracy", TESTED),
    ):
        for words, contender, rate, seeds, size in table:
            own = lines.of(rows, size, contender, learning_rate=rate)
            own = [row for row in own if row["seed"] < seeds]
            assert len(own) == seeds
            told = f"{words:<51}{_mean(own, figure)}"
            expected.setdefault(figure, []).append(told)
    document = map(str.strip, recipes.default.__doc__.splitlines())
    figures = [line for line in document if line.endswith(" %")]
    start = figures.index(expected["test_accuracy"][0])
    end = start + len(TESTED)
    assert figures[start:end] == expected["test_accuracy"]
    assert figures[:start] + figures[end:] == expected["validation_accuracy"]


def test_what_is_said_of_the_paper_rests_on_them_too():
    rows = lines.read_lines(places.RESULTS / "runs.jsonl")
    own = lines.of(rows, "small", "RBCN as in its paper", learning_rate=3e-3)
    strong = lines.of(rows, "small", "R+G, weight 1", learning_rate=3e-2)
    usual = lines.of(rows, "small", "R+G", learning_rate=3e-2)
    usual = [row for row in usual if row["seed"] == 0]
    document = " ".join(recipes.paper.__doc__.split())
    assert f"it has {_mean(own)} with three seeds" in document
    strong, usual = _mean(strong), _mean(usual)
    assert f"R+G has {strong} with it, and {usual} with a hundredth" in document


@pytest.mark.parametrize(
    ("name", "contender"),
    [("default", "R, distillation"), ("paper", "RBCN as in its paper")],
)
def test_learning_rates_are_the_best_of_the_study(name, contender):
    rows = lines.read_lines(places.RESULTS / "runs.jsonl")
    recipe = recipes.RECIPES[name]()
    assert recipe.learning_rate == lines.best_rate(rows, contender, "small")


def _mean(rows, figure="validation_accuracy"):
    accuracies = [100 * row[figure] for row in rows]
    spread = f" +- {statistics.stdev(accuracies):.2f}" if len(rows) > 1 else ""
    return f"{statistics.mean(accuracies):.2f}{spread} %"


def test_the_default_settings_are_those_of_its_line():
    contender = contenders.contender("R, distillation")
    settings = dataclasses.asdict(recipes.default().settings)
    assert settings.items() >= contender.settings.items()
    assert recipes.default().kernel_quantizer == contender.kernel_quantizer
    pretrained = contenders.contender("R, pretrained, distillation")
    assert recipes.default().pretrained_kernel_magnitude == pretrained.magnitude
    rows = lines.read_lines(places.RESULTS / "runs.jsonl")
    rate = lines.best_rate(rows, pretrained.teacher, "small")
    assert recipes.default().pretraining_learning_rate == rate
    # Those that the contender leaves out do nothing without a weight.
    for weight in ("feature_matching_weight", "attention_weight"):
        assert settings[weight] == 0


def test_the_paper_has_what_its_equations_say():
    recipe = recipes.paper()
    assert recipe.settings == TrainingSettings(
        kernel_weight=1e-4,  # Not given there.
        kernel_loss_gradient="straight_through",  # 3.71
        adversarial_loss="least_squares",  # 3.72
        adversarial_weight=1.0,  # L = L_S + L_Kernel + L_Adv
        distillation=0.0,
        discriminator_accuracy_limit=1.0,  # Trained in each step.
    )
    assert (recipe.taps, recipe.kernel_quantizer) == ("convolution", "approx_sign")


@pytest.mark.parametrize(
    ("epochs", "steps", "name"),
    [(0, 3, "epochs"), (2.5, 3, "epochs"), (2, 0, "steps_per_epoch")],
)
def test_bad_lengths(epochs, steps, name):
    with pytest.raises(ValueError, match=rf"Expected `{name}` .*{name}="):
        recipes.default().compile_arguments(epochs, steps)


def test_a_recipe_without_taps(teacher, data):
    recipe = recipes.paper().without_taps()
    assert recipe.settings.kernel_weight == recipes.paper().settings.kernel_weight
    model = recipe.model(network(RectifiedConv2D), teacher)
    assert model.taps == []
    model.compile(loss=LOSS, **recipe.compile_arguments(EPOCHS, STEPS))
