"""TrainingLog: what it measures, what it writes, and how it goes on."""

import csv
import errno
import json
import os
from pathlib import Path

import larq
import numpy as np
import pytest
from interruption import Interrupt, InterruptionError
from resumable_program import METHOD, STEPS, arrays, dataset, network, rbcn_model
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_rbcn import RBCNModel
from keras_rbcn._backend import keras, tf
from keras_rbcn.callbacks import ResumableTraining, TrainingLog
from keras_rbcn.callbacks.log_file import read_records
from keras_rbcn.layers import RectifiedConv2D

layers = keras.layers


def lines(path):
    """The records of a .jsonl file, read by nothing but the standard library."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def signs(kernel):
    return np.where(kernel >= 0, 1, -1)


def latent(layer):
    return layer.kernel.latent_variable.numpy()


class Kernels(keras.callbacks.Callback):
    """Keeps the kernels at the start and at the end of each epoch."""

    def __init__(self, *rectified):
        super().__init__()
        self.layers = rectified
        self.starts, self.ends = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.starts.append([latent(layer) for layer in self.layers])

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append([latent(layer) for layer in self.layers])

    def flips(self):
        """By epoch and layer: the share of signs that differ."""
        return [
            [np.mean(signs(a) != signs(b)) for a, b in zip(start, end, strict=True)]
            for start, end in zip(self.starts, self.ends, strict=True)
        ]


def small_model(**compiled):
    """A plain Keras model with one rectified convolution, "conv"."""
    model = network(RectifiedConv2D)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, **compiled)
    return model


# --- what it measures -----------------------------------------------------------------


def test_flips_of_steps_that_are_known(tmp_path):
    """Each step takes exactly 1/8 from each of 24 entries."""
    layer = larq.layers.QuantDense(
        4,
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        use_bias=False,
        name="dense",
    )
    model = keras.Sequential([keras.Input((6,)), layer])
    # Of the mean of four outputs, by an entry: 1/4.
    model.compile(keras.optimizers.SGD(0.5), lambda y, outputs: outputs)
    kernel = np.full(24, 0.75)
    kernel[:8] = [0.0625] * 5 + [0.0, 0.125, -0.0625]
    kernel[8:11] = -1.0
    layer.set_weights([kernel.reshape(6, 4)])
    log = TrainingLog(tmp_path / "log.jsonl")
    model.fit(np.ones((1, 6)), np.zeros(1), epochs=3, verbose=0, callbacks=[log])
    found = lines(tmp_path / "log.jsonl")
    # The five and the zero, which counts as +1; then the 1/8 that has become zero.
    assert [one["sign_flips"] for one in found] == [
        {"dense": 6 / 24},
        {"dense": 1 / 24},
        {"dense": 0.0},
    ]
    assert [one["clipped"]["dense"] for one in found] == [3 / 24] * 3
    assert [(one["epoch"], one["step"]) for one in found] == [(0, 1), (1, 2), (2, 3)]
    # It has no scale, and the model no discriminators.
    groups = {"epoch", "step", "logs", "learning_rate", "sign_flips", "clipped"}
    assert set(found[0]) == groups


def test_rbcn_model_against_numpy(tmp_path):
    model = rbcn_model()
    layer = model.student.get_layer("conv")
    kernels, scales = Kernels(layer), []
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: scales.append(layer.scale.numpy())
    )
    log = TrainingLog(tmp_path / "log.jsonl")
    history = model.fit(
        dataset(),
        epochs=3,
        validation_data=arrays(),
        verbose=0,
        callbacks=[log, kernels, keep],
    ).history
    found = lines(tmp_path / "log.jsonl")
    assert [one["epoch"] for one in found] == [0, 1, 2]
    assert [one["step"] for one in found] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert [[one["sign_flips"]["conv"]] for one in found] == kernels.flips()
    assert any(one["sign_flips"]["conv"] > 0 for one in found)
    for name, function in (("mean", np.mean), ("min", np.min), ("max", np.max)):
        values = [one[f"scale_{name}"]["conv"] for one in found]
        assert values == [pytest.approx(float(function(one))) for one in scales]
    assert {name: [one["logs"][name] for one in found] for name in history} == history
    # With one tap, the mean over taps is that of the tap; validation resets metrics.
    accuracies = [one["discriminator_accuracy"]["norm"] for one in found]
    assert accuracies == pytest.approx(history["discriminator_accuracy"])
    assert max(accuracies) > 0
    optimizers = ("scale_", "discriminator_", "strategy_b_")
    schedule = model.optimizer._learning_rate
    for number, one in enumerate(found, start=1):
        rates = one["learning_rate"]
        assert set(rates) == {"optimizer", *(f"{name}optimizer" for name in optimizers)}
        # Of the last step, which the schedule counts from 0.
        assert rates["optimizer"] == pytest.approx(float(schedule(number * STEPS - 1)))
        assert rates["scale_optimizer"] == pytest.approx(0.01)


@pytest.mark.parametrize("taught", [False, True])
def test_without_discriminators(taught, tmp_path):
    """There is no teacher, or they are off, as they are by default."""
    model = RBCNModel(
        network(RectifiedConv2D), rbcn_model().teacher if taught else None
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    log = TrainingLog(tmp_path / "log.jsonl")
    model.fit(dataset(), verbose=0, callbacks=[log])
    (found,) = lines(tmp_path / "log.jsonl")
    assert "discriminator_accuracy" not in found
    assert set(found["learning_rate"]) == {"optimizer"}
    assert set(found["sign_flips"]) == {"conv"}


def test_callbacks_that_set_the_rate_and_swap_the_kernels(tmp_path):
    """A kernel that is set between epochs flips in none of them."""
    model = network(RectifiedConv2D)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    layer = model.get_layer("conv")

    def negate(*_):
        layer.kernel.latent_variable.assign(-layer.kernel.latent_variable)

    callbacks = [
        TrainingLog(tmp_path / "log.jsonl"),
        keras.callbacks.LearningRateScheduler(lambda epoch: 0.0 * epoch),
        keras.callbacks.LambdaCallback(on_epoch_end=negate),
    ]
    model.fit(*arrays(), epochs=2, verbose=0, callbacks=callbacks)
    found = lines(tmp_path / "log.jsonl")
    assert [one["sign_flips"]["conv"] for one in found] == [0.0, 0.0]
    assert [one["learning_rate"]["optimizer"] for one in found] == [0.0, 0.0]


def test_legacy_optimizer_with_a_schedule(tmp_path):
    model = network(RectifiedConv2D)
    schedule = keras.optimizers.schedules.PolynomialDecay(0.1, 2 * STEPS)
    model.compile(keras.optimizers.legacy.SGD(schedule), "mse")
    model.fit(dataset(), verbose=0, callbacks=[TrainingLog(tmp_path / "log.jsonl")])
    (found,) = lines(tmp_path / "log.jsonl")
    expected = float(schedule(STEPS - 1))
    assert found["learning_rate"]["optimizer"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("quantizer", "zero_is_one"),
    [
        ("approx_sign", True),
        ("ste_sign", True),
        ("swish_sign", True),
        ("magnitude_aware_sign", True),
        ("ste_heaviside", False),
    ],
)
def test_signs_as_the_quantizer_takes_them(quantizer, zero_is_one, tmp_path):
    """Kernels go from +1 to 0: a flip where the quantizer says so."""
    layer = larq.layers.QuantDense(
        2, kernel_quantizer=quantizer, kernel_constraint="weight_clip", name="dense"
    )
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    kernel = layer.kernel.latent_variable
    kernel.assign(np.ones((3, 2)))
    after = np.array([[0.0, 1.0]] * 3)
    outputs = layer.kernel_quantizer(tf.constant(after, tf.float32)).numpy()
    assert (outputs[0, 0] == outputs[0, 1]) == zero_is_one or "magnitude" in quantizer
    set_zeros = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_: kernel.assign(after)
    )
    log = TrainingLog(tmp_path / "log.jsonl")
    model.fit(np.ones((1, 3)), np.zeros((1, 2)), verbose=0, callbacks=[log, set_zeros])
    (found,) = lines(tmp_path / "log.jsonl")
    assert found["sign_flips"]["dense"] == (0.0 if zero_is_one else 0.5)


def test_signs_of_a_quantizer_of_ones_own_and_larqs_metric(tmp_path):
    class BelowMean(larq.quantizers.Quantizer):
        precision = 1

        def call(self, inputs):
            return tf.where(inputs < tf.reduce_mean(inputs), 1.0, -1.0)

    own = larq.layers.QuantDense(4, kernel_quantizer=BelowMean(), name="own")
    counted = larq.layers.QuantDense(
        3,
        kernel_quantizer=larq.quantizers.SteSign(metrics=["flip_ratio"]),
        kernel_constraint="weight_clip",
        name="counted",
    )

    def train(callbacks):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((2,)), own, counted])
        own.set_weights([np.array([[1.0, 2, 3, 4], [5, 6, 7, 8]]), np.zeros(4)])
        model.compile(keras.optimizers.SGD(0.0), "mse")
        return model.fit(
            np.ones((1, 2)), np.zeros((1, 3)), epochs=2, verbose=0, callbacks=callbacks
        ).history

    # All of the same sign, but two change sides of the mean, which goes from 4.5 to 9.
    values = np.array([[1.0, 2, 3, 4], [5, 6, 7, 44]])
    change = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda *_: own.kernel.latent_variable.assign(values),
    )
    history = train([TrainingLog(tmp_path / "log.jsonl"), change])
    found = lines(tmp_path / "log.jsonl")
    assert [one["sign_flips"]["own"] for one in found] == [3 / 8, 0.0]
    assert "own" not in found[0].get("clipped", {})  # It has no clip.
    # Looking at signs has not counted as a step.
    name = next(name for name in history if "flip_ratio" in name)
    assert history[name] == train([])[name]


def test_half_precision(tmp_path):
    """A small negative number is zero in float16, and zero counts as +1."""

    def train(policy):
        keras.backend.clear_session()
        keras.mixed_precision.set_global_policy(policy)
        try:
            model = network(RectifiedConv2D)
        finally:
            keras.mixed_precision.set_global_policy("float32")
        model.compile(keras.optimizers.SGD(0.0), "mse")
        kernel = model.get_layer("conv").kernel.latent_variable
        kernel.assign(tf.ones_like(kernel))
        shrink = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda *_: kernel.assign(tf.fill(kernel.shape, -1e-9))
        )
        path = tmp_path / f"{policy}.jsonl"
        model.fit(*arrays(), verbose=0, callbacks=[TrainingLog(path), shrink])
        (found,) = lines(path)
        return found["sign_flips"]["conv"]

    assert train("float32") == 1.0
    assert train("mixed_float16") == 0.0


# --- models of all kinds --------------------------------------------------------------


def encoder(name, *layer_names):
    inputs = x = keras.Input((4, 4, 2))
    for layer_name in layer_names:
        x = RectifiedConv2D(2, 3, padding="same", name=layer_name)(x)
        x = layers.BatchNormalization()(x)
    return keras.Model(inputs, x, name=name)


def test_names_of_nested_shared_and_several(tmp_path):
    one, two = encoder("one", "conv", "deep/conv"), encoder("two", "conv")
    inputs = keras.Input((4, 4, 2))
    x = two(two(one(inputs)))
    x = layers.TimeDistributed(RectifiedConv2D(3, 3, name="inner"), name="each")(
        tf.expand_dims(x, 1)
    )
    x = larq.layers.QuantSeparableConv2D(
        2,
        1,
        depthwise_quantizer="ste_sign",
        pointwise_quantizer="ste_sign",
        depthwise_constraint="weight_clip",
        pointwise_constraint="weight_clip",
        name="separable",
    )(x[:, 0])
    x = layers.Flatten()(x)
    outputs = [layers.Dense(1, name=f"scores{number}")(x) for number in (1, 2)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    log = TrainingLog(tmp_path / "log.csv")
    x, y = arrays()
    model.fit(x, [y, y], verbose=0, callbacks=[log])
    expected = ["one/conv", "one/deep/conv", "two/conv", "each/inner"]
    expected += ["separable/depthwise_kernel", "separable/pointwise_kernel"]
    header = (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    found = [name for name in header if name.startswith("sign_flips/")]
    assert found == [f"sign_flips/{name}" for name in expected]
    assert {"scores1_loss", "scores2_loss"} <= set(header)
    (record,) = read_records(tmp_path / "log.csv")
    assert list(record["sign_flips"]) == expected


def test_equal_names_are_numbered(tmp_path):
    class Two(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [RectifiedConv2D(2, 3, name="conv") for _ in range(2)]

        def call(self, inputs):
            for part in self.parts:
                inputs = part(inputs)
            return tf.reduce_mean(inputs, [1, 2, 3])

    model = Two()
    model.compile("sgd", "mse")
    x, y = np.ones((2, 5, 5, 1), "float32"), np.zeros(2)
    for suffix in ("jsonl", "csv"):
        log = TrainingLog(tmp_path / f"log.{suffix}")
        model.fit(x, y, epochs=2, verbose=0, callbacks=[log])
    found = lines(tmp_path / "log.jsonl")
    # It is built by its first batch, and had no signs before.
    assert "sign_flips" not in found[0]
    assert list(found[0]["scale_mean"]) == ["conv", "conv_1"]
    assert list(found[1]["sign_flips"]) == ["conv", "conv_1"]


def test_frozen_kernels_do_not_flip(tmp_path):
    model = network(RectifiedConv2D)
    model.get_layer("conv").trainable = False
    model.compile("adam", "mse")
    model.fit(dataset(), verbose=0, callbacks=[TrainingLog(tmp_path / "log.jsonl")])
    (found,) = lines(tmp_path / "log.jsonl")
    assert found["sign_flips"] == {"conv": 0.0}


def plain_model(**compiled):
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.Flatten()])
    model.add(layers.Dense(3, name="scores"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, **compiled)
    return model


def test_model_without_binary_kernels(tmp_path):
    """Such as the teacher, with the same callbacks."""
    log = TrainingLog(tmp_path / "log.jsonl", tmp_path)
    plain_model(metrics=["accuracy"]).fit(dataset(), verbose=0, callbacks=[log])
    (found,) = lines(tmp_path / "log.jsonl")
    assert set(found) == {"epoch", "step", "logs", "learning_rate"}
    assert set(found["logs"]) == {"loss", "accuracy"}


def test_replicas(mirrored_strategy, tmp_path):
    with mirrored_strategy.scope():
        model = rbcn_model()
    kernels = Kernels(model.student.get_layer("conv"))
    log = TrainingLog(tmp_path / "log.jsonl", tmp_path)
    data = dataset().unbatch().batch(4, drop_remainder=True)
    model.fit(data, epochs=2, validation_data=data, verbose=0, callbacks=[log, kernels])
    found = lines(tmp_path / "log.jsonl")
    assert [[one["sign_flips"]["conv"]] for one in found] == kernels.flips()
    assert all(one["discriminator_accuracy"]["norm"] > 0 for one in found)


def test_only_the_chief_writes(tmp_path, monkeypatch):
    model = small_model()
    extended = type(model.distribute_strategy.extended)
    monkeypatch.setattr(extended, "should_save_summary", False)
    log = TrainingLog(tmp_path / "log" / "log.csv", tmp_path / "log")
    model.fit(dataset(), verbose=0, callbacks=[log])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "compiled", [{"steps_per_execution": 3}, {"jit_compile": True}]
)
def test_ways_to_run_steps(compiled, tmp_path):
    found = []
    for number, options in enumerate(({}, compiled)):
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        path = tmp_path / f"{number}.jsonl"
        model = small_model(**options)
        model.fit(dataset(), epochs=2, verbose=0, callbacks=[TrainingLog(path)])
        found.append(read_records(path))
    assert found[0][0]["sign_flips"]["conv"] > 0
    for one, two in zip(*found, strict=True):
        assert one["sign_flips"] == two["sign_flips"]
        assert one["step"] == two["step"]
        for group in ("logs", "scale_mean", "clipped", "learning_rate"):
            assert two[group] == pytest.approx(one[group], rel=1e-3), group


# --- what it writes -------------------------------------------------------------------


def test_json_csv_and_tensorboard_hold_the_same(tmp_path):
    model = rbcn_model()
    callbacks = [
        TrainingLog(tmp_path / "new" / "log.jsonl", tmp_path / "tensorboard"),
        TrainingLog(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "tensorboard"),
    ]
    model.fit(
        dataset(),
        epochs=4,
        validation_data=arrays(),
        validation_freq=2,
        verbose=0,
        callbacks=callbacks,
    )
    found = lines(tmp_path / "new" / "log.jsonl")
    assert "val_loss" in found[1]["logs"]
    runs = {path.name for path in (tmp_path / "tensorboard").iterdir()}
    assert runs == {"train", "validation", "training_log"}
    events = EventAccumulator(str(tmp_path / "tensorboard" / "training_log"))
    events.Reload()
    scalars = {"step": [one["step"] for one in found]}
    for number, (record, row) in enumerate(
        zip(found, rows(tmp_path / "log.csv"), strict=True)
    ):
        values = {"epoch": str(number), "step": str(record["step"])}
        for group in set(record) - {"epoch", "step"}:
            for name, value in record[group].items():
                column = name if group == "logs" else f"{group}/{name}"
                values[column] = str(value)
                scalars.setdefault(column, []).append(value)
        # What an epoch has not is empty.
        assert {name: cell for name, cell in row.items() if cell} == values
    assert set(events.Tags()["tensors"]) == {*scalars, "scale/conv"}
    for name, values in scalars.items():
        tensors = events.Tensors(name)
        assert [float(tf.make_ndarray(one.tensor_proto)) for one in tensors] == (
            pytest.approx(values)
        )
    steps = [one.step for one in events.Tensors("val_loss")]
    assert steps == [1, 3]
    buckets = tf.make_ndarray(events.Tensors("scale/conv")[-1].tensor_proto)
    scale = model.student.get_layer("conv").scale.numpy()
    assert buckets[:, 2].sum() == len(scale)
    assert buckets[0, 0] == pytest.approx(scale.min())
    assert read_records(tmp_path / "log.csv") == found


def test_keras_logs_and_progress_bar_stay_as_they_are(tmp_path, capsys):
    def fit(*callbacks):
        keras.utils.set_random_seed(0)
        model = small_model()
        model.fit(dataset(), verbose=2, callbacks=list(callbacks))
        printed = capsys.readouterr().out
        return model.history.history, len(printed.splitlines()), "flips" in printed

    assert fit(TrainingLog(tmp_path / "log.csv")) == fit()


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_values_that_are_no_plain_numbers(suffix, tmp_path):
    class PerClass(keras.metrics.MeanTensor):
        def update_state(self, y, outputs, sample_weight=None):
            return super().update_state(tf.constant([0.5, 0.25]))

    names = ("epoch", "sign_flips/x", "top/5", 'a "b", c')
    metrics = [keras.metrics.MeanSquaredError(name=name) for name in names]
    model = plain_model(metrics=[PerClass(shape=(2,), name="classes"), *metrics])
    nan = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(loss=float("nan"))
    )
    path = tmp_path / f"log.{suffix}"
    history = model.fit(dataset(), verbose=0, callbacks=[nan, TrainingLog(path)])
    (found,) = read_records(path)
    assert (found["epoch"], found["step"]) == (0, STEPS)
    assert "sign_flips" not in found
    assert found["logs"]["classes"] == [0.5, 0.25]
    for name in names:
        assert found["logs"][name] == history.history[name][0]
    if suffix == "jsonl":
        assert "NaN" not in path.read_text()
        assert found["logs"]["loss"] is None
    else:
        assert np.isnan(found["logs"]["loss"])


# --- files that exist -----------------------------------------------------------------


def train_plainly(path, epochs=2, initial_epoch=0, **options):
    log = TrainingLog(path)
    plain_model().fit(
        dataset(),
        epochs=epochs,
        initial_epoch=initial_epoch,
        verbose=0,
        callbacks=[log],
        **options,
    )
    return [record["epoch"] for record in read_records(Path(path))]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_new_and_continued_trainings(suffix, tmp_path):
    path = tmp_path / f"log.{suffix}"
    assert train_plainly(path, 3) == [0, 1, 2]
    first = path.read_bytes()
    assert train_plainly(path, 5, initial_epoch=3) == [0, 1, 2, 3, 4]
    assert path.read_bytes().startswith(first)
    # Once more from the second epoch on, with columns that those before have not.
    assert train_plainly(path, 2, initial_epoch=1, validation_data=arrays()) == [0, 1]
    assert "val_loss" in read_records(path)[1]["logs"]
    assert train_plainly(path) == [0, 1]
    assert not [r for r in read_records(path) if "val_loss" in r["logs"]]
    path.write_bytes(b"")
    assert train_plainly(path, 1) == [0]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_line_that_a_kill_has_torn(suffix, tmp_path):
    path = tmp_path / f"log.{suffix}"
    train_plainly(path, 3)
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    assert [record["epoch"] for record in read_records(path)] == [0, 1]
    assert train_plainly(path, 4, initial_epoch=3) == [0, 1, 3]
    path.write_bytes(content[: content.index(b"\n") + 5])
    # The first epoch of JSON lines is whole; of CSV the header is.
    assert train_plainly(path, 2, initial_epoch=1) == ([0, 1] if "j" in suffix else [1])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("log.jsonl", "notes of mine"),
        ("log.jsonl", "notes of mine\n"),
        ("log.jsonl", '{"loss": 1}\n'),
        ("log.jsonl", '{"epoch": "first", "step": 1}\n'),
        ("log.jsonl", "[1, 2]\n"),
        ("log.jsonl", "3\n"),
        ("log.csv", "epoch,accuracy,loss\n0,0.5,1.0\n"),
        ("log.csv", "epoch,step"),
        ("log.csv", "\n"),
    ],
)
def test_file_of_something_else_is_not_overwritten(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=f"'.*{name}' to be a file that TrainingLog"):
        train_plainly(tmp_path / name)
    assert (tmp_path / name).read_text() == content


@pytest.mark.parametrize(
    ("name", "damaged"),
    [("log.jsonl", "{}"), ("log.jsonl", "{"), ("log.csv", "1,2"), ("log.csv", "x" * 9)],
)
def test_damaged_line_is_named(name, damaged, tmp_path):
    path = tmp_path / name
    train_plainly(path, 3)
    content = path.read_text().splitlines()
    content[2] = damaged
    path.write_text("\n".join(content) + "\n")
    with pytest.raises(ValueError, match="line 3 is damaged"):
        train_plainly(path, 4, initial_epoch=3)


# --- resuming -------------------------------------------------------------------------


def train(folder, interrupt=None, log_first=True, build=small_model):
    """Trains as a program does that has just been started."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    callbacks = [TrainingLog(folder / "log.jsonl"), TrainingLog(folder / "log.csv")]
    resumable = ResumableTraining(folder / "checkpoints", save_every=3)
    callbacks.insert(2 if log_first else 0, resumable)
    if interrupt is not None:
        callbacks.append(Interrupt(*interrupt))
    fit = {"epochs": 3, "validation_data": arrays(), "verbose": 0}
    try:
        build().fit(dataset(), **fit, callbacks=callbacks)
    except InterruptionError:
        return
    assert interrupt is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a training of the small model that was not interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder)
    # So that flips of a part of an epoch are not those of all of it.
    flips = [one["sign_flips"]["conv"] for one in lines(folder / "log.jsonl")]
    assert min(flips) > 0
    return folder


