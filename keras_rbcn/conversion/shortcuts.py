"""Shortcuts around 1-bit convolutions, as in Bi-Real Net (arXiv 1808.00278).

A sign keeps little of a feature map. A shortcut carries the real feature map past each
1-bit convolution: what the convolution read is added to its normalised output, where
height and width stay. Where the number of channels is multiplied, all are repeated, as
in ReActNet (arXiv 2003.03488); where it is divided, they are summed in groups. Without
these, networks of depthwise convolutions, whose 1x1 convolutions all change the number,
do not train (see also MoBiNet, arXiv 1907.12629).

In a residual block the model's own shortcut joins as early as shapes allow, and the
1-bit convolutions behind have shortcuts of their own. Were the block's shortcut added
at the end as well, it would count twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from keras_rbcn._backend import keras
from keras_rbcn.conversion.channels import can_match_channels
from keras_rbcn.conversion.graph import Call, Value
from keras_rbcn.conversion.operations import is_activation, is_sum
from keras_rbcn.conversion.plan import Plan, makes_output

_DROPOUT = (keras.layers.Dropout, keras.layers.SpatialDropout2D)


@dataclass(frozen=True)
class Shortcut:
    """What is added to the normalised output of a 1-bit convolution.

    Attributes:
        convolution: Its real inputs are added, unless there is a `value`.
        value: What is added instead: the shortcut of the model's own block.
        reader: The addition that read this value in the model.
    """

    convolution: Call
    value: Value | None = None
    reader: Call | None = None


@dataclass
class Shortcuts:
    """All shortcuts that are made.

    Attributes:
        added: What is added to a value, by the value.
        replaced: Additions of the model that are no longer needed, and which of their
            inputs takes their place.
    """

    added: dict[Value, Shortcut] = field(default_factory=dict)
    replaced: dict[Call, Value] = field(default_factory=dict)


def plan_shortcuts(plan: Plan) -> Shortcuts:
    """Finds a shortcut for every 1-bit convolution whose shapes allow one."""
    shortcuts = Shortcuts()
    served: set[Call] = set()
    for call in plan.graph.calls:
        if is_sum(call):
            served |= _serve_block(call, plan, shortcuts)
    for call in plan.binary_calls():
        if call not in served and _can_add_own(call, plan):
            shortcuts.added.setdefault(plan.normalized(call), Shortcut(call))
    return shortcuts


def _serve_block(addition: Call, plan: Plan, shortcuts: Shortcuts) -> set[Call]:
    """Distributes the shortcut of a residual block; returns whom it serves."""
    branches = {value: _last_of(value, addition, plan) for value in addition.inputs}
    real = [value for value, convolution in branches.items() if convolution is None]
    if not real:
        return set()
    served = {call for call in branches.values() if call is not None}
    if len(branches) != 2 or len(served) != 1 or addition.output.is_output:
        return served
    (branch,) = branches.keys() - set(real)
    chain = _chain(branch, addition, real[0], plan)
    if len(chain) < 2 or any(plan.normalized(c) in shortcuts.added for c in chain):
        return served
    for position, call in enumerate(chain):
        shortcuts.added[plan.normalized(call)] = (
            Shortcut(call) if position else Shortcut(call, real[0], addition)
        )
    shortcuts.replaced[addition] = branch
    return served | set(chain)


def _last_of(value: Value, reader: Call, plan: Plan) -> Call | None:
    """The 1-bit convolution whose normalised output a value is, or None."""
    value = plan.resolve(value, reader)
    while value.producer is not None and isinstance(value.producer.layer, _DROPOUT):
        value = plan.resolve(value.producer.inputs[0], value.producer)
    return _normalized_by(value, plan)


def _normalized_by(value: Value, plan: Plan) -> Call | None:
    """The 1-bit convolution that has this very value as its normalised output."""
    call = value.producer
    if call is None:
        return None
    if isinstance(call.layer, keras.layers.BatchNormalization):
        source = plan.resolve(call.inputs[0], call).producer
        call = source if source is not None else call
    if plan.is_binary(call) and plan.normalized(call) is value:
        return call
    return None


def _chain(addition_input: Value, addition: Call, shortcut: Value, plan: Plan) -> list:
    """The last convolutions of a block, in a row, that keep the shortcut's shape."""
    chain: list[Call] = []
    value, reader = addition_input, addition
    while True:
        path = _only_way(value, reader, plan)
        call = None if path is None else _normalized_by(path, plan)
        if (
            call is None
            or path is None
            or path.shape != shortcut.shape
            or not plan.is_called_once(call)
            or shortcut.depends_on(call)
        ):
            return chain
        chain.insert(0, call)
        if not plan.takes_signs(call):
            return chain
        value, reader = plan.source(call)


def _only_way(value: Value, reader: Call, plan: Plan) -> Value | None:
    """The value behind activations that are left out, if nothing else reads any."""
    while value.consumers == [reader] and not value.is_output:
        if (value, reader) not in plan.bypassed:
            return value
        reader = value.producer  # type: ignore[assignment]
        value = reader.inputs[0]
        if not is_activation(reader):
            return None
    return None


def _can_add_own(call: Call, plan: Plan) -> bool:
    normalized = plan.normalized(call)
    if not plan.is_called_once(call) or normalized.is_output or makes_output(call):
        return False
    if normalized.producer in plan.swapped:
        return False  # In the model the normalised map is a pooled one.
    layer = call.layer
    if not plan.takes_signs(call):
        # The 1x1 convolution within a separable one, behind its depthwise part.
        channels = call.inputs[0].shape[3]
        inner = channels and channels * layer.depth_multiplier
        return can_match_channels(inner, layer.filters)
    value = plan.resolve(*plan.source(call))
    shape = call.output.shape
    if value.shape == shape or None in shape[1:3]:
        return None not in shape[1:]
    # Max pooling without the ReLU in front lets hardly anything negative through. What
    # runs past one convolution to the next pooling would be +1 everywhere in the end.
    pooled = value.producer is not None and isinstance(
        value.producer.layer, keras.layers.MaxPooling2D
    )
    return (
        not pooled
        and value.shape[1:3] == shape[1:3]
        and can_match_channels(value.shape[3], layer.filters)
    )
