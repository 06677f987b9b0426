"""`fit(cache_teacher=...)`: the same training, with a teacher that runs once."""

import errno
import json
import os

import numpy as np
import pytest
from interruption import Interrupt, InterruptionError
from tiny import KERNEL_LOSS, RBCN, crossentropy, network, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf

pytestmark = pytest.mark.filterwarnings("ignore:In the last 3 epochs:UserWarning")

BATCH = 10  # The last one of 48 samples is smaller.


def model_of(teacher, taps="convolution", scope=None, distillation=0.1, **compiled):
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    with scope or tf.distribute.get_strategy().scope():
        model = rbcn.RBCNModel(student(), teacher, taps)
        model.compile(
            "adam",
            crossentropy(),
            distillation=distillation,
            adversarial_weight=0.3 if taps else 0.0,
            attention_weight=0.1 if taps else 0.0,
            **KERNEL_LOSS,
            **compiled,
        )
    return model


def count_runs(model):
    """Has the teacher count its runs, wherever they happen."""
    runs = []

    def counted(x):
        tf.py_function(lambda: runs.append(1), [], [])
        return run(x)

    run = model._run_teacher
    model._run_teacher = counted
    return runs


def trained(model, data, epochs=2, **fit):
    """The weights and the history after some epochs, and the teacher's runs."""
    runs = count_runs(model)
    if not isinstance(data, tf.data.Dataset):
        x, y, *weights = data
        fit = {"y": y, "batch_size": BATCH, "shuffle": False, **fit}
        if weights:
            fit["sample_weight"] = weights[0]
        data = x
    history = model.fit(data, epochs=epochs, verbose=0, **fit).history
    return model.get_weights(), history, len(runs)


def quickly(teacher, data, *taps, **fit):
    """One epoch without a graph, whose tracing takes the longest."""
    model = model_of(teacher, *taps, run_eagerly=True)
    return trained(model, data, epochs=1, **fit)


def dataset(data):
    return tf.data.Dataset.from_tensor_slices(data).batch(BATCH)


def assert_same(one, other):
    for a, b in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one[1] == other[1]


@pytest.mark.parametrize(
    ("form", "settings"),
    [
        ("arrays", {}),
        ("arrays", {"taps": []}),
        ("dataset", {"steps_per_execution": 2}),
        ("dataset", {"run_eagerly": True}),
    ],
    ids=str,
)
def test_the_same_training_with_a_teacher_that_runs_once(
    form, settings, data, teacher, tmp_path
):
    given = dataset(data) if form == "dataset" else data
    plain = trained(model_of(teacher, **settings), given)
    first = trained(model_of(teacher, **settings), given, cache_teacher=tmp_path)
    second = trained(model_of(teacher, **settings), given, cache_teacher=tmp_path)
    assert_same(plain, first)
    assert_same(plain, second)
    # Five batches an epoch; two more look whether the first batch stays the same.
    assert (plain[2], first[2], second[2]) == (10, 7, 2)


def test_weights_of_samples(data, teacher, tmp_path):
    weighted = (*data, np.linspace(0, 1, 48))
    plain = trained(model_of(teacher), weighted)
    cached = trained(model_of(teacher), weighted, cache_teacher=tmp_path)
    assert_same(plain, cached)


def test_weights_of_classes(data, teacher, tmp_path):
    fit = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}
    plain = trained(model_of(teacher), data, **fit)
    cached = trained(model_of(teacher), data, cache_teacher=tmp_path, **fit)
    assert_same(plain, cached)


