"""Models that cannot be converted: one clear error each, and the model unharmed."""

import numpy as np
import pytest
from conversion_networks import SHAPE, block, head, randomize

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D

layers = keras.layers


def model_of(*parts, shape=SHAPE):
    """A classifier with a first convolution and other parts behind."""
    x = inputs = keras.Input(shape)
    x = block(x, "first")
    for part in parts:
        x = part(x)
    return keras.Model(inputs, head(x), name="teacher")


def convolution(name="second", **kwargs):
    return layers.Conv2D(8, 3, padding="same", name=name, **kwargs)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = convolution()

    def call(self, inputs):
        return self.convolution(inputs)


class Overridden(keras.Model):
    """Has a graph, but computes something else."""

    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


class WithoutConfig(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self):
        return {"name": self.name}

    def call(self, inputs):
        return self.factor * inputs


def subclassed():
    model = Subclassed()
    model.build((None, *SHAPE))
    return model


def overridden():
    model = model_of(convolution())
    return Overridden(model.input, model.output, name="teacher")


def channels_first():
    x = inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(8, 3, data_format="channels_first", name="first")(x)
    return keras.Model(inputs, x)


def float16():
    with_policy = keras.mixed_precision.Policy("mixed_float16")
    return model_of(convolution(dtype=with_policy))


def with_loss():
    model = model_of(convolution())
    model.add_loss(tf.reduce_mean(model.output))
    return model


def nested():
    inner = keras.Sequential([keras.Input((8, 8, 8)), convolution()], name="inner")
    return model_of(inner)


def without_convolutions():
    return keras.Sequential(
        [keras.Input(SHAPE), layers.Flatten(), layers.Dense(3, name="dense")]
    )


def only_a_first_one():
    return model_of()


def lambdas():
    return model_of(layers.Lambda(lambda x: x, name="odd"), convolution())


def binarised():
    return model_of(RectifiedConv2D(8, 3, name="second"))


def unbuilt():
    return keras.Sequential([convolution("first"), convolution()])


def layer_as_activation():
    return model_of(convolution(activation=layers.LeakyReLU()))


def without_config():
    return model_of(WithoutConfig(2.0), convolution())


REFUSED = [
    (subclassed, r"Subclassed.*functional API.*copy_weights"),
    (overridden, r"received: Overridden"),
    (unbuilt, r"to be built; give it an input shape"),
    (channels_first, r"channels last.*data_format.*\['first'\]"),
    (float16, r"no layers under float16.*\['second'\]"),
    (with_loss, r"no symbolic `add_loss`"),
    (nested, r"no models within, found: \['inner'\].*flatten"),
    (without_convolutions, r"can be 1-bit, found no convolutions"),
    (only_a_first_one, r"'first': first convolution"),
    (lambdas, r"no Lambda layers.*\['odd'\]"),
    (binarised, r"binarised already.*\['second'\]"),
    (layer_as_activation, r"put them behind.*\['second'\]"),
    (without_config, r"WithoutConfig.*get_config"),
]


@pytest.mark.parametrize(
    ("make", "message"), REFUSED, ids=[make.__name__ for make, _ in REFUSED]
)
def test_refused_models(make, message):
    model = make()
    with pytest.raises(ValueError, match=message):
        rbcn.binarize(model)


@pytest.mark.parametrize("shape", [(None, None, 3), (None, 8, 3), (8, None, 3)])
def test_undefined_sizes_are_refused(shape):
    with pytest.raises(ValueError, match=r"defined height and width.*'second'"):
        rbcn.binarize(model_of(convolution(), shape=shape))


@pytest.mark.parametrize("model", [None, "teacher.keras", layers.Dense(3)])
def test_no_model(model):
    with pytest.raises(TypeError, match="model"):
        rbcn.binarize(model)


def test_unknown_styles_are_refused():
    with pytest.raises(ValueError, match=r"'plain'.*style='bireal'"):
        rbcn.binarize(model_of(convolution()), "bireal")


def is_second(layer):
    return layer.name == "second"


IMPOSSIBLE = [
    ({"binary": "secnd"}, r"did you mean \['second'\]"),
    ({"real": "first_act"}, r"`real` to name layers with a kernel.*has none"),
    ({"binary": "scores"}, r"'scores' cannot: dense layer"),
    ({"binary": "depthwise"}, r"'depthwise' cannot: depthwise"),
    ({"binary": "transposed"}, r"'transposed' cannot: transposed"),
    ({"binary": "grouped"}, r"'grouped' cannot: 2 groups"),
    ({"binary": layers.Dense}, r"'scores' cannot"),
    ({"real": layers.Conv3D}, r"'Conv3D' matches none"),
    ({"real": lambda layer: False}, r"matches none"),
    ({"real": "second", "binary": is_second}, r"both match \['second'\]"),
]


@pytest.fixture
def versatile():
    return model_of(
        convolution(),
        layers.DepthwiseConv2D(3, name="depthwise"),
        layers.Conv2DTranspose(8, 3, name="transposed"),
        convolution("grouped", groups=2),
    )


@pytest.mark.parametrize(("wishes", "message"), IMPOSSIBLE)
def test_impossible_wishes(versatile, wishes, message):
    with pytest.raises(ValueError, match=message):
        rbcn.binarize(versatile, **wishes)


@pytest.mark.parametrize("wish", [3, [None], 2.5])
def test_wishes_of_other_types(versatile, wish):
    with pytest.raises(TypeError, match=r"`real` to be a layer's name.*received"):
        rbcn.binarize(versatile, real=wish)


def test_a_layer_is_no_wish(versatile):
    with pytest.raises(TypeError, match="layer's name"):
        rbcn.binarize(versatile, binary=versatile.get_layer("second"))


def test_everything_wished_real_is_refused(versatile):
    with pytest.raises(ValueError, match="'second': kept real as asked for"):
        rbcn.binarize(versatile, real=lambda layer: True)


def test_refusals_do_not_touch_the_model(versatile):
    before = [len(layer.outbound_nodes) for layer in versatile.layers]
    weights = versatile.get_weights()
    with pytest.raises(ValueError, match="cannot"):
        rbcn.binarize(versatile, binary="scores")
    assert before == [len(layer.outbound_nodes) for layer in versatile.layers]
    for a, b in zip(versatile.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_teacher_of_other_classes_is_refused():
    teacher = randomize(model_of(convolution()))
    student = rbcn.binarize(teacher)
    x = student.layers[-2].output
    other = keras.Model(student.input, layers.Dense(5, name="other")(x), name="other")
    with pytest.raises(ValueError, match=r"'other' with 5.*'teacher' with 3"):
        rbcn.RBCNModel(other, teacher)
    rbcn.RBCNModel(other, teacher, check_teacher=False)
