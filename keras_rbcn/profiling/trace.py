"""Runs a Keras model once as a graph, and notes which layer is called where."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import larq

from keras_rbcn._backend import keras, tf
from keras_rbcn._samples import Signature
from keras_rbcn.layers.binary_inputs import without_cached_functions
from keras_rbcn.profiling.macs import multiplies

# Layers are patched while they are traced.
_LOCK = threading.Lock()


@dataclass
class LayerCalls:
    """A layer, and what its calls do.

    Attributes:
        layer: The layer.
        name: Its name, with those of the models and layers that it is part of.
        input_shapes: Shape of its first input at each call.
        graphs: The graphs that it is called in: of the model, of loops and branches.
        output_shape: Shape of its first output at the first call.
        operations: What it computes itself, without the layers inside.
        has_layers: Whether it calls other layers.
    """

    layer: Any
    name: str
    input_shapes: list[tuple[int | None, ...] | None] = field(default_factory=list)
    graphs: set[Any] = field(default_factory=set)
    output_shape: tuple[int | None, ...] | None = None
    operations: list[Any] = field(default_factory=list)
    has_layers: bool = False


@dataclass
class Trace:
    """A model as a graph.

    Attributes:
        graph: The graph.
        layers: What is called, in order of the first calls; the model itself is first.
        binary: References of the tensors that hold two values.
    """

    graph: Any = None
    layers: dict[int, LayerCalls] = field(default_factory=dict)
    binary: set[Any] = field(default_factory=set)

    @cached_property
    def hidden(self) -> set[str]:
        """Names of the functions with products that the graph calls as a whole.

        They are loops, branches, and functions that were traced before.
        """
        library = {
            function.signature.name: function.node_def
            for function in self.graph.as_graph_def().library.function
        }
        hidden = {
            name
            for name, nodes in library.items()
            if any(multiplies(node.op) for node in nodes)
        }
        while True:
            found = {
                name
                for name, nodes in library.items()
                if any(hidden.intersection(called_functions(node)) for node in nodes)
            }
            if found <= hidden:
                return hidden
            hidden |= found


def called_functions(node: Any) -> list[str]:
    """Names of the functions that a node of a graph calls."""
    names = []
    for value in node.attr.values():
        names += [function.name for function in (value.func, *value.list.func)]
    return [name for name in names if name]


def is_unit(layer: Any) -> bool:
    """Whether a layer counts as a whole, with the layers inside.

    The cells of a recurrent layer run in a loop, and TFMOT's wrappers take the kernel
    away from the layer that they wrap.
    """
    return isinstance(layer, keras.layers.RNN) or type(layer).__name__ in (
        "QuantizeWrapper",
        "QuantizeWrapperV2",
    )


def trace(model: Any, signature: Signature) -> Trace:
    """Runs the model on one sample as a graph.

    Raises:
        ValueError: If it cannot be run so.
    """
    with _LOCK:
        try:
            traced = _trace(model, signature)
        except Exception as error:
            raise ValueError(
                f"Expected model '{model.name}' to run on one sample of the shape "
                f"{[tuple(spec.shape) for spec in signature.specs]}, but it fails: "
                f"{str(error).strip() or type(error).__name__}"
            ) from error
        if not traced.hidden:
            return traced
        # Functions that were traced before do not call the layers again. Not every
        # model runs without them.
        with contextlib.suppress(Exception), without_cached_functions():
            return _trace(model, signature)
        return traced


def _trace(model: Any, signature: Signature) -> Trace:
    recorder = _Recorder(model)

    def run(*arrays: Any) -> Any:
        return signature.call(model, list(arrays))

    with _recorded(recorder):
        # By AutoGraph, as in `predict`: layers of users may need it.
        function = tf.function(run, input_signature=signature.specs)
        recorder.trace.graph = function.get_concrete_function().graph
    return recorder.trace


@contextlib.contextmanager
def _recorded(recorder: _Recorder) -> Iterator[None]:
    """Within it, the recorder is told of every call of a layer of the model.

    Layers are watched where they are called and not where they are listed, so that
    nested, shared and subclassed models need no cases of their own.
    """
    layers = [
        layer
        for layer in (recorder.model, *recorder.model.submodules)
        if isinstance(layer, keras.layers.Layer)
    ]
    before = {id(layer): layer.__dict__.get("call") for layer in layers}
    for layer in layers:
        layer.__dict__["call"] = _recorded_call(layer, recorder)
    try:
        yield
    finally:
        for layer in layers:
            if before[id(layer)] is None:
                del layer.__dict__["call"]
            else:
                layer.__dict__["call"] = before[id(layer)]


def _recorded_call(layer: Any, recorder: _Recorder) -> Any:
    original = layer.call

    @tf.autograph.experimental.do_not_convert
    def enter(*inputs: Any) -> None:
        recorder.enter(layer, inputs)

    @tf.autograph.experimental.do_not_convert
    def leave(outputs: Any) -> None:
        recorder.leave(layer, outputs)

    # AutoGraph converts this, and through it the layer's own code.
    def call(*args: Any, **kwargs: Any) -> Any:
        enter(args, kwargs)
        outputs = original(*args, **kwargs)
        leave(outputs)
        return outputs

    # Keras' wrappers ask for it.
    call.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return call


class _Recorder:
    """Gives every operation to the innermost layer that is being called."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.trace = Trace()
        self._stack: list[Any] = []
        self._assigned: dict[Any, int] = {}  # Operations of a graph seen so far.

    def enter(self, layer: Any, inputs: Any) -> None:
        self._assign()
        if not self._inside_unit():
            for outer in self._stack[-1:]:
                self._of(outer).has_layers |= not is_quantizer(layer)
            calls = self._of(layer)
            calls.input_shapes.append(_first_shape(inputs))
            calls.graphs.add(tf.compat.v1.get_default_graph())
        self._stack.append(layer)

    def leave(self, layer: Any, outputs: Any) -> None:
        self._assign()
        self._stack.pop()
        if not self._inside_unit():
            calls = self._of(layer)
            calls.output_shape = calls.output_shape or _first_shape(outputs)
        if getattr(layer, "precision", None) == 1:  # As larq's quantizers say it.
            self.trace.binary |= {tensor.ref() for tensor in tf.nest.flatten(outputs)}

    def _of(self, layer: Any) -> LayerCalls:
        names = [outer.name for outer in (*self._stack[1:], layer)]
        new = LayerCalls(layer, "/".join(names))
        return self.trace.layers.setdefault(id(layer), new)

    def _inside_unit(self) -> bool:
        return any(is_unit(layer) for layer in self._stack)

    def _assign(self) -> None:
        graph = tf.compat.v1.get_default_graph()
        operations = graph.get_operations()[self._assigned.get(graph, 0) :]
        self._assigned[graph] = self._assigned.get(graph, 0) + len(operations)
        if self._stack:
            units = [layer for layer in self._stack if is_unit(layer)]
            owner = [*units, self._stack[-1]][0]
            self._of(owner).operations += operations


def is_quantizer(layer: Any) -> bool:
    """Whether the layer is larq's means to make values binary."""
    return isinstance(layer, larq.quantizers.Quantizer)


def _first_shape(values: Any) -> tuple[int | None, ...] | None:
    for value in tf.nest.flatten(values):
        shape = getattr(value, "shape", None)
        if isinstance(shape, tf.TensorShape):
            return tuple(shape) if shape.rank is not None else None
    return None
