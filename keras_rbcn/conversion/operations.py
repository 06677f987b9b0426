"""What operations do to the signs of feature maps."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.conversion.graph import Call, Graph, Value, has_kernel, own_activation

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
# With a number in the place of one operand these are activations: a ReLU, a bound.
_BOUNDS = frozenset({"math.maximum", "math.minimum"})
# Activations whose results are never below zero.
_NONNEGATIVE_ACTIVATIONS = frozenset(
    {
        "crelu",
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
    keras.layers.AlphaDropout,
    keras.layers.AveragePooling2D,
    keras.layers.CenterCrop,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Identity,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.Reshape,
    keras.layers.Resizing,
    keras.layers.SpatialDropout2D,
    keras.layers.UpSampling2D,
    keras.layers.ZeroPadding2D,
)
_NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
)
# Of feature maps of which one has both signs, these have both signs as a rule.
_SUMMING_LAYERS = (
    keras.layers.Add,
    keras.layers.Average,
    keras.layers.Concatenate,
)
_MERGING_LAYERS = (*_SUMMING_LAYERS, keras.layers.Maximum, keras.layers.Minimum)
_KEEP_SIGNS_FUNCTIONS = frozenset(
    {
        "__operators__.add",
        "__operators__.getitem",
        "cast",
        "compat.v1.gather",
        "compat.v1.pad",
        "compat.v1.squeeze",
        "compat.v1.transpose",
        "concat",
        "expand_dims",
        "identity",
        "image.resize",
        "math.add",
        "math.add_n",
        "math.l2_normalize",
        "math.maximum",
        "math.minimum",
        "math.reduce_max",
        "math.reduce_mean",
        "math.truediv",
        "nn.avg_pool",
        "nn.avg_pool2d",
        "nn.depth_to_space",
        "nn.local_response_normalization",
        "nn.max_pool",
        "nn.max_pool2d",
        "nn.space_to_depth",
        "pad",
        "repeat",
        "reshape",
        "reverse",
        "roll",
        "slice",
        "split",
        "stack",
        "stop_gradient",
        "tile",
        "transpose",
        "unstack",
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
    shapes = [value.shape for value in call.inputs + call.outputs]
    if len(call.node.keras_inputs) != 1 or shapes[1:] != shapes[:1]:
        return False
    return (
        isinstance(call.layer, _ACTIVATION_LAYERS)
        or symbol(call.layer) in _ACTIVATION_FUNCTIONS | _BOUNDS
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


def is_batch_normalization(call: Call) -> bool:
    """Whether the call is that of a batch normalisation."""
    return isinstance(call.layer, keras.layers.BatchNormalization)


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
    excitation, swish), the signs are those of the map; of a square, nobody's.
    """
    if call.node is None:
        return ()
    if is_product(call):
        if len(call.node.keras_inputs) > len(call.inputs):
            return ()
        return tuple(v for v in call.inputs if not is_gate(v, call))
    known = isinstance(call.layer, KEEP_SIGNS + _MERGING_LAYERS)
    return call.inputs if known or symbol(call.layer) in _KEEP_SIGNS_FUNCTIONS else ()


def nonnegative_makers(graph: Graph) -> dict[Value, Call]:
    """What makes a value never negative, for the values of which that is known.

    Activations are passed over: they are taken out where they stand in front of a
    1-bit convolution.
    """
    makers: dict[Value, Call] = {}
    for call in graph.calls:
        sources = call.inputs if is_activation(call) else sign_sources(call)
        found = [makers.get(value) for value in sources]
        if not sources:
            # A convolution's own activation is a call of its own.
            plain = own_activation(call.layer) is None
            maker = call if plain and is_nonnegative(call.layer) else None
        elif _is_maximum(call):
            maker = next(filter(None, found), None)
        else:
            # A sum or concatenation may be negative where one of its parts may.
            maker = found[0] if all(found) else None
        if maker is not None:
            makers |= dict.fromkeys(call.outputs, maker)
    return makers


def is_doubtful(call: Call) -> bool:
    """Whether it takes a trial to tell the signs of what the call computes."""
    known = has_kernel(call.layer) or is_activation(call)
    return not known and not isinstance(
        call.layer, KEEP_SIGNS + _NORMALIZATIONS + _SUMMING_LAYERS
    )


def _is_maximum(call: Call) -> bool:
    return isinstance(call.layer, keras.layers.Maximum) or (
        symbol(call.layer) == "math.maximum"
    )


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
