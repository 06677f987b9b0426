"""What tells one training from another: its variables, settings and data."""

from __future__ import annotations

import json
import re
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.callbacks.random_state import generators
from keras_rbcn.callbacks.workers import Workers
from keras_rbcn.training.description import (
    configuration_of,
    losses_of,
    name_of_loss,
    optimizers_of,
)


def create_variables(model: Any, dataset: Any) -> None:
    """Creates what a model creates in its first step: slots, variables of metrics.

    The step is traced and not run, so that nothing changes and no batch is drawn.

    Args:
        model: Compiled Keras model.
        dataset: What `fit` draws batches from.
    """
    compiled = model.train_tf_function
    if compiled is not None and isinstance(dataset, tf.data.Dataset):
        # `fit` will use this trace.
        compiled.get_concrete_function(tf.data.IteratorSpec(dataset.element_spec))
        return

    @tf.function
    def step(data: Any) -> Any:
        return model.distribute_strategy.run(model.train_step, args=(data,))

    step.get_concrete_function(dataset.element_spec)


def metric_variables(model: Any) -> list[Any]:
    """The variables of all metrics, each once."""
    found = {id(v): v for metric in model.metrics for v in metric.variables}
    return list(found.values())


def fingerprint(model: Any, data: Any) -> dict[str, Any]:
    """What must be the same for a training to go on, as plain values for JSON.

    Numbers in names are left out, since they count what a program built before.

    Args:
        model: Compiled Keras model whose variables exist.
        data: The handler of the data, made by `fit`.
    """
    optimizers = optimizers_of(model)
    dataset = data._dataset
    if not isinstance(dataset, tf.data.Dataset):
        dataset = data._adapter.get_dataset()  # As it was before it was distributed.
    found = {
        "variables of the model": _described(model.weights),
        "variables of the metrics": _described(metric_variables(model)),
        "optimizers": {name: _configuration(one) for name, one in optimizers.items()},
        "variables of the optimizers": {
            name: _described(_variables(one)) for name, one in optimizers.items()
        },
        "replicas": int(model.distribute_strategy.num_replicas_in_sync),
        "workers": Workers(model.distribute_strategy).count,
        "random generators": len(generators(model)),
        "settings": _settings(model),
        "taps": [list(tap) for tap in getattr(model, "taps", [])],
        "loss": losses_of(model, name_of_loss),
        "trainable variables": len(model.trainable_weights),
        "kind of data": type(data._adapter).__name__,
        "batches of the data": str(dataset.element_spec),
    }
    # Tuples become lists, as they will be when it has been read back.
    return dict(json.loads(json.dumps(found, default=str)))


def first_difference(saved: Any, now: Any, path: str = "") -> str | None:
    """Where two fingerprints differ, and how; None if they do not."""
    if isinstance(saved, dict) and isinstance(now, dict):
        for key in sorted({*saved, *now}):
            found = first_difference(
                saved.get(key), now.get(key), f"{path}: {key}" if path else key
            )
            if found:
                return found
        return None
    if isinstance(saved, list) and isinstance(now, list) and len(saved) == len(now):
        pairs = zip(saved, now, strict=True)
        return next(
            (first_difference(*two, path) for two in pairs if two[0] != two[1]), None
        )
    if saved == now:
        return None
    if isinstance(saved, list) and isinstance(now, list):
        extra = [one for one in saved + now if (one in saved) != (one in now)]
        return f"{path}: {len(saved)} there, {len(now)} here, such as {extra[:1]}"
    return f"{path}: {_short(saved)} there, {_short(now)} here"


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _settings(model: Any) -> Any:
    settings: Any = getattr(model, "settings", None)  # Of an RBCNModel.
    return settings.to_dict() if hasattr(settings, "to_dict") else None


def _configuration(optimizer: Any) -> Any:
    config = configuration_of(optimizer)
    if not isinstance(config.get("learning_rate"), dict):
        config.pop("learning_rate", None)  # Callbacks may have changed it.
    return config


def _variables(optimizer: Any) -> list[Any]:
    found = optimizer.variables
    return list(found() if callable(found) else found)  # A method of legacy ones.


def _described(variables: Any) -> list[str]:
    return [f"{_plain_name(v.name)} {tuple(v.shape)} {v.dtype.name}" for v in variables]


def _plain_name(name: str) -> str:
    """Without numbers, and without the condition within which a slot may be made."""
    return re.sub(r"_[0-9]+(?=[/:_]|$)|^cond(_[0-9]+)?/", "", name)
