"""The layers of a Keras model: what they hold, and what one sample costs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn._counting import REAL_BITS, ParameterCount, count_parameters
from keras_rbcn._samples import input_signature
from keras_rbcn.profiling.macs import is_int8, product_of
from keras_rbcn.profiling.recurrent import recurrent_macs
from keras_rbcn.profiling.report import LayerProfile, make_row
from keras_rbcn.profiling.trace import (
    LayerCalls,
    Trace,
    called_functions,
    is_quantizer,
    is_unit,
    trace,
)


def profile_layers(model: Any) -> tuple[LayerProfile, ...]:
    """Profiles every layer of a built model, in order of the first calls.

    Raises:
        ValueError: If the model has not been built, a size of its inputs is undefined,
            or it cannot be run on one sample.
    """
    reason = "the number of operations depends on it"
    traced = trace(model, input_signature(model, reason))
    parameters = _Parameters(model, traced)
    every = [*traced.layers.values(), *_uncalled(model, traced)]
    counts = {
        id(layer): parameters.of(layer)
        for layer in _innermost_first(calls.layer for calls in every)
    }
    rows = [_row(calls, counts[id(calls.layer)], traced) for calls in every]
    rows += parameters.outside_of_layers()
    return tuple(row for row in rows if row is not None)


def _innermost_first(layers: Iterable[Any]) -> list[Any]:
    """Each layer behind those inside of it, whose weights are among its own.

    Layers outside of each other that share a weight stay in order.
    """
    # What holds another holds all that this holds, and more.
    return sorted(layers, key=lambda layer: len(layer.submodules))


def _uncalled(model: Any, traced: Trace) -> Iterator[LayerCalls]:
    """Layers with weights of the model that it does not call."""
    weights = {id(weight) for weight in model.weights}
    inside = {
        id(layer)
        for calls in traced.layers.values()
        if is_unit(calls.layer)
        for layer in calls.layer.submodules
    }
    for layer in reversed(model.submodules):
        known = id(layer) in traced.layers or id(layer) in inside
        if known or not isinstance(layer, keras.layers.Layer):
            continue
        # Metrics, too, are layers.
        if any(id(weight) in weights for weight in layer.weights):
            yield LayerCalls(layer, layer.name)


class _Parameters:
    """Counts each weight once."""

    def __init__(self, model: Any, traced: Trace) -> None:
        self._weights = {
            id(_handle(weight)): weight
            for weight in model.weights
            if hasattr(weight, "shape")  # Look-up tables have none.
        }
        self._graph = traced.graph
        self._handles = {
            id(inside): id(outside) for outside, inside in traced.graph.captures
        }
        self._read = set(self._handles.values())
        # Weights that are rounded to 8 bits, and the ranges that they are rounded in.
        self._int8: set[int] = set()
        self._counted: set[int] = set()
        for calls in traced.layers.values():
            for operation in filter(is_int8, calls.operations):
                value, *ranges = map(self._weight_behind, operation.inputs)
                self._int8.add(id(value))
                self._counted.update(map(id, ranges))

    def of(self, layer: Any) -> ParameterCount:
        """Counts the weights of a layer that were not counted before."""
        count = ParameterCount(0, 0)
        parts = _innermost_first(layer.submodules) if is_unit(layer) else ()
        for part in (*parts, layer):
            if isinstance(part, keras.layers.Layer):
                self._counted.update(map(id, self._helpers(part)))
                count += count_parameters(part, self._counted, self._int8)
        return count

    def _helpers(self, layer: Any) -> list[Any]:
        """Weights that only training reads, and that are not trained themselves."""
        weights = [weight for weight in layer.weights if hasattr(weight, "shape")]
        unread = [w for w in weights if id(_handle(w)) not in self._read]
        # A layer that reads none is not called, or has made constants of them.
        if len(unread) == len(weights):
            return []
        return [weight for weight in unread if not weight.trainable]

    def outside_of_layers(self) -> Iterator[LayerProfile]:
        """Variables that the model reads and Keras does not know of."""
        for variable in self._graph.variables:
            if id(variable.handle) not in self._weights and variable.dtype.is_floating:
                count = ParameterCount(0, math.prod(variable.shape))
                yield make_row(variable.name, "Variable", None, count, {})

    def _weight_behind(self, tensor: Any) -> Any:
        while tensor.op.type in ("Identity", "ReadVariableOp", "Reshape", "Transpose"):
            tensor = tensor.op.inputs[0]
        return self._weights.get(self._handles.get(id(tensor), 0))


def _handle(weight: Any) -> Any:
    return getattr(weight, "latent_variable", weight).handle


def _row(
    calls: LayerCalls, count: ParameterCount, traced: Trace
) -> LayerProfile | None:
    """The layer's row; None for what only calls other layers, and for quantizers."""
    macs, reason = _macs(calls, traced)
    empty = not (count.total or any(macs.values()) or reason)
    called = bool(calls.input_shapes)
    if empty and (calls.has_layers or not called or is_quantizer(calls.layer)):
        return None
    return make_row(
        calls.name,
        _kind(calls.layer),
        calls.output_shape,
        count,
        macs,
        calls=len(calls.input_shapes),
        not_counted=reason,
    )


def _kind(layer: Any) -> str:
    wrapped = f"({type(layer.layer).__name__})" if hasattr(layer, "layer") else ""
    return type(layer).__name__ + wrapped


def _macs(calls: LayerCalls, traced: Trace) -> tuple[Counter[int], str]:
    """Multiply-accumulates by bits, and why some are missing."""
    macs: Counter[int] = Counter()
    reason = ""
    for operation in calls.operations:
        product = product_of(operation, traced.binary)
        if product is None:
            if traced.hidden.intersection(called_functions(operation.node_def)):
                reason = "it runs a loop, a branch or a function traced before"
        elif operation.graph is not traced.graph:
            reason = "it runs inside of a loop or a branch"
        elif product.macs is None:
            reason = product.reason
        else:
            macs[product.bits] += product.macs
    if reason and is_unit(calls.layer):
        # What is outside of the loop are tries and preparations.
        each = [recurrent_macs(calls.layer, shape) for shape in calls.input_shapes]
        inside = calls.graphs != {traced.graph}  # Of another loop, or a branch.
        if inside or None in each:
            return Counter(), reason
        return Counter({REAL_BITS: sum(filter(None, each))}), ""
    return macs, reason
