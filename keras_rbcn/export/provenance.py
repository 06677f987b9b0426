"""Where an exported file comes from: weights, training, and what the user tells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_rbcn.training import RBCNModel
from keras_rbcn.training.description import (
    configuration_of,
    losses_of,
    optimizers_of,
    weights_digest,
)
from keras_rbcn.training.record import steps_of

# More than anyone means, and less than what JSON is written by can take.
DEEPEST = 100


def checked_provenance(given: Any) -> dict[str, Any]:
    """What the user tells, as plain values that no longer change.

    Raises:
        TypeError: If it is no mapping.
        ValueError: If something in it cannot be written as JSON; names it.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(
            "Expected `provenance` to be a dictionary, such as {'commit': '1a2b3c'}, "
            f"received: {type(given).__name__}."
        )
    _check(given, "provenance", ())
    return dict(json.loads(json.dumps(given, default=dict)))


def provenance_of(model: Any, student: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """All that is known of where a model comes from, as plain values for JSON.

    Args:
        model: What the user exports: an `RBCNModel`, or the student.
        student: The Keras model that is exported.
        given: What the user tells, checked.

    Returns:
        `"student"`, a name and the SHA-256 of the weights; of an `RBCNModel` also
        `"teacher"` with the same, `"taps"`, and `"training"` if it was compiled; and
        `"given"`.
    """
    found: dict[str, Any] = {"student": _described(student)}
    if not isinstance(model, RBCNModel):
        return {**found, "given": dict(given)}
    if model.teacher is not None:
        found["teacher"] = _described(model.teacher)
    found["taps"] = [list(tap) for tap in model.taps]
    if getattr(model, "optimizer", None) is not None:
        found["training"] = _training(model)
    return {**_plain(found), "given": dict(given)}


def _described(model: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "weights_sha256": weights_digest(model).hexdigest(),
    }


def _training(model: RBCNModel) -> dict[str, Any]:
    optimizers = optimizers_of(model)
    return {
        "settings": model.settings.to_dict(),
        "loss": losses_of(model, _described_loss),
        "optimizers": {
            name: {**configuration_of(one), "steps": steps_of(one)}
            for name, one in optimizers.items()
        },
        "fits": [record.to_dict() for record in model.training_record],
    }


def _described_loss(loss: Any) -> Any:
    if hasattr(loss, "get_config"):
        return configuration_of(loss)
    return getattr(loss, "__name__", type(loss).__name__)


def _plain(values: Any) -> Any:
    """Values that Keras gives as JSON has them; what it lacks becomes a text."""
    return json.loads(json.dumps(values, default=_as_json))


def _as_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def _check(value: Any, place: str, around: tuple[int, ...]) -> None:
    """Raises ValueError at what JSON cannot hold."""
    if id(value) in around:
        raise ValueError(f"Expected {place} to hold values, but it holds itself.")
    if len(around) > DEEPEST:
        raise ValueError(
            f"Expected values that are nested at most {DEEPEST} deep, received deeper "
            f"ones: {place[:60]}..."
        )
    inside = (*around, id(value))
    if isinstance(value, Mapping):
        for name, one in value.items():
            if not isinstance(name, str):
                raise ValueError(
                    f"Expected the keys of {place} to be strings, received: {name!r}."
                )
            _check(one, f"{place}[{name!r}]", inside)
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            _check(one, f"{place}[{number}]", inside)
    elif not isinstance(value, str | bool | int | None):
        finite = isinstance(value, float) and np.isfinite(value)
        if not finite:
            raise ValueError(
                f"Expected {place} to be what JSON can hold (a string, a finite "
                "number, True, False, None, or lists and dictionaries of these), "
                f"received: {value!r} of type {type(value).__name__}."
            )