def assert_same_logs(one, other):
    for name in ("log.jsonl", "log.csv"):
        assert (one / name).read_text() == (other / name).read_text()


@pytest.mark.parametrize(
    ("interrupts", "log_first"),
    [
        # In the first epoch in front of a checkpoint; in the second behind one.
        ([(2, False), (STEPS + 6, False)], True),
        ([(STEPS + 6, False)], False),
        # Behind the record of an epoch, in front of the checkpoint.
        ([(STEPS, True), (3 * STEPS, True)], True),
        ([(2 * STEPS, True)], False),
    ],
)
def test_resumed_log_is_that_of_the_unbroken_training(
    whole, interrupts, log_first, tmp_path
):
    for interrupt in interrupts:
        train(tmp_path, interrupt, log_first)
    train(tmp_path, None, log_first)
    assert_same_logs(whole, tmp_path)


def test_log_of_a_training_that_is_over_stays(whole):
    before = [(whole / name).read_bytes() for name in ("log.jsonl", "log.csv")]
    train(whole)
    assert before == [(whole / name).read_bytes() for name in ("log.jsonl", "log.csv")]


def test_resumed_log_of_an_rbcn_model(tmp_path):
    def build():
        model = rbcn_model()
        model.compile("adam", model.loss, **METHOD)
        return model

    train(tmp_path / "whole", build=build)
    train(tmp_path / "broken", (STEPS + 5, False), build=build)
    train(tmp_path / "broken", build=build)
    assert_same_logs(tmp_path / "whole", tmp_path / "broken")


