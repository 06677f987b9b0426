"""A functional Keras model as calls of layers, in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from keras_rbcn._backend import keras, tf

# Layers that apply an activation of their own to what they compute, at the very end.
_WITH_ACTIVATION = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)


@dataclass(eq=False)
class Value:
    """A tensor between calls.

    Attributes:
        shape: Its static shape, with None for sizes that are not known.
        producer: The call that computes it; None for an input of the model.
        consumers: The calls that read it, each once.
        is_output: Whether it is an output of the model.
        origins: What it was computed from, and itself if it is an input: a set of bits.
    """

    shape: tuple[int | None, ...]
    producer: Call | None = None
    consumers: list[Call] = field(default_factory=list)
    is_output: bool = False
    origins: int = 0

    def depends_on(self, other: Value | Call) -> bool:
        """Whether it was computed, directly or not, from the other one."""
        return other.origins & ~self.origins == 0


@dataclass(eq=False)
class Call:
    """A layer at one place of the model, or the activation at the end of one.

    Attributes:
        layer: The layer.
        node: Keras' record of the call; None for an activation within the layer.
        inputs: What it reads, in order.
        outputs: What it computes, in order.
        origins: The inputs and calls it depends on, and itself: a set of bits.
    """

    layer: Any
    node: Any
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...] = ()
    origins: int = 0

    @property
    def name(self) -> str:
        """The layer's name."""
        return str(self.layer.name)

    @property
    def output(self) -> Value:
        """Its only output."""
        (output,) = self.outputs
        return output

    @property
    def has_kernel(self) -> bool:
        """Whether it multiplies with a kernel: a convolution or a dense layer."""
        return self.node is not None and has_kernel(self.layer)


@dataclass(frozen=True)
class Graph:
    """The calls of a model, each behind those that it depends on.

    Attributes:
        calls: The calls.
        inputs: Keras' input tensors, each with its value.
        outputs: The values of the model's outputs, flat.
    """

    calls: list[Call]
    inputs: list[tuple[Any, Value]]
    outputs: list[Value]

    def calls_of(self, layer: Any) -> list[Call]:
        """Where the layer is called."""
        return [c for c in self.calls if c.layer is layer and c.node is not None]

    def layers(self) -> Iterator[Any]:
        """The layers in the order of their first calls, each once."""
        yield from dict.fromkeys(call.layer for call in self.calls)


def has_kernel(layer: Any) -> bool:
    """Whether the layer multiplies with a kernel."""
    return hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")


def own_activation(layer: Any) -> Any:
    """The activation at the end of a convolution or dense layer, or None."""
    if type(layer) not in _WITH_ACTIVATION:
        return None
    activation = layer.activation
    return None if activation in (None, keras.activations.linear) else activation


def own_activation_calls(call: Call) -> list[Call]:
    """The activation within the layer of a call, as a list of one call or none."""
    return [c for value in call.outputs for c in value.consumers if c.node is None]


def check_no_models_within(model: Any, advice: str) -> None:
    """Raises if layers of a model are models.

    Args:
        model: The model.
        advice: What to do with a copy without them, which the message makes.

    Raises:
        ValueError: If there are any.
    """
    nested = [layer.name for layer in model.layers if isinstance(layer, keras.Model)]
    if nested:
        raise ValueError(
            f"Expected model '{model.name}' to have no models within, found: {nested}. "
            f"Take flat = keras_rbcn.flatten(model), a copy without them, {advice}"
        )


def is_functional(model: Any) -> bool:
    """Whether the model computes what its graph says."""
    calls = [kind.call for kind in (keras.Sequential, *keras.Sequential.__bases__)]
    return getattr(model, "_is_graph_network", False) and type(model).call in calls


def read_graph(model: Any) -> Graph:
    """Reads the graph of a functional or Sequential model.

    Args:
        model: Built functional or Sequential model.
    """
    values: dict[int, Value] = {}
    calls: list[Call] = []
    inputs = []
    for number, tensor in enumerate(tf.nest.flatten(model.inputs)):
        values[id(tensor)] = Value(tuple(tensor.shape), origins=1 << number)
        inputs.append((tensor, values[id(tensor)]))
    depths = sorted(model._nodes_by_depth, reverse=True)
    for node in (node for depth in depths for node in model._nodes_by_depth[depth]):
        if node.is_input or any(id(t) not in values for t in node.keras_inputs):
            continue
        sources = dict.fromkeys(values[id(tensor)] for tensor in node.keras_inputs)
        tensors = tf.nest.flatten(node.outputs)
        shapes = [tuple(tensor.shape) for tensor in tensors]
        call = Call(node.layer, node, tuple(sources))
        _append(calls, call, shapes, len(inputs))
        if own_activation(node.layer) is not None:
            call = Call(node.layer, None, call.outputs)
            _append(calls, call, shapes, len(inputs))
        values |= zip(map(id, tensors), call.outputs, strict=True)
    outputs = [values[id(tensor)] for tensor in tf.nest.flatten(model.outputs)]
    for value in outputs:
        value.is_output = True
    return Graph(calls, inputs, outputs)


def _append(
    calls: list[Call], call: Call, shapes: list[tuple[int | None, ...]], first_bit: int
) -> None:
    call.origins = 1 << (first_bit + len(calls))
    for value in call.inputs:
        value.consumers.append(call)
        call.origins |= value.origins
    call.outputs = tuple(Value(shape, call, origins=call.origins) for shape in shapes)
    calls.append(call)


def training_argument(layer: Any, args: Any, kwargs: Any) -> Any:
    """The `training` that a layer is called with, or None."""
    if not layer._call_spec.arg_was_passed("training", args[1:], kwargs):
        return None
    return layer._call_spec.get_arg_value("training", args[1:], kwargs)


def with_training(layer: Any, training: Any, args: Any, kwargs: Any) -> Any:
    """Arguments of a call with another `training`, or without any."""
    first, rest = args[:1], args[1:]
    rest, kwargs = layer._call_spec.set_arg_value(
        "training", training, rest, dict(kwargs), pop_kwarg_if_none=True
    )
    return (*first, *rest), kwargs


def map_tensors(node: Any, tensors: Any) -> tuple[Any, Any]:
    """A call's arguments, with other tensors in the place of Keras' own.

    Args:
        node: Keras' record of the call.
        tensors: A function from one of its tensors to another one.
    """

    def replace(item: Any) -> Any:
        # As Keras' own records do: `is_keras_tensor` raises for numbers and None.
        return tensors(item) if hasattr(item, "_keras_history") else item

    args, kwargs = tf.nest.map_structure(replace, (node.call_args, node.call_kwargs))
    return tuple(args), dict(kwargs)
