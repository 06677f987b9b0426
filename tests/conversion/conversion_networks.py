"""Teachers for the tests of the conversion, and what is computed of them by hand."""

import numpy as np

from keras_rbcn._backend import keras, tf

SHAPE = (8, 8, 3)
# Losses that `RBCNModel.compile` leaves off by default, beside distillation.
METHOD = {"kernel_weight": 1e-4, "adversarial_weight": 0.01}


def block(x, name, filters=8, size=3, activation="relu", bias=True, **kwargs):
    """Convolution "<name>", normalisation "<name>_norm", activation "<name>_act"."""
    kwargs.setdefault("padding", "same")
    x = keras.layers.Conv2D(filters, size, use_bias=bias, name=name, **kwargs)(x)
    x = keras.layers.BatchNormalization(name=f"{name}_norm")(x)
    if activation is None:
        return x
    return keras.layers.Activation(activation, name=f"{name}_act")(x)


def head(x, name="scores", classes=3):
    """Pooling and a classifier."""
    x = keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(x)
    return keras.layers.Dense(classes, name=name)(x)


def randomize(model, seed=1):
    """Gives every weight a value that training might have given it."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if not weight.dtype.is_floating:
            continue
        if "variance" in weight.name or "gamma" in weight.name:
            values = generator.uniform(0.5, 2, weight.shape)
        elif "kernel" in weight.name:
            values = generator.normal(0, 0.3, weight.shape)
        else:
            values = generator.normal(0, 0.5, weight.shape)
        weight.assign(tf.cast(values, weight.dtype))
    return model


def samples(model, count=8, seed=0):
    """Random inputs in the structure of the model's own."""
    generator = np.random.default_rng(seed)
    return tf.nest.map_structure(
        lambda tensor: generator.normal(size=(count, *tensor.shape[1:])).astype(
            "float32"
        ),
        model.input,
    )


def signed_convolution(x, kernel, strides=1):
    """conv(sign(x), sign(W)) times mean |W|; the border counts as +1.

    Sizes are those of `padding="same"`.
    """
    height, width = kernel.shape[:2]
    pads = [[0, 0]]
    for size, window in zip(x.shape[1:3], (height, width), strict=True):
        needed = max((-(-size // strides) - 1) * strides + window - size, 0)
        pads.append([needed // 2, needed - needed // 2])
    signs = np.pad(np.where(np.asarray(x) >= 0, 1.0, -1.0), [*pads, [0, 0]])
    inside = np.pad(np.ones(x.shape), [*pads, [0, 0]])
    signs = np.where(inside, signs, 1.0)
    weights = np.where(kernel >= 0, 1.0, -1.0)
    columns = []
    for row in range((signs.shape[1] - height) // strides + 1):
        for column in range((signs.shape[2] - width) // strides + 1):
            top, left = row * strides, column * strides
            window = signs[:, top : top + height, left : left + width]
            columns.append(np.tensordot(window, weights, 3))
    rows = (signs.shape[1] - height) // strides + 1
    found = np.stack(columns, 1).reshape(len(signs), rows, -1, kernel.shape[3])
    return found * np.abs(kernel).mean((0, 1, 2))


def convolution_of(teacher, name, x, **kwargs):
    """What the 1-bit form of a convolution computes, with its bias."""
    kernel, *bias = teacher.get_layer(name).get_weights()
    return signed_convolution(x, kernel, **kwargs) + (bias[0] if bias else 0)


def normalized_of(teacher, name, x):
    """Batch normalisation in inference mode, by its definition."""
    gamma, beta, mean, variance = teacher.get_layer(name).get_weights()
    epsilon = teacher.get_layer(name).epsilon
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def block_of(teacher, name, x, **kwargs):
    """1-bit convolution and batch normalisation of a `block`."""
    convolved = convolution_of(teacher, name, x, **kwargs)
    return normalized_of(teacher, f"{name}_norm", convolved)


def head_of(teacher, x, name="scores"):
    """What `head` computes."""
    kernel, bias = teacher.get_layer(name).get_weights()
    return x.mean((1, 2)) @ kernel + bias


def output_of(teacher, name, data):
    """A feature map of the teacher."""
    model = keras.Model(teacher.input, teacher.get_layer(name).output)
    return model(data).numpy().astype("float64")


def relu(x):
    return np.maximum(x, 0)
