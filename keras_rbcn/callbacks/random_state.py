"""Random state: of Python, numpy and TensorFlow, and of a model's layers."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import numpy as np

from keras_rbcn._backend import tf


def python_and_numpy() -> dict[str, Any]:
    """State of Python's and numpy's global generators, as plain values for JSON."""
    version, numbers, gauss = random.getstate()
    name, key, *rest = np.random.get_state()
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, np.asarray(key).tolist(), *rest],
    }


def restore_python_and_numpy(state: dict[str, Any]) -> None:
    """Puts back what `python_and_numpy` gave."""
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, key, *rest = state["numpy"]
    np.random.set_state((name, np.array(key, np.uint32), *rest))


def global_seed() -> int | None:
    """The seed of `tf.random.set_seed`, None if none has been set."""
    get = tf.compat.v1.random.get_seed  # With an operation's seed it changes nothing.
    with tf.Graph().as_default():
        unset, _ = get(1)
    seed, _ = get(1)
    return None if seed == unset else int(seed)


def generators(model: Any) -> list[Any]:
    """The generators whose state is a variable: the global one, and the layers'."""
    layers = [getattr(part, "_random_generator", None) for part in model.submodules]
    found = [getattr(one, "_generator", None) for one in layers]
    # With deterministic operations there is none unless the program has set one.
    with contextlib.suppress(RuntimeError):
        found.append(tf.random.get_global_generator())
    return [generator for generator in found if generator is not None]


def unsaveable_layers(model: Any) -> list[str]:
    """Names of the random layers whose state lies in kernels, and cannot be saved."""
    return [
        layer.name
        for layer in model.submodules
        if getattr(layer, "rate", True)  # Dropout with rate 0 draws nothing.
        for one in [getattr(layer, "_random_generator", None)]
        if getattr(one, "_rng_type", None) == "legacy_stateful"
    ]
