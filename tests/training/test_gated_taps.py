"""Feature maps that are pooled in the student, against plain functional models."""

import numpy as np
import pytest
from tiny import RBCN, crossentropy, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.discriminators import build_discriminator
from keras_rbcn.training.gated_taps import with_pooled_features
from keras_rbcn.training.judging import Judge

NAMES = ["norm1", "norm2", "first_norm"]
IMAGES = np.random.default_rng(1).normal(size=(6, 8, 8, 2)).astype("float32")


def pool(x):
    return tf.nn.avg_pool2d(x, 2, 2, "SAME")


def nothing(x):
    return x


def gradients(model, run):
    """Of all parameters by a loss on the outputs and each tap's features."""
    with tf.GradientTape() as tape:
        outputs, features = run(IMAGES)
        loss = sum(tf.reduce_sum(tf.sin(f)) for f in tf.nest.flatten(outputs))
        loss += sum(tf.reduce_sum(tf.sin(f * k)) for k, f in enumerate(features, 2))
    return loss, tape.gradient(loss, model.trainable_variables)


@pytest.mark.parametrize(
    "functions", [[pool, None, pool], [None, tf.nn.relu, nothing], [None] * 3]
)
@pytest.mark.parametrize("wrap", [nothing, tf.function], ids=["eager", "graph"])
def test_values_and_gradients_are_those_of_pooling_behind_the_model(functions, wrap):
    model = student()
    view = with_pooled_features(model, NAMES, functions)
    plain = keras.Model(
        model.input, (model.output, [model.get_layer(n).output for n in NAMES])
    )

    def behind(x):
        outputs, maps = plain(x, training=True)
        pairs = zip(functions, maps, strict=True)
        return outputs, [(function or nothing)(f) for function, f in pairs]

    found = wrap(lambda: gradients(model, lambda x: view(x, training=True)))()
    expected = wrap(lambda: gradients(model, behind))()
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_the_whole_map_waits_for_the_rest_of_it():
    model = student()
    view = with_pooled_features(model, ["norm1"], [pool])
    run = tf.function(lambda: gradients(model, lambda x: view(x, training=True)))
    graph = run.get_concrete_function().graph
    (spread,) = (op for op in graph.get_operations() if op.type == "AvgPoolGrad")
    (waiting,) = (i.op for i in spread.inputs if i.op.control_inputs)
    # The rest comes from the next convolution, through the sign of its inputs.
    before, (awaited,) = set(), waiting.control_inputs
    todo = [awaited]
    while todo:
        op = todo.pop()
        if op.name not in before:
            before.add(op.name)
            todo += [i.op for i in op.inputs]
    assert any("conv2" in name and "gradient" in name for name in before)


def test_the_student_stays_as_it_was():
    model = student()

    def nodes():
        return [(len(x.inbound_nodes), len(x.outbound_nodes)) for x in model.layers]

    before, config = nodes(), model.get_config()
    with_pooled_features(model, NAMES, [pool, None, pool])
    assert nodes() == before
    assert model.get_config() == config
    assert model(IMAGES).shape == (6, 3)


def test_outputs_keep_their_names_and_order():
    inner = student()
    scores = inner.output
    extra = keras.layers.Dense(2)(inner.get_layer("norm2").output)
    model = keras.Model(inner.input, {"b": scores, "a": extra})
    outputs, (pooled,) = with_pooled_features(model, ["norm1"], [pool])(IMAGES)
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {
        "a": (6, 4, 4, 2),
        "b": (6, 3),
    }
    assert pooled.shape == (6, 4, 4, 4)


def test_default_discriminators_leave_their_pooling_to_the_student():
    judges = [Judge(build_discriminator(shape), False) for shape in [(8, 8, 4), (2, 2)]]
    assert [judge.pooling is not None for judge in judges] == [True, False]


def judge_of_user(shape):
    """Begins with a pooling that the feature map also goes around."""
    inputs = keras.Input(shape)
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    largest = keras.layers.GlobalMaxPooling2D()(inputs)
    features = keras.layers.Concatenate()([pooled, largest])
    return keras.Model(inputs, keras.layers.Dense(1)(features))


