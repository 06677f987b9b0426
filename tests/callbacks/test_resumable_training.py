import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from interruption import Interrupt, InterruptionError
from resumable_program import (
    BATCH,
    EPOCHS,
    METHOD,
    SAMPLES,
    STEPS,
    arrays,
    dataset,
    final_state,
    rbcn_model,
)

from keras_rbcn._backend import keras, tf
from keras_rbcn.callbacks import ResumableTraining

PROGRAM = Path(__file__).with_name("resumable_program.py")


def run_program(folder, output, step=-1, between_epochs=False):
    arguments = [PROGRAM, folder, output, step, between_epochs]
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def assert_same(one, other):
    assert set(one) == set(other)
    different = [name for name in one if not np.array_equal(one[name], other[name])]
    assert not different


def test_training_killed_ten_times_ends_as_the_unbroken_one(tmp_path):
    """And the unbroken one ends alike twice, with a seed and deterministic operations.

    In processes of their own, since TensorFlow does not leave that mode again.
    """
    # From the start of the first epoch to the end of the last, at three of the ends
    # of epochs as well; each is behind the one before.
    steps = np.random.default_rng(7).choice(np.arange(1, STEPS * EPOCHS + 1), 7, False)
    kills = [(int(step), False) for step in steps]
    kills += [(STEPS * epoch, True) for epoch in (1, 2, 3)]
    for step, between_epochs in sorted(kills):
        done = run_program(tmp_path / "killed", tmp_path / "no", step, between_epochs)
        assert done.returncode == -signal.SIGKILL, done.stderr
    for name in ("whole", "again", "killed"):
        done = run_program(tmp_path / name, tmp_path / f"{name}.npz")
        assert done.returncode == 0, done.stderr
    whole, again, killed = (
        np.load(tmp_path / f"{name}.npz") for name in ("whole", "again", "killed")
    )
    assert whole["epochs"].tolist() == list(range(EPOCHS))
    assert_same(whole, again)
    assert_same(whole, killed)


# --- in one process: a callback interrupts -------------------------------------------


def small_model(units=4, optimizer="adam", metrics=("accuracy",), **kwargs):
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            layers.Flatten(),
            layers.Dense(units, name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(3, name="scores"),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=list(metrics), **kwargs)
    return model


class Batches(keras.utils.Sequence):
    """Shuffles itself at the end of each epoch."""

    def __init__(self):
        self.x, self.y = arrays()
        self.order = np.arange(len(self.x))

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        rows = self.order[BATCH * index : BATCH * (index + 1)]
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        np.random.shuffle(self.order)


def generator():
    while True:
        yield from dataset().as_numpy_iterator()


def with_python_code():
    def double(x, y):
        return tf.numpy_function(lambda a: 2 * a, [x], tf.float32), y

    def set_shapes(x, y):
        return tf.ensure_shape(x, (None, 4, 4, 2)), y

    return dataset().map(double).map(set_shapes)


def of_unknown_size():
    return dataset().unbatch().filter(lambda x, y: y >= 0).batch(BATCH)


def shuffled_twice():
    data = tf.data.Dataset.from_tensor_slices(arrays()).shuffle(SAMPLES, seed=1)
    return data.shuffle(10, seed=2).batch(BATCH)


def one_behind_another():
    x, y = arrays()
    first, second = (
        tf.data.Dataset.from_tensor_slices((x[part], y[part])).shuffle(9, seed=3)
        for part in (slice(16), slice(16, None))
    )
    return first.concatenate(second).batch(BATCH)


DATA = {
    "dataset": lambda: {"x": dataset()},
    "one pass for all epochs": lambda: {
        "x": dataset().repeat(),
        "steps_per_epoch": 5,
    },
    "dataset of unknown size": lambda: {"x": of_unknown_size()},
    "dataset with Python code": lambda: {"x": with_python_code()},
    "dataset shuffled twice": lambda: {"x": shuffled_twice()},
    "dataset behind another": lambda: {"x": one_behind_another()},
    "arrays": lambda: {"x": arrays()[0], "y": arrays()[1], "batch_size": BATCH},
    "arrays in order": lambda: {
        "x": arrays()[0],
        "y": arrays()[1],
        "batch_size": BATCH,
        "shuffle": False,
    },
    "sequence": lambda: {"x": Batches()},
    "generator": lambda: {"x": generator(), "steps_per_epoch": 5},
}
# Data that TensorFlow cannot save the position in.
DRAWN_AGAIN = (
    "dataset with Python code",
    "dataset shuffled twice",
    "dataset behind another",
    "sequence",
    "generator",
)


