"""Makes the student's layers and connects them, as planned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from graphlib import TopologicalSorter
from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn.conversion.channels import match_channels
from keras_rbcn.conversion.cloning import copy_layer
from keras_rbcn.conversion.graph import (
    Call,
    Value,
    map_tensors,
    own_activation,
    training_argument,
    with_training,
)
from keras_rbcn.conversion.operations import is_activation, is_batch_normalization
from keras_rbcn.conversion.plan import Plan, makes_output
from keras_rbcn.conversion.shortcuts import Shortcuts
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign

# Layers behind which nothing but the order of values matters to a sign.
_MONOTONE = (
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.MaxPooling2D,
    keras.layers.SpatialDropout2D,
    keras.layers.ZeroPadding2D,
)


@dataclass(frozen=True)
class Made:
    """A layer of the student.

    Attributes:
        layer: The layer.
        source: The teacher's layer that it comes from, or None.
        role: Which part of the source it is: "copy", "rectified", "depthwise" (of a
            separable convolution), or for layers without a source what they are for.
    """

    layer: Any
    source: Any
    role: str

    @property
    def is_new(self) -> bool:
        """Whether the teacher has no layer of this kind."""
        return self.source is None or self.role in ("normalization", "activation")


class StudentBuilder:
    """Builds the student of a plan.

    Args:
        plan: What is done to the teacher's graph.
        shortcuts: Which shortcuts are added.
        style: The block style.
        kernel_quantizer: Of the 1-bit convolutions.

    Attributes:
        made: All layers that were made, in order.
    """

    def __init__(
        self, plan: Plan, shortcuts: Shortcuts, style: str, kernel_quantizer: Any
    ) -> None:
        self._plan = plan
        self._shortcuts = shortcuts
        self._style = style
        self._kernel_quantizer = kernel_quantizer
        self.made: list[Made] = []
        self._layers: dict[tuple[Any, str], Any] = {}
        inputs = [tensor._keras_history.layer for tensor, _ in plan.graph.inputs]
        self._names = {layer.name for layer in (*plan.graph.layers(), *inputs)}
        self._tensors: dict[Value, Any] = {}
        # The RPReLU in the place of an activation, on the ways where that is left out.
        self._replacements: dict[Call, Any] = {}
        # What 1-bit convolutions read, before any threshold.
        self._real_inputs: dict[Call, Any] = {}

    def build(self, model: Any, name: str) -> Any:
        """The student, with weights as its layers' initializers set them."""
        graph = self._plan.graph
        inputs = []
        for tensor, value in graph.inputs:
            source = tensor._keras_history.layer
            layer = keras.layers.InputLayer.from_config(source.get_config())
            self.made.append(Made(layer, source, "copy"))
            self._tensors[value] = layer.output
            inputs.append(layer.output)
        for call in self._order():
            self._build_call(call)
        outputs = [self._tensors[value] for value in graph.outputs]
        student = keras.Model(
            tf.nest.pack_sequence_as(model._nested_inputs, inputs),
            tf.nest.pack_sequence_as(model._nested_outputs, outputs),
            name=name,
        )
        # A teacher is often frozen as a whole; a student is there to be trained.
        student.trainable = True
        return student

    def _order(self) -> Any:
        """The calls; shortcuts may join earlier than in the model."""
        needs = {
            call: [value.producer for value in call.inputs if value.producer]
            for call in self._plan.graph.calls
        }
        for value, shortcut in self._shortcuts.added.items():
            if shortcut.value is not None and shortcut.value.producer is not None:
                assert value.producer is not None
                needs[value.producer].append(shortcut.value.producer)
        return TopologicalSorter(needs).static_order()

    def _build_call(self, call: Call) -> None:
        if call in self._plan.folded:
            return
        if call in self._shortcuts.replaced:
            value = self._shortcuts.replaced[call]
            self._tensors[call.output] = self._operand(value, call)
        elif call in self._plan.swapped:
            other = self._plan.swapped[call].layer
            layer = self._layer(other, "copy", partial(copy_layer, other))
            self._tensors[call.output] = layer(self._operand(call.inputs[0], call))
        elif is_activation(call):
            self._build_activation(call)
        elif self._plan.is_binary(call):
            self._tensors[call.output] = self._rectified(call)
        else:
            self._build_other(call)
        for value in call.outputs:
            if value in self._shortcuts.added:
                self._tensors[value] = self._with_shortcut(value)

    def _operand(self, value: Value, reader: Call) -> Any:
        """The student's tensor on a way of the teacher's graph."""
        if (value, reader) not in self._plan.bypassed:
            return self._tensors[value]
        activation = value.producer
        assert activation is not None
        if activation in self._replacements and not is_batch_normalization(reader):
            return self._replacements[activation]
        return self._operand(activation.inputs[0], activation)

    # --- layers --------------------------------------------------------------------

    def _build_other(self, call: Call) -> None:
        changes = {}
        if own_activation(call.layer) and not self._keeps_activation(call):
            changes["activation"] = "linear"
            if makes_output(call):
                # The name of the model's output goes with the activation.
                changes["name"] = self._name(f"{call.name}_linear")
        self._copy(call, **changes)

    def _copy(self, call: Call, **changes: Any) -> None:
        layer = self._layer(
            call.layer, "copy", lambda: copy_layer(call.layer, **changes)
        )
        values = self._values_by_tensor(call)
        args, kwargs = map_tensors(
            call.node, lambda tensor: self._operand(values[id(tensor)], call)
        )
        training = training_argument(call.layer, args, kwargs)
        if training is False or (training is not None and is_batch_normalization(call)):
            # Called in inference mode for fine-tuning; the student's are to learn.
            args, kwargs = with_training(call.layer, None, args, kwargs)
        outputs = tf.nest.flatten(layer(*args, **kwargs))
        self._tensors |= zip(call.outputs, outputs, strict=True)

    def _values_by_tensor(self, call: Call) -> dict[int, Value]:
        tensors = {id(tensor): tensor for tensor in call.node.keras_inputs}
        return dict(zip(tensors, call.inputs, strict=True))

    def _build_activation(self, call: Call) -> None:
        value = call.output
        bypassed = [
            reader
            for reader in value.consumers
            if (value, reader) in self._plan.bypassed
        ]
        if self._style == "reactnet" and any(self._is_read(value, r) for r in bypassed):
            layer = self._new(
                RPReLU, f"{call.name}_rprelu", "added for an activation", call.layer
            )
            self._replacements[call] = layer(self._operand(call.inputs[0], call))
        if not value.is_output and len(bypassed) == len(value.consumers):
            return
        if call.node is not None:
            self._copy(call)
        elif self._keeps_activation(call):
            self._tensors[value] = self._tensors[call.inputs[0]]
        else:
            name = call.name if value.is_output else f"{call.name}_activation"
            layer = self._layer(
                call.layer,
                "activation",
                lambda: keras.layers.Activation(
                    own_activation(call.layer),
                    name=name if value.is_output else self._name(name),
                    dtype=call.layer.dtype_policy,
                ),
            )
            self._tensors[value] = layer(self._operand(call.inputs[0], call))

    def _keeps_activation(self, call: Call) -> bool:
        """Whether a layer's own activation can stay within the layer."""
        layer = call.layer
        if layer in self._plan.normalizations:
            return False
        calls = [c for c in self._plan.graph.calls if c.layer is layer]
        return not any(
            (c.node is not None and c.output in self._shortcuts.added)
            or any((c.output, reader) in self._plan.bypassed for reader in _readers(c))
            for c in calls
        )

    def _is_read(self, value: Value, reader: Call) -> bool:
        """Whether more of a feature map than its signs is used on this way."""
        if reader.node is None or is_activation(reader):
            return any(self._is_read(reader.output, r) for r in _readers(reader))
        if self._plan.takes_signs(reader):
            own = self._shortcuts.added.get(self._plan.normalized(reader))
            return own is not None and own.value is None
        if isinstance(reader.layer, _MONOTONE):
            return any(self._is_read(reader.output, r) for r in _readers(reader))
        return not is_batch_normalization(reader)

    def _rectified(self, call: Call) -> Any:
        layer = call.layer
        x = self._operand(*self._plan.source(call))
        if isinstance(layer, keras.layers.SeparableConv2D):
            x = self._layer(layer, "depthwise", lambda: self._depthwise(layer))(x)
        self._real_inputs[call] = x
        if self._style == "reactnet" or call in self._plan.gated:
            x = self._new(RSign, f"{layer.name}_sign", "added: threshold", layer)(x)
        x = self._layer(layer, "rectified", lambda: self._convolution(call))(x)
        if layer in self._plan.normalizations:
            x = self._layer(layer, "normalization", lambda: self._norm(layer))(x)
        return x

    def _convolution(self, call: Call) -> Any:
        layer, plan = call.layer, self._plan
        if isinstance(layer, keras.layers.SeparableConv2D):
            arguments = {
                "kernel_size": 1,
                "kernel_initializer": _again(layer.pointwise_initializer),
            }
        else:
            same = call.inputs[0].producer in plan.folded
            arguments = {
                "kernel_size": layer.kernel_size,
                "strides": layer.strides,
                "padding": "same" if same else layer.padding,
                "dilation_rate": layer.dilation_rate,
                "kernel_initializer": _again(layer.kernel_initializer),
            }
        return RectifiedConv2D(
            layer.filters,
            **arguments,
            activation=layer.activation if self._keeps_activation(call) else None,
            use_bias=layer.use_bias
            and layer not in plan.absorbed
            and layer not in plan.normalizations,
            bias_initializer=_again(layer.bias_initializer),
            kernel_quantizer=self._kernel_quantizer,
            name=layer.name,
            dtype=layer.dtype_policy,
        )

    def _depthwise(self, layer: Any) -> Any:
        return keras.layers.DepthwiseConv2D(
            layer.kernel_size,
            strides=layer.strides,
            padding=layer.padding,
            depth_multiplier=layer.depth_multiplier,
            dilation_rate=layer.dilation_rate,
            use_bias=False,
            depthwise_initializer=_again(layer.depthwise_initializer),
            depthwise_regularizer=layer.depthwise_regularizer,
            depthwise_constraint=layer.depthwise_constraint,
            name=self._name(f"{layer.name}_depthwise"),
            dtype=layer.dtype_policy,
        )

    def _norm(self, layer: Any) -> Any:
        return keras.layers.BatchNormalization(
            name=self._name(f"{layer.name}_bn"), dtype=layer.dtype_policy
        )

    def _with_shortcut(self, value: Value) -> Any:
        shortcut = self._shortcuts.added[value]
        source = shortcut.convolution.layer
        role, name = "added: shortcut", f"{source.name}_shortcut"
        if shortcut.value is None:
            addend = match_channels(
                self._real_inputs[shortcut.convolution],
                source.filters,
                lambda make, part, **arguments: self._new(
                    make, f"{name}_{part}", role, source, **arguments
                ),
            )
        else:
            assert shortcut.reader is not None
            addend = self._operand(shortcut.value, shortcut.reader)
        layer = self._new(keras.layers.Add, name, role, source)
        return layer([self._tensors[value], addend])

    # --- bookkeeping ---------------------------------------------------------------

    def _layer(self, source: Any, role: str, make: Any) -> Any:
        """The student's layer for one of the teacher's, made at the first call."""
        if (source, role) not in self._layers:
            self._layers[source, role] = make()
            self.made.append(Made(self._layers[source, role], source, role))
        return self._layers[source, role]

    def _new(
        self, make: Any, name: str, role: str, source: Any, **arguments: Any
    ) -> Any:
        """A layer that the teacher has no counterpart of, under a source's policy."""
        layer = make(name=self._name(name), dtype=source.dtype_policy, **arguments)
        self.made.append(Made(layer, None, role))
        return layer

    def _name(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self._names:
            number += 1
            name = f"{wanted}_{number}"
        self._names.add(name)
        return name


def _readers(call: Call) -> list[Call]:
    return [reader for value in call.outputs for reader in value.consumers]


def _again(initializer: Any) -> Any:
    """An initializer of the same kind; an instance gives the same values again.

    The default one in the place of a function or class that is not registered: a saved
    student could not be loaded again. The values are copied in any case.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return "glorot_uniform"
    config = keras.initializers.serialize(initializer)
    try:
        keras.initializers.get(config)
    except (TypeError, ValueError):
        return "glorot_uniform"
    return config
