"""Defects that were found by attacking the model, each with its test."""

import warnings

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import entropy
from tiny import KERNEL_LOSS, RBCN, crossentropy, network, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D, RSign


def test_logs_add_up_whatever_the_last_batch_is(data, teacher):
    model = rbcn.RBCNModel(student(), teacher)
    model.compile(
        "adam",
        crossentropy(),
        kernel_weight=0.01,
        adversarial_weight=0.5,
        distillation=0.3,
        attention_weight=0.2,
    )
    shown = []
    history = model.fit(
        data[0][:33],
        data[1][:33],
        batch_size=32,
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=shown_in(shown))],
    ).history
    for logs in ({name: values[0] for name, values in history.items()}, shown[-1]):
        total = (
            logs["task_loss"]
            + 0.01 * logs["kernel_loss"]
            + 0.5 * logs["adversarial_loss"]
            + 0.3 * logs["distillation_loss"]
            + 0.2 * logs["attention_loss"]
        )
        assert logs["loss"] == pytest.approx(total, rel=1e-4)


def shown_in(target):
    return lambda batch, logs: target.append(dict(logs))


def test_the_progress_bar_shows_what_the_history_holds(data, capsys):
    model = rbcn.RBCNModel(student())
    model.compile("adam", crossentropy(), **KERNEL_LOSS)
    history = model.fit(*data, batch_size=16, verbose=1).history
    bar = capsys.readouterr().out.split("task_loss: ")[-1]
    assert float(bar.split(" ")[0]) == pytest.approx(history["task_loss"][0], abs=1e-3)


def test_a_refused_compile_changes_nothing(data, teacher):
    model = rbcn.RBCNModel(student(), teacher)
    settings = RBCN | {"kernel_weight": 0.3, "scale_optimizer": "sgd"}
    model.compile("adam", crossentropy(), **settings)
    optimizers = model.optimizer, model.scale_optimizer
    shared = keras.optimizers.SGD()
    for wrong in (
        {"kernel_weight": -5.0},
        {"kernel_weight": "0.1"},
        {"temperature": float("nan")},
        {"scale_optimizer": shared},
        {"discriminator_optimizer": keras.optimizers.Adam(use_ema=True)},
    ):
        with pytest.raises(ValueError, match="Expected"):
            model.compile(shared, crossentropy(), **wrong)
        assert model.settings.kernel_weight == 0.3
        assert (model.optimizer, model.scale_optimizer) == optimizers
    model.fit(*data, verbose=0)


def softmax_endings():
    layers = keras.layers
    return {
        "function": lambda x: tf.nn.softmax(x),
        "activation function": layers.Activation(tf.nn.softmax),
        "layer": layers.Softmax(),
        "cast": lambda x: layers.Activation("linear")(layers.Softmax()(x)),
        "reshape": lambda x: layers.Reshape((3,))(layers.Softmax()(x)),
        "nested": lambda x: keras.Sequential([keras.Input((3,)), layers.Softmax()])(x),
    }


@pytest.mark.parametrize("how", softmax_endings())
def test_softmax_endings_are_seen(how, data):
    found, p, q = distilled(softmax_endings()[how], data, from_logits=False)
    assert found == pytest.approx(divergence(p, q), rel=1e-3)


def log_endings():
    log_softmax = tf.nn.log_softmax
    layers = keras.layers
    return {
        "none": lambda x: x,
        "function": lambda x: log_softmax(x),
        "activation": layers.Activation("log_softmax"),
        "activation function": layers.Activation(log_softmax),
        "lambda": layers.Lambda(log_softmax),
        "logarithm": lambda x: tf.math.log(layers.Softmax()(x)),
    }


@pytest.mark.parametrize("how", log_endings())
def test_log_probabilities_are_logits(how, data):
    found, teacher, student = distilled(log_endings()[how], data, from_logits=True)
    p, q = (softmax(scores, -1) for scores in (teacher, student))
    assert found == pytest.approx(divergence(p, q), rel=1e-3)


def test_sigmoids_are_no_logits(data):
    found, p, q = distilled(keras.layers.Activation("sigmoid"), data, from_logits=False)
    p, q = (scores / scores.sum(-1, keepdims=True) for scores in (p, q))
    assert found == pytest.approx(divergence(p, q), rel=1e-3)


def divergence(p, q):
    return entropy(p, q, axis=-1).mean()


