"""Training stops at a loss that is not finite, with nothing changed by it."""

import numpy as np
import pytest
from tiny import RBCN, crossentropy, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras


def model_of(teacher, **settings):
    model = rbcn.RBCNModel(student(), teacher)
    model.compile(
        keras.optimizers.Adam(0.01),
        crossentropy(),
        scale_optimizer=keras.optimizers.Adam(0.01),
        strategy_b_optimizer=keras.optimizers.Adam(0.01),
        **RBCN,
        **settings,
    )
    return model


def state(model):
    optimizers = (
        model.optimizer,
        model.scale_optimizer,
        model.discriminator_optimizer,
        model.strategy_b_optimizer,
    )
    slots = [v.numpy() for one in optimizers for v in variables(one)]
    return [*model.get_weights(), *slots]


def variables(optimizer):
    """Of an optimizer of either of Keras' generations."""
    found = optimizer.variables
    return found() if callable(found) else found


def assert_equal(first, second):
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "settings",
    [{}, {"run_eagerly": True}, {"steps_per_execution": 3}, {"jit_compile": True}],
    ids=str,
)
def test_the_state_in_front_of_the_step_is_kept(data, teacher, settings):
    x, y = data
    broken = x.copy()
    broken[20] = np.nan  # In the third batch of eight.
    models = [model_of(teacher, **settings) for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    models[0].fit(x[:16], y[:16], batch_size=8, shuffle=False, verbose=0)
    with pytest.raises(FloatingPointError, match=r"in step 3 .*task_loss is nan"):
        models[1].fit(broken, y, batch_size=8, shuffle=False, verbose=0)
    assert_equal(state(models[1]), state(models[0]))
    # It can go on.
    history = models[1].fit(x, y, batch_size=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def test_a_discriminator_alone_is_named(data, teacher):
    model = model_of(teacher)
    kernel = model.discriminators[0].layers[-1].kernel
    kernel.assign(np.full_like(kernel, np.inf))
    with pytest.raises(FloatingPointError, match="discriminator_loss is"):
        model.fit(*data, verbose=0)


def test_train_on_batch_raises_too(data, teacher):
    model = model_of(teacher)
    with pytest.raises(FloatingPointError, match="step 1"):
        model.train_on_batch(np.full_like(data[0], np.inf), data[1])


def test_keras_own_way_to_stop_is_left_to_it(data, teacher):
    model = model_of(teacher)
    before = model.get_weights()
    history = model.fit(
        np.full_like(data[0], np.nan),
        data[1],
        epochs=3,
        verbose=0,
        callbacks=keras.callbacks.TerminateOnNaN(),
    ).history
    assert len(history["loss"]) == 1
    assert_equal(model.get_weights(), before)


def mean_of_features(shape):
    """A discriminator that scores 1 more than the mean of a feature map."""
    layers = keras.layers
    inputs = keras.Input(shape)
    x = layers.Flatten()(inputs)
    mean = keras.initializers.Constant(1 / x.shape[1])
    scores = layers.Dense(1, kernel_initializer=mean, bias_initializer="ones")(x)
    model = keras.Model(inputs, scores)
    model.trainable = False
    return model


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize(
    ("beta", "kernel", "share", "advice"),
    [(-100.0, 1.0, "100.0%", "it has won"), (0.0, 0.0, "50.0%", "coin")],
)
def test_a_discriminator_that_won_or_collapsed_is_named(
    data, teacher, beta, kernel, share, advice, validation
):
    model = rbcn.RBCNModel(student(), teacher, ["norm1"], mean_of_features)
    settings = RBCN | {"kernel_weight": 0, "adversarial_weight": 1e-9}
    model.compile("sgd", crossentropy(), **settings)
    model.student.get_layer("norm1").beta.assign([beta] * 4)
    weights = model.discriminators[0].layers[-1].kernel
    weights.assign(kernel * weights)
    with pytest.warns(UserWarning, match=rf"last 3 .*'norm1' told {share}.*{advice}"):
        model.fit(
            *data, epochs=4, verbose=0, validation_data=data if validation else None
        )
