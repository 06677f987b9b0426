"""What `RBCNModel.fit` looks at while it runs: losses and discriminators."""

from __future__ import annotations

import warnings
from typing import Any

from keras_rbcn._backend import keras, tf

# Looking makes a GPU wait, and the state does not change after a step that failed.
_EVERY = 16
# Of a discriminator, in so many epochs in a row: one may be chance.
_PATIENCE = 3
_WON = 0.995
_COLLAPSED = 0.5


class TrainingWatch(keras.callbacks.Callback):
    """Stops at losses that are not finite; warns of discriminators that teach nothing.

    Args:
        stops: Whether to raise; not if another callback stops at such losses.
    """

    def __init__(self, stops: bool) -> None:
        super().__init__()
        self._stops = stops
        # Epochs in a row, and the advice that they call for, by tap.
        self._rows: dict[str, tuple[int, str]] = {}
        # Keras hands over tensors then, and does not wait for the device.
        self._supports_tf_logs = True
        self._batches = 0
        # The epoch, and how many batches there were for it.
        self._ended_early: tuple[int, int] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.model._hidden.guard.reset()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._batches = batch + 1
        if self._stops and batch % _EVERY == _EVERY - 1:
            self.model._hidden.guard.check()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self._stops:
            self.model._hidden.guard.check()
        expected = (self.params or {}).get("steps") or 0
        if self._batches < expected and not self.model.stop_training:
            self._ended_early = (epoch, self._batches)
        for tap, accuracy in self.model.discriminator_accuracies.items():
            advice = _advice(accuracy)
            length, before = self._rows.get(tap, (0, ""))
            length = length + 1 if advice and advice == before else 1
            self._rows[tap] = (length, advice)
            if advice and length == _PATIENCE:
                warnings.warn(
                    f"In the last {length} epochs the discriminator at tap '{tap}' "
                    f"told {accuracy:.1%} of the feature maps apart: {advice}",
                    UserWarning,
                    stacklevel=2,
                )

    def check_end(self) -> None:
        """Raises ValueError if the data ended before the last epoch did."""
        if self._ended_early is None:
            return
        epoch, batches = self._ended_early
        raise ValueError(
            f"Expected data for {self.params['epochs']} epochs of "
            f"{self.params['steps']} batches, but they ended after {batches} batches "
            f"of epoch {epoch + 1}. The model is trained as far as that, and "
            "`model.history` has the logs. Repeat the data (`repeat()`), or leave "
            "`steps_per_epoch` out to take each epoch as long as the data are."
        )


def _advice(accuracy: float) -> str:
    if accuracy >= _WON:
        return (
            "it has won, and has nothing left to teach. Lower `discriminator_accuracy_"
            "limit` or the learning rate of `discriminator_optimizer`, raise "
            "`adversarial_weight`, or take the tap out."
        )
    if accuracy == _COLLAPSED:
        return (
            "it judges by a coin, and teaches nothing. Raise the learning rate of "
            "`discriminator_optimizer`, give it more units, or take the tap out."
        )
    return ""


def with_watch(callbacks: Any, model: Any) -> tuple[Any, TrainingWatch]:
    """The callbacks given to `fit` with a watch in front of them, and the watch.

    Args:
        callbacks: None, a callback, a list of them, or Keras' `CallbackList`.
        model: The RBCNModel.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        known = callbacks.callbacks
    else:
        known = list(tf.nest.flatten(callbacks)) if callbacks is not None else []
    stopping = keras.callbacks.TerminateOnNaN
    watch = TrainingWatch(not any(isinstance(one, stopping) for one in known))
    if isinstance(callbacks, keras.callbacks.CallbackList):
        # Another one: it decides in its constructor which hooks it calls.
        params = getattr(callbacks, "params", None) or {}
        with_it = keras.callbacks.CallbackList([watch, *known], model=model, **params)
        return with_it, watch
    return [watch, *known], watch
