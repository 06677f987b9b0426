"""One training step against an independent computation."""

import numpy as np
import pytest
from tiny import (
    KERNEL_LOSS,
    RBCN,
    Witness,
    crossentropy,
    network,
    plain_larq,
    student,
    twin,
)

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D

RATE = 0.1


def sgd():
    return keras.optimizers.SGD(RATE)


def weights(model):
    return [np.array(w) for w in model.get_weights()]


def assert_same(got, expected, atol=0.0):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def task_gradients(model, data):
    """Gradients of the task loss after one run with training=True, by hand."""
    x, y = data
    with tf.GradientTape() as tape:
        loss = crossentropy()(y, model(x, training=True))
    return tape.gradient(loss, model.trainable_variables)


def variables(model, name):
    """The variables of one kind of the two rectified convolutions."""
    return [getattr(model.get_layer(f"conv{i}"), name) for i in (1, 2)]


def test_without_the_method_it_trains_as_keras_does(data):
    plain = network(plain_larq)
    model = rbcn.RBCNModel(twin(plain))
    for trained in (plain, model):
        trained.compile(sgd(), crossentropy(), metrics=["accuracy"])
        keras.utils.set_random_seed(0)
        history = trained.fit(*data, batch_size=16, epochs=2, verbose=0).history
    assert_same(weights(model.student), weights(plain), atol=1e-6)
    assert history["loss"] == history["task_loss"]


def kernel_gradients(kernel, scale, rule, quantizer):
    """Method.md section 4 by hand, for W and for C per output channel."""
    sign = np.where(kernel >= 0, 1.0, -1.0)
    residual = kernel - scale * sign
    slope = 2 - 2 * np.abs(kernel) if quantizer == "approx_sign" else 1
    through_sign = np.where(np.abs(kernel) <= 1, slope, 0)
    to_kernel = -residual * scale * through_sign
    if rule != "straight_through":
        to_kernel = to_kernel + residual
    return to_kernel, -(residual * sign).sum((0, 1, 2))


@pytest.mark.parametrize("rule", ["straight_through", "full", "that of compile"])
@pytest.mark.parametrize("quantizer", ["approx_sign", "ste_sign"])
def test_kernel_loss_moves_kernels_and_scales_as_it_should(data, rule, quantizer):
    model = rbcn.RBCNModel(student(kernel_quantizer=quantizer))
    for scale in variables(model.student, "scale"):
        scale.assign(scale * 1.5)
    reference = twin(model.student)
    gradients = task_gradients(reference, data)
    expected = {}
    for variable, gradient in zip(
        reference.trainable_variables, gradients, strict=True
    ):
        expected[variable.name] = np.array(variable) - RATE * gradient
    for layer in (reference.get_layer("conv1"), reference.get_layer("conv2")):
        kernel, scale = layer.latent_kernel, layer.scale
        to_kernel, to_scale = kernel_gradients(
            kernel.numpy(), scale.numpy(), rule, quantizer
        )
        expected[kernel.name] -= RATE * 0.5 * to_kernel
        expected[kernel.name] = np.clip(expected[kernel.name], -1, 1)
        expected[scale.name] -= RATE * 0.5 * to_scale
    settings = {} if rule == "that of compile" else {"kernel_loss_gradient": rule}
    model.compile(sgd(), crossentropy(), kernel_weight=0.5, **settings)
    model.train_on_batch(*data)
    got = {v.name: np.array(v) for v in model.student.trainable_variables}
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-6)
    # Statistics of batch normalisation moved once, as in the reference.
    assert_same(
        [np.array(v) for v in model.student.non_trainable_variables],
        [np.array(v) for v in reference.non_trainable_variables],
        atol=1e-6,
    )


def outputs_at_taps(model, x, training):
    features = [model.get_layer(f"norm{i}").output for i in (1, 2)]
    return keras.Model(model.input, features)(x, training=training)


def least_squares(real, fake):
    return tf.reduce_mean((1 - real) ** 2) + tf.reduce_mean(fake**2)


