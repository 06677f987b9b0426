"""The numerical check of gradients."""

import numpy as np
import pytest

from keras_rbcn._backend import tf


def _assert_gradients(loss, *arrays):
    """Compares gradients of a scalar loss with central differences, in float64."""
    arrays = [tf.constant(array, tf.float64) for array in arrays]
    exact, numerical = tf.test.compute_gradient(loss, arrays, delta=1e-5)
    for found, expected in zip(exact, numerical, strict=True):
        assert np.abs(expected).max() > 1e-3  # Else nothing would be compared.
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


@pytest.fixture
def assert_gradients():
    return _assert_gradients
