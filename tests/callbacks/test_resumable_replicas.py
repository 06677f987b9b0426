"""A training on several replicas of one process goes on as it was."""

import numpy as np
import pytest
from interruption import Interrupt, InterruptionError
from resumable_program import BATCH, STEPS, arrays, dataset, final_state, rbcn_model
from tensorflow.python.framework import config

from keras_rbcn._backend import keras, tf
from keras_rbcn.callbacks import ResumableTraining

pytestmark = pytest.mark.filterwarnings("ignore:In the last 3 epochs:UserWarning")


@pytest.fixture(scope="module")
def strategy(mirrored_strategy):
    return mirrored_strategy


class Dice(keras.callbacks.Callback):
    """Uses random numbers, as callbacks may."""

    def on_train_batch_end(self, batch, logs=None):
        np.random.rand()


def small_model():
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Flatten(),
            layers.Dense(4),
            layers.BatchNormalization(),
            layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def train(folder, strategy, interrupt_at=None, build=small_model, **fit):
    """Trains as a program does that has just been started; returns the model."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = build()
    resumable = ResumableTraining(folder, save_every=3)
    callbacks = [resumable, Dice(), Interrupt(interrupt_at)]
    fit = {"x": dataset(), **fit}
    if not isinstance(fit["x"], np.ndarray) and callable(fit["x"]):
        fit["x"] = fit["x"]()  # Behind the seed.
    try:
        model.fit(epochs=3, verbose=0, callbacks=callbacks, **fit)
    except InterruptionError:
        return None
    assert interrupt_at is None
    return model


def state_of_replicas(model, strategy):
    """Besides the final state, what each replica has for itself."""
    variables = [*model.weights, *(v for m in model.metrics for v in m.variables)]
    return final_state(model) | {
        f"variable_{number}_replica_{replica}": value.numpy()
        for number, variable in enumerate(variables)
        for replica, value in enumerate(strategy.experimental_local_results(variable))
    }


def assert_same(one, other):
    assert set(one) == set(other)
    different = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not different


def with_python_code():
    data = dataset().map(
        lambda x, y: (tf.numpy_function(lambda a: 2 * a, [x], tf.float32), y)
    )
    return data.map(lambda x, y: (tf.ensure_shape(x, (None, 4, 4, 2)), y))


DATA = {
    "one pass for all epochs": {
        "x": lambda: dataset().repeat(),
        "steps_per_epoch": 5,
    },
    "of unknown size": {
        "x": lambda: dataset().unbatch().filter(lambda x, y: y >= 0).batch(BATCH)
    },
    "with Python code": {"x": with_python_code},
    "arrays": {"x": arrays()[0], "y": arrays()[1], "batch_size": BATCH},
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.filterwarnings("ignore:ResumableTraining. TensorFlow cannot save")
def test_resumed_at_the_same_batch(data, strategy, tmp_path):
    whole = train(tmp_path / "whole", strategy, **DATA[data])
    train(tmp_path / "broken", strategy, interrupt_at=STEPS + 4, **DATA[data])
    broken = train(tmp_path / "broken", strategy, **DATA[data])
    assert_same(state_of_replicas(whole, strategy), state_of_replicas(broken, strategy))


def test_rbcn_model_with_all_its_optimizers(strategy, tmp_path, monkeypatch):
    random = "tf_keras.src.backend._USE_GENERATOR_FOR_RNG"
    monkeypatch.setattr(random, True)

    def build():
        return rbcn_model(dropout=0.5)

    options = {"build": build, "validation_data": arrays(), "validation_batch_size": 4}
    whole = train(tmp_path / "whole", strategy, **options)
    # Within the second epoch, where metrics are half summed up.
    train(tmp_path / "broken", strategy, interrupt_at=STEPS + 4, **options)
    broken = train(tmp_path / "broken", strategy, **options)
    expected = state_of_replicas(whole, strategy)
    assert_same(expected, state_of_replicas(broken, strategy))
    # Not all replicas have the same statistics: a checkpoint of TensorFlow has means.
    (norm,) = [la for la in whole.student.layers if la.name == "norm"]
    first, second = (v.numpy() for v in norm.moving_mean.values)
    assert np.any(first != second)


def test_tells_of_data_that_are_not_the_same_when_drawn_again(strategy, tmp_path):
    with pytest.warns(UserWarning, match="PyFunc is stateful.*To resume exactly, use"):
        train(tmp_path / "python", strategy, x=with_python_code)
    config.disable_op_determinism()  # It wants a seed, if a test before has set it.
    tf.random.set_seed(None)
    data = {"x": dataset(seed=None)}
    with strategy.scope():
        model = small_model()
    with pytest.warns(UserWarning, match=r"resumed, a training will.*without a seed"):
        model.fit(**data, verbose=0, callbacks=[ResumableTraining(tmp_path / "seed")])


def test_other_number_of_replicas(strategy, tmp_path):
    train(tmp_path, strategy, interrupt_at=4)
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    with (
        pytest.warns(UserWarning, match="does not use a checkpoint"),
        pytest.raises(
            ValueError, match=r"to be of this training.*replicas: 2 there, 1"
        ),
    ):
        train(tmp_path, one)


def test_data_that_end_early_end_the_training(strategy, tmp_path):
    """It is told, and what has been trained is kept."""
    built = []

    def build():
        built.append(rbcn_model())
        return built[-1]

    too_long = {"steps_per_epoch": 5, "build": build}
    with pytest.raises(ValueError, match="ended after 2 batches of epoch 2"):
        train(tmp_path, strategy, **too_long)
    (first,) = built
    assert int(first._train_counter.numpy()) == STEPS
    # It is not begun again.
    again = train(tmp_path, strategy, **too_long)
    assert_same(state_of_replicas(first, strategy), state_of_replicas(again, strategy))
