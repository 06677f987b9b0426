"""The fuzz test's own judgement: it finds wrong files without the export's help."""

import numpy as np
import pytest
from fuzzing import (
    REFUSALS,
    Case,
    Outcomes,
    assert_computes_the_same,
    assert_kinds,
    step_of,
)
from plain_files import PlainFile
from random_networks import randomize

from keras_rbcn._backend import keras, tf
from keras_rbcn.export import converter, exporter
from keras_rbcn.export.int8 import roundings
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite.editing import BUILTIN, Editor

layers = keras.layers


def make_case(runtime="lce", int8=False, convolution=RectifiedConv2D):
    """Two 1-bit convolutions between real layers, behind an average pooling."""
    inputs = keras.Input((8, 8, 3), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(inputs))
    for number in range(2):
        y = convolution(16, 3, padding="same", name=f"binary{number}")(x)
        x = layers.Add()([x, layers.BatchNormalization()(y)])
    x = layers.Conv2D(16, 1)(layers.AveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))
    randomize(model, seed=0)
    images = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype("float32")
    return Case(runtime, int8, (False, False), model, {"image": images})


@pytest.fixture
def trusting(monkeypatch):
    """An export that writes whatever the converter makes."""
    monkeypatch.setattr(exporter.Matching, "failed", ())
    compare = exporter.compare

    def passed(*arguments):
        agreement = compare(*arguments)
        object.__setattr__(agreement, "passed", True)
        return agreement

    monkeypatch.setattr(exporter, "compare", passed)


def exported(case, folder):
    path = folder / "model.tflite"
    report = case.export(path)
    return PlainFile(path.read_bytes()), report


@pytest.mark.parametrize("runtime", ["lce", "litert"])
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_right_files_pass(runtime, int8, tmp_path):
    case = make_case(runtime, int8)
    file, report = exported(case, tmp_path)
    assert_kinds(file, case, report)
    assert_computes_the_same(file, case)


class ScaledKernel(RectifiedConv2D):
    """Has a kernel of more than one size within each filter."""

    def convolution_op(self, inputs, kernel):
        sizes = tf.range(1.0, kernel.shape[2] + 1.0)
        return super().convolution_op(inputs, kernel * sizes[:, tf.newaxis])


def test_a_1_bit_layer_in_float_is_found(trusting, tmp_path):
    case = make_case(convolution=ScaledKernel)
    file, report = exported(case, tmp_path)
    assert file.kinds()["float32"] == 5
    with pytest.raises(AssertionError):
        assert_kinds(file, case, report)


def test_a_real_layer_in_float_is_found(trusting, tmp_path, monkeypatch):
    note = converter.RoundingNotes.note

    def unrounded(self, layer, place, values):
        note(self, layer, place, values)
        return values

    monkeypatch.setattr(converter.RoundingNotes, "note", unrounded)
    case = make_case(int8=True)
    file, report = exported(case, tmp_path)
    with pytest.raises(AssertionError):
        assert_kinds(file, case, report)


@pytest.mark.parametrize("runtime", ["lce", "litert"])
def test_a_pooling_in_a_wrong_range_is_found(runtime, trusting, tmp_path, monkeypatch):
    monkeypatch.setattr(roundings, "kept_apart", lambda values: values)
    monkeypatch.setattr(converter, "with_float_operators", lambda content, _: content)
    case = make_case(runtime, int8=True)
    file, _ = exported(case, tmp_path)
    with pytest.raises(AssertionError):
        assert_computes_the_same(file, case)


@pytest.mark.parametrize("runtime", ["lce", "litert"])
@pytest.mark.parametrize("int8", [False, True], ids=["float32", "int8"])
def test_a_wrong_bias_is_found(runtime, int8, tmp_path):
    case, path = make_case(runtime, int8), tmp_path / "model.tflite"
    case.export(path)
    editor = Editor(path.read_bytes())
    (dense,) = (
        one
        for one in editor.graph.operators
        if editor.code(one) == BUILTIN.FULLY_CONNECTED
    )
    tensor = editor.graph.tensors[dense.inputs[2]]
    buffer = editor._model.buffers[tensor.buffer]
    values = np.frombuffer(bytes(buffer.data), np.int32 if int8 else np.float32)
    # Of outputs that are rounded, three steps; else next to nothing.
    (step,) = (
        editor.graph.tensors[dense.outputs[0]].quantization.scale if int8 else (0,)
    )
    shift = int(3 * step / tensor.quantization.scale[0]) if int8 else np.float32(1e-3)
    buffer.data = np.frombuffer((values + shift).tobytes(), np.uint8)
    with pytest.raises(AssertionError):
        assert_computes_the_same(PlainFile(editor.content()), case)


def test_refusals_have_reasons_that_must_apply():
    case = make_case()
    assert not any(refusal.applies(case) for refusal in REFUSALS)
    case.source.get_layer("binary1").pad_values = 0.0
    assert [one.message for one in REFUSALS if one.applies(case)] == [
        "it pads with zeros, and the device rounds at the borders"
    ]


def test_an_export_that_refuses_much_fails():
    outcomes = Outcomes()
    for number in range(10):
        outcomes.counts["exported" if number % 5 else "refused"] += 1
    with pytest.raises(AssertionError):
        outcomes.assert_hardly_refused()


def test_steps_of_rounded_values():
    steps = np.arange(-40, 90)
    assert step_of(0.25 * steps) == 0.25
    assert step_of(0.25 * steps + 0.1) == pytest.approx(0.25)
    assert step_of(steps[:3]) == 0.0  # Too few to tell.
    assert step_of(np.random.default_rng(0).normal(size=100)) == 0.0
    assert step_of(np.zeros(10)) == 0.0