def logistic(real, fake):
    ones, zeros = tf.ones_like(real), tf.zeros_like(fake)
    cross = tf.nn.sigmoid_cross_entropy_with_logits
    return tf.reduce_mean(cross(ones, real)) + tf.reduce_mean(cross(zeros, fake))


def fool_least_squares(fake):
    return tf.reduce_mean((1 - fake) ** 2)


def fool_logistic(fake):
    cross = tf.nn.sigmoid_cross_entropy_with_logits
    return tf.reduce_mean(cross(tf.ones_like(fake), fake))


@pytest.mark.parametrize(
    ("kind", "separate", "fool"),
    [
        ("least_squares", least_squares, fool_least_squares),
        ("log", logistic, fool_logistic),
    ],
)
def test_adversarial_step_equals_separate_passes(data, teacher, kind, separate, fool):
    """The fused step does what a textbook GAN step does in separate passes."""
    model = rbcn.RBCNModel(student(), teacher)
    reference = twin(model.student)
    judges = [twin(judge) for judge in model.discriminators]
    model.compile(
        sgd(),
        crossentropy(),
        kernel_weight=0,
        adversarial_weight=0.5,
        distillation=0.0,
        adversarial_loss=kind,
        discriminator_accuracy_limit=1.0,
        discriminator_optimizer=keras.optimizers.SGD(0.2),
    )
    x, y = data
    real = outputs_at_taps(teacher, x, training=False)
    features = [reference.get_layer(f"norm{i}").output for i in (1, 2)]
    view = keras.Model(reference.input, [reference.output, *features])
    with tf.GradientTape() as tape:
        scores, *fake = view(x, training=True)
        fooled = [fool(judge(f)) for judge, f in zip(judges, fake, strict=True)]
        loss = crossentropy()(y, scores) + 0.5 * sum(fooled) / 2
    student_gradients = tape.gradient(loss, reference.trainable_variables)
    fixed = [tf.stop_gradient(f) for f in fake]
    for judge, r, f in zip(judges, real, fixed, strict=True):
        with tf.GradientTape() as tape:
            loss = separate(judge(r), judge(f))
        gradients = tape.gradient(loss, judge.trainable_variables)
        for variable, gradient in zip(
            judge.trainable_variables, gradients, strict=True
        ):
            variable.assign_sub(0.2 * gradient)
    for variable, gradient in zip(
        reference.trainable_variables, student_gradients, strict=True
    ):
        variable.assign_sub(RATE * gradient)
    logs = model.train_on_batch(x, y, return_dict=True)
    assert_same(weights(model.student), weights(reference), atol=1e-5)
    for judge, expected in zip(model.discriminators, judges, strict=True):
        assert_same(weights(judge), weights(expected), atol=1e-5)
    np.testing.assert_allclose(logs["adversarial_loss"], sum(fooled) / 2, rtol=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, RBCN | {"distillation": 1.0, "attention_weight": 1.0}]
)
def test_each_network_runs_once_and_the_teacher_stays_as_it_was(data, settings):
    def build(convolution, name):
        witness = Witness(name="witness")
        inner = network(convolution, name)
        layer = keras.layers.Dense(3)
        outputs = layer(witness(inner.get_layer("scores").output))
        return keras.Model(inner.input, outputs, name=name), witness

    teacher, teacher_witness = build(keras.layers.Conv2D, "teacher")
    pupil, student_witness = build(RectifiedConv2D, "student")
    teacher.get_layer("norm1").trainable = False
    flags = [layer.trainable for layer in teacher.layers]
    teacher_witness.runs.assign([0.0, 0.0])
    student_witness.runs.assign([0.0, 0.0])
    before = weights(teacher)
    model = rbcn.RBCNModel(pupil, teacher, check_teacher=False)
    model.compile("adam", crossentropy(), **settings)
    for _ in range(3):
        model.train_on_batch(*data)
    assert teacher_witness.runs.numpy().tolist() == [3.0, 0.0]
    assert student_witness.runs.numpy().tolist() == [3.0, 3.0]
    teacher_witness.runs.assign([0.0, 0.0])  # The count is a weight of its own.
    assert_same(weights(teacher), before)
    assert [layer.trainable for layer in teacher.layers] == flags
    assert model.teacher is teacher


