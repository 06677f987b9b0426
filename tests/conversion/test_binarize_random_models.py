"""Random models, every style: a good student, or a ValueError; never anything else."""

import numpy as np
import pytest
from conversion_networks import METHOD, block, head, randomize, samples

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.training.checks import warn_of_nonnegative_inputs

layers = keras.layers
STYLES = ("birealnet", "reactnet", "plain")
ACTIVATIONS = ("relu", "relu6", "swish", "tanh", "elu", "sigmoid", "linear", "selu")


def any_convolution(rng, x):
    paddings = ["same", "same", "valid"] if x.shape[1] > 4 else ["same"]
    return layers.Conv2D(
        int(rng.choice([4, 8])),
        int(rng.choice([1, 3])),
        strides=int(rng.choice([1, 1, 2])),
        padding=str(rng.choice(paddings)),
        use_bias=bool(rng.random() < 0.5),
        activation=str(rng.choice(ACTIVATIONS)) if rng.random() < 0.3 else None,
    )(x)


def any_block(rng, x):
    parts = [lambda x: any_convolution(rng, x), layers.BatchNormalization()]
    if rng.random() < 0.8:
        parts.append(layers.Activation(str(rng.choice(ACTIVATIONS))))
    if rng.random() < 0.3:
        parts.insert(int(rng.integers(1, len(parts) + 1)), layers.MaxPooling2D(2, 1))
    if rng.random() < 0.2:
        parts[1:] = parts[1:][::-1]
    if rng.random() < 0.2:
        parts = parts[1:] + parts[:1]  # Pre-activation.
    if rng.random() < 0.3:
        parts.insert(0, layers.ZeroPadding2D(((1, 0), (0, 2))))
    for part in parts:
        x = part(x)
    return x


def same_shape(rng, x):
    return layers.Conv2D(x.shape[3], 3, padding="same")(x)


def gated(rng, x):
    channels = x.shape[3]
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return x * layers.Conv2D(channels, 1, activation="sigmoid")(gate)


def shared(rng, x):
    convolution = layers.Conv2D(x.shape[3], 3, padding="same")
    activation = layers.ReLU()
    return activation(convolution(activation(convolution(x))))


OPERATIONS = (
    any_block,
    any_block,
    any_block,
    lambda rng, x: layers.Add()([x, layers.BatchNormalization()(same_shape(rng, x))]),
    lambda rng, x: tf.nn.relu(x + same_shape(rng, x)),
    lambda rng, x: layers.Concatenate()([x, same_shape(rng, x)]),
    lambda rng, x: tf.concat([tf.nn.relu(x), same_shape(rng, x)], -1),
    lambda rng, x: layers.Multiply()([x, x]),
    lambda rng, x: layers.Add()([x, x]),
    lambda rng, x: layers.Maximum()([x, same_shape(rng, x)]),
    lambda rng, x: layers.Subtract()([layers.ReLU()(x), same_shape(rng, x)]),
    lambda rng, x: tf.nn.relu(x) * 2.0,
    lambda rng, x: tf.nn.relu(x) - 0.5,
    lambda rng, x: tf.abs(x),
    lambda rng, x: x[:, :, :, :4],
    lambda rng, x: layers.UpSampling2D()(x) if x.shape[1] < 6 else x,
    lambda rng, x: layers.AveragePooling2D(2, 1)(x) if x.shape[1] > 4 else x,
    lambda rng, x: layers.SpatialDropout2D(0.1)(layers.ReLU()(x)),
    lambda rng, x: layers.DepthwiseConv2D(3, padding="same", activation="relu")(x),
    lambda rng, x: layers.SeparableConv2D(8, 3, padding="same", activation="relu")(x),
    lambda rng, x: layers.Conv2DTranspose(4, 3, activation="relu", padding="same")(x),
    lambda rng, x: layers.LayerNormalization()(x),
    lambda rng, x: layers.PReLU(shared_axes=(1, 2))(x),
    gated,
    shared,
)


def random_model(seed):
    rng = np.random.default_rng(seed)
    inputs = [keras.Input((8, 8, 3), name="image")]
    x = block(inputs[0], "first")
    if rng.random() < 0.2:
        inputs.append(keras.Input((8, 8, 2), name="mask"))
        x = layers.Concatenate()([x, block(inputs[1], "other")])
    outputs = []
    for _ in range(rng.integers(3, 7)):
        operation = OPERATIONS[rng.integers(len(OPERATIONS))]
        if x.shape[1] >= 4:
            x = operation(rng, x)
        if rng.random() < 0.1:
            outputs.append(x)
    x = layers.ReLU()(layers.BatchNormalization()(same_shape(rng, x)))
    outputs.append(head(x))
    return randomize(keras.Model(inputs, outputs), seed)


def state(model):
    nodes = [(len(la.inbound_nodes), len(la.outbound_nodes)) for la in model.layers]
    return nodes, [la.trainable for la in model.layers], model.get_weights()


