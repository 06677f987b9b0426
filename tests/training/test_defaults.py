"""What `RBCNModel.compile` trains by where it is given no weights."""

import json
import zipfile
from collections import Counter

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy
from tiny import RBCN, Subclassed, Witness, crossentropy, network, student, twin

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D


def test_a_teacher_is_distilled(data, teacher):
    x, y = data
    model = rbcn.RBCNModel(student(), teacher)
    scores = teacher(x), twin(model.student)(x, training=True)
    p, q = (softmax(np.array(one, "float64") / 4.0, -1) for one in scores)
    expected = 4.0**2 * entropy(p, q, axis=-1).mean()
    model.compile("sgd", crossentropy())
    logs = model.train_on_batch(x, y, return_dict=True)
    assert set(logs) == {"loss", "task_loss", "distillation_loss"}
    assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-4)
    added = logs["loss"] - logs["task_loss"]
    assert added == pytest.approx(0.9 * expected, rel=1e-4)


@pytest.mark.parametrize("taught", [False, True])
def test_without_a_teacher_or_distillation_the_task_alone_is_left(
    taught, data, teacher
):
    model = rbcn.RBCNModel(student(), teacher if taught else None)
    settings = {"distillation": 0.0} if taught else {}
    model.compile("sgd", crossentropy(), **settings)
    history = model.fit(*data, batch_size=16, verbose=0).history
    assert set(history) == {"loss", "task_loss"}
    assert history["loss"] == history["task_loss"]


def of_one_number(convolution, name):
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Flatten()(convolution(2, 3, name="conv")(inputs))
    return keras.Model(inputs, keras.layers.Dense(1)(x), name=name)


def subclassed():
    model = Subclassed(student())
    model(np.zeros((1, 8, 8, 2)))
    return model


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (
            lambda: (
                of_one_number(RectifiedConv2D, "student"),
                of_one_number(keras.layers.Conv2D, "teacher"),
            ),
            "one score per class",
        ),
        (lambda: (student(), network(softmax=True)), "only one seems to end"),
        (lambda: (subclassed(), network()), "functional or Sequential"),
    ],
    ids=["a single number", "scores and probabilities", "a subclassed student"],
)
def test_a_teacher_that_cannot_be_distilled(pair, message, data):
    model = rbcn.RBCNModel(*pair(), taps=[], check_teacher=False)
    with pytest.raises(ValueError, match=f"Expected.*{message}"):
        model.compile("sgd", "mse")
    model.compile("sgd", "mse", distillation=0.0)
    assert set(model.fit(*data, verbose=0).history) == {"loss", "task_loss"}


def operations(model, data):
    """How many of each kind a step consists of, in all branches."""
    step = tf.function(model.train_step, autograph=False)
    graph = step.get_concrete_function(data).graph.as_graph_def()
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return Counter(node.op for part in nodes for node in part)


def test_taps_and_discriminators_that_are_off_cost_nothing(data, teacher):
    found = []
    for taps, settings in (("convolution", {}), ([], {}), ("convolution", RBCN)):
        model = rbcn.RBCNModel(student(), teacher, taps)
        model.compile(keras.optimizers.SGD(), crossentropy(), **settings)
        found.append(operations(model, data))
    tapped, untapped, judged = found
    assert tapped == untapped
    assert tapped.total() < judged.total()


def test_discriminators_that_are_off_neither_run_nor_learn(data, teacher):
    def counting(shape):
        pooling = keras.layers.GlobalAveragePooling2D()
        layers = [keras.Input(shape), Witness(), pooling, keras.layers.Dense(1)]
        return keras.Sequential(layers)

    def train(**settings):
        model.compile("adam", crossentropy(), **settings)
        model.fit(*data, batch_size=16, verbose=0)
        return [w for judge in model.discriminators for w in judge.get_weights()]

    model = rbcn.RBCNModel(student(), teacher, discriminators=counting)
    before = [w for judge in model.discriminators for w in judge.get_weights()]
    for a, b in zip(train(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.discriminator_accuracies == {}
    assert int(model.discriminator_optimizer.iterations) == 0
    # The runs are among the weights: this is what they look like when they are on.
    learnt = train(**RBCN | {"discriminator_accuracy_limit": 1.0})
    assert all(np.any(a != b) for a, b in zip(learnt, before, strict=True))


def rewrite_compile_config(path, **settings):
    """Has a `.keras` file say something else of `compile`."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(contents["config.json"])
    assert config["compile_config"].keys() >= settings.keys()
    config["compile_config"].update(settings)
    contents["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)


@pytest.mark.parametrize("taught", [False, True])
def test_files_with_the_weight_of_discriminators_that_there_were_none_of(
    taught, data, teacher, tmp_path
):
    """It was more than 0 by default, without taps as well."""
    model = rbcn.RBCNModel(student(), teacher if taught else None, taps=[])
    model.compile("sgd", crossentropy(), distillation=0.0)
    path = tmp_path / "model.keras"
    model.save(path)
    rewrite_compile_config(path, adversarial_weight=0.01, kernel_weight=1e-4)
    loaded = keras.models.load_model(path)
    settings = loaded.settings
    assert (settings.adversarial_weight, settings.kernel_weight) == (0.0, 1e-4)
    assert settings.distillation == 0.0  # Not the default of `compile`.
    history = loaded.fit(*data, verbose=0).history
    assert set(history) == {"loss", "task_loss", "kernel_loss"}
