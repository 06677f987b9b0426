"""State of Keras' own callbacks, such as the best loss that EarlyStopping has seen."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

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


def callback_states(callbacks: Sequence[Any]) -> list[dict[str, Any]]:
    """The states of those callbacks that have one, as plain values for JSON."""
    return [
        {
            "class": kind.__name__,
            **{name: _plain(getattr(callback, name)) for name in names},
        }
        for callback, kind, names in _with_state(callbacks)
    ]


def restore_callbacks(
    callbacks: Sequence[Any], states: Sequence[dict[str, Any]]
) -> None:
    """Puts states back into callbacks, of each class in their order.

    A callback that was not there before starts from its own beginning.
    """
    left = list(states)
    for callback, kind, names in _with_state(callbacks):
        state = next((one for one in left if one["class"] == kind.__name__), None)
        if state is not None:
            left.remove(state)
            for name in names:
                setattr(callback, name, _value(state[name]))


def _with_state(callbacks: Sequence[Any]) -> list[tuple[Any, type, tuple[str, ...]]]:
    return [
        (callback, kind, tuple(name for name in names if hasattr(callback, name)))
        for callback in callbacks
        for kind, names in _ATTRIBUTES.items()
        if isinstance(callback, kind)
    ]


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