def test_compiled_by_xla_up_to_rounding(data, teacher, tmp_path):
    """XLA fuses the teacher with what follows, and rounds otherwise."""
    plain = trained_by_xla(teacher, data)
    cached = trained_by_xla(teacher, data, cache_teacher=tmp_path)
    for a, b in zip(plain, cached, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def trained_by_xla(teacher, data, **fit):
    model = model_of(teacher, jit_compile=True)
    model.fit(*data, batch_size=16, shuffle=False, epochs=2, verbose=0, **fit)
    return model.get_weights()


def test_two_replicas(mirrored_strategy, data, teacher, tmp_path):
    def train(**fit):
        model = model_of(teacher, scope=mirrored_strategy.scope())
        history = model.fit(dataset(data), epochs=2, verbose=0, **fit).history
        return model.get_weights(), history

    plain, cached = train(), train(cache_teacher=tmp_path)
    for a, b in zip(plain[0], cached[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for name, values in plain[1].items():
        np.testing.assert_allclose(cached[1][name], values, rtol=1e-4, err_msg=name)


def test_half_precision(data, tmp_path):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        teacher = network(name="teacher")
        teacher.layers[-1].bias.assign([0.0, 0.1, 0.2])
        plain = trained(model_of(teacher), data)
        cached = trained(model_of(teacher), data, cache_teacher=tmp_path)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert_same(plain, cached)


def test_epochs_that_are_no_pass_through_arrays(data, teacher, tmp_path):
    """Of five batches the first two, the next two, the fifth and the first."""
    fit = {"steps_per_epoch": 2, "epochs": 3}
    plain = trained(model_of(teacher), data, **fit)
    cached = trained(model_of(teacher), data, cache_teacher=tmp_path, **fit)
    assert_same(plain, cached)
    with pytest.raises(ValueError, match="they ended after 5 batches of epoch 1"):
        quickly(teacher, data, steps_per_epoch=9, cache_teacher=tmp_path / "other")


def test_the_same_teacher_built_again(data, teacher, tmp_path):
    def unnamed(convolution=keras.layers.Conv2D):
        layers = [keras.Input((8, 8, 2)), convolution(4, 3)]
        layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3)]
        return keras.Sequential(layers)

    def train():
        master = unnamed()
        master.set_weights([np.full(w.shape, 0.1) for w in master.get_weights()])
        taps = [(pupil.layers[0].name, master.layers[0].name)]
        model = rbcn.RBCNModel(pupil, master, taps)
        model.compile("sgd", crossentropy(), run_eagerly=True, **RBCN)
        model.fit(dataset(data), verbose=0, cache_teacher=tmp_path)

    pupil = unnamed(rbcn.layers.RectifiedConv2D)
    train()
    unnamed()  # Keras counts it in the names of later layers.
    train()  # Without a warning.


def test_inputs_in_a_list(tmp_path):
    def two_inputs(convolution):
        inputs = [keras.Input((6, 6, 1)), keras.Input((6, 6, 1))]
        x = keras.layers.Concatenate()(inputs)
        x = convolution(4, 3, name="conv")(x)
        outputs = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, outputs)

    teacher = two_inputs(keras.layers.Conv2D)
    teacher.get_layer("conv").bias.assign([0.0, 0.1, 0.2, 0.3])
    x = list(np.random.default_rng(0).normal(size=(2, 8, 6, 6, 1)).astype("float32"))

    def train(**fit):
        keras.utils.set_random_seed(0)
        model = rbcn.RBCNModel(two_inputs(rbcn.layers.RectifiedConv2D), teacher)
        model.compile("adam", "mse", run_eagerly=True, **RBCN)
        fit = {"batch_size": 4, "shuffle": False, "verbose": 0, **fit}
        return model.get_weights(), model.fit(x, np.ones((8, 4)), **fit).history

    assert_same(train(), train(cache_teacher=tmp_path))