def test_a_discriminator_that_is_ahead_rests(data, teacher):
    apart = twin(teacher)
    for name in ("norm1", "norm2"):
        beta = apart.get_layer(name).beta
        beta.assign(tf.fill(beta.shape, 10.0))

    def mean_of_features(shape):
        """Scores near 0 for the student's normalised maps, near 1 for 10 above."""
        score = keras.layers.Dense(1, kernel_initializer=constant(0.1 / shape[-1]))
        return keras.Sequential([keras.layers.GlobalAveragePooling2D(), score])

    def moved(limit, teacher):
        model = rbcn.RBCNModel(student(), teacher, discriminators=mean_of_features)
        before = [weights(judge) for judge in model.discriminators]
        model.compile(
            sgd(),
            crossentropy(),
            discriminator_optimizer=sgd(),
            discriminator_accuracy_limit=limit,
            **RBCN,
        )
        logs = model.train_on_batch(*data, return_dict=True)
        return logs["discriminator_accuracy"], [
            any((a != b).any() for a, b in zip(weights(judge), old, strict=True))
            for judge, old in zip(model.discriminators, before, strict=True)
        ]

    constant = keras.initializers.Constant
    # Both tell all apart: they rest under any limit, and learn without one.
    assert moved(0.99, apart) == (1.0, [False, False])
    assert moved(1.0, apart) == (1.0, [True, True])
    # The teacher's own maps are normalised too: no telling apart, no rest.
    accuracy, both = moved(0.9, teacher)
    assert accuracy < 0.9
    assert both == [True, True]


@pytest.mark.parametrize("kind", ["least_squares", "log"])
def test_discriminators_with_scores_of_several_shapes(kind, data, teacher):
    """Losses are means over taps, whatever each score's shape, in the order of taps."""

    def patches_or_one(shape):
        if shape[0] == 4:  # A score for each patch.
            return keras.Sequential([keras.layers.Conv2D(1, 3)])
        flat = keras.layers.Flatten()
        return keras.Sequential([flat, keras.layers.Dense(1)])

    # Shapes of 8x8, 4x4 and 8x8: those of one shape are not neighbours.
    taps = ["norm1", "norm2", "first_norm"]
    model = rbcn.RBCNModel(student(), teacher, taps, discriminators=patches_or_one)
    pupil, master = (
        keras.Model(one.input, [one.get_layer(name).output for name in taps])
        for one in (twin(model.student), teacher)
    )
    judges = [twin(judge) for judge in model.discriminators]
    fakes, reals = pupil(data[0], training=True), master(data[0], training=False)
    scores = [
        (np.array(judge(real)), np.array(judge(fake)))
        for judge, real, fake in zip(judges, reals, fakes, strict=True)
    ]
    model.compile("sgd", crossentropy(), adversarial_loss=kind, **RBCN)
    logs = model.train_on_batch(*data, return_dict=True)

    def mean(function):
        return np.mean([function(real, fake) for real, fake in scores])

    def positive(x):
        return np.log1p(np.exp(x)).mean()

    expected = {
        "least_squares": (
            mean(lambda real, fake: np.mean((1 - fake) ** 2)),
            mean(lambda real, fake: np.mean((1 - real) ** 2) + np.mean(fake**2)),
        ),
        "log": (
            mean(lambda real, fake: positive(-fake)),
            mean(lambda real, fake: positive(-real) + positive(fake)),
        ),
    }[kind]
    np.testing.assert_allclose(logs["adversarial_loss"], expected[0], rtol=1e-4)
    np.testing.assert_allclose(logs["discriminator_loss"], expected[1], rtol=1e-4)
    limit = 0.5 if kind == "least_squares" else 0.0
    accuracies = [
        (np.mean(real > limit) + np.mean(fake < limit)) / 2 for real, fake in scores
    ]
    found = model.discriminator_accuracies
    assert list(found) == taps
    np.testing.assert_allclose(list(found.values()), accuracies, atol=1e-6)


