"""Settings and fixtures that all tests share."""

import os

# Tests run side by side (`pytest -n 2`): one thread each is faster than two that
# wait for each other. Set before TensorFlow starts.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import pytest

from keras_rbcn._backend import keras


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same random state, and from fresh layer names."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