def distilled(end, data, from_logits):
    """The distillation loss of a pair that ends so, and what the two return."""
    models = []
    for convolution in (RectifiedConv2D, keras.layers.Conv2D):
        body = network(convolution, name=f"body{len(models)}")
        models.append(keras.Model(body.input, end(body.output)))
    model = rbcn.RBCNModel(*models, taps=[], check_teacher=False)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile(keras.optimizers.SGD(0.0), loss, distillation=1.0, temperature=1.0)
    q, p = model(data[0], training=True).numpy(), model.teacher(data[0]).numpy()
    logs = model.train_on_batch(*data, return_dict=True)
    return logs["distillation_loss"], p, q


def test_distillation_from_logits_can_be_said(data, teacher):
    model = rbcn.RBCNModel(student(), teacher, taps=[])
    model.compile(
        "sgd", crossentropy(), distillation=1.0, distillation_from_logits=True
    )
    model.fit(*data, verbose=0)


def test_a_single_score_has_no_logits_to_distil():
    def single(convolution, name):
        inputs = keras.Input((8, 8, 2))
        x = keras.layers.Flatten()(convolution(2, 3, name="conv")(inputs))
        outputs = keras.layers.Dense(1, activation="sigmoid")(x)
        return keras.Model(inputs, outputs, name=name)

    pair = single(RectifiedConv2D, "pupil"), single(keras.layers.Conv2D, "master")
    model = rbcn.RBCNModel(*pair, taps=[], check_teacher=False)
    with pytest.raises(ValueError, match="one score per class"):
        model.compile("sgd", "binary_crossentropy", distillation=1.0)


@pytest.mark.filterwarnings("ignore:In the last 3 epochs:UserWarning")
def test_a_resting_discriminator_keeps_its_weights_under_momentum(data, teacher):
    model = rbcn.RBCNModel(student(), teacher)
    adam = keras.optimizers.AdamW(0.01, beta_1=0.9)

    def run(limit, epochs):
        model.compile(
            keras.optimizers.SGD(0.0),
            crossentropy(),
            discriminator_optimizer=adam,
            discriminator_accuracy_limit=limit,
            **RBCN,
        )
        history = model.fit(*data, batch_size=48, epochs=epochs, verbose=0).history
        return [d.get_weights() for d in model.discriminators], history

    before, history = run(1.0, 60)  # Gathers momentum.
    assert history["discriminator_accuracy"][-1] > 0.8
    after, _ = run(0.5, 1)
    for old, new in zip(before, after, strict=True):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("activation", ["relu", "layer", "pooled"])
