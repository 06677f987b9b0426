"""What is done to a model's graph, decided before any layer is made.

Follows from which convolutions are 1-bit:

- An activation whose result would reach the sign of a 1-bit convolution is left out on
  the ways that lead there: behind a ReLU the sign is +1 everywhere. It stays on the
  ways to other layers, such as the classifier.
- Zero padding in front of a 1-bit convolution that pads what `padding="same"` would is
  taken into the convolution, which saves the device an operator.
- A max pooling between a 1-bit convolution and its batch normalisation comes behind the
  normalisation, where the device pools signs. With positive factors the outputs stay.
- A 1-bit convolution without a batch normalisation in front or behind gets one.
- A bias in front of a batch normalisation is taken into it.
- Behind a product with a gate, which alone changes no sign, a threshold is put.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_rbcn._backend import keras
from keras_rbcn._geometry import Axis
from keras_rbcn.conversion.graph import Call, Graph, Value, own_activation_calls
from keras_rbcn.conversion.operations import (
    KEEP_SIGNS,
    is_activation,
    is_batch_normalization,
    is_gate,
    is_product,
    is_sum,
    sign_sources,
)
from keras_rbcn.conversion.selection import Choice, is_shortcut

Edge = tuple[Value, Call]


@dataclass
class Plan:
    """What is done to the graph.

    Attributes:
        graph: The model's graph.
        choices: What becomes of each layer with a kernel.
        bypassed: The ways on which an activation is left out: the activation's output
            and the call that reads it.
        folded: Zero paddings that their convolutions take over.
        swapped: Max poolings and batch normalisations that change places, both ways.
        normalizations: 1-bit convolutions that get a batch normalisation.
        absorbed: The batch normalisation behind a 1-bit convolution that takes over
            its bias.
        gated: Calls of 1-bit convolutions behind a product with a gate.
    """

    graph: Graph
    choices: dict[Any, Choice]
    bypassed: set[Edge] = field(default_factory=set)
    folded: set[Call] = field(default_factory=set)
    swapped: dict[Call, Call] = field(default_factory=dict)
    normalizations: set[Any] = field(default_factory=set)
    absorbed: dict[Any, Any] = field(default_factory=dict)
    gated: set[Call] = field(default_factory=set)

    def is_binary(self, call: Call | None) -> bool:
        """Whether the call is that of a convolution that becomes 1-bit."""
        if call is None or call.node is None or call.layer not in self.choices:
            return False
        return self.choices[call.layer].binary

    def binary_calls(self) -> list[Call]:
        """The calls of the convolutions that become 1-bit."""
        return [call for call in self.graph.calls if self.is_binary(call)]

    def takes_signs(self, call: Call) -> bool:
        """Whether the call's own inputs become signs.

        Of a separable convolution, those of the 1x1 convolution within do.
        """
        return self.is_binary(call) and type(call.layer) is keras.layers.Conv2D

    def is_called_once(self, call: Call) -> bool:
        """Whether the layer has no other call."""
        return len(self.graph.calls_of(call.layer)) == 1

    def source(self, call: Call) -> Edge:
        """What a 1-bit convolution reads, in front of the padding it takes over."""
        value = call.inputs[0]
        pad = value.producer
        return (pad.inputs[0], pad) if pad in self.folded else (value, call)

    def resolve(self, value: Value, reader: Call) -> Value:
        """The value in front of all activations that are left out on this way."""
        while (value, reader) in self.bypassed:
            assert value.producer is not None
            reader = value.producer
            value = reader.inputs[0]
        return value

    def normalized(self, call: Call) -> Value:
        """The output of a convolution, behind its batch normalisation if it has one."""
        value = call.output
        if call.layer in self.normalizations:
            return value
        norm = self.following_norm(value)
        if norm is None:
            return value
        # Where both have changed places, the normalisation stands in the pooling's.
        return self.swapped.get(norm, norm).output

    def following_norm(self, value: Value) -> Call | None:
        """The batch normalisation that alone reads a value, activations left out."""
        while len(value.consumers) == 1 and not value.is_output:
            (following,) = value.consumers
            following = self.swapped.get(following, following)
            if is_batch_normalization(following):
                return following
            if not is_activation(following) or not any(
                (following.output, reader) in self.bypassed
                for reader in following.output.consumers
            ):
                return None
            value = following.output
        return None


def make_plan(graph: Graph, choices: dict[Any, Choice]) -> Plan:
    """Decides what is done to the graph, but for the block style."""
    plan = Plan(graph, choices)
    readers = [call for call in graph.calls if plan.takes_signs(call)]
    for call in readers:
        _bypass_before(call.inputs[0], call, plan)
    _bypass_to_merges(plan)
    for call in plan.binary_calls():
        _join_normalization(call, plan)
    plan.folded = {pad for call in readers if (pad := _foldable_padding(call, plan))}
    plan.gated = {call for call in readers if _is_gated(call, plan)}
    _plan_normalizations(plan)
    return plan


def _bypass_before(value: Value, reader: Call, plan: Plan) -> None:
    """Leaves activations out on all ways on which signs reach a convolution."""
    pending = [(value, reader)]
    seen: set[Edge] = set()
    while pending:
        value, reader = pending.pop()
        call = value.producer
        edge = (value, reader)
        if call is None or edge in plan.bypassed or edge in seen:
            continue
        seen.add(edge)
        if is_activation(call):
            plan.bypassed.add((value, reader))
            pending.append((call.inputs[0], call))
        else:
            pending += [(source, call) for source in sign_sources(call)]


def _bypass_to_merges(plan: Plan) -> None:
    """Leaves an activation that is left out once out of all shortcuts as well.

    So that the feature maps that run past 1-bit convolutions keep one meaning.
    """
    for value in [value for value, _ in plan.bypassed]:
        for reader in value.consumers:
            around = reader.has_kernel and is_shortcut(reader, plan.graph)
            if (is_sum(reader) and value in sign_sources(reader)) or around:
                plan.bypassed.add((value, reader))


def _join_normalization(call: Call, plan: Plan) -> None:
    """Brings a 1-bit convolution and its batch normalisation together.

    The converter fuses the two only where they touch: activations between them are left
    out, and a max pooling comes behind.
    """
    value, pool = call.output, None
    edges: set[Edge] = set()
    while len(value.consumers) == 1 and not value.is_output:
        (reader,) = value.consumers
        if value.producer is not None and is_activation(value.producer):
            edges.add((value, reader))
        if is_batch_normalization(reader):
            if pool is None or _commute(pool, reader, plan):
                plan.bypassed |= edges
                plan.swapped |= {pool: reader, reader: pool} if pool else {}
            return
        if type(reader.layer) is keras.layers.MaxPooling2D and pool is None:
            pool = reader
        elif not is_activation(reader):
            return
        value = reader.output


def _commute(pool: Call, norm: Call, plan: Plan) -> bool:
    """Whether the largest value stays the largest behind the normalisation."""
    layer = norm.layer
    increasing = not layer.scale or bool(np.all(layer.gamma.numpy() > 0))
    return (
        increasing
        and layer.axis == [3]
        and plan.is_called_once(pool)
        and plan.is_called_once(norm)
        and norm.inputs[0] is pool.output
        # It would get another name.
        and not norm.output.is_output
    )


def _foldable_padding(call: Call, plan: Plan) -> Call | None:
    """The zero padding in front, if it is the one of `padding="same"`."""
    pad, layer = call.inputs[0].producer, call.layer
    if (
        pad is None
        or type(pad.layer) is not keras.layers.ZeroPadding2D
        or layer.padding != "valid"
        or not (plan.is_called_once(call) and plan.is_called_once(pad))
        or pad.output.consumers != [call]
        or pad.output.is_output
    ):
        return None
    same = all(
        _is_same_padding(*sizes)
        for sizes in zip(
            pad.layer.padding,
            pad.inputs[0].shape[1:3],
            layer.kernel_size,
            layer.strides,
            layer.dilation_rate,
            strict=True,
        )
    )
    return pad if same else None


def _is_same_padding(padding: tuple[int, int], size: int | None, *kernel: int) -> bool:
    if size is None:
        return False
    axis = Axis(size, *kernel)
    return padding[0] == axis.same_before and axis.has_windows_of_same(*padding)


def _plan_normalizations(plan: Plan) -> None:
    """Finds 1-bit convolutions without a normalisation, and biases that one takes."""
    for layer in dict.fromkeys(call.layer for call in plan.binary_calls()):
        calls = plan.graph.calls_of(layer)
        norms = [plan.following_norm(call.output) for call in calls]
        found = {None if norm is None else norm.layer for norm in norms}
        if found == {None}:
            # Not at the model's end: an output would get another name and meaning.
            if not any(makes_output(c) for c in calls) and not all(
                _has_normalized_input(c, plan) for c in calls
            ):
                plan.normalizations.add(layer)
        elif len(found) == 1:
            norm: Any = found.pop()
            if len(plan.graph.calls_of(norm)) == len(calls) and norm.axis == [3]:
                plan.absorbed[layer] = norm


def makes_output(call: Call) -> bool:
    """Whether an output of the model comes from the layer of a call itself."""
    return any(c.output.is_output for c in (call, *own_activation_calls(call)))


def _has_normalized_input(call: Call, plan: Plan) -> bool:
    maker = _maker(call, plan)
    return maker is not None and is_batch_normalization(maker)


def _is_gated(call: Call, plan: Plan) -> bool:
    """Whether a convolution reads what a gate was multiplied into.

    Perhaps among other maps, and behind pooling and the like. A sum ends the way: there
    the gate moves signs.
    """
    pending = [plan.resolve(*plan.source(call))]
    seen: set[Value] = set()
    while pending:
        value = pending.pop()
        maker = value.producer
        if maker is None or value in seen or is_sum(maker) or _is_average(maker):
            continue
        seen.add(value)
        if is_product(maker) and any(is_gate(one, maker) for one in maker.inputs):
            return True
        pending += [plan.resolve(source, maker) for source in sign_sources(maker)]
    return False


def _is_average(call: Call) -> bool:
    return isinstance(call.layer, keras.layers.Average)


def _maker(call: Call, plan: Plan) -> Call | None:
    """The call that made a convolution's inputs, in front of pooling and the like."""
    value = plan.resolve(*plan.source(call))
    while value.producer is not None and isinstance(value.producer.layer, KEEP_SIGNS):
        value = plan.resolve(value.producer.inputs[0], value.producer)
    return value.producer
