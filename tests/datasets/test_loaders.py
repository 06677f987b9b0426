"""The data sets: shapes, ranges, splits, pipelines, and where files are looked for."""

import gzip

import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_rbcn._backend import keras, tf
from keras_rbcn.datasets import digits, fashion_mnist, loaders

SAMPLES = {"train": 40, "t10k": 20}


def _write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim])
    header += b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def _write_fashion_mnist(folder, seed=0):
    """Four small files in the data set's format."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    arrays = {}
    for part, samples in SAMPLES.items():
        images = random.integers(0, 256, (samples, 28, 28))
        images[0, 0, :2] = 0, 255
        labels = np.arange(samples) % 2
        _write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        _write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
        arrays[part] = images, labels
    return arrays


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Keras' cache and Debian's folder, both empty; and no network."""

    def no_network(*args, **kwargs):
        raise Exception("URL fetch failure: no network in this test")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(loaders, "DEBIAN_FOLDER", tmp_path / "debian")
    monkeypatch.setattr(keras.utils, "get_file", no_network)
    return tmp_path / "keras" / "datasets" / "fashion-mnist", tmp_path / "debian"


def test_digits_are_all_of_scikit_learns():
    train, test = digits(test_fraction=0.2)
    assert train.x.shape == (1437, 8, 8, 1)
    assert test.x.shape == (360, 8, 8, 1)
    assert train.x.dtype == test.x.dtype == np.float32
    assert train.y.dtype == test.y.dtype == np.int32
    assert train.x.min() == -1.0
    assert train.x.max() == 1.0
    # Every image with its label is there once: compared as sorted rows.
    images, labels = load_digits(return_X_y=True)
    x, y = (np.concatenate(parts) for parts in zip(train, test, strict=True))
    found = np.column_stack([(x.reshape(-1, 64) + 1) * 8, y])
    expected = np.column_stack([images, labels])
    np.testing.assert_array_equal(
        found[np.lexsort(found.T)], expected[np.lexsort(expected.T)]
    )


def test_digits_are_split_by_class_and_seed():
    train, test = digits(seed=3, test_fraction=0.2)
    shares = np.bincount(test.y) / np.bincount(np.concatenate([train.y, test.y]))
    np.testing.assert_allclose(shares, 0.2, atol=0.01)
    again, other = digits(seed=3, test_fraction=0.2), digits(seed=4, test_fraction=0.2)
    np.testing.assert_array_equal(again.test.x, test.x)
    assert not np.array_equal(other.test.x, test.x)


def test_pipelines_hold_the_same_data_in_a_seeded_order():
    arrays = digits(seed=3)
    epochs = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        train, test = digits(batch_size=100, seed=3)
        assert [len(y) for _, y in train] == [100] * 13 + [47]
        epochs += [np.concatenate([y for _, y in train]) for _ in range(2)]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in test]), arrays.test.x)
    np.testing.assert_array_equal(np.concatenate([y for _, y in test]), arrays.test.y)
    assert train.element_spec[0] == tf.TensorSpec((None, 8, 8, 1), tf.float32)
    assert train.element_spec[1] == tf.TensorSpec((None,), tf.int32)
    # Shuffled, anew in each epoch, and the same again with the same seeds.
    for epoch in epochs:
        assert not np.array_equal(epoch, arrays.train.y)
        np.testing.assert_array_equal(np.sort(epoch), np.sort(arrays.train.y))
    assert not np.array_equal(epochs[0], epochs[1])
    np.testing.assert_array_equal(epochs[0], epochs[2])
    np.testing.assert_array_equal(epochs[1], epochs[3])


def test_shuffling_keeps_images_with_their_labels():
    arrays = digits().train
    label_of = {x.tobytes(): y for x, y in zip(arrays.x, arrays.y, strict=True)}
    for x, y in digits(batch_size=64).train.unbatch().as_numpy_iterator():
        assert label_of[x.tobytes()] == y


