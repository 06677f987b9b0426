"""The check that every layer of the package passes."""

import json

import numpy as np
import pytest

from keras_rbcn._backend import keras, tf

POLICIES = {
    "float32": ("float32", "float32"),
    "float64": ("float64", "float64"),
    "mixed_float16": ("float16", "float32"),
    "mixed_bfloat16": ("bfloat16", "float32"),
}


def _check_layer(layer_class, arguments, input_shape, output_shape, weights, folder):
    """Runs one layer through all that Keras promises of a layer.

    `weights` maps the names of the expected weights to their shapes; all are trainable.
    """
    inputs = np.random.default_rng(0).normal(size=(4, *input_shape)).astype("float32")
    layer = layer_class(**arguments, name="checked")
    _check_registration_and_config(layer, layer_class, input_shape)

    symbolic = keras.Input(input_shape)
    model = keras.Model(symbolic, layer(symbolic))
    assert model.output_shape == (None, *output_shape)
    assert tuple(layer.compute_output_shape((4, *input_shape))) == (4, *output_shape)
    eager = layer(inputs)
    assert eager.shape == (4, *output_shape)
    assert eager.dtype == tf.float32
    graph = tf.function(layer)(inputs)
    np.testing.assert_allclose(graph, eager, rtol=1e-6, atol=1e-6)

    found = {w.name.split("/")[-1].split(":")[0]: w.shape for w in layer.weights}
    assert {name: tuple(shape) for name, shape in found.items()} == weights
    assert len(layer.trainable_weights) == len(weights)
    assert layer.count_params() == sum(np.prod(shape) for shape in weights.values())

    _check_fit(model, inputs)
    _check_saving(model, inputs, layer_class, folder)
    _check_policies(layer_class, arguments, inputs)


def _check_registration_and_config(layer, layer_class, input_shape):
    name = f"keras_rbcn>{layer_class.__name__}"
    assert keras.saving.get_registered_name(layer_class) == name
    config = layer.get_config()
    restored = layer_class.from_config(json.loads(json.dumps(config)))
    assert restored.get_config() == config
    fresh = []
    for one in (restored, layer):
        keras.utils.set_random_seed(0)
        one.build((None, *input_shape))
        fresh.append(one.get_weights())
    for found, original in zip(*fresh, strict=True):
        np.testing.assert_array_equal(found, original)


def _check_fit(model, inputs):
    targets = np.random.default_rng(1).normal(size=(4, *model.output_shape[1:]))
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.1), "mse")
    losses = model.fit(inputs, targets, batch_size=4, epochs=5, verbose=0)
    assert losses.history["loss"][-1] < losses.history["loss"][0]
    for old, new in zip(before, model.get_weights(), strict=True):
        assert not np.array_equal(old, new)


def _check_saving(model, inputs, layer_class, folder):
    expected = model(inputs)
    for name in ("model.keras", "saved_model"):
        model.save(folder / name)
        reloaded = keras.models.load_model(folder / name)
        assert type(reloaded.get_layer("checked")) is layer_class
        original = model.get_layer("checked").get_config()
        assert reloaded.get_layer("checked").get_config() == original
        np.testing.assert_array_equal(reloaded(inputs), expected)
        reloaded.train_on_batch(inputs, expected)  # Still trainable.

    clone = keras.models.clone_model(model)
    model.save_weights(folder / "model.weights.h5")
    clone.load_weights(folder / "model.weights.h5")
    np.testing.assert_array_equal(clone(inputs), expected)


def _check_policies(layer_class, arguments, inputs):
    for policy, (compute_dtype, variable_dtype) in POLICIES.items():
        keras.utils.set_random_seed(0)
        layer = layer_class(**arguments, dtype=policy)
        assert layer(inputs).dtype == compute_dtype, policy
        assert {w.dtype for w in layer.weights} == {tf.as_dtype(variable_dtype)}, policy


@pytest.fixture
def check_layer(tmp_path):
    def check(*arguments):
        _check_layer(*arguments, folder=tmp_path)

    return check
