"""What operations do to the signs of feature maps."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.conversion.graph import Call, Value, own_activation

_ACTIVATION_LAYERS = (
    keras.layers.Activation,
    keras.layers.ELU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ReLU,
    keras.layers.Softmax,
    keras.layers.ThresholdedReLU,
)
# TensorFlow's own functions, which Keras wraps in layers named after them.
_ACTIVATION_FUNCTIONS = frozenset(
    {
        "clip_by_value",
        "math.sigmoid",
        "math.softplus",
        "math.tanh",
        "nn.crelu",
        "nn.elu",
        "nn.gelu",
        "nn.leaky_relu",
        "nn.relu",
        "nn.relu6",
        "nn.selu",
        "nn.silu",
        "nn.softmax",
        "nn.softplus",
        "nn.softsign",
    }
)
# Activations whose results are never below zero.
_NONNEGATIVE_ACTIVATIONS = frozenset(
    {
        "exponential",
        "hard_sigmoid",
        "relu",
        "relu6",
        "sigmoid",
        "softmax",
        "softplus",
    }
)
_NONNEGATIVE_FUNCTIONS = frozenset(
    {
        "math.abs",
        "math.exp",
        "math.reduce_euclidean_norm",
        "math.sqrt",
        "math.square",
        "math.squared_difference",
    }
)
# Layers of one input that keep the signs as they are, or at least where all are +1.
KEEP_SIGNS = (
    keras.layers.ActivityRegularization,
    keras.layers.AveragePooling2D,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.Reshape,
    keras.layers.SpatialDropout2D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding2D,
)
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)
_MERGING_LAYERS = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Concatenate,
    keras.layers.Maximum,
    keras.layers.Minimum,
)
_KEEP_SIGNS_FUNCTIONS = frozenset(
    {
        "__operators__.add",
        "__operators__.getitem",
        "cast",
        "compat.v1.pad",
        "compat.v1.transpose",
        "concat",
        "identity",
        "image.resize",
        "math.add",
        "math.add_n",
        "math.maximum",
        "math.minimum",
        "math.truediv",
        "nn.avg_pool",
        "nn.avg_pool2d",
        "nn.depth_to_space",
        "nn.max_pool",
        "nn.max_pool2d",
        "nn.space_to_depth",
        "pad",
        "reshape",
        "stop_gradient",
        "transpose",
    }
)
_SUMS = frozenset({"__operators__.add", "math.add", "math.add_n"})
_PRODUCTS = frozenset({"math.multiply"})


def symbol(layer: Any) -> str:
    """The name of the TensorFlow function that a layer wraps, or nothing."""
    if type(layer).__name__ not in ("TFOpLambda", "SlicingOpLambda"):
        return ""
    return str(layer.symbol or "")


def is_activation(call: Call) -> bool:
    """Whether the call computes an activation, and nothing else."""
    if call.node is None:
        return True
    return (
        isinstance(call.layer, _ACTIVATION_LAYERS)
        or symbol(call.layer) in _ACTIVATION_FUNCTIONS
    )


def is_nonnegative(layer: Any) -> bool:
    """Whether what the layer computes is known never to be below zero."""
    if isinstance(layer, keras.layers.ReLU):
        # A leak or a threshold below zero lets negative values through.
        return not layer.negative_slope
    if isinstance(layer, keras.layers.Softmax | keras.layers.ThresholdedReLU):
        return True
    activation = getattr(layer, "activation", None)
    if getattr(activation, "__name__", None) in _NONNEGATIVE_ACTIVATIONS:
        return True
    function = symbol(layer)
    return function in _NONNEGATIVE_FUNCTIONS or (
        function.rpartition(".")[2] in _NONNEGATIVE_ACTIVATIONS
    )


def is_normalization(layer: Any) -> bool:
    """Whether the layer brings feature maps to a common mean and spread."""
    return isinstance(layer, _NORMALIZATIONS)


def activation_name(call: Call) -> str:
    """What an activation is called in a report."""
    activation = own_activation(call.layer) or getattr(call.layer, "activation", None)
    if activation is not None:
        return str(getattr(activation, "__name__", type(activation).__name__))
    return symbol(call.layer) or type(call.layer).__name__


def is_sum(call: Call) -> bool:
    """Whether the call adds feature maps."""
    return call.node is not None and (
        type(call.layer) is keras.layers.Add or symbol(call.layer) in _SUMS
    )


def is_product(call: Call) -> bool:
    """Whether the call multiplies feature maps with each other."""
    return call.node is not None and (
        isinstance(call.layer, keras.layers.Multiply) or symbol(call.layer) in _PRODUCTS
    )


def sign_sources(call: Call) -> tuple[Value, ...]:
    """The inputs whose signs reach the call's output unchanged; often none.

    A batch normalisation, a convolution and whatever is unknown end the way. Of a
    product of a feature map and a gate that was made out of it (squeeze and
    excitation, swish), the signs are those of the map.
    """
    if call.node is None:
        return ()
    if is_product(call):
        return tuple(v for v in call.inputs if not is_gate(v, call))
    known = isinstance(call.layer, KEEP_SIGNS + _MERGING_LAYERS)
    return call.inputs if known or symbol(call.layer) in _KEEP_SIGNS_FUNCTIONS else ()


def is_gate(value: Value, product: Call) -> bool:
    """Whether one factor of a product only scales the other."""
    others = [other for other in product.inputs if other is not value]
    if any(value.depends_on(other) for other in others):
        return True
    maker = value.producer
    if maker is None or not others or not is_activation(maker) or _is_relu(maker):
        return False
    return is_nonnegative(maker.layer)


def _is_relu(call: Call) -> bool:
    return "relu" in activation_name(call).lower()
