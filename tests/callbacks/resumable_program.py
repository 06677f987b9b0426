"""A training that can be resumed; run as a program, it kills itself at a given step."""

import os
import random
import signal
import sys
from pathlib import Path

import numpy as np

from keras_rbcn import RBCNModel
from keras_rbcn._backend import keras, tf
from keras_rbcn.callbacks import ResumableTraining
from keras_rbcn.layers import RectifiedConv2D

SAMPLES, BATCH, EPOCHS = 26, 4, 4
STEPS = 7  # Per epoch, the last one on half a batch.
# What `RBCNModel.compile` leaves off by default.
METHOD = {
    "kernel_weight": 1e-4,
    "kernel_loss_gradient": "straight_through",
    "adversarial_weight": 0.01,
    "distillation": 0.0,
}


def network(convolution, dropout=0.0):
    layers = keras.layers
    inputs = keras.Input((4, 4, 2))
    x = layers.Conv2D(3, 3, padding="same", name="first")(inputs)
    x = layers.BatchNormalization(name="first_norm")(x)
    x = convolution(4, 3, padding="same", name="conv")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(dropout)(x)
    return keras.Model(inputs, layers.Dense(3, name="scores")(x))


def arrays():
    rng = np.random.default_rng(0)
    y = np.arange(SAMPLES) % 3
    x = rng.normal(size=(SAMPLES, 4, 4, 2)) + y[:, None, None, None]
    return x.astype("float32"), y


def dataset(seed=5):
    data = tf.data.Dataset.from_tensor_slices(arrays())
    return data.shuffle(10, seed=seed).batch(BATCH).prefetch(2)


def rbcn_model(dropout=0.0, **kwargs):
    """Every optimizer of the method, a schedule, and discriminators at work."""
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    teacher = network(keras.layers.Conv2D)
    rng = np.random.default_rng(1)
    teacher.set_weights([rng.normal(size=w.shape) ** 2 for w in teacher.get_weights()])
    model = RBCNModel(network(RectifiedConv2D, dropout), teacher)
    optimizers = keras.optimizers
    schedule = optimizers.schedules.CosineDecay(0.05, STEPS * EPOCHS)
    model.compile(
        optimizers.Adam(schedule),
        crossentropy,
        metrics=["accuracy"],
        scale_optimizer=optimizers.SGD(0.01, momentum=0.9),
        discriminator_optimizer=optimizers.Adam(0.01),
        discriminator_accuracy_limit=1.0,
        strategy_b_optimizer=optimizers.Adam(0.01),
        strategy_b_every=2,
        **METHOD | kwargs,
    )
    return model


def final_state(model):
    """All that must be equal: variables, counters, metrics, history, random state."""
    names = ("", "scale_", "discriminator_", "strategy_b_")
    optimizers = [getattr(model, f"{name}optimizer", None) for name in names]
    variables = [
        *model.weights,
        *(v for one in optimizers if one is not None for v in _variables(one)),
        *(v for metric in model.metrics for v in metric.variables),
        model._train_counter,
        tf.random.get_global_generator().state,
        *(
            layer._random_generator._generator.state
            for layer in model.submodules
            if getattr(getattr(layer, "_random_generator", None), "_generator", None)
        ),
    ]
    state = {f"variable_{n}": v.numpy() for n, v in enumerate(variables)}
    for name, values in model.history.history.items():
        state[f"history_{name}"] = np.array(values)
    state["epochs"] = np.array(model.history.epoch)
    state["python"] = np.array(random.getstate()[1])
    state["numpy"] = np.random.get_state()[1]
    return state


def _variables(optimizer):
    """Of an optimizer of either of Keras' generations."""
    found = optimizer.variables
    return found() if callable(found) else found


class KillAt(keras.callbacks.Callback):
    """Kills the process, hard, once so many steps have been trained in all."""

    def __init__(self, step, between_epochs=False):
        super().__init__()
        self.step = step
        self.between_epochs = between_epochs

    def _kill_if_due(self):
        if int(self.model._train_counter) >= self.step >= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_batch_end(self, batch, logs=None):
        # Uses random numbers of every kind, as callbacks may.
        random.random()
        np.random.rand()
        tf.random.get_global_generator().normal(())
        if not self.between_epochs:
            self._kill_if_due()

    def on_epoch_begin(self, epoch, logs=None):
        if self.between_epochs:
            self._kill_if_due()


def main(folder, output, step, between_epochs):
    tf.config.experimental.enable_op_determinism()
    keras.backend.experimental.enable_tf_random_generator()
    keras.utils.set_random_seed(0)
    tf.random.set_global_generator(tf.random.Generator.from_seed(0))
    model = rbcn_model(dropout=0.5)
    callbacks = [
        ResumableTraining(folder, save_every=3),
        KillAt(int(step), between_epochs == "True"),
    ]
    model.fit(
        dataset(),
        epochs=EPOCHS,
        validation_data=arrays(),
        verbose=0,
        callbacks=callbacks,
    )
    np.savez(Path(output), **final_state(model))


if __name__ == "__main__":
    main(*sys.argv[1:])