def test_inputs_in_a_dictionary_and_several_outputs(tmp_path):
    def two_outputs(convolution, name):
        layers = keras.layers
        inputs = {k: keras.Input((6, 6, 2), name=k) for k in ("left", "right")}
        x = layers.Concatenate()(list(inputs.values()))
        x = convolution(4, 3, padding="same", name="conv")(x)
        x = layers.BatchNormalization(name="norm")(x)
        x = layers.GlobalAveragePooling2D()(x)
        outputs = {k: layers.Dense(3, name=k)(x) for k in ("one", "two")}
        return keras.Model(inputs, outputs, name=name)

    teacher = two_outputs(keras.layers.Conv2D, "teacher")
    teacher.get_layer("one").bias.assign([0.0, 0.1, 0.2])
    rng = np.random.default_rng(0)
    x = {k: rng.normal(size=(8, 6, 6, 2)).astype("float32") for k in ("left", "right")}
    y = {k: np.arange(8) % 3 for k in ("one", "two")}

    def train(**fit):
        keras.utils.set_random_seed(0)
        pupil = two_outputs(rbcn.layers.RectifiedConv2D, "student")
        model = rbcn.RBCNModel(pupil, teacher)
        model.compile("adam", crossentropy(), **RBCN | {"distillation": 0.5})
        fit = {"batch_size": 4, "shuffle": False, "epochs": 2, "verbose": 0, **fit}
        return model.get_weights(), model.fit(x, y, **fit).history

    plain, cached = train(), train(cache_teacher=tmp_path)
    # Gradients of several outputs are added up in an order that may be another one.
    for a, b in zip(plain[0], cached[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_killed_training_goes_on(data, teacher, tmp_path):
    def train(folder, *callbacks):
        model = model_of(teacher)
        resumable = rbcn.callbacks.ResumableTraining(tmp_path / folder, save_every=2)
        return trained(
            model,
            dataset(data),
            cache_teacher=tmp_path / "cache",
            callbacks=[resumable, *callbacks],
        )

    whole = train("whole")
    with pytest.raises(InterruptionError):
        train("broken", Interrupt(7))
    assert_same(whole, train("broken"))


# --- what makes a cache useless ------------------------------------------------------


def other_teacher(teacher):
    model = network(name="teacher")
    model.set_weights([w * 1.01 for w in teacher.get_weights()])
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, x, y: ((other_teacher(t),), (x, y)), "another teacher"),
        (lambda t, x, y: ((t, ["norm1"]), (x, y)), "another taps and signature"),
        (lambda t, x, y: ((t,), (x + 1, y)), "other data"),
        (lambda t, x, y: ((t,), (x[::-1], y[::-1])), "other data"),
        (lambda t, x, y: ((t,), (x[:-1], y[:-1])), None),
        (lambda t, x, y: ((t,), (x[:-10], y[:-10])), "5 batches, now 4"),
    ],
)
def test_another_teacher_other_taps_other_data(
    change, message, data, teacher, tmp_path
):
    quickly(teacher, data, cache_teacher=tmp_path)
    (teacher, *taps), changed = change(teacher, *data)
    if message is None:  # Found only where it is read.
        with pytest.raises(ValueError, match=r"a batch holds other data.*was removed"):
            quickly(teacher, changed, *taps, cache_teacher=tmp_path)
        assert not list(tmp_path.iterdir())
    else:
        with pytest.warns(UserWarning, match=f"is not used: .*{message}.*anew"):
            cached = quickly(teacher, changed, *taps, cache_teacher=tmp_path)
        assert_same(quickly(teacher, changed, *taps), cached)
    # It has been written anew, or is: no warning.
    quickly(teacher, changed, *taps, cache_teacher=tmp_path)


def test_a_teacher_whose_code_has_changed(data, tmp_path):
    class Times(keras.layers.Layer):
        factor = 1.0

        def call(self, inputs):
            return self.factor * inputs

    inner = network(name="inner")
    inner.get_layer("scores").bias.assign([0.0, 0.1, 0.2])
    teacher = keras.Sequential([keras.Input((8, 8, 2)), inner, Times()])

    def train():
        model = model_of(teacher, [], run_eagerly=True)
        return trained(model, data, epochs=1, cache_teacher=tmp_path)

    train()
    Times.factor = 5.0
    with pytest.warns(UserWarning, match="a teacher that computes others"):
        train()


def records(folder):
    (file,) = folder.glob("teacher-*.tfrecord")
    return file


def cut(folder):
    file = records(folder)
    file.write_bytes(file.read_bytes()[:-100])


def cut_at_a_record(folder):
    """All but the last batch, each record whole."""
    file = records(folder)
    kept = list(tf.data.TFRecordDataset(str(file)).as_numpy_iterator())[:-4]
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in kept:
            writer.write(record)


