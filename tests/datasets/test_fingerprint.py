"""One fingerprint for the same data, another one for any other."""

import hashlib

import numpy as np
import pytest

from keras_rbcn._backend import keras, tf
from keras_rbcn.datasets import Arrays, Splits, digits, fingerprint

X = np.random.default_rng(0).normal(size=(10, 4, 3)).astype("float32")
Y = np.arange(10, dtype="int32")


def dataset(*arrays, batch=4):
    return tf.data.Dataset.from_tensor_slices(arrays).batch(batch)


class Batches(keras.utils.Sequence):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        part = slice(4 * index, 4 * index + 4)
        return X[part], Y[part]


@pytest.mark.parametrize(
    "same",
    [
        (X.copy(), Y.copy()),
        [X, Y],
        Arrays(X, Y),
        (tf.constant(X), tf.constant(Y)),
        (np.asfortranarray(X), Y),
        (X.astype(">f4"), Y),
        dataset(X, Y),
        dataset(X, Y, batch=3),
        Batches(),
    ],
)
def test_the_same_samples_have_the_same_fingerprint(same):
    found = fingerprint((X, Y))
    assert fingerprint(same) == found
    assert len(found) == 64
    assert set(found) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    "other",
    [
        (X[::-1], Y),
        (X, Y[::-1]),
        (X[:-1], Y[:-1]),
        (X + np.float32(1e-6), Y),
        (X.astype("float64"), Y),
        (X.reshape(10, 3, 4), Y),
        (X, Y.astype("int64")),
        (Y, X),
        (X,),
        X,
        {"x": X, "y": Y},
        Splits((X, Y), (X, Y)),
        dataset(X, Y, batch=10).unbatch().shuffle(10, seed=0).batch(4),
    ],
)
def test_other_samples_have_another_fingerprint(other):
    assert fingerprint(other) != fingerprint((X, Y))


def test_names_count_and_their_order_does_not():
    assert fingerprint({"a": X, "b": Y}) == fingerprint({"b": Y, "a": X})
    assert fingerprint({"a": X, "b": Y}) == fingerprint(
        tf.data.Dataset.from_tensor_slices({"b": Y, "a": X}).batch(7)
    )
    assert fingerprint({"a": X, "b": Y}) != fingerprint({"a": X, "c": Y})


def test_texts_count_by_their_letters():
    texts = np.array(["ab", "c", "ä"])
    assert fingerprint(texts) == fingerprint(texts.astype(object))
    batches = tf.data.Dataset.from_tensor_slices(["ab", "c", "ä"]).batch(2)
    assert fingerprint(batches) == fingerprint(texts)
    assert fingerprint(np.array(["a", "bc", "ä"])) != fingerprint(texts)


def test_the_splits_of_the_library():
    assert fingerprint(digits()) == fingerprint(digits())
    assert fingerprint(digits(seed=1)) != fingerprint(digits())


def test_no_batches_at_all():
    assert fingerprint(dataset(X).take(0)) == fingerprint(dataset(X, Y).take(0))


def test_a_file_has_the_digest_of_its_bytes(tmp_path):
    path = tmp_path / "data.npz"
    path.write_bytes(bytes(range(256)) * 9000)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    assert fingerprint(path) == fingerprint(str(path)) == expected


def test_folders_count_by_files_and_names(tmp_path):
    def folder(name, **files):
        for file, content in files.items():
            path = tmp_path / name / file.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return fingerprint(tmp_path / name)

    first = folder("first", cats__1="a", cats__2="b", dogs__1="a")
    assert folder("second", dogs__1="a", cats__2="b", cats__1="a") == first
    (tmp_path / "second" / ".hidden").write_text("anything")
    assert fingerprint(tmp_path / "second") == first
    assert folder("third", cats__1="a", cats__2="b", dogs__2="a") != first
    assert folder("fourth", cats__1="b", cats__2="a", dogs__1="a") != first


def _uneven():
    yield np.zeros((2, 3), "float32")
    yield np.zeros((2, 3, 1), "float32")


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (None, TypeError, "received: NoneType"),
        (3, TypeError, "received: int"),
        ([1, 2], TypeError, "received: int"),
        (np.float32(3), ValueError, "a single number"),
        (tf.data.Dataset.range(3), ValueError, "a single number"),
        (dataset(X).repeat(), ValueError, "repeats for ever"),
        ("none", FileNotFoundError, "data='none'"),
        (
            tf.data.Dataset.from_generator(
                _uneven, output_signature=tf.TensorSpec(None, tf.float32)
            ),
            ValueError,
            "one type and shape",
        ),
    ],
)
def test_what_has_none(data, error, message):
    with pytest.raises(error, match=message):
        fingerprint(data)
