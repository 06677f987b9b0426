"""What `fit`, `evaluate` and `predict` of any Keras model promise."""

import json

import numpy as np
import pytest
from tiny import KERNEL_LOSS, RBCN, crossentropy, network, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.layers import RectifiedConv2D

FULL = {
    "loss",
    "task_loss",
    "accuracy",
    "kernel_loss",
    "adversarial_loss",
    "discriminator_loss",
    "discriminator_accuracy",
}


def compiled(teacher=None, optimizer="adam", **kwargs):
    model = rbcn.RBCNModel(student(), teacher)
    settings = (RBCN if teacher else KERNEL_LOSS) | kwargs
    model.compile(optimizer, crossentropy(), metrics=["accuracy"], **settings)
    return model


def test_logs_and_learning(data, teacher):
    model = compiled(teacher, keras.optimizers.Adam(0.01), scale_optimizer="sgd")
    history = model.fit(
        *data, batch_size=16, epochs=12, validation_data=data, verbose=0
    ).history
    assert set(history) == FULL | {"val_loss", "val_accuracy"}
    assert history["val_accuracy"][-1] > 0.6  # Chance is 1/3.
    assert history["task_loss"][-1] < history["task_loss"][0]


def test_evaluate_predict_and_call_are_the_students(data, teacher):
    x, y = data
    model = compiled(teacher)
    pupil = model.student
    pupil.compile(loss=crossentropy(), metrics=["accuracy"])
    expected = pupil.evaluate(x, y, verbose=0, return_dict=True)
    assert model.evaluate(x, y, verbose=0, return_dict=True) == expected
    assert model.evaluate(x, y, verbose=0) == list(expected.values())
    np.testing.assert_array_equal(
        model.predict(x, verbose=0), pupil.predict(x, verbose=0)
    )
    np.testing.assert_array_equal(model(x), pupil(x))
    np.testing.assert_array_equal(model(x, training=False), pupil(x, training=False))


def test_sample_and_class_weights_count_in_the_task_loss(data, teacher):
    x, y = data
    losses = tf.keras.losses.sparse_categorical_crossentropy
    weights = np.linspace(0, 2, len(y)).astype("float32")
    by_class = {0: 0.0, 1: 1.0, 2: 3.0}
    for arguments, expected in (
        ({"sample_weight": weights}, weights),
        ({"class_weight": by_class}, np.vectorize(by_class.get)(y)),
    ):
        model = compiled(teacher, keras.optimizers.SGD(0.0))
        logits = keras.models.clone_model(model.student)
        logits.set_weights(model.student.get_weights())
        each = losses(y, logits(x, training=True), from_logits=True)
        logs = model.train_on_batch(x, y, return_dict=True, **arguments)
        assert logs["task_loss"] == pytest.approx(np.mean(each * expected), rel=1e-4)


def test_tf_data_equals_numpy(data):
    def run(*arguments, **kwargs):
        keras.utils.set_random_seed(1)
        model = compiled()
        model.fit(*arguments, epochs=2, verbose=0, **kwargs)
        return model.predict(data[0], verbose=0)

    numpy = run(*data, batch_size=16, shuffle=False)
    dataset = run(tf.data.Dataset.from_tensor_slices(data).batch(16))
    np.testing.assert_array_equal(numpy, dataset)


@pytest.mark.parametrize(
    "how", [{"run_eagerly": True}, {"steps_per_execution": 3}, {"jit_compile": True}]
)
def test_ways_to_run_a_step_agree(data, teacher, how):
    def run(**kwargs):
        keras.utils.set_random_seed(1)
        model = compiled(teacher, keras.optimizers.SGD(0.1), **kwargs)
        return model.fit(*data, batch_size=16, shuffle=False, verbose=0).history

    got, expected = run(**how), run()
    assert got.keys() == expected.keys()
    for name, values in expected.items():
        assert got[name] == pytest.approx(values, rel=1e-3)


