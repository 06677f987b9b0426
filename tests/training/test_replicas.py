"""Two replicas train as one device does with the same global batch."""

import numpy as np
import pytest
from tiny import (
    KERNEL_LOSS,
    RBCN,
    crossentropy,
    network,
    student,
    synchronized,
)

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf

# The tiny discriminators win at times.
pytestmark = pytest.mark.filterwarnings("ignore:In the last 3 epochs:UserWarning")


@pytest.fixture(scope="module")
def strategy(mirrored_strategy):
    return mirrored_strategy


def trained(scope, pupil, teacher, data, **settings):
    with scope:
        model = rbcn.RBCNModel(synchronized(pupil), synchronized(teacher))
        keras.utils.set_random_seed(1)
        for part in model.discriminators:
            part.set_weights(
                [0.1 * np.random.normal(size=w.shape) for w in part.get_weights()]
            )
        optimizers = {
            name: keras.optimizers.SGD(rate)
            for name, rate in (
                ("scale_optimizer", 0.01),
                ("discriminator_optimizer", 0.05),
                ("strategy_b_optimizer", 0.02),
            )
        }
        model.compile(
            keras.optimizers.Adam(0.01, epsilon=0.1),
            crossentropy(),
            metrics=["accuracy"],
            **optimizers,
            **settings,
        )
    x, y = data
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    history = model.fit(batches, epochs=3, verbose=0).history
    return model, history


@pytest.mark.parametrize("every", [1, 2])
def test_the_same_trajectory_as_on_one_device(strategy, data, teacher, every, tmp_path):
    pupil = student()
    settings = {
        **KERNEL_LOSS,
        "distillation": 0.1,
        "attention_weight": 0.1,
        "adversarial_weight": 0.1,
        "strategy_b_every": every,
    }
    one = tf.distribute.get_strategy().scope()
    expected, logs = trained(one, pupil, teacher, data, **settings)
    model, got = trained(strategy.scope(), pupil, teacher, data, **settings)
    assert got.keys() == logs.keys()
    for name, values in logs.items():
        np.testing.assert_allclose(got[name], values, rtol=2e-3, err_msg=name)
    for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
    # Saved and exported as a model of one device is.
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        reloaded.predict(data[0], verbose=0), expected_outputs(model, data[0])
    )


def expected_outputs(model, x):
    copy = network(rbcn.layers.RectifiedConv2D)
    copy.set_weights(model.student.get_weights())
    return copy.predict(x, verbose=0)


def test_a_resting_discriminator_rests_in_all_replicas(strategy, data, teacher):
    with strategy.scope():
        model = rbcn.RBCNModel(student(), teacher)
        model.compile("sgd", crossentropy(), discriminator_accuracy_limit=0.5, **RBCN)
        for part in model.discriminators:  # Tells nothing apart: all scores are 1.
            part.set_weights([np.zeros_like(w) for w in part.get_weights()])
            part.layers[-1].bias.assign([1.0])
    before = [part.get_weights() for part in model.discriminators]
    model.fit(*data, batch_size=16, verbose=0)
    moved = [
        any(np.any(a != b) for a, b in zip(part.get_weights(), old, strict=True))
        for part, old in zip(model.discriminators, before, strict=True)
    ]
    assert any(moved)  # One that tells half apart does not rest.
    for part in model.discriminators:
        for variable in part.trainable_variables:
            values = [v.numpy() for v in variable.values]
            np.testing.assert_array_equal(*values)


def test_a_batch_smaller_than_the_replicas_is_refused(strategy, data, teacher):
    with strategy.scope():
        model = rbcn.RBCNModel(student(), teacher)
        model.compile("sgd", crossentropy())
    with pytest.raises(ValueError, match="smaller than the number of replicas"):
        model.fit(data[0][:3], data[1][:3], batch_size=2, verbose=0)
