"""The record of each call of `fit`."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from tiny import crossentropy, student

from keras_rbcn._backend import installed_versions, keras, tf
from keras_rbcn.training import RBCNModel


@pytest.fixture
def model():
    model = RBCNModel(student())
    model.compile("sgd", crossentropy())
    return model


@pytest.fixture
def arrays():
    return np.zeros((10, 8, 8, 2), "float32"), np.zeros(10, "int32")


def test_arrays(model, arrays):
    assert model.training_record == ()
    before = datetime.now(timezone.utc) - timedelta(seconds=1)
    model.fit(*arrays, batch_size=4, epochs=2, verbose=0)
    (record,) = model.training_record
    assert (record.epochs, record.steps, record.batch_size) == (2, 6, 4)
    assert record.data == {
        "kind": "arrays",
        "x": "float32 (10, 8, 8, 2)",
        "y": "int32 (10,)",
    }
    times = [datetime.fromisoformat(at) for at in (record.started, record.ended)]
    assert before <= times[0] <= times[1] <= datetime.now(timezone.utc)
    assert record.error is None
    assert record.versions == installed_versions()


def test_arrays_by_name_and_in_batches_of_keras_own_size(model, arrays):
    model.fit({"image": arrays[0]}, [arrays[1]], verbose=0)
    (record,) = model.training_record
    assert record.batch_size == 32
    assert record.data["x"] == {"image": "float32 (10, 8, 8, 2)"}
    assert record.data["y"] == ["int32 (10,)"]


def test_datasets_and_sequences(model, arrays):
    class Batches(keras.utils.Sequence):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return arrays

    batches = tf.data.Dataset.from_tensor_slices(arrays).batch(5)
    model.fit(batches, verbose=0)
    model.fit(batches.repeat(), steps_per_epoch=3, verbose=0)
    model.fit(Batches(), verbose=0)
    model.fit((batch for batch in [arrays]), verbose=0)
    first, endless, sequence, generator = model.training_record
    assert first.data["cardinality"] == 2
    assert "shape=(None, 8, 8, 2)" in first.data["batches"]
    assert first.batch_size is None
    assert "cardinality" not in endless.data
    assert (sequence.data["kind"], sequence.data["cardinality"]) == ("Batches", 2)
    assert generator.data == {"kind": "generator"}
    steps = [record.steps for record in model.training_record]
    assert steps == [2, 5, 7, 8]


def test_a_training_that_is_interrupted_is_told_as_such(model, arrays):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(*arrays, batch_size=4, epochs=9, verbose=0, callbacks=[Interrupt()])
    (record,) = model.training_record
    assert record.error == "KeyboardInterrupt"
    assert (record.epochs, record.steps) == (1, 4)


def test_a_call_that_trains_nothing_leaves_no_record(model, arrays):
    with pytest.raises(ValueError, match="shape"):
        model.fit(arrays[0][..., :1], arrays[1], verbose=0)
    assert model.training_record == ()


def test_the_data_are_told_as_they_were_given_though_the_teacher_is_cached(
    teacher, data, tmp_path
):
    x, y = data
    model = RBCNModel(student(), teacher)
    model.compile("sgd", crossentropy())
    folder = tmp_path / "cache"
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0, cache_teacher=folder)
    (record,) = model.training_record
    assert record.data["kind"] == "arrays"
    assert record.data["x"] == f"{x.dtype} {x.shape}"
    assert record.batch_size == 8


def test_the_record_is_not_saved(model, arrays, tmp_path):
    model.fit(*arrays, verbose=0)
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").training_record == ()