def test_state_of_any_callback(tmp_path):
    class Steps(keras.callbacks.Callback):
        """Remembers a text, a number and an array of each step."""

        def on_train_begin(self, logs=None):
            self.seen = []

        def on_train_batch_end(self, batch, logs=None):
            # Of more bits than a float32 has.
            self.seen.append({"class": "x", "n": 1 / 3, "a": np.arange(batch)})

        def state_dict(self):
            return {"class": "own", "seen": self.seen}

        def load_state_dict(self, state):
            assert state["class"] == "own"
            self.seen = state["seen"]

    def fit(interrupt=None):
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        counts = Steps()
        callbacks = [counts, ResumableTraining(tmp_path, save_every=2)]
        callbacks += [Interrupt(interrupt)] if interrupt else []
        plain_model().fit(dataset(), epochs=2, verbose=0, callbacks=callbacks)
        return counts.seen

    with pytest.raises(InterruptionError):
        fit(STEPS + 3)
    seen = fit()
    assert [len(one["a"]) for one in seen] == [*range(STEPS)] * 2
    assert all(one["n"] == 1 / 3 and one["class"] == "x" for one in seen)


# --- failures -------------------------------------------------------------------------


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_full_disk_while_training(suffix, tmp_path, monkeypatch):
    path = tmp_path / f"log.{suffix}"
    seen = []

    def fill(epoch, logs):
        if epoch in (1, 2):
            monkeypatch.setattr("keras_rbcn.callbacks.log_file.os.fsync", full)

    def free(epoch, logs):
        monkeypatch.undo()
        seen.append([record["epoch"] for record in read_records(path)])

    callbacks = [
        keras.callbacks.LambdaCallback(on_epoch_end=fill),
        TrainingLog(path),
        keras.callbacks.LambdaCallback(on_epoch_end=free),
    ]
    with pytest.warns(UserWarning, match="cannot write to") as record:
        plain_model().fit(dataset(), epochs=5, verbose=0, callbacks=callbacks)
    (warning,) = record
    assert os.strerror(errno.ENOSPC) in str(warning.message)
    assert str(path) in str(warning.message)
    # That of epoch 1 has reached the file, though not for certain.
    assert seen[:3] == [[0], [0, 1], [0, 1]]
    assert seen[3:] == [[0, 1, 2, 3], [0, 1, 2, 3, 4]]