def test_scales_have_their_own_optimizer(data):
    model = rbcn.RBCNModel(student())
    reference = twin(model.student)
    gradients = task_gradients(reference, data)
    model.compile(
        sgd(),
        crossentropy(),
        kernel_weight=0,
        scale_optimizer=keras.optimizers.SGD(10 * RATE),
    )
    model.train_on_batch(*data)
    for got, old, gradient in zip(
        model.student.trainable_variables,
        reference.trainable_variables,
        gradients,
        strict=True,
    ):
        rate = 10 * RATE if "scale" in got.name else RATE
        np.testing.assert_allclose(got, old - rate * gradient, atol=1e-5)
    assert len(model.scales) == len(model.latent_kernels) == 2


def test_strategy_b_updates_the_other_parameters_on_their_own(data):
    model = rbcn.RBCNModel(student())
    reference = twin(model.student)
    joint = rbcn.RBCNModel(reference)
    joint.compile(sgd(), crossentropy(), metrics=["accuracy"], **KERNEL_LOSS)
    joint_logs = joint.train_on_batch(*data, return_dict=True)
    after_joint = weights(reference)
    # The separate step by hand, at the kernels and scales of the joint step.
    gradients = task_gradients(reference, data)
    reference.set_weights(after_joint)
    for variable, gradient in zip(
        reference.trainable_variables, gradients, strict=True
    ):
        if "conv" not in variable.name:
            variable.assign_sub(0.03 * gradient)
    model.compile(
        sgd(),
        crossentropy(),
        metrics=["accuracy"],
        strategy_b_optimizer=keras.optimizers.SGD(0.03),
        **KERNEL_LOSS,
    )
    logs = model.train_on_batch(*data, return_dict=True)
    assert_same(weights(model.student), weights(reference), atol=1e-5)
    assert logs == pytest.approx(joint_logs, abs=1e-5)
    assert {v.name.split("/")[0] for v in model.other_parameters} == {
        "first",
        "first_norm",
        "norm1",
        "norm2",
        "scores",
    }


def test_strategy_b_can_wait_for_several_steps(data):
    model = rbcn.RBCNModel(student())
    strategy_b = {"strategy_b_optimizer": sgd(), "strategy_b_every": 3}
    model.compile(sgd(), crossentropy(), **KERNEL_LOSS, **strategy_b)
    for _ in range(7):
        model.train_on_batch(*data)
    assert int(model.strategy_b_optimizer.iterations) == 2


@pytest.mark.parametrize("softmax", [False, True])
def test_distillation_is_that_of_the_logits(data, softmax):
    x, y = data
    teacher = network(name="teacher", softmax=softmax)
    pupil = student(softmax=softmax)
    model = rbcn.RBCNModel(pupil, teacher, taps=[], check_teacher=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=not softmax)
    model.compile(sgd(), loss, distillation=0.5, temperature=2.0, **KERNEL_LOSS)

    def probabilities(network, training):
        scores = network(x, training=training).numpy().astype("float64")
        logits = np.log(scores) if softmax else scores
        powers = np.exp(logits / 2.0)
        return powers / powers.sum(-1, keepdims=True)

    p, q = probabilities(teacher, False), probabilities(twin(pupil), True)
    expected = 4.0 * (p * np.log(p / q)).sum(-1).mean()
    logs = model.train_on_batch(x, y, return_dict=True)
    assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-4)
    assert logs["loss"] == pytest.approx(
        logs["task_loss"] + 1e-4 * logs["kernel_loss"] + 0.5 * expected, rel=1e-4
    )
    assert "adversarial_loss" not in logs
