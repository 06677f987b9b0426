"""What is taken out of a file leaves nothing behind."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from unused_tensors import unused_tensors

from keras_rbcn import export_tflite
from keras_rbcn._backend import keras
from keras_rbcn.tflite.editing import BUILTIN, Editor
from keras_rbcn.tflite.flatbuffer import parse


def run(content, samples):
    """What a stock interpreter makes of the samples; it knows no checksum."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (received,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    outputs = []
    for sample in samples:
        interpreter.set_tensor(given["index"], sample[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(received["index"]))
    return np.concatenate(outputs)


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), name="given")
    x = keras.layers.Dense(5, name="first")(inputs)
    x = keras.activations.tanh(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="last")(x))


def test_an_operator_taken_out_leaves_nothing_behind(model, tmp_path):
    samples = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    path = tmp_path / "model.tflite"
    export_tflite(model, path, verify_data=samples)
    editor = Editor(path.read_bytes())
    (tanh,) = (
        one for one in editor.graph.operators if editor.code(one) == BUILTIN.TANH
    )
    editor.reconnect(tanh.outputs[0], tanh.inputs[0])
    editor.graph.operators.remove(tanh)
    before = len(editor.graph.tensors)
    content = editor.content()
    assert not unused_tensors(content)
    assert len(parse(content).tensors) == before - 1
    first, last = model.get_layer("first"), model.get_layer("last")
    expected = last(first(samples))
    np.testing.assert_allclose(run(content, samples), expected, rtol=1e-5, atol=1e-6)
    # The kind of operator has gone as well, and its name in the file.
    assert b"tanh" not in content.lower()
    assert "TANH" not in {one.name for one in parse(content).operators}


def test_what_is_used_stays(model, tmp_path):
    samples = np.ones((4, 6), "float32")
    path = tmp_path / "model.tflite"
    export_tflite(model, path, verify_data=samples)
    content = path.read_bytes()
    edited = Editor(content).content()
    assert len(edited) == len(content)
    np.testing.assert_array_equal(run(edited, samples), run(content, samples))
