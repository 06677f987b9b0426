"""What is promised of each layer beside what its file holds."""

import numpy as np
import pytest
from reports import exported, images, residual_network

from keras_rbcn._backend import keras
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.profiling import profile

BYTES = 4  # Of a real number.


@pytest.fixture(scope="module")
def network():
    return residual_network()


@pytest.fixture(scope="module")
def report(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    report = exported(network, folder)
    assert (folder / "model.tflite").stat().st_size == report.bytes
    return report


def test_layers_that_the_file_holds_together_are_counted_together(report):
    rows = {row.layers: row for row in report.promise.layers}
    assert list(rows) == [
        ("first", "first_norm"),
        ("shortcut", "shortcut_norm"),
        ("conv", "norm"),
        ("scores",),
    ]
    kinds = [row.kind for row in rows.values()]
    assert kinds == ["float32", "float32", "1-bit", "float32"]


def test_bytes_of_each_layer_by_hand(report):
    rows = {row.layers[0]: row for row in report.promise.layers}
    # The kernel and the two parameters of the normalisation; in the file, one bias.
    first = rows["first"]
    assert first.promised_bits == 8 * BYTES * (3 * 3 * 3 * 8 + 2 * 8)
    assert first.stored_bits == 8 * BYTES * (3 * 3 * 3 * 8 + 8)
    # Eight channels of a 1-bit kernel lie in a word of 32.
    conv = rows["conv"]
    assert conv.promised_bits == 3 * 3 * 8 * 40 + 8 * BYTES * 3 * 40
    assert conv.padding_bits == 3 * 3 * (32 - 8) * 40
    assert conv.stored_bits == 3 * 3 * 32 * 40 + 8 * BYTES * 2 * 40
    assert rows["scores"].promised_bits == 8 * BYTES * (40 * 5 + 5)


def test_totals_are_those_of_profiles_and_of_the_file(network, report):
    promise = report.promise
    file = profile(report.path)
    assert promise.promised_bits == profile(network).memory_bits
    assert promise.stored_bits == file.total.stored_bits
    assert promise.padding_bits == file.total.stored_bits - file.memory_bits
    constants = sum(row.bytes for row in report.layers)
    assert promise.other_bytes == constants - promise.stored_bits // 8
    assert promise.other_bytes == 2 * BYTES  # The axes of the pooling.
    assert promise.structure_bytes == report.bytes - constants
    for name in ("promised_bits", "stored_bits", "padding_bits"):
        total = sum(getattr(row, name) for row in promise.layers)
        assert total == getattr(promise, name), name


def test_emulated_kernels_take_four_bits_a_value(network, tmp_path):
    report = exported(network, tmp_path, runtime="litert")
    (row,) = [row for row in report.promise.layers if row.layers[0] == "conv"]
    assert row.kind == "1-bit in float32"
    assert row.stored_bits >= 4 * 3 * 3 * 8 * 40
    assert row.padding_bits == 0
    assert len(report.promise.layers) == 4


def test_a_long_name_that_the_converter_cuts_off_is_found(tmp_path):
    name = "a_convolution_with_a_name_that_is_far_too_long_for_it"
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, use_bias=False, name=name),
            keras.layers.BatchNormalization(name=f"{name}_normalization"),
        ]
    )
    report = exported(model, tmp_path)
    assert [row.name for row in report.layers] == [f"{name}_normalization"]
    assert report.promise.layers[0].layers == (name, f"{name}_normalization")


def test_nested_models_and_layers_that_are_called_twice(tmp_path):
    inner_inputs = keras.Input((8, 8, 16))
    x = RectifiedConv2D(16, 3, padding="same", name="inner")(inner_inputs)
    outputs = keras.layers.BatchNormalization(name="inner_norm")(x)
    inner = keras.Model(inner_inputs, outputs, name="block")
    inputs = keras.Input((8, 8, 16))
    model = keras.Model(inputs, inner(inner(inputs)))
    data = np.random.default_rng(0).normal(size=(16, 8, 8, 16))
    report = export_tflite(model, tmp_path / "a.tflite", verify_data=data)
    (row,) = report.promise.layers
    assert row.layers == ("block/inner", "block/inner_norm")
    assert row.promised_bits == profile(model).memory_bits


def test_a_subclassed_model_has_no_neighbours(tmp_path):
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = RectifiedConv2D(8, 3, name="inner")
            self.norm = keras.layers.BatchNormalization(name="norm")

        def call(self, inputs, training=False):
            return self.norm(self.inner(inputs), training=training)

    model = Network()
    model(images(1))
    report = exported(model, tmp_path)
    found = {row.layers: row.stored_bits for row in report.promise.layers}
    assert found.keys() == {("inner",), ("norm",)}
    assert found["norm",] == 0


def test_a_model_without_parameters(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    report = exported(model, tmp_path)
    assert report.promise.layers == ()
    assert report.promise.promised_bits == 0
    assert report.promise.structure_bytes + report.promise.other_bytes == report.bytes


def test_layers_in_int8_are_counted_under_their_own_names(network, tmp_path):
    report = exported(
        network, tmp_path, real_layers="int8", calibration_data=images(32)
    )
    rows = {row.layers: row for row in report.promise.layers}
    assert list(rows) == [
        ("first", "first_norm"),
        ("shortcut", "shortcut_norm"),
        ("conv", "norm"),
        ("scores",),
    ]
    assert rows["scores",].kind == "int8"
    # A byte for each value of the kernel, and four for each bias.
    assert rows["scores",].stored_bits == 8 * (40 * 5 + BYTES * 5)
