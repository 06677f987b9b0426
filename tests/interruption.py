"""A training that is broken off, as by a signal, but within this process."""

from keras_rbcn._backend import keras


class InterruptionError(Exception):
    """What breaks a training off."""


class Interrupt(keras.callbacks.Callback):
    """Raises once so many steps have been trained in all, epochs before counted in.

    Args:
        step: The last step, counted from 1; None never raises.
        at_epoch_end: Whether it waits for the end of that step's epoch.
    """

    def __init__(self, step, at_epoch_end=False):
        super().__init__()
        self.step = step
        self.at_epoch_end = at_epoch_end

    def _raise_if_due(self, at_epoch_end):
        if self.step is None or at_epoch_end != self.at_epoch_end:
            return
        if int(self.model._train_counter.numpy()) >= self.step:
            raise InterruptionError

    def on_train_batch_end(self, batch, logs=None):
        self._raise_if_due(False)

    def on_epoch_end(self, epoch, logs=None):
        self._raise_if_due(True)