def test_callbacks(data, teacher, tmp_path):
    model = compiled(teacher, keras.optimizers.Adam(0.01))
    callbacks = keras.callbacks
    seen = []
    checkpoint = str(tmp_path / "best.keras")
    history = model.fit(
        *data,
        batch_size=16,
        epochs=4,
        validation_data=data,
        verbose=0,
        callbacks=[
            callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
            callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=99.0),
            callbacks.EarlyStopping(
                "val_loss", patience=1, min_delta=99.0, restore_best_weights=True
            ),
            callbacks.ModelCheckpoint(checkpoint, save_best_only=True),
            callbacks.ModelCheckpoint(
                str(tmp_path / "last.weights.h5"), save_weights_only=True
            ),
            callbacks.TensorBoard(str(tmp_path / "logs"), update_freq=1),
            callbacks.CSVLogger(str(tmp_path / "log.csv")),
            callbacks.BackupAndRestore(str(tmp_path / "backup")),
            callbacks.TerminateOnNaN(),
            callbacks.LambdaCallback(
                on_train_batch_end=lambda batch, logs: seen.append(set(logs))
            ),
        ],
    ).history
    assert len(history["loss"]) == 2  # Stopped early: nothing improves by 99.
    assert float(model.optimizer.learning_rate) < 0.01 / 2
    assert all(keys == FULL for keys in seen)
    assert len(seen) == 6
    assert keras.models.load_model(checkpoint).evaluate(*data, verbose=0)
    assert any((tmp_path / "logs").rglob("events*"))
    header = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert set(header.split(",")) >= FULL
    # Weights alone go into a model that is built in the same way.
    other = compiled(teacher)
    other.load_weights(str(tmp_path / "last.weights.h5"))


def test_nan_stops_training(data):
    model = compiled()
    x, y = data
    x = x.copy()
    x[0] = np.nan
    history = model.fit(
        x,
        y,
        batch_size=16,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=[keras.callbacks.TerminateOnNaN()],
    ).history
    assert len(history["loss"]) == 1


def test_regularization_is_the_students_alone(data, teacher):
    pupil = student(kernel_regularizer=keras.regularizers.L2(0.5))
    model = rbcn.RBCNModel(pupil, teacher)
    expected = sum(
        0.5 * (layer.latent_kernel.numpy() ** 2).sum()
        for layer in (pupil.get_layer("conv1"), pupil.get_layer("conv2"))
    )
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)
    strict = network(kernel_regularizer=keras.regularizers.L2(0.5), name="teacher")
    strict.set_weights(teacher.get_weights())
    for taught, settings in (
        (rbcn.RBCNModel(student(), strict), RBCN),
        (rbcn.RBCNModel(student()), KERNEL_LOSS),
    ):
        taught.compile(keras.optimizers.SGD(0.0), crossentropy(), **settings)
        logs = taught.train_on_batch(*data, return_dict=True)
        clean = keras.models.clone_model(taught.student)
        clean.set_weights(taught.student.get_weights())
        scores = clean(data[0], training=True)
        assert logs["task_loss"] == pytest.approx(
            float(crossentropy()(data[1], scores)), rel=1e-4
        )


def two_headed(convolution, name):
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.Conv2D(4, 3, padding="same")(inputs)
    x = convolution(4, 3, padding="same", name="conv1")(x)
    x = keras.layers.BatchNormalization(name="norm1")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = [
        keras.layers.Dense(3, name="label")(x),
        keras.layers.Dense(1, name="size")(x),
    ]
    return keras.Model(inputs, outputs, name=name)


def test_several_outputs_and_losses(data):
    x, y = data
    targets = {"label": y, "size": y.astype("float32")}
    teacher = two_headed(keras.layers.Conv2D, "teacher")
    losses = {"label": crossentropy(), "size": "mse"}
    teacher.compile("adam", losses)
    teacher.fit(x, targets, verbose=0)
    model = rbcn.RBCNModel(two_headed(RectifiedConv2D, "student"), teacher)
    model.compile(
        "adam",
        losses,
        metrics={"label": "accuracy"},
        loss_weights={"label": 1.0, "size": 0.5},
        **RBCN | {"distillation": 0.1},
    )
    history = model.fit(x, targets, validation_data=(x, targets), verbose=0).history
    assert {"label_loss", "size_loss", "label_accuracy", "val_size_loss"} <= set(
        history
    )
    parts = history["label_loss"][0] + 0.5 * history["size_loss"][0]
    assert history["task_loss"][0] == pytest.approx(parts, rel=1e-4)
    assert [p.shape for p in model.predict(x, verbose=0)] == [(48, 3), (48, 1)]