def test_a_relu_in_front_of_a_1_bit_convolution_is_noticed(activation):
    def build(between):
        inputs = keras.Input((8, 8, 2))
        x = keras.layers.Conv2D(
            4, 3, name="first", activation="relu" if activation == "relu" else None
        )(inputs)
        if activation != "relu":
            x = keras.layers.ReLU(name="never_negative")(x)
        if activation == "pooled":
            x = keras.layers.MaxPooling2D()(x)
        x = RectifiedConv2D(4, 3, name="binary")(between(x))
        return keras.Model(inputs, x)

    source = "first" if activation == "relu" else "never_negative"
    with pytest.warns(UserWarning, match=f"'binary' behind '{source}'"):
        rbcn.RBCNModel(build(lambda x: x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rbcn.RBCNModel(build(lambda x: RSign()(x)))


def test_swapped_arguments_are_recognised(teacher):
    with pytest.raises(ValueError, match=r"swapped\? It is RBCNModel\(student"):
        rbcn.RBCNModel(teacher, student())


def test_a_teacher_that_would_not_stay_is_refused():
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(4, 3)(inputs)
    x = keras.layers.BatchNormalization(name="moving")(x, training=True)
    restless = keras.Model(inputs, keras.layers.Dense(3)(x))
    with pytest.raises(
        ValueError, match=r"\['moving'\] were called with training=True"
    ):
        rbcn.RBCNModel(student(), restless, taps=[], check_teacher=False)


def test_one_loss_scale_serves_all_optimizers(teacher):
    model = rbcn.RBCNModel(student(), teacher)
    scaled = keras.mixed_precision.LossScaleOptimizer(keras.optimizers.SGD())
    with pytest.raises(ValueError, match="`scale_optimizer` without loss scaling"):
        model.compile("sgd", crossentropy(), scale_optimizer=scaled)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision_trains(data, policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        master, pupil = network(name="teacher"), student()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model = rbcn.RBCNModel(pupil, master, check_teacher=False)
    rates = {"scale": 0.01, "strategy_b": 0.01}
    model.compile(
        keras.optimizers.Adam(0.01),
        crossentropy(),
        attention_weight=0.1,
        **RBCN | {"distillation": 0.1},
        **{f"{k}_optimizer": keras.optimizers.Adam(r) for k, r in rates.items()},
    )
    history = model.fit(*data, batch_size=16, epochs=4, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert history["task_loss"][-1] < history["task_loss"][0]
    layer = pupil.get_layer("conv1")
    assert layer.scale.dtype == layer.latent_kernel.dtype == "float32"
    scaling = keras.mixed_precision.LossScaleOptimizer
    assert isinstance(model.optimizer, scaling) == (policy == "mixed_float16")


def test_a_step_whose_gradients_overflow_is_passed_over(data):
    """By all optimizers that share the scale, while the scale is halved."""
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        master, pupil = network(name="teacher"), student()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    model = rbcn.RBCNModel(pupil, master, taps=[], check_teacher=False)
    main = keras.mixed_precision.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=2.0**30
    )
    model.compile(
        main,
        crossentropy(),
        scale_optimizer=keras.optimizers.Adam(0.1),
        strategy_b_optimizer=keras.optimizers.Adam(0.1),
        distillation=0.0,
        **KERNEL_LOSS,
    )
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(*data, batch_size=48, verbose=0)
    assert float(main.loss_scale) == 2.0**29
    for old, variable in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(variable.numpy(), old)
    for optimizer in (model.scale_optimizer, model.strategy_b_optimizer):
        for variable in optimizer.variables[2:]:
            np.testing.assert_array_equal(variable.numpy(), 0.0)


def test_without_overflow_float16_equals_float32_nearly(data, teacher):
    pupil = student()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        half = student()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    half.set_weights(pupil.get_weights())
    models = [rbcn.RBCNModel(one, teacher, taps=[]) for one in (pupil, half)]
    before = pupil.get_layer("scores").kernel.numpy()
    for model in models:
        model.compile(
            keras.optimizers.SGD(0.1),
            crossentropy(),
            scale_optimizer=keras.optimizers.SGD(0.1),
            distillation=0.0,
            **KERNEL_LOSS,
        )
        model.fit(*data, batch_size=48, verbose=0)
    for name in ("scores", "norm2"):
        for a, b in zip(
            pupil.get_layer(name).get_weights(),
            half.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=0.02, atol=2e-3)
    assert np.abs(pupil.get_layer("scores").kernel.numpy() - before).max() > 5e-3


def test_losses_of_the_method_alone_train(data, teacher):
    model = rbcn.RBCNModel(student(), teacher)
    model.compile("adam", **RBCN | {"distillation": 1.0})
    history = model.fit(data[0], epochs=3, verbose=0).history
    assert history["distillation_loss"][-1] < history["distillation_loss"][0]


def test_outputs_may_be_called_total_but_not_like_our_losses(data):
    def build(names):
        inputs = keras.Input((8, 8, 2))
        x = keras.layers.Flatten()(RectifiedConv2D(2, 3)(inputs))
        return keras.Model(inputs, [keras.layers.Dense(3, name=n)(x) for n in names])

    with pytest.raises(ValueError, match=r"\['kernel'\]"):
        rbcn.RBCNModel(build(["kernel", "label"]))
    model = rbcn.RBCNModel(build(["total", "label"]))
    model.compile("sgd", [crossentropy(), crossentropy()])
    x, y = data
    results = model.evaluate(x, [y, y], verbose=0, return_dict=True)
    assert set(results) == {"loss", "total_loss", "label_loss"}


def test_a_nested_model_can_be_tapped_as_a_whole(data):
    def build(convolution, name):
        inputs = keras.Input((8, 8, 2))
        inner = keras.Sequential(
            [keras.Input((8, 8, 2)), convolution(2, 3), keras.layers.Flatten()],
            name="inner",
        )
        return keras.Model(inputs, keras.layers.Dense(3)(inner(inputs)), name=name)

    pair = build(RectifiedConv2D, "pupil"), build(keras.layers.Conv2D, "master")
    model = rbcn.RBCNModel(*pair, taps=["inner"], check_teacher=False)
    model.compile("sgd", crossentropy(), **RBCN)
    assert "adversarial_loss" in model.fit(*data, verbose=0).history


@pytest.mark.parametrize("taps", [None, 3, [3], rbcn.Tap("norm1", "norm1")])
def test_taps_that_are_no_sequence_of_taps(taps, teacher):
    with pytest.raises(ValueError, match="taps"):
        rbcn.RBCNModel(student(), teacher, taps=taps)


def test_a_discriminator_has_one_output(teacher):
    def two(shape):
        inputs = keras.Input(shape)
        x = keras.layers.Flatten()(inputs)
        return keras.Model(inputs, [keras.layers.Dense(1)(x), keras.layers.Dense(1)(x)])

    with pytest.raises(ValueError, match="one output"):
        rbcn.RBCNModel(student(), teacher, discriminators=two)


def unregistered_loss(y, scores):
    return crossentropy()(y, scores)


def test_a_teacher_with_a_loss_of_its_own_reloads(data, tmp_path):
    teacher = network(name="teacher")
    teacher.compile("sgd", unregistered_loss)
    teacher.fit(*data, verbose=0)
    model = rbcn.RBCNModel(student(), teacher)
    legacy = keras.optimizers.legacy.Adam()
    model.compile("adam", crossentropy(), scale_optimizer=legacy, **RBCN)
    model.fit(*data, verbose=0)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(data[0]), model(data[0]))
    loaded.fit(*data, verbose=0)


def test_frozen_discriminators_judge_without_learning(data, teacher):
    model = rbcn.RBCNModel(student(), teacher)
    for judge in model.discriminators:
        judge.trainable = False
    before = [judge.get_weights() for judge in model.discriminators]
    model.compile("adam", crossentropy(), discriminator_accuracy_limit=1.0, **RBCN)
    assert "adversarial_loss" in model.fit(*data, verbose=0).history
    for judge, old in zip(model.discriminators, before, strict=True):
        for a, b in zip(judge.get_weights(), old, strict=True):
            np.testing.assert_array_equal(a, b)


def test_discriminators_with_statistics_keep_them_where_a_loss_is_not_finite(
    data, teacher
):
    def normalised(shape):
        layers = keras.layers
        norm = layers.BatchNormalization(input_shape=shape)
        return keras.Sequential([norm, layers.Flatten(), layers.Dense(1)])

    model = rbcn.RBCNModel(student(), teacher, discriminators=normalised)
    model.compile("sgd", crossentropy(), **RBCN)
    before = model.get_weights()
    x = data[0].copy()
    x[0, 0, 0, 0] = np.nan
    with pytest.raises(FloatingPointError):
        model.fit(x, data[1], batch_size=48, verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shared", ["the model", "a layer"])
def test_discriminators_of_their_own(shared, teacher):
    dense = keras.layers.Dense(1)

    def build(*_):
        pooling = keras.layers.GlobalAveragePooling2D()
        return keras.Sequential([keras.Input((8, 8, 4)), pooling, dense])

    one = build()
    both = [one, one if shared == "the model" else build()]
    with pytest.raises(ValueError, match="a discriminator of its own"):
        rbcn.RBCNModel(student(), teacher, ["first_norm", "norm1"], both)


def test_scores_of_unknown_shapes_and_of_several_precisions(data, teacher):
    def all_pixels(shape):
        inputs = keras.Input(shape)
        mean = tf.reduce_mean(inputs, -1)
        flat = tf.boolean_mask(mean, tf.ones_like(mean) > 0)
        scores = tf.reshape(flat, [tf.shape(inputs)[0], -1])
        half = keras.layers.Activation("linear", dtype="float16")
        return keras.Model(inputs, half(scores) if shape[0] == 4 else scores)

    model = rbcn.RBCNModel(student(), teacher, discriminators=all_pixels)
    model.compile("sgd", crossentropy(), **RBCN)
    model.fit(*data, batch_size=16, verbose=0)
    maps = [
        keras.Model(teacher.input, teacher.get_layer(name).output)(data[0])
        for name in ("norm1", "norm2")
    ]
    assert len({m.shape[1] for m in maps}) == 2
    assert len(model.discriminator_accuracies) == 2


def test_a_callback_list_that_calls_no_hooks_of_its_own(data, teacher):
    model = rbcn.RBCNModel(student(), teacher)
    model.compile("sgd", crossentropy(), **RBCN)
    given = keras.callbacks.CallbackList(
        [], add_history=True, model=model, epochs=1, steps=3, verbose=0
    )
    count = len(given.callbacks)
    history = model.fit(*data, batch_size=16, verbose=0, callbacks=given)
    assert len(history.history["loss"]) == 1
    assert len(given.callbacks) == count
    x = np.full_like(data[0], np.nan)
    with pytest.raises(FloatingPointError):
        model.fit(x, data[1], batch_size=16, verbose=0, callbacks=given)