def test_log_that_is_removed_while_training(tmp_path):
    path = tmp_path / "log.csv"
    remove = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: epoch == 1 and path.unlink()
    )
    log = TrainingLog(path)
    plain_model().fit(dataset(), epochs=3, verbose=0, callbacks=[log, remove])
    assert [record["epoch"] for record in read_records(path)] == [0, 1, 2]


def test_tensorboard_that_cannot_be_written(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise tf.errors.ResourceExhaustedError(None, None, "the disk is full")

    monkeypatch.setattr(tf.summary, "scalar", fail)
    log = TrainingLog(tmp_path / "log.jsonl", tmp_path / "events")
    with pytest.warns(UserWarning, match=r"events.*the disk is full") as record:
        plain_model().fit(dataset(), epochs=3, verbose=0, callbacks=[log])
    assert len(record) == 1
    assert len(lines(tmp_path / "log.jsonl")) == 3


@pytest.mark.parametrize("name", ["log.txt", "log", "log.csv.gz", ".csv"])
def test_unknown_format(name, tmp_path):
    with pytest.raises(ValueError, match=r"to end in '\.jsonl' .* or '\.csv'"):
        TrainingLog(tmp_path / name)


def test_paths_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ValueError, match="to be a file, received a folder"):
        TrainingLog(tmp_path / "folder.csv")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(OSError, match=r"TrainingLog cannot write its file.*file.*log"):
        train_plainly(file / "log.csv")
    log = TrainingLog(tmp_path / "log.csv", file)
    with pytest.raises(OSError, match=r"cannot write for TensorBoard to .*file"):
        plain_model().fit(dataset(), verbose=0, callbacks=[log])