def normalized(shape):
    """A chain whose layers differ between training and inference."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(4, activity_regularizer="l2"),
            layers.BatchNormalization(momentum=0.5),
            layers.Dense(1, kernel_regularizer="l2"),
        ]
    )


class Doubled(keras.Sequential):
    """Does more than its layers, one of which is a pooling in front."""

    def call(self, inputs, training=None):
        return 2 * super().call(inputs, training=training)


def doubled(shape):
    pooling = keras.layers.GlobalAveragePooling2D()
    return Doubled([keras.Input(shape), pooling, keras.layers.Dense(1)])


@pytest.mark.parametrize("build", [judge_of_user, normalized, doubled])
def test_discriminators_judge_as_keras_runs_them(build, data, teacher):
    keras.utils.set_random_seed(3)
    model = rbcn.RBCNModel(student(), teacher, discriminators=build)
    model.compile("sgd", crossentropy(), **RBCN | {"kernel_weight": 0})
    maps = [
        keras.Model(one.input, [one.get_layer(n).output for n in NAMES[:2]])
        for one in (model.student, teacher)
    ]
    fakes, reals = maps[0](data[0], training=True), maps[1](data[0], training=False)
    copies = [build(tuple(fake.shape[1:])) for fake in fakes]
    for copy, judge, fake in zip(copies, model.discriminators, fakes, strict=True):
        copy.build((None, *fake.shape[1:]))
        copy.set_weights(judge.get_weights())
    scores = [
        (copy(real, training=True), copy(fake, training=True))
        for copy, real, fake in zip(copies, reals, fakes, strict=True)
    ]
    expected = np.mean([np.mean((1 - np.array(fake)) ** 2) for _, fake in scores])
    logs = model.train_on_batch(*data, return_dict=True)
    assert logs["adversarial_loss"] == pytest.approx(expected, rel=1e-4)
    for judge, copy in zip(model.discriminators, copies, strict=True):
        for got, moved in zip(
            judge.non_trainable_variables, copy.non_trainable_variables, strict=True
        ):
            np.testing.assert_allclose(got, moved, atol=1e-5)
    # Not a node more in the layers, which the user may look at.
    layers = [layer for judge in model.discriminators for layer in judge.layers]
    assert {len(layer.inbound_nodes) for layer in layers} == {1}


def test_attention_is_matched_on_whole_maps_beside_discriminators(data, teacher):
    losses = {}
    for weight in (0.0, 0.1):
        keras.utils.set_random_seed(3)
        model = rbcn.RBCNModel(student(), teacher)
        model.compile("sgd", crossentropy(), attention_weight=weight, **RBCN)
        losses[weight] = model.train_on_batch(*data, return_dict=True)
    same = ("task_loss", "adversarial_loss", "discriminator_loss")
    for name in same:
        assert losses[0.0][name] == pytest.approx(losses[0.1][name], rel=1e-4)
    assert losses[0.1]["attention_loss"] > 0


def test_an_activation_of_the_teacher_alone_is_applied_before_the_pooling(data):
    """`binarize` leaves a convolution's own activation out of the student."""

    def activated(*args, **kwargs):
        return keras.layers.Conv2D(*args, activation="relu", **kwargs)

    def bare(convolution, name):
        inputs = keras.Input((8, 8, 2))
        x = keras.layers.Conv2D(4, 3, name="first")(inputs)
        x = convolution(4, 3, padding="same", name="conv")(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Dense(3, name="scores")(x), name=name)

    teacher = bare(activated, "teacher")
    pupil = bare(rbcn.layers.RectifiedConv2D, "student")

    def first_cell(shape):
        """The mean over the map as the score."""
        score = keras.layers.Dense(
            1, kernel_initializer=keras.initializers.Constant(1 / shape[-1])
        )
        return keras.Sequential([keras.layers.GlobalAveragePooling2D(), score])

    model = rbcn.RBCNModel(
        pupil, teacher, discriminators=first_cell, check_teacher=False
    )
    model.compile("sgd", crossentropy(), **RBCN)
    view = keras.Model(pupil.input, pupil.get_layer("conv").output)
    means = np.maximum(view(data[0]).numpy(), 0).mean((1, 2, 3))
    logs = model.train_on_batch(*data, return_dict=True)
    assert logs["adversarial_loss"] == pytest.approx(
        np.mean((1 - means) ** 2), rel=1e-4
    )
