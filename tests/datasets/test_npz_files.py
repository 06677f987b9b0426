"""Images and labels of .npz files: what is read, split off, and refused."""

import numpy as np
import pytest

from keras_rbcn._backend import tf
from keras_rbcn.datasets import npz_file

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (40, 5, 4, 1)).astype("uint8")
IMAGES[0, 0, 0], IMAGES[0, 0, 1] = 0, 255
LABELS = np.arange(40) % 4
TRAIN = {"x_train": IMAGES[:30], "y_train": LABELS[:30]}


def _parts(suffix, samples=slice(30, None)):
    return {f"x{suffix}": IMAGES[samples], f"y{suffix}": LABELS[samples]}


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


@pytest.mark.parametrize("train", ["_train", ""])
@pytest.mark.parametrize("test", ["_val", "_test"])
def test_both_parts_are_read_as_they_are(save, train, test):
    splits = npz_file(
        save(**_parts(train, slice(30)), **_parts(test), other=np.zeros(3))
    )
    for part, samples in zip(splits, (slice(30), slice(30, None)), strict=True):
        assert part.x.dtype == np.float32
        assert part.y.dtype == np.int32
        np.testing.assert_array_equal(part.x, IMAGES[samples])
        np.testing.assert_array_equal(part.y, LABELS[samples])


def test_validation_samples_go_before_test_samples(save):
    splits = npz_file(save(**TRAIN, **_parts("_test"), **_parts("_val", slice(3))))
    assert len(splits.train.y) == 30
    np.testing.assert_array_equal(splits.test.y, LABELS[:3])


@pytest.mark.parametrize(("fraction", "tested"), [(None, 8), (0.5, 20)])
def test_a_part_is_split_off_by_class_and_seed(save, fraction, tested):
    path = save(x=IMAGES, y=LABELS)
    train, test = npz_file(path, seed=1, test_fraction=fraction)
    np.testing.assert_array_equal(np.bincount(test.y), [tested // 4] * 4)
    # Every image with its label is there once.
    found = sorted(
        (x.tobytes(), y) for part in (train, test) for x, y in zip(*part, strict=True)
    )
    expected = zip(IMAGES.astype("float32"), LABELS, strict=True)
    assert found == sorted((x.tobytes(), y) for x, y in expected)
    again = npz_file(path, seed=1, test_fraction=fraction)
    np.testing.assert_array_equal(again.test.x, test.x)
    other = npz_file(path, seed=2, test_fraction=fraction)
    assert not np.array_equal(other.test.x, test.x)


def test_rescaling_of_bytes(save):
    train, _ = npz_file(save(**TRAIN, **_parts("_test")), rescale=(-1.0, 1.0))
    assert train.x.dtype == np.float32
    assert (train.x.min(), train.x.max()) == (-1.0, 1.0)
    np.testing.assert_allclose(train.x, IMAGES[:30] / 127.5 - 1.0, atol=1e-6)
    train, _ = npz_file(save(**TRAIN, **_parts("_test")), rescale=(0.0, 1.0))
    np.testing.assert_allclose(train.x, IMAGES[:30] / 255.0, atol=1e-7)


def test_a_column_of_labels(save):
    splits = npz_file(save(x=IMAGES, y=LABELS[:, None].astype("uint8")))
    assert splits.train.y.shape == (32,)


def test_pipelines(save):
    train, test = npz_file(save(**TRAIN, **_parts("_test")), batch_size=8)
    assert train.element_spec[0] == tf.TensorSpec((None, 5, 4, 1), tf.float32)
    assert [len(y) for _, y in train] == [8, 8, 8, 6]
    np.testing.assert_array_equal(np.concatenate([y for _, y in test]), LABELS[30:])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"x_train and y_train .* it holds \[\]"),
        ({"a": IMAGES}, r"it holds \['a'\]"),
        ({"x": IMAGES}, "x together with y"),
        ({**TRAIN, "y_val": LABELS}, "x_val together with y_val"),
        (_parts("_test"), r"it holds \['x_test', 'y_test'\]"),
        ({"x": IMAGES, "y": LABELS[1:]}, "40 samples as 'x'.*39 labels as 'y'"),
        ({"x": IMAGES[:0], "y": LABELS[:0]}, "hold samples"),
        ({"x": np.float32(1), "y": np.int32(1)}, "hold samples"),
        ({"x": IMAGES, "y": LABELS - 1}, "from -1 to 2"),
        ({"x": IMAGES, "y": LABELS * 2**31}, "from 0 to 6442450944"),
        ({"x": IMAGES, "y": LABELS / 1}, "integers of shape.*float64"),
        ({"x": IMAGES, "y": np.eye(4, dtype=int)[LABELS]}, r"argmax"),
        ({"x": IMAGES, "y": LABELS.astype(str)}, "'y'.*real numbers"),
        ({"x": IMAGES * 1j, "y": LABELS}, "'x'.*real numbers"),
        ({"x": IMAGES * np.nan, "y": LABELS}, "NaN"),
        ({"x": IMAGES * 1e300, "y": LABELS}, "infinity"),
        ({"x": np.array([{}] * 2), "y": LABELS[:2]}, "pickled"),
        ({**TRAIN, "x_val": IMAGES[:, 1:], "y_val": LABELS}, r"\(4, 4, 1\)"),
        ({"x": IMAGES[:4], "y": LABELS[:4]}, "split off 0.2 .*4 samples of 4 classes"),
    ],
)
def test_bad_arrays_are_refused(save, arrays, message):
    path = save(**arrays)
    with pytest.raises(ValueError, match=message) as error:
        npz_file(path)
    assert str(path) in str(error.value) or "split off" in message


def test_bad_files_are_refused(save, tmp_path):
    path = save(x=IMAGES, y=LABELS)
    good = path.read_bytes()
    middle = len(good) // 2
    flipped = good[:middle] + bytes([good[middle] ^ 255]) + good[middle + 1 :]
    for content, message in (
        (b"", "to be an .npz file"),
        (b"1,2,3", "to be an .npz file"),
        (good[:middle], "to be an .npz file"),
        (flipped, "Cannot read .*data.npz"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            npz_file(path)
    with pytest.raises(FileNotFoundError):
        npz_file(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError):
        npz_file(tmp_path)


def test_arguments_that_do_not_fit_the_file_are_refused(save):
    path = save(**TRAIN, **_parts("_val"))
    with pytest.raises(ValueError, match=r"x_val; received: test_fraction=0.1"):
        npz_file(path, test_fraction=0.1)
    path = save(x=IMAGES / 255, y=LABELS)
    with pytest.raises(ValueError, match=r"uint8.*float64"):
        npz_file(path, rescale=(-1.0, 1.0))


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("batch_size", [0, 1.5]),
        ("seed", [-1, None]),
        ("test_fraction", [0.0, 1.0]),
        ("rescale", [(1, -1), (0, 0), (0, np.inf), (np.nan, 1), 1, (1,), "ab", ()]),
    ],
)
def test_arguments_out_of_range_are_refused(save, argument, values):
    path = save(x=IMAGES, y=LABELS)
    for value in values:
        with pytest.raises(ValueError, match=f"`{argument}`"):
            npz_file(path, **{argument: value})
