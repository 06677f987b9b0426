"""Which layers become int8, and where their values are brought to 8 bits."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn.conversion.graph import Call, Graph, Value, own_activation
from keras_rbcn.quantization.layers import INPUTS, OUTPUTS, PREACTIVATION, Int8Config

# Of each kind of layer, the kernel, and whether its slices have scales of their own:
# what the kernels of TensorFlow Lite can do.
_KERNELS = {
    keras.layers.Conv2D: ("kernel", True),
    keras.layers.Conv2DTranspose: ("kernel", False),
    keras.layers.DepthwiseConv2D: ("depthwise_kernel", True),
    keras.layers.Dense: ("kernel", False),
}
# Activations that the converter makes a part of the operator in front of them.
_FUSED = (keras.activations.relu, tf.nn.relu, tf.nn.relu6)
# Layers that the converter makes an operator of that takes nothing in.
_ALONE = (keras.layers.Conv2DTranspose,)
# Layers that move values about, or leave them alone: 8 bits stay the same 8 bits.
_MOVE = (
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.Reshape,
    keras.layers.SpatialDropout2D,
    keras.layers.ZeroPadding2D,
)


def is_real_layer(layer: Any) -> bool:
    """Whether a layer has a real kernel that can be in 8 bits."""
    return type(layer) in _KERNELS


class Placement:
    """Where a model's values are brought to 8 bits.

    Each real layer gets 8 bits and gives 8 bits: in front of it, unless they are there
    already, and behind what the converter makes one operator of it with, which are
    batch normalisation and ReLU.

    Args:
        graph: The model.
        int8_inputs: Whether the model is given 8 bits.
        int8_outputs: Whether it gives 8 bits.
    """

    def __init__(self, graph: Graph, int8_inputs: bool, int8_outputs: bool) -> None:
        self._graph = graph
        self._places: dict[Any, set[str]] = {}
        self._rounded: set[Value] = set()
        if int8_inputs:
            self._round_model_inputs()
        for call in graph.calls:
            if call.node is not None and is_real_layer(call.layer):
                self._round_outputs(call)
        if int8_outputs:
            self._round_model_outputs()
        for call in graph.calls:
            if call.node is not None and is_real_layer(call.layer):
                self._round_inputs(call)

    @property
    def configs(self) -> dict[Any, Int8Config]:
        """Each layer that has something in 8 bits, and what."""
        return {
            layer: Int8Config(places, *_KERNELS.get(type(layer), (None, True)))
            for layer, places in self._places.items()
        }

    def _add(self, layer: Any, place: str) -> None:
        self._places.setdefault(layer, set()).add(place)

    def _round_inputs(self, call: Call) -> None:
        self._places.setdefault(call.layer, set())
        if not self._is_rounded(call.inputs[0]):
            self._add(call.layer, INPUTS)

    def _is_rounded(self, value: Value) -> bool:
        """Whether a value is in 8 bits already."""
        while value not in self._rounded:
            call = value.producer
            if call is None or not isinstance(call.layer, _MOVE):
                return False
            value = call.inputs[0]
        return True

    def _round_outputs(self, call: Call) -> None:
        activation = own_activation(call.layer)
        alone = type(call.layer) in _ALONE
        if activation is not None and (alone or activation not in _FUSED):
            self._add(call.layer, PREACTIVATION)
            return
        last = call if alone else _last_fused(call)
        self._add(last.layer, OUTPUTS)
        self._rounded.add(last.output)

    def _round_model_inputs(self) -> None:
        for tensor, value in self._graph.inputs:
            for call in value.consumers:
                if not is_real_layer(call.layer):
                    raise ValueError(
                        "Expected what reads the model's inputs to be layers with real "
                        f"kernels for int8 inputs, received: '{call.name}' "
                        f"({type(call.layer).__name__}), which reads "
                        f"'{tensor._keras_history.layer.name}'. Take float32 inputs, "
                        "or do in the data what this layer does."
                    )

    def _round_model_outputs(self) -> None:
        for value in self._graph.outputs:
            call = value.producer
            if call is None or len(call.outputs) > 1 or _is_binary(call.layer):
                what = f"'{call.name}'" if call else "an input of the model"
                raise ValueError(
                    "Expected the model's outputs to come from layers of one output, "
                    f"which are not 1-bit, for int8 outputs, received: {what}. Take "
                    "float32 outputs."
                )
            if call.node is not None and _has_more_inputs(call.node):
                raise ValueError(
                    "Expected the layers of the model's outputs to be called on one "
                    "input, or a list of them, for int8 outputs, received: "
                    f"'{call.name}', called on several. Take float32 outputs."
                )
            self._add(call.layer, OUTPUTS)
            self._rounded.add(value)


def _has_more_inputs(node: Any) -> bool:
    """Whether a layer is called on tensors by position behind the first."""
    rest = tf.nest.flatten(node.call_args[1:])
    return any(hasattr(one, "_keras_history") for one in rest)


def _last_fused(call: Call) -> Call:
    """The last call that becomes one operator with a real layer's.

    That is one batch normalisation, and one ReLU.
    """
    last = _behind(call)
    normalized = False
    while last.node is not None:
        (reader, *others) = last.output.consumers or (None,)
        if others or reader is None or last.output.is_output:
            return last
        if _is_relu(reader.layer):
            return reader
        if normalized or type(reader.layer) is not keras.layers.BatchNormalization:
            return last
        normalized, last = True, reader
    return last


def _behind(call: Call) -> Call:
    """The activation within a call's layer, or the call itself."""
    inner = [one for one in call.output.consumers if one.node is None]
    return inner[0] if inner else call


def _is_relu(layer: Any) -> bool:
    if type(layer) is keras.layers.Activation:
        return layer.activation in _FUSED
    if type(layer) is not keras.layers.ReLU:
        return False
    config = layer.get_config()
    return config["max_value"] in (None, 6.0) and not (
        config["negative_slope"] or config["threshold"]
    )


def _is_binary(layer: Any) -> bool:
    return getattr(layer, "input_quantizer", None) is not None