def test_named_inputs_and_outputs(data):
    x, y = data

    def build(convolution, name):
        inputs = {key: keras.Input((8, 8, 1), name=key) for key in ("left", "right")}
        joined = keras.layers.Concatenate()([inputs["left"], inputs["right"]])
        conv = convolution(4, 3, padding="same", name="conv")(joined)
        normed = keras.layers.BatchNormalization(name="norm")(conv)
        pooled = keras.layers.GlobalAveragePooling2D()(normed)
        outputs = {"label": keras.layers.Dense(3, name="label")(pooled)}
        return keras.Model(inputs, outputs, name=name)

    teacher = build(keras.layers.Conv2D, "teacher")
    pupil = build(RectifiedConv2D, "student")
    model = rbcn.RBCNModel(pupil, teacher, check_teacher=False)
    metrics = {"label": ["accuracy"]}
    model.compile("adam", {"label": crossentropy()}, metrics=metrics, **RBCN)
    images = {"left": x[..., :1], "right": x[..., 1:]}
    history = model.fit(images, {"label": y}, verbose=0).history
    assert "adversarial_loss" in history
    assert model.predict(images, verbose=0)["label"].shape == (48, 3)


def test_training_goes_on_in_mixed_case_of_frozen_layers(data, teacher):
    pupil = student()
    pupil.get_layer("conv1").trainable = False
    model = rbcn.RBCNModel(pupil, teacher)
    model.compile("adam", crossentropy(), scale_optimizer="adam", **RBCN)
    before = pupil.get_layer("conv1").get_weights()
    model.train_on_batch(*data)
    for a, b in zip(pupil.get_layer("conv1").get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(model.scales) == 1


def test_summary_counts_student_and_discriminators(teacher):
    model = rbcn.RBCNModel(student(), teacher)
    lines = []
    model.summary(print_fn=lines.append)
    judges = sum(judge.count_params() for judge in model.discriminators)
    total = model.student.count_params() + judges
    print(lines)
    assert any(f"Total params: {total}" in line.replace(",", "") for line in lines)
    json.dumps(model.get_config())


@pytest.mark.parametrize("steps", [4, 9])
def test_data_that_end_early(steps, data, teacher):
    """Three batches, in an epoch of four; six, in the first of epochs of nine."""
    model = compiled(teacher)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(16).repeat(steps // 4)
    seen = steps // 4 * 3
    message = rf"2 epochs of {steps} batches.*after {seen} batches of epoch 1"
    with pytest.raises(ValueError, match=message):
        model.fit(batches, steps_per_epoch=steps, epochs=2, verbose=0)
    assert model.optimizer.iterations == seen
    assert len(model.history.history["loss"]) == 1


def test_data_that_end_between_two_epochs(data, teacher):
    model = compiled(teacher)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(16).repeat(2)
    with pytest.raises(ValueError, match="after 0 batches of epoch 3"):
        model.fit(batches, steps_per_epoch=3, epochs=3, verbose=0)


def test_stopping_early_is_no_end_of_the_data(data, teacher):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    model = compiled(teacher)
    model.fit(*data, batch_size=16, epochs=2, verbose=0, callbacks=[Stop()])
    assert model.optimizer.iterations == 1


def test_accuracies_of_discriminators_outlive_a_validation(data, teacher):
    model = compiled(teacher)
    history = model.fit(*data, validation_data=data, verbose=0).history
    accuracies = model.discriminator_accuracies
    assert list(accuracies) == ["norm1", "norm2"]
    mean = np.mean(list(accuracies.values()))
    np.testing.assert_allclose(mean, history["discriminator_accuracy"], rtol=1e-6)
    model.evaluate(*data, verbose=0)
    assert model.discriminator_accuracies == accuracies
