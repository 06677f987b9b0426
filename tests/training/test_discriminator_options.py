"""Ways to judge that are not in the paper, against separate passes by hand."""

import numpy as np
import pytest
from tiny import RBCN, crossentropy, student, twin

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf

RATE = 0.1
NAMES = ("norm1", "norm2")


def sgd():
    return keras.optimizers.SGD(RATE)


def hidden(judge, features):
    """What the LeakyReLUs of a default discriminator say, layer by layer."""
    found = []
    for layer in judge.layers[1:]:
        features = layer(features)
        if isinstance(layer, keras.layers.LeakyReLU):
            found.append(features)
    assert len(found) == 2
    return found


def cross(label, scores):
    labels = tf.fill(scores.shape, label)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, scores))


def squares(label, scores):
    return tf.reduce_mean((label - scores) ** 2)


def penalty(judge, real):
    """Half the squared gradient, from the gradient of each score on its own."""
    total = 0.0
    for sample in range(real.shape[0]):
        one = real[sample : sample + 1]
        with tf.GradientTape() as tape:
            tape.watch(one)
            score = judge(one)
        total += tf.reduce_sum(tape.gradient(score, one) ** 2)
    return 0.5 * total / real.shape[0]


def matching(judge, real, fake):
    pairs = zip(hidden(judge, real), hidden(judge, fake), strict=True)
    return sum(tf.reduce_mean(tf.abs(r - f)) for r, f in pairs) / 2


OPTIONS = {
    "relativistic": (
        {"adversarial_loss": "relativistic", "adversarial_weight": 0.5},
        lambda judge, r, f: 0.5 * cross(1.0, judge(f) - judge(r)),
        lambda judge, r, f: cross(1.0, judge(r) - judge(f)),
    ),
    "label smoothing": (
        {"label_smoothing": 0.2, "adversarial_weight": 0.5},
        lambda judge, r, f: 0.5 * squares(1.0, judge(f)),
        lambda judge, r, f: squares(0.8, judge(r)) + squares(0.0, judge(f)),
    ),
    "gradient penalty": (
        {"gradient_penalty": 3.0, "adversarial_loss": "log", "adversarial_weight": 0.5},
        lambda judge, r, f: 0.5 * cross(1.0, judge(f)),
        lambda judge, r, f: (
            cross(1.0, judge(r)) + cross(0.0, judge(f)) + 3.0 * penalty(judge, r)
        ),
    ),
    "feature matching": (
        {"feature_matching_weight": 2.0, "adversarial_weight": 0.5},
        lambda judge, r, f: 0.5 * squares(1.0, judge(f)) + 2.0 * matching(judge, r, f),
        lambda judge, r, f: squares(1.0, judge(r)) + squares(0.0, judge(f)),
    ),
    "feature matching without a verdict": (
        {"feature_matching_weight": 2.0, "adversarial_weight": 0.0},
        lambda judge, r, f: 2.0 * matching(judge, r, f),
        lambda judge, r, f: squares(1.0, judge(r)) + squares(0.0, judge(f)),
    ),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_step_equals_separate_passes(option, data, teacher):
    settings, of_student, of_judge = OPTIONS[option]
    model = rbcn.RBCNModel(student(), teacher)
    reference = twin(model.student)
    judges = [twin(judge) for judge in model.discriminators]
    model.compile(
        sgd(),
        crossentropy(),
        kernel_weight=0,
        distillation=0.0,
        discriminator_accuracy_limit=1.0,
        discriminator_optimizer=keras.optimizers.SGD(0.2),
        **settings,
    )
    x, y = data
    master = keras.Model(teacher.input, [teacher.get_layer(n).output for n in NAMES])
    real = master(x, training=False)
    features = [reference.get_layer(name).output for name in NAMES]
    view = keras.Model(reference.input, [reference.output, *features])
    with tf.GradientTape() as tape:
        scores, *fake = view(x, training=True)
        triples = list(zip(judges, real, fake, strict=True))
        added = sum(of_student(*triple) for triple in triples) / 2
        loss = crossentropy()(y, scores) + added
    gradients = tape.gradient(loss, reference.trainable_variables)
    for judge, r, f in triples:
        with tf.GradientTape() as tape:
            loss = of_judge(judge, r, tf.stop_gradient(f))
        pairs = zip(
            tape.gradient(loss, judge.trainable_variables),
            judge.trainable_variables,
            strict=True,
        )
        keras.optimizers.SGD(0.2).apply_gradients(pairs)
    for variable, gradient in zip(
        reference.trainable_variables, gradients, strict=True
    ):
        variable.assign_sub(RATE * gradient)
    logs = model.train_on_batch(x, y, return_dict=True)
    assert logs["loss"] - logs["task_loss"] == pytest.approx(float(added), rel=1e-3)
    assert ("adversarial_loss" in logs) == (settings["adversarial_weight"] > 0)
    for got, expected in zip(
        [model.student, *model.discriminators], [reference, *judges], strict=True
    ):
        for a, b in zip(got.get_weights(), expected.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("weight", "loss"),
    [
        ("kernel_weight", "kernel_loss"),
        ("adversarial_weight", "adversarial_loss"),
        ("feature_matching_weight", "feature_matching_loss"),
        ("distillation", "distillation_loss"),
        ("attention_weight", "attention_loss"),
    ],
)
def test_a_weight_may_follow_a_schedule(weight, loss, data, teacher, tmp_path):
    settings = {"distillation": 0.0}
    settings[weight] = keras.optimizers.schedules.PolynomialDecay(0.0, 2, 0.5)
    model = rbcn.RBCNModel(student(), teacher)
    model.compile(sgd(), crossentropy(), **settings)

    def share(model):
        logs = model.train_on_batch(*data, return_dict=True)
        return (logs["loss"] - logs["task_loss"]) / logs[loss]

    shares = [share(model) for _ in range(2)]
    model.save(tmp_path / "model.keras")
    # The step is the optimizer's: a model that comes back goes on where it was.
    loaded = keras.models.load_model(tmp_path / "model.keras")
    shares += [share(loaded) for _ in range(2)]
    np.testing.assert_allclose(shares, [0.0, 0.25, 0.5, 0.5], atol=1e-4)


def test_features_are_matched_by_any_functional_discriminator(data, teacher):
    def judge(shape):
        inputs = keras.Input(shape)
        x = keras.layers.Conv2D(3, 3, activation="relu")(inputs)
        return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(x)))

    model = rbcn.RBCNModel(student(), teacher, discriminators=judge)
    model.compile(sgd(), crossentropy(), feature_matching_weight=1.0, **RBCN)
    assert model.train_on_batch(*data, return_dict=True)["feature_matching_loss"] > 0


