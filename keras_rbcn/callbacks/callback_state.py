"""State of callbacks, such as the best loss that EarlyStopping has seen.

That of Keras' own callbacks is known here. Any other callback keeps its state by two
methods, named as PyTorch names them: `state_dict()` gives it, as a dict of numbers,
texts, arrays, and lists and dicts of them, and `load_state_dict(state)` takes it up,
between `on_train_begin` and `on_epoch_begin`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_rbcn._backend import keras, tf

# What these callbacks change while they run; what they were given is the program's.
_ATTRIBUTES = {
    keras.callbacks.History: ("history", "epoch"),
    keras.callbacks.EarlyStopping: (
        "wait",
        "stopped_epoch",
        "best",
        "best_epoch",
        "best_weights",
    ),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: (
        "best",
        "epochs_since_last_save",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
    ),
}


class _State(NamedTuple):
    """A part of a callback's state: how to read it, and how to put it back."""

    name: str
    read: Callable[[], dict[str, Any]]
    restore: Callable[[dict[str, Any]], Any]


def callback_states(callbacks: Sequence[Any]) -> list[dict[str, Any]]:
    """The states of those callbacks that have one, as plain values for JSON."""
    return [
        {"class": state.name, **_plain(state.read())} for state in _states(callbacks)
    ]


def restore_callbacks(
    callbacks: Sequence[Any], states: Sequence[dict[str, Any]]
) -> None:
    """Puts states back into callbacks, of each class in their order.

    A callback that was not there before starts from its own beginning.
    """
    left = list(states)
    for state in _states(callbacks):
        saved = next((one for one in left if one["class"] == state.name), None)
        if saved is not None:
            left.remove(saved)
            state.restore({k: _value(v) for k, v in saved.items() if k != "class"})


def _states(callbacks: Sequence[Any]) -> list[_State]:
    found = []
    for callback in callbacks:
        for kind, names in _ATTRIBUTES.items():
            if isinstance(callback, kind):
                found.append(_state_of_attributes(callback, kind.__name__, names))
        if hasattr(callback, "state_dict") and hasattr(callback, "load_state_dict"):
            found.append(_state_of_its_own(callback))
    return found


def _state_of_its_own(callback: Any) -> _State:
    return _State(
        type(callback).__name__,
        lambda: {"state": callback.state_dict()},
        lambda state: callback.load_state_dict(state["state"]),
    )


def _state_of_attributes(callback: Any, name: str, names: Sequence[str]) -> _State:
    existing = [one for one in names if hasattr(callback, one)]

    def restore(state: dict[str, Any]) -> None:
        for one in existing:
            setattr(callback, one, state[one])

    return _State(
        name, lambda: {one: getattr(callback, one) for one in existing}, restore
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    ):
        return value.item()
    if isinstance(value, np.ndarray | tf.Tensor):
        tensor = tf.convert_to_tensor(value)
        if tensor.shape.rank == 0:
            return tensor.numpy().item()
        data = tf.io.serialize_tensor(tensor).numpy()
        text = base64.b64encode(data).decode("ascii")
        return {"tensor": text, "dtype": tensor.dtype.name}
    return value


def _value(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_value(one) for one in plain]
    if isinstance(plain, dict):
        if set(plain) == {"tensor", "dtype"}:
            data = base64.b64decode(plain["tensor"])
            return tf.io.parse_tensor(data, plain["dtype"]).numpy()
        return {key: _value(one) for key, one in plain.items()}
    return plain