def train(
    folder, data="dataset", interrupt_at=None, epochs=3, build=small_model, **options
):
    """Trains as a program does that has just been started; returns the model."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = build()
    callbacks = options.pop("callbacks", list)()
    save_every = options.pop("save_every", 2)
    callbacks.append(ResumableTraining(folder, save_every))
    if interrupt_at is not None:
        callbacks.append(Interrupt(interrupt_at))
    fit = {"epochs": epochs, "verbose": 0, **DATA[data](), **options}
    try:
        model.fit(**fit, callbacks=callbacks)
    except InterruptionError:
        return None
    assert interrupt_at is None
    return model


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """How the training of the small model on the dataset ends, unbroken."""
    return final_state(train(tmp_path_factory.mktemp("whole")))


@pytest.mark.parametrize("data", DATA)
@pytest.mark.filterwarnings("ignore:ResumableTraining. TensorFlow cannot save")
def test_resumed_at_the_same_batch(data, tmp_path):
    whole = final_state(train(tmp_path / "whole", data))
    # Taken up again at the start of the second epoch, and at its last but one step.
    for step in (STEPS + 1, 2 * STEPS):
        train(tmp_path / "broken", data, interrupt_at=step)
    assert_same(whole, final_state(train(tmp_path / "broken", data)))


def test_training_is_the_same_as_without_the_callback(whole):
    for data in ("dataset of unknown size", "dataset"):
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        model = small_model()
        model.fit(**DATA[data](), epochs=3, verbose=0)
    assert_same(whole, final_state(model))


@pytest.mark.parametrize("data", DRAWN_AGAIN)
def test_tells_where_the_position_cannot_be_saved(data, tmp_path):
    with pytest.warns(UserWarning, match="cannot save the position in these data"):
        train(tmp_path, data, epochs=1)


def test_data_after_an_epoch_of_unknown_size(tmp_path):
    """Interrupted behind the last step of the epoch, before its end."""
    data = "dataset of unknown size"
    whole = final_state(train(tmp_path / "whole", data))
    train(tmp_path / "broken", data, interrupt_at=STEPS, save_every=1)
    assert_same(whole, final_state(train(tmp_path / "broken", data, save_every=1)))
    assert len(whole["epochs"]) == 3


@pytest.mark.parametrize(
    "compiled", [{"steps_per_execution": 2}, {"run_eagerly": True}], ids=str
)
def test_ways_to_run_steps(compiled, tmp_path):
    def build():
        return small_model(**compiled)

    whole = final_state(train(tmp_path / "whole", build=build))
    train(tmp_path / "broken", build=build, interrupt_at=11)
    assert_same(whole, final_state(train(tmp_path / "broken", build=build)))


def test_rbcn_model_in_one_process(tmp_path):
    whole = final_state(train(tmp_path / "whole", build=rbcn_model))
    train(tmp_path / "broken", build=rbcn_model, interrupt_at=10)
    assert_same(whole, final_state(train(tmp_path / "broken", build=rbcn_model)))


def test_rbcn_model_with_the_default_optimizer_of_discriminators(tmp_path):
    def build():
        model = rbcn_model()
        model.compile("adam", model.loss, run_eagerly=True, **METHOD)
        return model

    whole = final_state(train(tmp_path / "whole", build=build, epochs=2))
    train(tmp_path / "broken", build=build, epochs=2, interrupt_at=10)
    broken = train(tmp_path / "broken", build=build, epochs=2)
    assert_same(whole, final_state(broken))


def test_keras_callbacks_go_on_with_their_state(tmp_path):
    def train_with_callbacks(folder, **kwargs):
        def callbacks():
            return [
                keras.callbacks.EarlyStopping("loss", patience=4, min_delta=9.0),
                keras.callbacks.ReduceLROnPlateau("val_loss", 0.5, 2, min_delta=9.0),
            ]

        return train(
            folder, callbacks=callbacks, validation_data=arrays(), epochs=6, **kwargs
        )

    whole = train_with_callbacks(tmp_path / "whole")
    # Nothing counts as better than the first epoch: the rate is halved behind the
    # third, and training stops behind the fifth.
    assert whole.history.epoch == [0, 1, 2, 3, 4]
    assert len(set(whole.history.history["lr"])) == 2
    train_with_callbacks(tmp_path / "broken", interrupt_at=15)
    broken = train_with_callbacks(tmp_path / "broken")
    assert_same(final_state(whole), final_state(broken))
    # It has been stopped for good.
    again = train_with_callbacks(tmp_path / "broken")
    assert_same(final_state(whole), final_state(again))


def test_best_weights_survive(tmp_path):
    def train_for_best(folder, **kwargs):
        def callbacks():
            # "mode" the wrong way round: the first epoch is the best one.
            return [
                keras.callbacks.EarlyStopping(
                    "loss", patience=9, mode="max", restore_best_weights=True
                )
            ]

        return train(folder, callbacks=callbacks, **kwargs)

    whole = train_for_best(tmp_path / "whole")
    train_for_best(tmp_path / "broken", interrupt_at=18)
    broken = train_for_best(tmp_path / "broken")
    assert_same(final_state(whole), final_state(broken))


def test_finished_training_is_not_continued(tmp_path):
    first = final_state(train(tmp_path))
    again = train(tmp_path)
    assert int(again.optimizer.iterations) == 3 * STEPS
    assert_same(first, final_state(again))


def test_more_epochs_continue_a_finished_training(tmp_path):
    train(tmp_path / "short", epochs=2)
    continued = train(tmp_path / "short", epochs=4)
    whole = train(tmp_path / "whole", epochs=4)
    assert_same(final_state(whole), final_state(continued))


def test_initial_epoch_counts(tmp_path):
    whole = train(tmp_path / "whole", epochs=4, initial_epoch=2)
    train(tmp_path / "broken", epochs=4, initial_epoch=2, interrupt_at=9)
    broken = train(tmp_path / "broken", epochs=4, initial_epoch=2)
    assert broken.history.epoch == [2, 3]
    assert_same(final_state(whole), final_state(broken))


def test_data_that_run_out_end_the_training(tmp_path):
    def train_too_long():
        return train(tmp_path, "one pass for all epochs", x=dataset(), epochs=3)

    first = train_too_long()  # Seven batches, where fifteen are asked for.
    again = train_too_long()
    assert_same(final_state(first), final_state(again))


# --- checkpoints that cannot be used -----------------------------------------------


def newest(folder, suffix):
    number = max(int(path.stem.split("-")[1]) for path in folder.glob("*.json"))
    (path,) = folder.glob(f"ckpt-{number}.{suffix}*")
    return path


def truncate(folder):
    path = newest(folder, "data")
    path.write_bytes(path.read_bytes()[:-100])


def alter(folder):
    path = newest(folder, "data")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def lose(folder):
    newest(folder, "index").unlink()


def cut_manifest(folder):
    path = newest(folder, "json")
    path.write_text(path.read_text()[:-100])


def alter_manifest(folder):
    path = newest(folder, "json")
    path.write_text(re.sub(r'"epoch": \d+', '"epoch": 0', path.read_text()))


def make_half_written(folder):
    newest(folder, "json").unlink()


def rename_version(folder):
    from keras_rbcn.callbacks.checkpoints import _as_text, _digest

    path = newest(folder, "json")
    contents = json.loads(path.read_text())["contents"] | {"version": "0.0.7"}
    digest = _digest(_as_text(contents).encode())
    path.write_text(json.dumps({"sha256": digest, "contents": contents}))


DAMAGES = {
    truncate: "is truncated or altered",
    alter: "is truncated or altered",
    lose: "cannot be read",
    cut_manifest: "cannot be read",
    alter_manifest: "has been altered",
    make_half_written: "half written",
    rename_version: "keras_rbcn 0.0.7",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_checkpoint_that_is_refused_and_the_one_before_it(damage, whole, tmp_path):
    train(tmp_path / "broken", interrupt_at=12)
    number = newest(tmp_path / "broken", "json").stem
    damage(tmp_path / "broken")
    with pytest.warns(UserWarning, match=DAMAGES[damage]) as record:
        broken = train(tmp_path / "broken")
    assert len(record) == 1
    assert number in str(record[0].message)
    assert_same(whole, final_state(broken))


@pytest.mark.filterwarnings("ignore:ResumableTraining does not use a checkpoint")
def test_starts_anew_if_every_checkpoint_is_damaged(whole, tmp_path):
    train(tmp_path / "broken", interrupt_at=12)
    for path in (tmp_path / "broken").glob("*.index"):
        path.write_bytes(b"")
    with pytest.warns(UserWarning, match="starts anew: no checkpoint in"):
        broken = train(tmp_path / "broken")
    assert_same(whole, final_state(broken))


def test_only_checkpoints_of_another_version_are_no_reason_to_start_anew(tmp_path):
    train(tmp_path, interrupt_at=12)
    newest(tmp_path, "json").unlink()
    with pytest.warns(UserWarning, match="half written"):
        train(tmp_path, interrupt_at=9, save_every=20)
    rename_version(tmp_path)
    with (
        pytest.warns(UserWarning, match="does not use a checkpoint"),
        pytest.raises(ValueError, match=r"written by keras_rbcn 0\.0\.7"),
    ):
        train(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"build": lambda: small_model(units=5)}, "variables of the model"),
        ({"build": lambda: small_model(metrics=())}, "variables of the metrics"),
        ({"build": lambda: small_model(optimizer="sgd")}, "optimizers"),
        ({"build": rbcn_model}, "discriminator_optimizer: none there"),
        ({"data": "arrays in order"}, "kind of data"),
        ({"x": dataset().map(lambda x, y: (x, y, 1.0))}, "batches of the data"),
        ({"x": dataset().take(6)}, "steps per epoch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_checkpoints_of_another_training(options, message, tmp_path):
    train(tmp_path, interrupt_at=8)
    with (
        pytest.warns(UserWarning, match="does not use a checkpoint"),
        pytest.raises(ValueError, match=f"to be of this training.*{message}"),
    ):
        train(tmp_path, **options)


def test_checkpoints_of_other_settings_of_the_method(tmp_path):
    train(tmp_path, build=rbcn_model, interrupt_at=3)
    with (
        pytest.warns(UserWarning, match="does not use a checkpoint"),
        pytest.raises(ValueError, match=r"kernel_weight: 0\.0001 there, 0\.5 here"),
    ):
        train(tmp_path, build=lambda: rbcn_model(kernel_weight=0.5))


def test_kill_between_a_checkpoint_and_its_manifest(whole, tmp_path, monkeypatch):
    def killed(*_):
        raise InterruptionError

    with monkeypatch.context() as patch:
        train(tmp_path / "broken", interrupt_at=5)
        patch.setattr("keras_rbcn._files.os.replace", killed)
        assert train(tmp_path / "broken") is None or pytest.fail("was not killed")
    with pytest.warns(UserWarning, match="half written"):
        broken = train(tmp_path / "broken")
    assert_same(whole, final_state(broken))


def test_old_checkpoints_are_removed(tmp_path):
    train(tmp_path, interrupt_at=9)
    train(tmp_path)
    suffixes = ("data-00000-of-00001", "index", "json")
    expected = {f"ckpt-{n}.{suffix}" for n in (20, 21) for suffix in suffixes}
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint", *expected}
    # They are TensorFlow's own.
    assert tf.train.latest_checkpoint(tmp_path) == str(tmp_path / "ckpt-21")


# --- what is told at the start ------------------------------------------------------


def test_tells_of_random_layers_whose_state_cannot_be_saved(tmp_path):
    model = keras.Sequential([keras.layers.Dropout(0.5, name="drop")])
    model.compile("sgd", "mse")
    callback = ResumableTraining(tmp_path)
    with pytest.warns(UserWarning, match=r"\['drop'\].*enable_tf_random_generator"):
        model.fit(np.ones((2, 3)), np.ones((2, 3)), verbose=0, callbacks=[callback])


def test_tells_of_a_shuffle_without_a_seed(tmp_path):
    tf.random.set_seed(None)
    arguments = (
        {"x": dataset(seed=None)},
        {"x": arrays()[0], "y": arrays()[1], "batch_size": BATCH},
    )
    for number, data in enumerate(arguments):
        callback = ResumableTraining(tmp_path / str(number))
        with pytest.warns(UserWarning, match=r"keras\.utils\.set_random_seed"):
            small_model().fit(**data, verbose=0, callbacks=[callback])


def test_folder_that_cannot_be_used(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ValueError, match="to be a folder, received the path of a file"):
        ResumableTraining(file)
    with pytest.raises(OSError, match=r"cannot write its checkpoints.*file.*below"):
        train(file / "below")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"save_every": 0}, ValueError),
        ({"save_every": 1.5}, TypeError),
        ({"save_every": "epoch"}, TypeError),
        ({"keep": 1}, ValueError),
    ],
)
def test_arguments(arguments, error, tmp_path):
    (name,) = arguments
    with pytest.raises(error, match=f"Expected `{name}`"):
        ResumableTraining(tmp_path, **arguments)


def test_loop_of_ones_own(tmp_path):
    callback = ResumableTraining(tmp_path)
    callback.set_model(small_model())
    with pytest.raises(RuntimeError, match="to be called by `fit`"):
        callback.on_train_begin()


def test_two_of_them(tmp_path):
    callbacks = [ResumableTraining(tmp_path / name) for name in "ab"]
    with pytest.raises(ValueError, match="one ResumableTraining"):
        small_model().fit(dataset(), verbose=0, callbacks=callbacks)