def alter(folder):
    contents = bytearray(records(folder).read_bytes())
    contents[len(contents) // 2] ^= 1
    records(folder).write_bytes(contents)


def lose(folder):
    records(folder).unlink()


def cut_manifest(folder):
    path = folder / "teacher_cache.json"
    path.write_text(path.read_text()[:-20])


@pytest.mark.parametrize("damage", [cut, cut_at_a_record, alter, lose, cut_manifest])
def test_damaged_files_are_written_anew(damage, data, teacher, tmp_path):
    plain = quickly(teacher, data, cache_teacher=tmp_path)
    damage(tmp_path)
    with pytest.warns(UserWarning, match=r"is not used: .*It is written anew"):
        again = quickly(teacher, data, cache_teacher=tmp_path)
    assert_same(plain, again)
    assert again[2] == 7  # Five, and two of the first batch.


def test_damaged_while_training(data, teacher, tmp_path):
    class Damage(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            alter(tmp_path)

    with pytest.raises(ValueError, match=r"file is damaged.*was removed"):
        trained(model_of(teacher), data, cache_teacher=tmp_path, callbacks=[Damage()])
    assert not list(tmp_path.iterdir())


def test_removed_while_training(data, teacher, tmp_path):
    class Remove(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            records(tmp_path).unlink(missing_ok=True)

    model = model_of(teacher, run_eagerly=True)
    with pytest.raises(ValueError, match=r"its file is gone.*folder of its own"):
        trained(model, data, cache_teacher=tmp_path, callbacks=[Remove()])


def test_two_programs_that_write_the_same(data, teacher, tmp_path):
    """The one that ends first is not disturbed by the other."""
    model = model_of(teacher, run_eagerly=True)
    run, runs, seen = model._run_teacher, [], []

    def interleaved(x):
        runs.append(1)
        if len(runs) == 4:  # Two looked at the first batch, and one batch is written.
            quickly(teacher, data, cache_teacher=tmp_path)
            seen.append(records(tmp_path))
        return run(x)

    model._run_teacher = interleaved
    trained(model, data, epochs=1, cache_teacher=tmp_path)
    assert [records(tmp_path)] == seen
    assert len(list(tmp_path.iterdir())) == 2


def test_data_of_unknown_length_that_have_become_longer(data, teacher, tmp_path):
    length = tf.Variable(20, dtype=tf.int64)

    def batches():
        kept = tf.data.Dataset.from_tensor_slices(data).enumerate()
        kept = kept.filter(lambda number, sample: number < length)
        return kept.map(lambda number, sample: sample).batch(BATCH)

    quickly(teacher, batches(), cache_teacher=tmp_path)
    length.assign(40)
    with pytest.raises(ValueError, match="a batch holds other data"):
        quickly(teacher, batches(), cache_teacher=tmp_path)


def test_full_disk(data, teacher, tmp_path, monkeypatch):
    class Full(tf.io.TFRecordWriter):
        def write(self, record):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left")

    plain = quickly(teacher, data)
    with monkeypatch.context() as patch:
        patch.setattr(tf.io, "TFRecordWriter", Full)
        with pytest.warns(UserWarning, match=r"No space left.*goes on without"):
            full = quickly(teacher, data, cache_teacher=tmp_path)
    assert_same(plain, full)
    assert not list(tmp_path.iterdir())


def test_errors_of_the_data_are_theirs(data, teacher, tmp_path):
    def checked(x, y):
        return tf.debugging.check_numerics(x, "no number"), y

    x = data[0].copy()
    x[-1] = np.nan
    batches = dataset((x, data[1])).map(checked)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no number"):
        quickly(teacher, batches, cache_teacher=tmp_path)
    assert not list(tmp_path.iterdir())


def test_too_little_space_is_told_before(data, teacher, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match=r"5 batches of .* MiB take .*taps='stage'"):
        quickly(teacher, data, cache_teacher=tmp_path)
    assert not list(tmp_path.iterdir())


def test_interrupted_while_it_is_written(data, teacher, tmp_path):
    model = model_of(teacher)
    run, runs = model._run_teacher, []

    def interrupted(x):
        runs.append(1)
        if len(runs) == 4:
            raise KeyboardInterrupt
        return run(x)

    model._run_teacher = interrupted
    model.run_eagerly = True
    with pytest.raises(KeyboardInterrupt):
        model.fit(dataset(data), verbose=0, cache_teacher=tmp_path)
    assert not list(tmp_path.iterdir())


def test_half_written_files_of_a_killed_program_go(data, teacher, tmp_path):
    names = ("teacher-0", "unfinished-0", "unfinished-1")
    left, old, new = (tmp_path / f"{name}.tfrecord" for name in names)
    for file in (left, old, new):
        file.write_bytes(b"half")
    os.utime(old, (0, 0))
    quickly(teacher, data, cache_teacher=tmp_path)
    assert not left.exists()
    assert not old.exists()
    assert new.exists()  # Perhaps another program is writing it.
    assert json.loads((tmp_path / "teacher_cache.json").read_text())["batches"] == 5


# --- data and folders that cannot be -------------------------------------------------


def shuffled(data):
    return tf.data.Dataset.from_tensor_slices(data).shuffle(48, seed=1).batch(BATCH)


def augmented(data):
    noise = tf.data.Dataset.random(rerandomize_each_iteration=True)
    both = tf.data.Dataset.zip((dataset(data), noise))
    return both.map(lambda one, noise: (one[0] + tf.cast(noise, tf.float32), one[1]))


class Sequence(keras.utils.Sequence):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        return np.zeros((2, 8, 8, 2)), np.zeros(2)


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda data: {"x": data[0], "y": data[1]}, "shuffle=False"),
        (lambda data: {"x": shuffled(data)}, "the same first batch each time"),
        (lambda data: {"x": augmented(data)}, "the same first batch each time"),
        (lambda data: {"x": dataset(data).repeat()}, r"Leave `repeat\(\)` out"),
        (lambda data: {"x": dataset(data).take(0)}, "at least one batch"),
        (
            lambda data: {"x": tf.data.Dataset.from_tensors(tf.ragged.constant([[1]]))},
            "dense tensors.*RaggedTensor",
        ),
        (
            lambda data: {"x": dataset(data), "y": data[1]},
            "`y` argument is not supported when using dataset",
        ),
        (lambda data: {"x": Sequence()}, r"tf\.data\.Dataset with cache_teacher"),
        (lambda data: {"x": iter([data])}, r"tf\.data\.Dataset with cache_teacher"),
        (
            lambda data: {
                "x": data[0],
                "y": data[1],
                "shuffle": False,
                "validation_split": 0.5,
            },
            "no `validation_split`",
        ),
    ],
)
def test_data_that_cannot_be_cached(fit, message, data, teacher, tmp_path):
    with pytest.raises(ValueError, match=message):
        model_of(teacher).fit(**fit(data), verbose=0, cache_teacher=tmp_path)


