"""Random small networks: each is exported and compared with its Keras student."""

import hypothesis
from hypothesis import strategies as st
from random_networks import GENERATED, assert_same, exported

from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel


@hypothesis.settings(GENERATED, max_examples=60)
@hypothesis.given(data=st.data(), seed=st.integers(0, 2**16))
def test_exports_what_the_student_computes(tmp_path_factory, data, seed):
    path = tmp_path_factory.mktemp("network") / "model.tflite"
    model, images, report = exported(data, seed, path, "lce")
    # All convolutions are there, and the file read back agrees.
    rectified = [x for x in model.layers if isinstance(x, RectifiedConv2D)]
    assert report.operator_counts["LceBconv2d"] == len(rectified)
    assert sorted(report.binary_convolutions) == sorted(x.name for x in rectified)
    real = [x for x in model.layers if type(x) is keras.layers.Conv2D]
    assert report.operator_counts.get("CONV_2D", 0) == len(real)
    expected = model.predict(images.astype("float32"), verbose=0)
    assert_same(TFLiteModel(path).predict(images), expected)
