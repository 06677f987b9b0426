"""How a model is trained, as plain values: optimizers and losses."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from keras_rbcn._backend import keras, tf


def optimizers_of(model: Any) -> dict[str, Any]:
    """The optimizers of a model, of both of Keras' generations, by its attribute."""
    kinds = (keras.optimizers.Optimizer, keras.optimizers.legacy.Optimizer)
    return {
        name: value for name, value in vars(model).items() if isinstance(value, kinds)
    }


def configuration_of(part: Any) -> dict[str, Any]:
    """The class and the arguments of an optimizer or a loss of Keras."""
    return {"class": type(part).__name__, **part.get_config()}


def losses_of(model: Any, describe: Any) -> Any:
    """The losses that a model was compiled with, in the structure they were given in.

    Args:
        model: Keras model.
        describe: What is put in the place of a loss that is not given by its name.
    """
    losses = getattr(getattr(model, "compiled_loss", None), "_user_losses", None)
    return tf.nest.map_structure(
        lambda loss: loss if isinstance(loss, str) else describe(loss), losses
    )


def name_of_loss(loss: Any) -> str:
    """The name of a loss, be it an object, a class or a function."""
    return str(getattr(loss, "name", type(loss)))


def weights_digest(model: Any) -> Any:
    """SHA-256 of a model's weights, in order, with their types and shapes.

    Args:
        model: Built Keras model.

    Returns:
        The hash of `hashlib`, to be read or to be fed with more.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        value = weight.numpy()
        digest.update(f"{value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest
