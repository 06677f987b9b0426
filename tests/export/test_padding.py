"""Zeros padded in front of real convolutions with strides, which LCE misreads."""

import larq_compute_engine
import numpy as np
import pytest

from keras_rbcn._backend import keras, tf
from keras_rbcn.export import export_tflite
from keras_rbcn.tflite import TFLiteModel

ONE_BELOW = ((0, 1), (0, 1))
ONE_ABOVE = ((1, 0), (1, 0))


def padded(pad, size, kernel, strides, convolution):
    if convolution == "depthwise":
        layer = keras.layers.DepthwiseConv2D(kernel, strides)
    else:
        layer = keras.layers.Conv2D(4, kernel, strides)
    inputs = keras.Input((size, size, 3))
    return keras.Model(inputs, layer(keras.layers.ZeroPadding2D(pad)(inputs)))


def images(size):
    return np.random.default_rng(0).normal(size=(4, size, size, 3)).astype("float32")


@pytest.mark.parametrize("convolution", ["ordinary", "depthwise"])
@pytest.mark.parametrize(
    ("pad", "size", "kernel", "strides"),
    [
        (1, 8, 3, 2),
        (3, 8, 7, 2),
        (2, 8, 5, 2),
        (1, 9, 3, 2),
        (1, 9, 3, 3),
        (ONE_BELOW, 8, 3, 2),
        (ONE_ABOVE, 8, 3, 2),
        (1, 8, 2, 2),
        (1, 8, 3, 1),
    ],
)
def test_padding_and_strides_survive(pad, size, kernel, strides, convolution, tmp_path):
    model = padded(pad, size, kernel, strides, convolution)
    x = images(size)
    report = export_tflite(model, tmp_path / "model.tflite", verify_data=x)
    assert report.agreement.max_difference < 1e-5


def test_the_converter_alone_does_not_pad_as_keras_does(tmp_path):
    # The trap itself: once this fails, keras_rbcn.export.padding can go.
    model = padded(1, 8, 3, 2, "ordinary")
    content = larq_compute_engine.convert_keras_model(model)
    difference = TFLiteModel(content).predict(images(8)) - model.predict(
        images(8), verbose=0
    )
    assert np.abs(difference).max() > 0.1


def test_padding_that_is_that_of_same_costs_no_operator(tmp_path):
    model = padded(ONE_BELOW, 8, 3, 2, "ordinary")
    report = export_tflite(model, tmp_path / "model.tflite", verify_data=images(8))
    assert report.operator_counts == {"CONV_2D": 1}


def test_padding_by_another_value_survives(tmp_path):
    class Pad(keras.layers.Layer):
        def call(self, inputs):
            return tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=0.5)

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3, 2)(Pad()(inputs)))
    x = images(8)
    report = export_tflite(model, tmp_path / "model.tflite", verify_data=x)
    assert report.agreement.max_difference < 1e-5
