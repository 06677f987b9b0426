"""A tiny teacher and student pair."""

import larq

from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D

# What `RBCNModel.compile` leaves off by default, at work: without a teacher, and with
# taps, where discriminators train the student in place of distillation.
KERNEL_LOSS = {"kernel_weight": 1e-4, "kernel_loss_gradient": "straight_through"}
RBCN = {**KERNEL_LOSS, "adversarial_weight": 0.01, "distillation": 0.0}


def network(convolution=keras.layers.Conv2D, name="network", softmax=False, **kwargs):
    """Two convolutions with batch normalisation, of two shapes, behind a first one."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 2), name="image")
    # Without a bias, which batch normalisation would leave nothing but rounding to.
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="first")(inputs)
    x = layers.BatchNormalization(momentum=0.8, name="first_norm")(x)
    for index, (filters, strides) in enumerate(((4, 1), (6, 2)), 1):
        x = convolution(
            filters, 3, strides, padding="same", name=f"conv{index}", **kwargs
        )(x)
        x = layers.BatchNormalization(momentum=0.8, name=f"norm{index}")(x)
    x = layers.GlobalAveragePooling2D()(x)
    activation = "softmax" if softmax else None
    outputs = layers.Dense(3, activation=activation, name="scores")(x)
    return keras.Model(inputs, outputs, name=name)


def plain_larq(filters, size, strides, **kwargs):
    """The same 1-bit convolution as larq's users write it."""
    return larq.layers.QuantConv2D(
        filters,
        size,
        strides,
        input_quantizer="approx_sign",
        kernel_quantizer="approx_sign",
        kernel_constraint="weight_clip",
        pad_values=1.0,
        use_bias=False,
        **kwargs,
    )


class Subclassed(keras.Model):
    """A model whose layers cannot be followed, around another one."""

    def __init__(self, inner):
        super().__init__(name="subclassed")
        self.inner = inner

    def call(self, inputs, training=None):
        return self.inner(inputs, training=training)


class Witness(keras.layers.Layer):
    """Passes its input on, counts its runs and those with training=True."""

    def build(self, input_shape):
        self.runs = self.add_weight("runs", (2,), trainable=False, initializer="zeros")

    def call(self, inputs, training=None):
        self.runs.assign_add([1.0, float(bool(training))])
        return inputs


def student(**kwargs):
    return network(RectifiedConv2D, name="student", **kwargs)


def crossentropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def twin(model):
    """A copy of a model with the same weights."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def synchronized(model):
    """A copy whose batch statistics are those of the global batch.

    Keras does not keep that in a saved model.
    """

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, keras.layers.BatchNormalization):
            config["synchronized"] = True
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy
