"""Copies of layers, and of their weights."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras


def copy_layer(layer: Any, **changes: Any) -> Any:
    """A layer of the same configuration, with weights of its own.

    Args:
        layer: Any Keras layer.
        **changes: What is different in its configuration.

    Raises:
        ValueError: If the layer cannot be made from its configuration.
    """
    if type(layer) is keras.layers.BatchNormalization and layer.synchronized:
        changes["synchronized"] = True  # Its configuration leaves this out.
    try:
        return type(layer).from_config({**layer.get_config(), **changes})
    except Exception as error:
        raise ValueError(
            f"Expected every layer to be copied by its `get_config` and `from_config`, "
            f"but layer '{layer.name}' ({type(layer).__name__}) cannot be: {error}. "
            "Give the class a `get_config` that returns the arguments of `__init__`."
        ) from error


def copy_weights_of(source: Any, target: Any) -> None:
    """Gives a copy the weights of its original.

    Raises:
        ValueError: If it has other weights, for want of a complete configuration.
    """
    shapes = [[tuple(w.shape) for w in layer.weights] for layer in (source, target)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Expected the copy of layer '{source.name}' ({type(source).__name__}) to "
            f"have its weights {shapes[0]}, received: {shapes[1]}. Give the class a "
            "`get_config` that returns all arguments of `__init__`."
        )
    target.set_weights(source.get_weights())
    if hasattr(target, "finalize_state"):  # keras.layers.Normalization and its kin.
        target.finalize_state()