def test_tensorboard_that_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    TrainingLog(tmp_path / "log.csv")
    with pytest.raises(ImportError, match="python -m pip install tensorboard"):
        TrainingLog(tmp_path / "log.csv", tmp_path)


def test_loop_of_ones_own(tmp_path):
    model = small_model()
    log = TrainingLog(tmp_path / "log.jsonl")
    callbacks = keras.callbacks.CallbackList([log], model=model)
    callbacks.on_train_begin()
    for epoch in range(2):
        callbacks.on_epoch_begin(epoch)
        for batch in dataset():
            logs = model.train_on_batch(*batch, return_dict=True)
        callbacks.on_epoch_end(epoch, logs)
    callbacks.on_train_end()
    found = lines(tmp_path / "log.jsonl")
    assert [(one["epoch"], one["step"]) for one in found] == [(0, 7), (1, 14)]


def test_end_without_a_beginning(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl")
    log.set_model(plain_model())
    with pytest.raises(RuntimeError, match=r"Pass it as model\.fit"):
        log.on_epoch_end(0, {"loss": 1.0})
    # In `evaluate` there is nothing to log.
    log.model.evaluate(dataset(), verbose=0, callbacks=[log])
    assert not list(tmp_path.iterdir())


def test_one_callback_in_two_trainings(tmp_path):
    log = TrainingLog(tmp_path / "log.jsonl", tmp_path)
    model = small_model()
    model.fit(dataset(), epochs=2, verbose=0, callbacks=[log])
    model.fit(dataset(), initial_epoch=2, epochs=3, verbose=0, callbacks=[log])
    found = lines(tmp_path / "log.jsonl")
    assert [(one["epoch"], one["step"]) for one in found] == [(0, 7), (1, 14), (2, 21)]
