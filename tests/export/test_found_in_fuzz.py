"""Defects that `make fuzz` has found, each with its test."""

import numpy as np
import pytest
from fuzzing import Case, assert_computes_the_same
from plain_files import PlainFile
from random_networks import randomize

from keras_rbcn._backend import keras, tf
from keras_rbcn.export import ExportError, converter
from keras_rbcn.layers import RectifiedConv2D

layers = keras.layers


def joined_by(join):
    """Two int8 layers of different ranges, joined in front of a 1-bit convolution."""
    inputs = keras.Input((6, 6, 3), name="image")
    one = layers.Conv2D(8, 3, padding="same")(inputs)
    other = layers.Conv2D(8, 3, padding="same")(layers.BatchNormalization()(inputs))
    x = join([one, layers.Activation("linear")(other)])
    x = RectifiedConv2D(8, 3, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(5)(x))
    randomize(model, seed=0)
    other.node.layer.set_weights([4 * w for w in other.node.layer.get_weights()])
    images = np.random.default_rng(0).normal(size=(16, 6, 6, 3)).astype("float32")
    return model, {"image": images}


@pytest.mark.parametrize("runtime", ["lce", "litert"])
@pytest.mark.parametrize(
    "join",
    [
        pytest.param(lambda x: layers.Concatenate()(x), id="concatenate"),
        pytest.param(lambda x: layers.Maximum()(x), id="maximum"),
        pytest.param(lambda x: tf.concat(x, -1), id="tf.concat"),
        pytest.param(lambda x: tf.minimum(*x), id="tf.minimum"),
    ],
)
def test_do_not_cut_off_one_of_two_joined_values(join, runtime, tmp_path, monkeypatch):
    """To all inputs of one operator the converters give one range."""
    case = Case(runtime, True, (False, False), *joined_by(join))
    path = tmp_path / "model.tflite"
    case.export(path)
    assert_computes_the_same(PlainFile(path.read_bytes()), case)
    path.unlink()
    monkeypatch.setattr(converter, "_joining", lambda *_: [])
    with pytest.raises(ExportError, match="does not compute what model"):
        case.export(path)
    assert not path.exists()