@pytest.mark.parametrize("found_in", ["keras", "debian"])
def test_fashion_mnist_reads_both_folders(folders, found_in):
    folder = folders[0] if found_in == "keras" else folders[1]
    written = _write_fashion_mnist(folder)
    splits = fashion_mnist()
    for arrays, part in zip(splits, ("train", "t10k"), strict=True):
        images, labels = written[part]
        assert arrays.x.shape == (SAMPLES[part], 28, 28, 1)
        assert arrays.x.dtype == np.float32
        assert arrays.y.dtype == np.int32
        assert (arrays.x.min(), arrays.x.max()) == (-1.0, 1.0)
        np.testing.assert_allclose(
            arrays.x[..., 0], images / 127.5 - 1, rtol=1e-5, atol=1e-6
        )
        np.testing.assert_array_equal(arrays.y, labels)


def test_fashion_mnist_prefers_keras_cache_if_it_is_complete(folders):
    keras_folder, debian_folder = folders
    first = _write_fashion_mnist(keras_folder, seed=1)["train"][0]
    second = _write_fashion_mnist(debian_folder, seed=2)["train"][0]
    for expected in (first, second):
        found = np.rint((fashion_mnist().train.x[..., 0] + 1) * 127.5)
        np.testing.assert_array_equal(found, expected)
        (keras_folder / "t10k-labels-idx1-ubyte.gz").unlink(missing_ok=True)


def test_keras_cache_is_in_the_home_folder_by_default(folders, tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    _write_fashion_mnist(tmp_path / ".keras" / "datasets" / "fashion-mnist")
    assert fashion_mnist().train.x.shape == (40, 28, 28, 1)


def test_fashion_mnist_is_downloaded_into_keras_cache(folders, tmp_path, monkeypatch):
    _write_fashion_mnist(tmp_path / "server")

    def get_file(name, origin, cache_dir, cache_subdir):
        assert origin.startswith("https://")
        assert origin.endswith(f"/{name}")
        target = tmp_path / cache_dir / cache_subdir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((tmp_path / "server" / name).read_bytes())
        return str(target)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    assert fashion_mnist().test.x.shape == (20, 28, 28, 1)
    assert len(list(folders[0].iterdir())) == 4


def test_fashion_mnist_offline_says_what_to_do(folders):
    with pytest.raises(ConnectionError) as error:
        fashion_mnist()
    message = str(error.value)
    assert "no network in this test" in message
    assert "apt-get install dataset-fashion-mnist" in message
    assert "train-images-idx3-ubyte.gz" in message
    assert all(str(folder) in message for folder in folders)


def test_fashion_mnist_names_the_damaged_file(folders):
    _write_fashion_mnist(folders[0])
    damaged = folders[0] / "t10k-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz"):
        fashion_mnist()


def test_fashion_mnist_refuses_labels_of_other_images(folders):
    _write_fashion_mnist(folders[0])
    _write_idx(folders[0] / "train-labels-idx1-ubyte.gz", np.zeros(39))
    with pytest.raises(ValueError, match=r"\(40, 28, 28\) and \(39,\)"):
        fashion_mnist()


def test_seed_decides_the_order_of_the_training_pipeline(folders):
    _write_fashion_mnist(folders[0])
    orders = []
    for seed in (0, 1, 0):
        keras.utils.set_random_seed(0)
        ((x, _),) = fashion_mnist(batch_size=40, seed=seed).train
        orders.append(x.numpy())
    assert not np.array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0], orders[2])


def test_fashion_mnist_can_be_split_anew(folders):
    _write_fashion_mnist(folders[0])
    train, test = fashion_mnist(test_fraction=0.2)
    assert len(train.y) == 48
    np.testing.assert_array_equal(np.bincount(test.y), [6, 6])
    batches = list(fashion_mnist(batch_size=32, test_fraction=0.2).train)
    assert [x.shape for x, _ in batches] == [(32, 28, 28, 1), (16, 28, 28, 1)]


@pytest.mark.parametrize("load", [digits, fashion_mnist])
@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("batch_size", [0, -1, 1.5, True, "32"]),
        ("seed", [-1, 2**32, None, 0.5]),
        ("test_fraction", [0.0, 1.0, -0.2, 100]),
    ],
)
def test_arguments_out_of_range_are_refused(folders, load, argument, values):
    for value in values:
        with pytest.raises(ValueError, match=f"`{argument}`.*{argument}={value!r}"):
            load(**{argument: value})
