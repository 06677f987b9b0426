"""A step is traced once for each size of batch; Keras traces the first one twice."""

import contextlib

import numpy as np
import pytest
from tiny import RBCN, crossentropy, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf


class Counted(keras.losses.Loss):
    """Cross-entropy that knows how often it was called, so how often it was traced."""

    calls = 0

    def call(self, y_true, y_pred):
        self.calls += 1
        losses = keras.losses.sparse_categorical_crossentropy
        return losses(y_true, y_pred, from_logits=True)


def compiled(teacher, loss, **kwargs):
    model = rbcn.RBCNModel(student(), teacher)
    # Metrics as strings: Keras creates them in the first step.
    model.compile("adam", loss, metrics=["accuracy"], **{**RBCN, **kwargs})
    return model


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ({}, 1),
        ({"scale_optimizer": "sgd"}, 1),
        # Without it, it is one of the older ones.
        ({"discriminator_optimizer": "adam"}, 1),
        # The student's second run has a loss as well.
        ({"strategy_b_optimizer": "sgd"}, 2),
        # A loop of steps is traced from its first step on.
        ({"steps_per_execution": 2}, 2),
    ],
    ids=["plain", "scales", "discriminators", "strategy B", "several steps"],
)
def test_fit_traces_once(settings, calls, data, teacher):
    loss = Counted()
    model = compiled(teacher, loss, **settings)
    model.fit(*data, batch_size=16, epochs=2, verbose=0)
    model.fit(*data, batch_size=16, verbose=0)
    assert loss.calls == calls


def test_a_batch_of_another_size_is_traced_too(data, teacher):
    loss = Counted()
    model = compiled(teacher, loss)
    for size in (16, 8, 16):
        model.train_on_batch(*(part[:size] for part in data))
    assert loss.calls == 2


def test_keras_traces_twice(data):
    """When it no longer does, there is nothing to do here."""
    loss, model = Counted(), student()
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(*data, batch_size=16, epochs=2, verbose=0)
    assert loss.calls == 2


def test_the_same_as_of_two_traces(data, teacher, monkeypatch):
    def run():
        keras.utils.set_random_seed(1)
        model = compiled(
            teacher, crossentropy(), scale_optimizer="sgd", strategy_b_optimizer="sgd"
        )
        history = model.fit(*data, batch_size=16, epochs=2, verbose=0).history
        return history, model.get_weights()

    history, weights = run()
    module = "keras_rbcn.training.rbcn_model.traced_once"
    monkeypatch.setattr(module, contextlib.nullcontext)
    other_history, other_weights = run()
    assert history == other_history
    for one, other in zip(weights, other_weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_that_creates_a_variable_in_the_graph(data, teacher):
    class Scaled(Counted):
        scale = None

        def call(self, y_true, y_pred):
            if self.scale is None:
                self.scale = tf.Variable(2.0)
            return self.scale * super().call(y_true, y_pred)

    loss = Scaled()
    model = compiled(teacher, loss)
    model.fit(*data, batch_size=16, epochs=2, verbose=0)
    assert loss.scale.numpy() == 2.0
    assert loss.calls == 2
