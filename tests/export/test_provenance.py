"""Where a file comes from, as its report tells it."""

import hashlib
import json
from collections import OrderedDict
from types import MappingProxyType

import numpy as np
import pytest

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D


def digest(model):
    """Computed by itself: types, shapes and values of the weights, in order."""
    whole = b""
    for value in model.get_weights():
        whole += f"{value.dtype} {value.shape}".encode() + value.tobytes()
    return hashlib.sha256(whole).hexdigest()


def network(convolution, name):
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, padding="same", name="first")(inputs)
    x = convolution(4, 3, padding="same", name="conv")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x), name=name)


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(24, 6, 6, 2)).astype("float32")
    return x, generator.integers(0, 3, 24)


@pytest.fixture(scope="module")
def trained(data):
    """An RBCNModel after two calls of `fit`."""
    keras.utils.set_random_seed(0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher = network(keras.layers.Conv2D, "teacher")
    teacher.compile("adam", loss)
    teacher.fit(*data, verbose=0)
    model = rbcn.RBCNModel(network(RectifiedConv2D, "student"), teacher)
    warming = keras.optimizers.schedules.PolynomialDecay(0.0, 5, 0.1)
    model.compile(
        keras.optimizers.Adam(3e-3),
        loss,
        kernel_weight=2e-4,
        adversarial_weight=0.01,
        distillation=warming,
    )
    for epochs in (1, 2):
        model.fit(*data, batch_size=8, epochs=epochs, verbose=0)
    return model


@pytest.fixture(scope="module")
def provenance(trained, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "a.tflite"
    report = rbcn.export_tflite(
        trained,
        path,
        verify_data=data[0],
        provenance={"data": rbcn.datasets.fingerprint(data), "commit": "1a2b3c"},
    )
    assert json.loads(report.to_json())["provenance"] == report.provenance
    return report.provenance


def test_weights_are_told_by_their_digests(trained, provenance):
    for name in ("student", "teacher"):
        model = getattr(trained, name)
        expected = {"name": name, "weights_sha256": digest(model)}
        assert provenance[name] == expected


def test_the_configuration_of_the_training(provenance):
    training = provenance["training"]
    assert training["settings"]["kernel_weight"] == 2e-4
    schedule = training["settings"]["distillation"]
    assert schedule["class_name"] == "PolynomialDecay"
    assert schedule["config"]["end_learning_rate"] == 0.1
    assert training["loss"]["class"] == "SparseCategoricalCrossentropy"
    assert training["loss"]["from_logits"] is True
    optimizers = training["optimizers"]
    assert set(optimizers) == {"optimizer", "discriminator_optimizer"}
    assert optimizers["optimizer"]["class"] == "Adam"
    rates = {name: one["learning_rate"] for name, one in optimizers.items()}
    assert rates["optimizer"] == pytest.approx(3e-3)
    assert rates["discriminator_optimizer"] == pytest.approx(1e-4)
    # Three batches in each of three epochs.
    assert {one["steps"] for one in optimizers.values()} == {9}
    assert provenance["taps"] == [["norm", "norm"]]


def test_each_call_of_fit_is_told(provenance):
    first, second = provenance["training"]["fits"]
    assert (first["epochs"], first["steps"]) == (1, 3)
    assert (second["epochs"], second["steps"]) == (2, 9)
    assert first["data"] == {
        "kind": "arrays",
        "x": "float32 (24, 6, 6, 2)",
        "y": "int64 (24,)",
    }
    assert first["ended"] <= second["started"]


def test_what_the_user_gives_is_there_as_it_was_given(provenance, data):
    expected = {"data": rbcn.datasets.fingerprint(data), "commit": "1a2b3c"}
    assert provenance["given"] == expected


def test_a_plain_model_is_told_by_its_weights(student, images, tmp_path):
    report = rbcn.export_tflite(student, tmp_path / "a.tflite", verify_data=images)
    assert report.provenance == {
        "student": {"name": student.name, "weights_sha256": digest(student)},
        "given": {},
    }
    before = report.provenance["student"]["weights_sha256"]
    student.layers[-1].kernel.assign(student.layers[-1].kernel + 1.0)
    assert digest(student) != before
    report = rbcn.export_tflite(student, tmp_path / "a.tflite", verify_data=images)
    assert report.provenance["student"]["weights_sha256"] != before


def test_a_model_that_was_not_compiled(student, images, tmp_path):
    model = rbcn.RBCNModel(student)
    report = rbcn.export_tflite(model, tmp_path / "a.tflite", verify_data=images)
    assert set(report.provenance) == {"student", "taps", "given"}


@pytest.mark.parametrize("loss", ["mse", keras.losses.mean_squared_error, ["mse"]])
def test_losses_of_every_kind(student, images, tmp_path, loss):
    model = rbcn.RBCNModel(student)
    model.compile("sgd", loss)
    report = rbcn.export_tflite(model, tmp_path / "a.tflite", verify_data=images)
    told = report.provenance["training"]["loss"]
    assert told in ("mse", "mean_squared_error", ["mse"])


def test_mappings_and_tuples_become_plain(student, images, tmp_path):
    given = OrderedDict(a=MappingProxyType({"b": (1, 2.5, None, True)}))
    report = rbcn.export_tflite(
        student, tmp_path / "a.tflite", verify_data=images, provenance=given
    )
    assert report.provenance["given"] == {"a": {"b": [1, 2.5, None, True]}}


def _deep(levels):
    return {"a": _deep(levels - 1)} if levels else {}


def _in_itself():
    values = {"a": []}
    values["a"].append(values)
    return values


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("commit", TypeError, "a dictionary.*received: str"),
        ([("a", 1)], TypeError, "received: list"),
        ({"a": {"b": [1, {2, 3}]}}, ValueError, r"provenance\['a'\]\['b'\]\[1\].*set"),
        ({"a": np.float32(1)}, ValueError, r"provenance\['a'\].*float32"),
        ({"a": float("nan")}, ValueError, r"provenance\['a'\].*nan"),
        ({"a": {3: 4}}, ValueError, r"keys of provenance\['a'\].*received: 3"),
        (_deep(800), ValueError, r"at most 100 deep.*provenance\['a'\]\['a'\]"),
        (_in_itself(), ValueError, r"provenance\['a'\]\[0\].*holds itself"),
    ],
)
def test_what_json_cannot_hold_is_refused_at_once(
    student, images, tmp_path, monkeypatch, given, error, message
):
    def convert(*args, **kwargs):
        pytest.fail("converted before the provenance was checked")

    monkeypatch.setattr("keras_rbcn.export.exporter.convert", convert)
    with pytest.raises(error, match=message):
        rbcn.export_tflite(
            student, tmp_path / "a.tflite", verify_data=images, provenance=given
        )