def assert_good(student, teacher, train, folder):
    for attribute in ("input_names", "output_names", "input_shape", "output_shape"):
        assert getattr(student, attribute) == getattr(teacher, attribute)
    warn_of_nonnegative_inputs(student)  # Warnings are errors.
    data = samples(teacher)
    # Of all signs that a layer sees, one at least is another one.
    for row in rbcn.check_binary_inputs(student, data).layers:
        assert 0 < row.positive < 1, row
    outputs = tf.nest.flatten(student(data))
    assert all(np.isfinite(output).all() for output in outputs)
    if not train:
        return
    model = rbcn.RBCNModel(student, teacher)
    model.compile("adam", "mse", run_eagerly=True, **METHOD)
    targets = tf.nest.map_structure(lambda x: np.zeros(x.shape), student(data))
    assert np.isfinite(model.train_on_batch(data, targets)).all()
    student.save(folder / "student.keras")
    again = keras.models.load_model(folder / "student.keras")
    for a, b in zip(
        tf.nest.flatten(again(data)), tf.nest.flatten(student(data)), strict=True
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("seed", range(24))
def test_random_models(seed, tmp_path):
    teacher = random_model(seed)
    before = state(teacher)
    for index, style in enumerate(STYLES):
        try:
            student = rbcn.binarize(teacher, style)
        except ValueError as error:
            assert str(error).startswith("Expected model"), error  # noqa: PT017
            continue
        assert_good(student, teacher, seed % 3 == index, tmp_path)
    nodes, trainable, weights = state(teacher)
    # A model for training reads the teacher's feature maps; it adds no calls.
    assert (nodes, trainable) == before[:2]
    for a, b in zip(weights, before[2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_random_models_are_hardly_ever_refused():
    refused = 0
    for seed in range(100, 120):
        try:
            rbcn.binarize(random_model(seed), "plain")
        except ValueError:
            refused += 1
    assert refused <= 4  # Of 20; those have no convolution that could be 1-bit.


NEVER_NEGATIVE = {
    "abs": tf.abs,
    "square": tf.square,
    "exp": tf.exp,
    "power": lambda x: x**2,
    "product with itself": lambda x: x * x,
    "where": lambda x: tf.where(x > 0, x, 0.0),
    "maximum with its absolute value": lambda x: tf.maximum(x, tf.abs(x)),
    "cast": lambda x: tf.cast(x > 0, tf.float32),
    "two gates": lambda x: tf.abs(x) * tf.sigmoid(x),
    "logarithm": lambda x: tf.math.log1p(tf.nn.relu(x)),
}


@pytest.mark.parametrize("name", NEVER_NEGATIVE)
@pytest.mark.parametrize("style", STYLES)
def test_do_not_binarize_behind_what_is_never_negative(name, style):
    inputs = keras.Input((8, 8, 3))
    x = NEVER_NEGATIVE[name](block(inputs, "first", activation=None))
    x = block(block(x, "blind"), "good")
    teacher = randomize(keras.Model(inputs, head(x)))
    student, report = rbcn.binarize(teacher, style, return_report=True)
    assert report.binary_convolutions == ("good",)
    assert type(student.get_layer("blind")) is layers.Conv2D


REMOVED = {
    "relu": tf.nn.relu,
    "relu layer": lambda x: layers.ReLU()(x),
    "maximum": lambda x: tf.maximum(x, 0.0),
    "clip": lambda x: tf.clip_by_value(x, 0.0, 6.0),
    "softplus": tf.nn.softplus,
    "sigmoid": tf.sigmoid,
    "softmax": lambda x: layers.Softmax()(x),
    "sum of two": lambda x: (
        tf.nn.relu(x) + tf.nn.relu(layers.Conv2D(8, 1, name="branch")(x))
    ),
    "pooled": lambda x: layers.AveragePooling2D()(layers.ReLU()(x)),
    "concatenated": lambda x: tf.concat([tf.nn.relu(x), tf.nn.relu6(x)], -1),
    "padded and cut": lambda x: tf.pad(tf.nn.relu(x), [[0, 0], [1, 1], [1, 1], [0, 0]]),
    "resized": lambda x: tf.image.resize(tf.nn.relu(x), (6, 6)),
}


@pytest.mark.parametrize("name", REMOVED)
def test_activations_in_front_of_signs_are_left_out(name):
    inputs = keras.Input((8, 8, 3))
    x = REMOVED[name](block(inputs, "first", activation=None))
    teacher = randomize(keras.Model(inputs, head(block(x, "a"))))
    student, report = rbcn.binarize(teacher, return_report=True)
    assert "a" in report.binary_convolutions
    rows = rbcn.check_binary_inputs(student, samples(teacher)).layers
    (row,) = (row for row in rows if row.name == "a")
    assert 0.05 < row.positive < 0.95


@pytest.mark.parametrize("seed", [1, 4, 7])
def test_random_models_export(seed, tmp_path):
    teacher = random_model(seed)
    student = rbcn.binarize(teacher)
    calls = sum(
        len(layer.inbound_nodes)
        for layer in student.layers
        if isinstance(layer, RectifiedConv2D)
    )
    report = rbcn.export_tflite(
        student, tmp_path / "student.tflite", verify_data=samples(teacher)
    )
    assert report.operator_counts["LceBconv2d"] == calls
