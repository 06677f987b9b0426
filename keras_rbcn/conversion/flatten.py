"""flatten: a copy of a model without models within."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from keras_rbcn._backend import keras, require_model, tf
from keras_rbcn.conversion.cloning import copy_layer, copy_weights_of
from keras_rbcn.conversion.graph import (
    is_functional,
    map_tensors,
    training_argument,
    with_training,
)


def flatten(model: Any, name: str | None = None) -> Any:
    """Copies a model that has other models as layers into one without.

    A classifier on top of a pretrained network is often a model within a model, whose
    layers `binarize` cannot reach and `RBCNModel` cannot tap. The copy computes the
    same with layers, and weights, of its own. Layers keep their names; where two have
    the same one, they get the name of the model they were in as a prefix, and a number
    if that is taken as well. An output is called by the layer that makes it, also where
    a model within made it under its own name.

    Args:
        model: Built functional or Sequential Keras 2 model; so are the models within.
        name: Name of the copy; the model's if None.

    Returns:
        A functional model.

    Raises:
        TypeError: If `model` is no Keras 2 model.
        ValueError: If a model is subclassed or not built, is called on inputs of
            another rank or type than its own, or if a layer cannot be copied.

    Example:
        >>> inside = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     keras.layers.Conv2D(4, 3, name="a"),
        ...     keras.layers.Conv2D(4, 3, name="b"),
        ... ])
        >>> inputs = keras.Input((8, 8, 3))
        >>> model = keras.Model(inputs, keras.layers.Flatten(name="c")(inside(inputs)))
        >>> [layer.name for layer in flatten(model).layers[1:]]
        ['a', 'b', 'c']
    """
    copy, copies = rebuilt(model, copy_layer, name)
    for layer, other in copies:
        copy_weights_of(layer, other)
        other.trainable = layer.trainable
    return copy


def rebuilt(
    model: Any, make: Callable[..., Any], name: str | None = None
) -> tuple[Any, list[tuple[Any, Any]]]:
    """A model as `flatten` makes it, of other layers.

    Unlike `keras.models.clone_model`, it calls layers as they were called, whatever
    their arguments, and keeps dictionaries of inputs and outputs.

    Args:
        model: As of `flatten`.
        make: Makes the layer in the place of a layer, which it gets with its `name`.
        name: As of `flatten`.

    Returns:
        The model, whose weights are fresh, and each layer with what was made of it.
    """
    require_model(model, "model")
    _check(model)
    copier = _Copier(model, make)
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
    return copy, list(copier.copies.values())


def _check(model: Any) -> None:
    if not is_functional(model):
        raise ValueError(
            f"Expected model '{model.name}' to be a built functional or Sequential "
            f"model, received: {type(model).__name__}. Rebuild it with the functional "
            "API and a defined input shape."
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _check(layer)


def _check_inputs(model: Any, tensors: list[Any]) -> None:
    """Raises where Keras would change the inputs of a model within."""
    own, received = (
        [(_kind(tensor), len(tensor.shape)) for tensor in found]
        for found in (model.inputs, tensors)
    )
    if own != received:
        raise ValueError(
            f"Expected model '{model.name}' to be called on inputs of its own type and "
            f"number of axes, {own}, received: {received}. Put a layer in front of it "
            "that makes them so, such as keras.layers.Reshape or "
            "keras.layers.Rescaling(1.0)."
        )


def _kind(tensor: Any) -> str:
    # Layers cast floating-point numbers to their own type themselves.
    return "floating" if tensor.dtype.is_floating else str(tensor.dtype.name)


class _Copier:
    """Calls copies of all layers, those within models too.

    Attributes:
        copies: Each layer with its copy, by the id of the layer.
    """

    def __init__(self, model: Any, make: Callable[..., Any]) -> None:
        self.copies: dict[int, tuple[Any, Any]] = {}
        self._make = make
        inputs = [tensor._keras_history.layer.name for tensor in model.inputs]
        self._counts = Counter([*inputs, *_inner_names(model)])
        # Names that layers keep, and then those that were given.
        self._taken = {name for name, count in self._counts.items() if count == 1}
        self._taken.update(inputs)

    def run(
        self, model: Any, inputs: list[Any], path: str, training: Any = None
    ) -> list[Any]:
        """The flat outputs of a model on other inputs."""
        tensors = dict(zip(map(id, tf.nest.flatten(model.inputs)), inputs, strict=True))
        depths = sorted(model._nodes_by_depth, reverse=True)
        for node in (n for depth in depths for n in model._nodes_by_depth[depth]):
            if node.is_input or any(id(t) not in tensors for t in node.keras_inputs):
                continue
            outputs = self._call(node, tensors, path, training)
            flat = map(id, tf.nest.flatten(node.outputs))
            tensors |= zip(flat, outputs, strict=True)
        return [tensors[id(tensor)] for tensor in tf.nest.flatten(model.outputs)]

    def _call(
        self, node: Any, tensors: dict[int, Any], path: str, training: Any
    ) -> list[Any]:
        layer = node.layer
        args, kwargs = map_tensors(node, lambda tensor: tensors[id(tensor)])
        # As in Keras: what a layer is called with counts, then what its model is.
        own = training_argument(layer, args, kwargs)
        training = training if own is None else own
        if isinstance(layer, keras.Model):
            given = args[0] if args else kwargs["inputs"]
            # In the order of the model's inputs; a dictionary goes by their names.
            flat = layer._flatten_to_reference_inputs(given)
            _check_inputs(layer, flat)
            return self.run(layer, flat, f"{path}{layer.name}_", training)
        if training is not None and layer._call_spec.expects_training_arg:
            args, kwargs = with_training(layer, training, args, kwargs)
        if id(layer) not in self.copies:
            copy = self._make(layer, name=self._name(layer, path))
            self.copies[id(layer)] = (layer, copy)
        _, copy = self.copies[id(layer)]
        return tf.nest.flatten(copy(*args, **kwargs))

    def _name(self, layer: Any, path: str) -> str:
        if self._counts[layer.name] == 1:
            return str(layer.name)
        name, number = f"{path}{layer.name}", 1
        while name in self._taken:
            number += 1
            name = f"{path}{layer.name}_{number}"
        self._taken.add(name)
        return name


def _inner_names(model: Any) -> list[str]:
    names = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            names += _inner_names(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            names.append(layer.name)
    return names
