"""A trained tiny teacher, and data that it can learn."""

import numpy as np
import pytest
from tiny import crossentropy, network

from keras_rbcn._backend import keras


@pytest.fixture(autouse=True)
def seed():
    """Nothing hangs on luck: a discriminator that starts badly would warn."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def data():
    """48 images of three classes: the brightest of three regions."""
    rng = np.random.default_rng(0)
    y = np.arange(48) % 3
    x = rng.normal(size=(48, 8, 8, 2)).astype("float32")
    for image, label in zip(x, y, strict=True):
        image[2 * label : 2 * label + 3] += 3.0
    return x, y


@pytest.fixture(scope="session")
def teacher(data):
    """Trained once: nothing may change it."""
    keras.utils.set_random_seed(0)  # It is made in front of the fixture `seed`.
    model = network(name="teacher")
    model.compile(keras.optimizers.Adam(0.01), crossentropy())
    model.fit(*data, batch_size=16, epochs=2, verbose=0)
    return model
