"""A flat copy computes what the model of models computes, bit for bit."""

import numpy as np
import pytest
from conversion_networks import METHOD, SHAPE, block, head, randomize, samples

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf

layers = keras.layers


def encoder(name="encoder"):
    inputs = keras.Input(SHAPE, name=f"{name}_input")
    return keras.Model(inputs, block(block(inputs, "a"), "b"), name=name)


def image(name="image"):
    return keras.Input(SHAPE, name=name)


def transfer_learning():
    base = encoder()
    base.trainable = False
    x = inputs = image()
    return keras.Model(inputs, head(base(x, training=False)))


def nested_twice():
    x = inputs = keras.Input(SHAPE, name="middle_input")
    middle = keras.Model(inputs, encoder()(x), name="middle")
    x = inputs = image()
    return keras.Model(inputs, head(middle(x)))


def shared():
    base = encoder()
    left, right = image("left"), image("right")
    merged = layers.Concatenate()([base(left), base(right)])
    return keras.Model([left, right], head(merged))


def sequentials():
    def part(filters, *more):
        return keras.Sequential([layers.Conv2D(filters, 3, name="c"), *more])

    return keras.Sequential(
        [image(), part(8, layers.ReLU()), part(8, part(4)), layers.Flatten()]
    )


def dictionaries():
    first, second = keras.Input(SHAPE, name="z"), keras.Input(SHAPE, name="a")
    merged = layers.Subtract()([block(first, "u"), block(second, "v")])
    inner = keras.Model({"x": first, "y": second}, {"m": merged}, name="inner")
    p, q = image("p"), image("q")
    return keras.Model({"p": p, "q": q}, {"o": head(inner({"y": p, "x": q})["m"])})


def functions():
    x = inputs = keras.Input(SHAPE)
    x = block(x, "a", activation=None)
    inner = keras.Model(inputs, tf.nn.relu(x) * 2.0 + 1.0)
    x = inputs = image()
    return keras.Model(inputs, head(inner(x / 2.0)))


def passed_through():
    x = inputs = keras.Input(SHAPE)
    inner = keras.Model(inputs, [x, layers.Conv2D(3, 1, name="c")(x)])
    x = inputs = image()
    return keras.Model(inputs, layers.Add()(inner(x)))


MODELS = [
    transfer_learning,
    nested_twice,
    shared,
    sequentials,
    dictionaries,
    functions,
    passed_through,
]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("make", MODELS, ids=[make.__name__ for make in MODELS])
def test_the_copy_computes_the_same(make, training):
    model = randomize(make())
    flat = rbcn.flatten(model)
    assert not [la for la in flat.layers if isinstance(la, keras.Model)]
    assert (flat.input_names, flat.output_names[:0]) == (model.input_names, [])
    data = samples(model)
    expected, received = model(data, training=training), flat(data, training=training)
    tf.nest.assert_same_structure(expected, received)
    for a, b in zip(tf.nest.flatten(expected), tf.nest.flatten(received), strict=True):
        np.testing.assert_array_equal(a, b)


def test_names_and_their_collisions():
    names = [layer.name for layer in rbcn.flatten(nested_twice()).layers]
    assert {"a", "a_norm", "a_act", "b", "scores"} <= set(names)
    flat = rbcn.flatten(sequentials())
    convolutions = [la.name for la in flat.layers if isinstance(la, layers.Conv2D)]
    assert len(set(convolutions)) == 3
    assert all(name.endswith("_c") for name in convolutions)


@pytest.mark.parametrize("taken", ["c", "inner_c", "inner_c_2"])
def test_names_taken_by_inputs_and_prefixes(taken):
    k = keras.Input(SHAPE)
    inner = keras.Model(k, layers.Conv2D(3, 1, name="c")(k), name="inner")
    x = inputs = image(taken)
    x = layers.Conv2D(3, 1, name="c")(inner(x))
    x = layers.ReLU(name="other" if taken == "inner_c" else "inner_c")(x)
    if taken == "c":  # Keras allows no layer and input of one name side by side.
        model = randomize(keras.Model(inputs, inner(inputs)))
    else:
        model = randomize(keras.Model(inputs, x))
    data = samples(model)
    flat = rbcn.flatten(model)
    assert flat.input_names == [taken]
    np.testing.assert_array_equal(flat(data), model(data))


def test_a_shared_model_is_copied_once():
    flat = rbcn.flatten(shared())
    assert [layer.name for layer in flat.layers].count("a") == 1
    assert len(flat.get_layer("a").inbound_nodes) == 2


def test_the_copy_shares_nothing_and_the_model_stays():
    model = transfer_learning()
    before = model.get_weights()
    nodes = [len(layer.inbound_nodes) for layer in model.get_layer("encoder").layers]
    flat = rbcn.flatten(model)
    assert not flat.get_layer("a").trainable
    assert flat.get_layer("scores").trainable
    randomize(flat)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    inner = model.get_layer("encoder").layers
    assert nodes == [len(layer.inbound_nodes) for layer in inner]


@pytest.mark.parametrize("make", [transfer_learning, nested_twice])
def test_the_copy_is_binarized_and_trained(make, tmp_path):
    flat = rbcn.flatten(randomize(make()))
    student = rbcn.binarize(flat)
    model = rbcn.RBCNModel(student, flat)
    model.compile("adam", "mse", run_eagerly=True, **METHOD)
    assert np.isfinite(model.train_on_batch(samples(flat), np.zeros((8, 3)))).all()
    flat.save(tmp_path / "flat.keras")
    again = keras.models.load_model(tmp_path / "flat.keras")
    np.testing.assert_array_equal(again(samples(flat)), flat(samples(flat)))


def test_names_of_the_copy():
    model = transfer_learning()
    assert rbcn.flatten(model).name == model.name
    assert rbcn.flatten(model, name="flat").name == "flat"


class Inner(keras.Model):
    def call(self, inputs):
        return 2 * inputs


def test_subclassed_models_within_are_refused():
    x = inputs = image()
    with pytest.raises(ValueError, match="received: Inner"):
        rbcn.flatten(keras.Model(inputs, head(Inner()(x))))


def test_no_model():
    with pytest.raises(TypeError, match="model"):
        rbcn.flatten(layers.Dense(3))
