"""Nothing but signs changes: without them the student computes what its teacher does.

The teachers' activations are identities, which `binarize` does not know, and leaves out
and moves like any other one. With real kernels in the place of 1-bit ones, the plain
student must then equal its teacher: whatever differs was connected, folded, exchanged
or copied wrongly.
"""

import numpy as np
import pytest
from conversion_networks import head, randomize, samples

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D

layers = keras.layers


@keras.saving.register_keras_serializable("tests")
def identity(x):
    return x


PADDINGS = (1, ((0, 1), (0, 1)), ((1, 2), (1, 0)))


def activated(rng, x):
    return layers.Activation(identity)(x) if rng.random() < 0.6 else x


def convolved(rng, x, filters=None):
    kinds = [layers.Conv2D] * 5 + [layers.SeparableConv2D, layers.Conv2DTranspose]
    kind = kinds[rng.integers(len(kinds))]
    strides = int(rng.choice([1, 1, 2])) if filters is None and x.shape[1] > 4 else 1
    if kind is layers.Conv2D and rng.random() < 0.4 and filters is None:
        x = layers.ZeroPadding2D(
            [1, ((0, 1), (0, 1)), ((1, 2), (1, 0))][rng.integers(3)]
        )(x)
        padding = "valid"
    else:
        padding = "same"
    return kind(
        filters or int(rng.choice([4, 6])),
        int(rng.choice([1, 3])) if padding == "same" else 3,
        strides=strides,
        padding=padding,
        use_bias=bool(rng.random() < 0.7),
        activation=identity if rng.random() < 0.3 else None,
    )(x)


def block(rng, x, filters=None):
    order = rng.integers(5)
    if order == 0:  # Pre-activation.
        x = activated(rng, layers.BatchNormalization()(x))
        return convolved(rng, x, filters)
    x = convolved(rng, x, filters)
    if order == 1:
        return activated(rng, x)
    if order == 2:
        x = layers.MaxPooling2D(2, 1, padding="same")(activated(rng, x))
    if order == 3:
        x = activated(rng, x)
    return activated(rng, layers.BatchNormalization()(x))


def residual(rng, x):
    channels = x.shape[3]
    branch = block(rng, x) if x.shape[1] < 4 else block(rng, x, channels)
    branch = block(rng, branch, channels)
    if branch.shape != x.shape:
        return branch
    if rng.random() < 0.3:
        return activated(rng, branch + x)
    return activated(rng, layers.Add()([x, branch]))


def branched(rng, x):
    parts = [block(rng, x, 4), block(rng, x, 2)]
    if rng.random() < 0.5:
        return layers.Concatenate()(parts)
    return tf.concat(parts, -1)


def shared(rng, x):
    convolution = layers.Conv2D(x.shape[3], 3, padding="same")
    norm, activation = layers.BatchNormalization(), layers.Activation(identity)
    x = activation(norm(convolution(x)))
    again = convolution(x)
    return activation(norm(again) if rng.random() < 0.5 else again)


def between(rng, x):
    return [
        layers.AveragePooling2D(2, 1),
        layers.Dropout(0.5),
        layers.UpSampling2D() if x.shape[1] < 6 else layers.Cropping2D(1),
        layers.DepthwiseConv2D(3, padding="same", activation=identity),
    ][rng.integers(4)](x)


def model_without_activations(seed, parts):
    rng = np.random.default_rng(seed)
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", activation=identity)(inputs)
    outputs = []
    for _ in range(rng.integers(3, 7)):
        if x.shape[1] >= 3:
            x = parts[rng.integers(len(parts))](rng, x)
        if rng.random() < 0.15:
            outputs.append(x)
    x = convolved(rng, x, 5)
    x = activated(rng, layers.BatchNormalization()(x))
    return randomize(keras.Model(inputs, [*outputs, head(x)]), seed)


@pytest.fixture
def real_kernels(monkeypatch):
    """Rectified convolutions compute what Keras' convolutions do."""

    def call(layer, inputs):
        x = tf.nn.convolution(
            inputs,
            tf.convert_to_tensor(layer.latent_kernel),
            strides=layer.strides,
            padding=layer.padding.upper(),
            dilations=layer.dilation_rate,
        )
        x = x + layer.bias if layer.use_bias else x
        return layer.activation(x)

    monkeypatch.setattr(RectifiedConv2D, "call", call)


def without_additions(student, report):
    """Makes all that was added to the student do nothing."""
    for row in report.layers:
        layer = student.get_layer(row.name) if row.kind_after else None
        if row.reason == "added: the convolution has none":
            # Such a normalisation divides by the root of 1 + epsilon.
            layer.moving_variance.assign(layer.moving_variance - layer.epsilon)
        elif row.reason == "added: shortcut" and row.kind_after == "Add":
            layer.call = lambda tensors: tensors[0]
        elif row.kind_after == "RPReLU":
            layer.slope.assign(tf.ones_like(layer.slope))


def assert_equal(student, teacher):
    data = samples(teacher)
    for a, b in zip(
        tf.nest.flatten(student(data)), tf.nest.flatten(teacher(data)), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * np.abs(b).max())


CHAINED = (block, block, branched, shared, between)


@pytest.mark.parametrize("seed", range(28))
def test_without_signs_plain_student_and_teacher_are_equal(seed, real_kernels):
    teacher = model_without_activations(seed, (*CHAINED, residual, residual))
    student, report = rbcn.binarize(teacher, "plain", return_report=True)
    assert report.binary_convolutions
    without_additions(student, report)
    assert_equal(student, teacher)


@pytest.mark.parametrize("style", ["birealnet", "reactnet"])
@pytest.mark.parametrize("seed", range(100, 108))
def test_without_additions_other_students_are_equal_too(seed, style, real_kernels):
    """But for residual blocks, whose own shortcut joins earlier."""
    teacher = model_without_activations(seed, CHAINED)
    student, report = rbcn.binarize(teacher, style, return_report=True)
    assert report.binary_convolutions
    without_additions(student, report)
    assert_equal(student, teacher)
