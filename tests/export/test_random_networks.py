"""Random small networks: each is exported and compared with its Keras student."""

import hypothesis
import numpy as np
from hypothesis import strategies as st
from random_networks import random_network

from keras_rbcn._backend import keras
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel


@hypothesis.settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    # A failing network is small enough as it is, and each try takes a second.
    phases=[hypothesis.Phase.generate],
)
@hypothesis.given(data=st.data(), seed=st.integers(0, 2**16))
def test_exports_what_the_student_computes(tmp_path_factory, data, seed):
    keras.backend.clear_session()
    model = random_network(lambda options: data.draw(st.sampled_from(options)), seed)
    images = np.random.default_rng(seed).normal(size=(16, *model.input_shape[1:]))
    path = tmp_path_factory.mktemp("network") / "model.tflite"

    report = export_tflite(model, path, verify_data=images)

    # Judged here by other means than by the export's own: all convolutions are there,
    # and the file read back agrees on all but at most two samples with flipped signs.
    rectified = [x for x in model.layers if isinstance(x, RectifiedConv2D)]
    assert report.operator_counts["LceBconv2d"] == len(rectified)
    assert sorted(report.binary_convolutions) == sorted(x.name for x in rectified)
    real = [x for x in model.layers if type(x) is keras.layers.Conv2D]
    assert report.operator_counts.get("CONV_2D", 0) == len(real)
    expected = model.predict(images.astype("float32"), verbose=0)
    received = TFLiteModel(path).predict(images)
    assert received.shape == expected.shape
    difference = np.abs(received - expected).reshape(len(images), -1).max(1)
    assert np.sum(difference > 1e-5 * np.abs(expected).max()) <= 2