def test_shuffled_once_for_all(data, teacher, tmp_path):
    batches = tf.data.Dataset.from_tensor_slices(data)
    batches = batches.shuffle(48, seed=1, reshuffle_each_iteration=False).batch(BATCH)
    plain = trained(model_of(teacher), batches)
    assert_same(plain, trained(model_of(teacher), batches, cache_teacher=tmp_path))


def test_feature_maps_are_kept_only_where_a_loss_compares_them(data, teacher, tmp_path):
    outputs, maps = 48 * 3 * 4, 48 * (8 * 8 * 4 + 4 * 4 * 6) * 4  # In bytes.
    sizes = []
    for number, settings in enumerate(({}, RBCN)):
        model = rbcn.RBCNModel(student(), teacher)
        model.compile("sgd", crossentropy(), run_eagerly=True, **settings)
        folder = tmp_path / str(number)
        model.fit(dataset(data), verbose=0, cache_teacher=folder)
        sizes.append(records(folder).stat().st_size)
    assert outputs < sizes[0] < 5 * outputs < outputs + maps < sizes[1]


def test_models_without_a_use_for_it(data, teacher, tmp_path):
    model = rbcn.RBCNModel(student())
    model.compile("sgd", crossentropy())
    with pytest.raises(ValueError, match="needs a teacher"):
        model.fit(*data, shuffle=False, verbose=0, cache_teacher=tmp_path)
    model = model_of(teacher, taps=[], distillation=0.0)
    with pytest.warns(UserWarning, match="no loss uses the teacher"):
        model.fit(*data, shuffle=False, verbose=0, cache_teacher=tmp_path)


def test_folders_that_cannot_be(data, teacher, tmp_path, monkeypatch):
    def fit(path):
        model_of(teacher).fit(dataset(data), verbose=0, cache_teacher=path)

    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".hidden").touch()
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ValueError, match="to be a folder, received the path of a file"):
        fit(file)
    with pytest.raises(ValueError, match=r"an empty folder.*holds \['file'\]"):
        fit(tmp_path)
    with pytest.raises(TypeError, match=r"the path of a folder, received.*True"):
        fit(True)
    with pytest.raises(OSError, match=r"cache_teacher cannot be written"):
        fit(file / "below")
    assert file.read_text() == "mine"

    def refused(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    with pytest.raises(PermissionError, match="cannot be written: Permission denied"):
        fit(tmp_path / "new")
