"""flatten: a copy of a model without models within."""

from __future__ import annotations

from collections import Counter
from typing import Any

from keras_rbcn._backend import keras, require_model, tf
from keras_rbcn.conversion.cloning import copy_layer, copy_weights_of
from keras_rbcn.conversion.graph import map_tensors


def flatten(model: Any, name: str | None = None) -> Any:
    """Copies a model that has other models as layers into one without.

    A classifier on top of a pretrained network is often a model within a model, whose
    layers `binarize` cannot reach and `RBCNModel` cannot tap. The copy computes the
    same with layers, and weights, of its own. Layers keep their names; where two have
    the same one, they get the name of the model they were in as a prefix.

    Args:
        model: Built functional or Sequential Keras 2 model; so are the models within.
        name: Name of the copy; the model's if None.

    Returns:
        A functional model.

    Raises:
        TypeError: If `model` is no Keras 2 model.
        ValueError: If a model is subclassed or not built, or a layer cannot be copied.

    Example:
        >>> inside = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     keras.layers.Conv2D(4, 3, name="a"),
        ...     keras.layers.Conv2D(4, 3, name="b"),
        ... ])
        >>> model = keras.Sequential([inside, keras.layers.Flatten(name="c")])
        >>> [layer.name for layer in flatten(model).layers[1:]]
        ['a', 'b', 'c']
    """
    require_model(model, "model")
    _check(model)
    copier = _Copier(model)
    inputs = []
    for tensor in tf.nest.flatten(model.inputs):
        config = tensor._keras_history.layer.get_config()
        inputs.append(keras.layers.InputLayer.from_config(config).output)
    outputs = copier.run(model, inputs, path="")
    copy = keras.Model(
        tf.nest.pack_sequence_as(model._nested_inputs, inputs),
        tf.nest.pack_sequence_as(model._nested_outputs, outputs),
        name=name or model.name,
    )
    copier.copy_weights()
    return copy


def _check(model: Any) -> None:
    if not getattr(model, "_is_graph_network", False):
        raise ValueError(
            f"Expected model '{model.name}' to be a built functional or Sequential "
            f"model, received: {type(model).__name__}. Rebuild it with the functional "
            "API and a defined input shape."
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _check(layer)


class _Copier:
    """Calls copies of all layers, those within models too."""

    def __init__(self, model: Any) -> None:
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._counts = Counter(_inner_names(model))

    def run(self, model: Any, inputs: list[Any], path: str) -> list[Any]:
        """The flat outputs of a model on other inputs."""
        tensors = dict(zip(map(id, tf.nest.flatten(model.inputs)), inputs, strict=True))
        depths = sorted(model._nodes_by_depth, reverse=True)
        for node in (n for depth in depths for n in model._nodes_by_depth[depth]):
            if node.is_input or any(id(t) not in tensors for t in node.keras_inputs):
                continue
            outputs = self._call(node, tensors, path)
            flat = map(id, tf.nest.flatten(node.outputs))
            tensors |= zip(flat, outputs, strict=True)
        return [tensors[id(tensor)] for tensor in tf.nest.flatten(model.outputs)]

    def _call(self, node: Any, tensors: dict[int, Any], path: str) -> list[Any]:
        layer = node.layer
        if isinstance(layer, keras.Model):
            given = [tensors[id(tensor)] for tensor in node.keras_inputs]
            return self.run(layer, given, f"{path}{layer.name}_")
        if id(layer) not in self._copies:
            name = layer.name if self._counts[layer.name] == 1 else path + layer.name
            self._copies[id(layer)] = (layer, copy_layer(layer, name=name))
        args, kwargs = map_tensors(node, lambda tensor: tensors[id(tensor)])
        _, copy = self._copies[id(layer)]
        return tf.nest.flatten(copy(*args, **kwargs))

    def copy_weights(self) -> None:
        """Gives all copies the weights and the `trainable` of their originals."""
        for layer, copy in self._copies.values():
            copy_weights_of(layer, copy)
            copy.trainable = layer.trainable


def _inner_names(model: Any) -> list[str]:
    names = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            names += _inner_names(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            names.append(layer.name)
    return names
