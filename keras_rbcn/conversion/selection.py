"""Which convolutions become 1-bit, and why the others do not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.conversion.graph import (
    Call,
    Graph,
    Value,
    has_kernel,
    own_activation_calls,
)
from keras_rbcn.conversion.operations import (
    is_normalization,
    is_product,
    is_sum,
    nonnegative_makers,
)

# Exactly these: what a subclass computes is not known.
CONVERTIBLE = (keras.layers.Conv2D, keras.layers.SeparableConv2D)


@dataclass(frozen=True)
class Choice:
    """What becomes of a layer with a kernel, and why.

    Attributes:
        binary: Whether it becomes 1-bit.
        reason: Why.
        wished: Whether the user asked for it.
    """

    binary: bool
    reason: str
    wished: bool = False


def choose(graph: Graph, binary: Any, real: Any) -> dict[Any, Choice]:
    """Decides for every layer with a kernel whether it becomes 1-bit.

    Args:
        graph: The model's graph.
        binary: What the user wants to be 1-bit: a layer's name, a layer class, a
            predicate of a layer, or a sequence of these.
        real: What the user wants to stay real, in the same way.

    Raises:
        TypeError: If a wish is none of these.
        ValueError: If a wish names or finds no layer with a kernel, contradicts
            another, or cannot be granted.
    """
    layers = [layer for layer in graph.layers() if has_kernel(layer)]
    wanted = _matching(layers, graph, binary, "binary")
    unwanted = _matching(layers, graph, real, "real")
    both = [layer.name for layer in layers if layer in wanted and layer in unwanted]
    if both:
        raise ValueError(
            "Expected no layer to be wished both 1-bit and real, received: "
            f"`binary` and `real` both match {both}."
        )
    choices = {}
    nonnegative = nonnegative_makers(graph)
    for layer in layers:
        impossible = _impossible(layer, graph, nonnegative)
        if impossible:
            if layer in wanted:
                raise ValueError(
                    f"Expected `binary` to match layers that can be 1-bit, but layer "
                    f"'{layer.name}' cannot: {impossible}. Leave it out."
                )
            choices[layer] = Choice(False, impossible)
        elif layer in unwanted:
            choices[layer] = Choice(False, "kept real as asked for (`real`)", True)
        elif layer in wanted:
            choices[layer] = Choice(True, "1-bit as asked for (`binary`)", True)
        else:
            reason = _better_real(layer, graph)
            choices[layer] = Choice(not reason, reason or "1-bit convolution")
    return choices


def _matching(
    layers: list[Any], graph: Graph, wishes: Any, argument: str
) -> dict[Any, None]:
    """The layers that any of the wishes matches; an ordered set."""
    found: dict[Any, None] = {}
    for wish in _as_wishes(wishes, argument):
        if isinstance(wish, str):
            matches = [_named(wish, layers, graph, argument)]
        elif isinstance(wish, type):
            matches = [layer for layer in layers if isinstance(layer, wish)]
        else:
            matches = [layer for layer in layers if wish(layer)]
        if not matches:
            raise ValueError(
                f"Expected `{argument}` to match layers with a kernel, but "
                f"{getattr(wish, '__name__', wish)!r} matches none of "
                f"{[layer.name for layer in layers]}."
            )
        found |= dict.fromkeys(matches)
    return found


def _as_wishes(wishes: Any, argument: str) -> list[Any]:
    if isinstance(wishes, str | type) or callable(wishes):
        wishes = [wishes]
    if not isinstance(wishes, Iterable):
        wishes = [wishes]
    wishes = list(wishes)
    for wish in wishes:
        if not (isinstance(wish, str | type) or callable(wish)) or (
            isinstance(wish, keras.layers.Layer)
        ):
            raise TypeError(
                f"Expected `{argument}` to be a layer's name, a layer class, a "
                "function from a layer to a truth value, or a sequence of these, "
                f"received: {wish!r}."
            )
    return wishes


def _named(name: str, layers: list[Any], graph: Graph, argument: str) -> Any:
    for layer in layers:
        if layer.name == name:
            return layer
    others = [layer.name for layer in graph.layers()]
    if name in others:
        raise ValueError(
            f"Expected `{argument}` to name layers with a kernel, received: "
            f"{argument}={name!r}, a layer that has none."
        )
    near = difflib.get_close_matches(name, others, n=3)
    hint = f"did you mean {near}?" if near else f"its layers are {others}."
    raise ValueError(
        f"Expected `{argument}` to name a layer of the model, received: "
        f"{argument}={name!r}; {hint}"
    )


def _impossible(layer: Any, graph: Graph, nonnegative: dict[Value, Call]) -> str:
    """Why the layer cannot be 1-bit, or nothing."""
    kind = type(layer).__name__
    if isinstance(layer, keras.layers.Dense):
        return "dense layer: the converter has no 1-bit ones"
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return "depthwise convolution: the converter has no 1-bit ones"
    if isinstance(layer, keras.layers.Conv2DTranspose):
        return "transposed convolution: the converter has no 1-bit ones"
    if type(layer) not in CONVERTIBLE:
        return f"{kind}: only Conv2D and SeparableConv2D have a 1-bit form"
    if getattr(layer, "groups", 1) != 1:
        return f"{layer.groups} groups: the converter does not carry them reliably"
    calls = graph.calls_of(layer)
    if any(len(call.inputs[0].shape) != 4 for call in calls):
        return "its inputs have other axes than batch, height, width and channels"
    makers = [nonnegative.get(call.inputs[0]) for call in calls]
    maker = next(filter(None, makers), None)
    if maker is not None and kind == "Conv2D":
        return (
            f"its inputs, from '{maker.name}', are never negative: their sign is +1 "
            "everywhere"
        )
    for call in calls:
        for activation in own_activation_calls(call):
            if activation.output.is_output and activation.output.consumers:
                return (
                    "last convolution, makes the model's outputs by an activation of "
                    "its own that other layers read as well"
                )
    return ""


def _better_real(layer: Any, graph: Graph) -> str:
    """Why a convolution that could be 1-bit had better stay real, or nothing."""
    calls = graph.calls_of(layer)
    for call in calls:
        if not any(
            other.has_kernel and other is not call and call.inputs[0].depends_on(other)
            for other in graph.calls
        ):
            return "first convolution"
    shapes = {tuple(call.inputs[0].shape[1:3]) for call in calls}
    if shapes == {(1, 1)} and tuple(layer.kernel_size) == (1, 1):
        return "sees a map of 1x1, as a dense layer does"
    if all(is_shortcut(call, graph) for call in calls):
        return "1x1 shortcut convolution"
    if any(_makes_outputs(call) for call in calls):
        return "last convolution, makes the model's outputs"
    return ""


def is_shortcut(call: Call, graph: Graph) -> bool:
    """Whether a 1x1 convolution lies on the short way around other convolutions."""
    if tuple(getattr(call.layer, "kernel_size", ())) != (1, 1):
        return False
    value = call.output
    while len(value.consumers) == 1 and not is_sum(value.consumers[0]):
        (following,) = value.consumers
        if following.has_kernel or len(following.inputs) != 1:
            return False
        value = following.outputs[0]
    if len(value.consumers) != 1:
        return False
    starts = _same_map(call.inputs[0])
    return any(
        _longer_way(start, other, graph)
        for other in value.consumers[0].inputs
        if other is not value
        for start in starts
    )


def _same_map(value: Value) -> list[Value]:
    """The value, and those that it was made of without a kernel."""
    found = [value]
    while (call := found[-1].producer) is not None:
        if call.has_kernel or len(call.inputs) != 1:
            break
        found.append(call.inputs[0])
    return found


def _longer_way(start: Value, end: Value, graph: Graph) -> bool:
    """Whether more than one 1x1 convolution lies between two values."""
    between = [
        call
        for call in graph.calls
        if call.has_kernel and call.inputs[0].depends_on(start) and end.depends_on(call)
    ]
    return len(between) > 1 or any(
        tuple(getattr(call.layer, "kernel_size", (1, 1))) != (1, 1) for call in between
    )


def _makes_outputs(call: Call) -> bool:
    """Whether an output follows without a normalisation or another kernel between."""
    pending, seen = [call.output], {call.output}
    while pending:
        value = pending.pop()
        if value.is_output:
            return True
        for following in value.consumers:
            scaled = is_normalization(following.layer) or is_product(following)
            if not following.has_kernel and not scaled:
                pending += [v for v in following.outputs if v not in seen]
                seen.update(following.outputs)
    return False
