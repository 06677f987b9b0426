"""Finds the layers with binary inputs, and watches what they are called on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import larq

from keras_rbcn._backend import keras, tf
from keras_rbcn._samples import Signature


def binary_layers(model: Any) -> list[Any]:
    """All layers of the model, nested ones included, that binarise their inputs."""
    return [
        layer
        for layer in model.submodules
        if isinstance(layer, keras.layers.Layer) and has_binary_inputs(layer)
    ]


def has_binary_inputs(layer: Any) -> bool:
    """Whether a layer quantizes its inputs, and does more to them than clip them."""
    quantizer = getattr(layer, "input_quantizer", None)
    return quantizer not in (None, larq.activations.hard_tanh)


@contextlib.contextmanager
def watched(layers: Iterable[Any], watch: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Within it, each of the layers is called on `watch(layer, inputs)` instead.

    Layers are watched where they are called and not where they are listed, so that
    nested, shared and subclassed models need no cases of their own. Of those that Keras
    makes of functions of TensorFlow, `inputs` are `(args, kwargs)`.
    """
    patched = list(layers)
    # Those of functions have a `call` of their own.
    own = [layer.__dict__.get("call") for layer in patched]
    for layer in patched:
        layer.__dict__["call"] = _watched_call(layer, watch)
    try:
        yield
    finally:
        for layer, call in zip(patched, own, strict=True):
            del layer.__dict__["call"]
            if call is not None:
                layer.__dict__["call"] = call


def run_watched(
    model: Any,
    signature: Signature,
    arrays: list[Any],
    watch: Callable[[Any, Any], Any],
) -> list[Any]:
    """Runs the model eagerly on arrays, with its binary layers watched.

    Returns:
        The model's flat outputs, as NumPy arrays.
    """
    tensors = [tf.convert_to_tensor(array) for array in arrays]
    with without_cached_functions(), watched(binary_layers(model), watch):
        return [output.numpy() for output in signature.call(model, tensors)]


@contextlib.contextmanager
def without_cached_functions() -> Iterator[None]:
    """Within it, what the user decorated with `tf.function` runs as plain Python.

    Functions that were traced before would not call the layers again.
    """
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _watched_call(layer: Any, watch: Callable[[Any, Any], Any]) -> Any:
    original = layer.call

    @tf.autograph.experimental.do_not_convert
    def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        return original(watch(layer, inputs), *args, **kwargs)

    @tf.autograph.experimental.do_not_convert
    def call_function(*args: Any, **kwargs: Any) -> Any:
        args, kwargs = watch(layer, (args, kwargs))
        return original(*args, **kwargs)

    return call_function if "call" in layer.__dict__ else call
