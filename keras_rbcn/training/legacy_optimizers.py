"""What Keras leaves out of a `.keras` file: the state of its older optimizers.

The default optimizer of the discriminators is one, since it is one operation for each
variable in the place of some 35.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keras_rbcn._backend import keras

_PREFIX = "legacy_optimizer"
Groups = Iterable[tuple[Any, list[Any]]]


def save_states(groups: Groups, store: Any) -> None:
    """Writes the states of older optimizers.

    Args:
        groups: Optimizers, each with its variables.
        store: Where to, as Keras gives it to `save_own_variables`.
    """
    for number, (optimizer, _) in _older(groups):
        for index, value in enumerate(optimizer.get_weights()):
            store[f"{_PREFIX}_{number}_{index}"] = value


def load_states(groups: Groups, store: Mapping[str, Any]) -> None:
    """Reads what `save_states` has written, if it has.

    Args:
        groups: The same optimizers, newly made.
        store: As Keras gives it to `load_own_variables`.
    """
    for number, (optimizer, variables) in _older(groups):
        values: list[Any] = []
        while (key := f"{_PREFIX}_{number}_{len(values)}") in store:
            values.append(store[key][()])
        if len(values) > 1:  # With its slots, which a step makes.
            optimizer._create_all_weights(variables)
        if values:
            optimizer.set_weights(values)


def other_values(store: Mapping[str, Any]) -> dict[str, Any]:
    """What is Keras' own in a store."""
    return {key: store[key] for key in store if not key.startswith(_PREFIX)}


def _older(groups: Groups) -> list[tuple[int, tuple[Any, list[Any]]]]:
    legacy = keras.optimizers.legacy.Optimizer
    return [item for item in enumerate(groups) if isinstance(item[1][0], legacy)]