class Opaque(keras.Model):
    """A subclassed discriminator: nobody sees its hidden layers."""

    def __init__(self):
        super().__init__()
        self.flat = keras.layers.Flatten()
        self.score = keras.layers.Dense(1)

    def call(self, inputs):
        return self.score(self.flat(inputs))


def linear(shape):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])


@pytest.mark.parametrize("builder", [lambda shape: Opaque(), linear])
def test_a_discriminator_without_hidden_layers_matches_no_features(builder, teacher):
    model = rbcn.RBCNModel(student(), teacher, discriminators=builder)
    model.compile(sgd(), crossentropy(), **RBCN)
    before = model.settings
    with pytest.raises(ValueError, match=r"hidden layers.*feature_matching_weight=0"):
        model.compile(sgd(), crossentropy(), feature_matching_weight=1.0)
    assert model.settings is before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"feature_matching_weight": -1}, "feature_matching_weight=-1"),
        ({"gradient_penalty": float("inf")}, "gradient_penalty=inf"),
        ({"gradient_penalty": "much"}, "gradient_penalty='much'"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"label_smoothing": None}, "label_smoothing=None"),
        ({"adversarial_weight": "0.1"}, "or a schedule of Keras.*'0.1'"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message, teacher):
    model = rbcn.RBCNModel(student(), teacher)
    with pytest.raises(ValueError, match=message):
        model.compile(sgd(), crossentropy(), **settings)


def test_feature_matching_needs_taps():
    model = rbcn.RBCNModel(student())
    with pytest.raises(ValueError, match=r"feature_matching_weight=1\.0 needs feature"):
        model.compile(sgd(), crossentropy(), feature_matching_weight=1.0)
