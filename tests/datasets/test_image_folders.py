"""Folders of images: what is read from which subfolder, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from keras_rbcn._backend import keras, tf
from keras_rbcn.datasets import image_folder
from keras_rbcn.datasets.image_folder import (
    find_images,
    read_images,
    unreadable_image,
)

CLASSES = ("ant", "bee", "cat")


def _write(path, seed, channels=1, size=(6, 4)):
    """A random image, as another library writes it; returns its pixels."""
    shape = size if channels == 1 else (*size, channels)
    pixels = np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels.reshape(*size, channels)


def _write_classes(folder, count=4, first=0, channels=1, names=CLASSES):
    """Images of each class; returns them by their class's number."""
    return {
        number: [
            _write(folder / name / f"{n}.png", [first + n, number], channels)
            for n in range(count)
        ]
        for number, name in enumerate(names)
    }


def _read(*parts):
    """Pixels of [0, 255] and label of each image in pipelines."""
    images = [
        (np.rint((image + 1) * 127.5).astype("uint8"), int(label))
        for part in parts
        for batch in part
        for image, label in zip(*(tensor.numpy() for tensor in batch), strict=True)
    ]
    return sorted((image.tobytes(), label) for image, label in images)


def _expected(*parts):
    return sorted(
        (image.tobytes(), label)
        for part in parts
        for label, images in part.items()
        for image in images
    )


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_every_image_is_read_once_with_its_class(tmp_path, channels):
    written = _write_classes(tmp_path, channels=channels)
    train, test = image_folder(tmp_path, (6, 4), channels, batch_size=5)
    assert train.class_names == test.class_names == list(CLASSES)
    assert (len(train.file_paths), len(test.file_paths)) == (10, 2)
    assert [len(y) for _, y in train] == [5, 5]
    assert train.element_spec[0] == tf.TensorSpec((None, 6, 4, channels), tf.float32)
    assert train.element_spec[1] == tf.TensorSpec((None,), tf.int32)
    assert _read(train, test) == _expected(written)


@pytest.mark.parametrize("test_folder", ["validation", "val", "test"])
def test_a_folder_for_testing(tmp_path, test_folder):
    trained = _write_classes(tmp_path / "train")
    tested = _write_classes(tmp_path / test_folder, count=2, first=10)
    train, test = image_folder(tmp_path, (6, 4), 1)
    assert _read(train) == _expected(trained)
    assert _read(test) == _expected(tested)
    # In the order of their names.
    np.testing.assert_array_equal(next(iter(test))[1], [0, 0, 1, 1, 2, 2])


def test_validation_images_go_before_test_images(tmp_path):
    _write_classes(tmp_path / "train")
    tested = _write_classes(tmp_path / "val", count=1, first=10)
    _write_classes(tmp_path / "test", count=3, first=20)
    assert _read(image_folder(tmp_path, (6, 4), 1).test) == _expected(tested)


def test_only_a_folder_to_train_on(tmp_path):
    written = _write_classes(tmp_path / "train")
    train, test = image_folder(tmp_path, (6, 4), 1, test_fraction=0.5)
    assert (len(train.file_paths), len(test.file_paths)) == (6, 6)
    assert _read(train, test) == _expected(written)


def test_a_class_called_train(tmp_path):
    written = _write_classes(tmp_path, names=("car", "test", "train"))
    train, test = image_folder(tmp_path, (6, 4), 1)
    assert train.class_names == ["car", "test", "train"]
    assert _read(train, test) == _expected(written)


def test_other_files_are_left_aside(tmp_path):
    written = _write_classes(tmp_path)
    (tmp_path / "notes.txt").write_text("no class")
    (tmp_path / "ant" / "notes.txt").write_text("no image")
    _write(tmp_path / ".hidden" / "0.png", 99)
    train, test = image_folder(tmp_path, (6, 4), 1)
    assert train.class_names == list(CLASSES)
    assert _read(train, test) == _expected(written)


def test_seed_decides_split_and_order(tmp_path):
    _write_classes(tmp_path)

    def read(seed):
        keras.utils.set_random_seed(0)
        train, test = image_folder(tmp_path, (6, 4), 1, seed=seed)
        epochs = [np.concatenate([x for x, _ in train]) for _ in range(2)]
        return [*epochs, np.concatenate([x for x, _ in test])]

    first, again, other = read(1), read(1), read(2)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[2], other[2])


def test_size_and_range(tmp_path):
    """A bilinear image of half the size is the mean of four pixels each."""
    pixels = _write_classes(tmp_path, count=2)
    train, test = image_folder(tmp_path, (3, 2), 1, rescale=(0.0, 1.0))
    found = np.concatenate([x for part in (train, test) for x, _ in part])
    expected = np.stack([image for images in pixels.values() for image in images])
    expected = expected.reshape(-1, 3, 2, 2, 2, 1).mean(axis=(2, 4)) / 255
    np.testing.assert_allclose(
        np.sort(found.reshape(6, -1), axis=0),
        np.sort(expected.reshape(6, -1), axis=0),
        atol=1e-6,
    )


def test_black_and_white(tmp_path):
    for name in CLASSES:
        (tmp_path / name).mkdir()
        for value in (0, 255):
            image = Image.fromarray(np.full((6, 4), value, "uint8"))
            image.save(tmp_path / name / f"{value}.png")
    train, _ = image_folder(tmp_path, (6, 4), 1)
    values = np.unique(np.concatenate([x for x, _ in train]))
    assert values.tolist() == [-1.0, 1.0]


def _missing(folder):
    return {"path": folder / "none"}


def _no_folders(folder):
    _write(folder / "flat" / "0.png", 0)
    return {"path": folder / "flat"}


def _no_images(folder):
    (folder / "ant").mkdir()
    (folder / "ant" / "0.webp").write_text("no image")
    return {}


def _too_few(folder):
    _write_classes(folder, count=1)
    return {"test_fraction": 0.3}


def _empty_class(folder):
    _write_classes(folder)
    (folder / "dog").mkdir()
    return {}


def _other_classes(folder):
    _write_classes(folder / "train")
    _write_classes(folder / "test", names=("ant", "bee", "dog"))
    return {}


def _empty_test_folder(folder):
    _write_classes(folder / "train")
    (folder / "val").mkdir()
    return {}


def _no_test_images(folder):
    _write_classes(folder / "train")
    for name in CLASSES:
        (folder / "val" / name).mkdir(parents=True)
    return {}


def _needless_fraction(folder):
    _write_classes(folder / "train")
    _write_classes(folder / "val")
    return {"test_fraction": 0.1}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (_missing, FileNotFoundError, "none"),
        (_no_folders, ValueError, "flat' to hold one subfolder.*no folders"),
        (_no_images, ValueError, r"0 images \(\.bmp"),
        (_too_few, ValueError, "3 images .*test_fraction=0.3"),
        (_empty_class, ValueError, r"every class.*none of \['dog'\]"),
        (_other_classes, ValueError, r"\['cat'\] only in .*\['dog'\] only in"),
        (_empty_test_folder, ValueError, "val' to hold one subfolder"),
        (_no_test_images, ValueError, "val' to hold enough images.*0 images"),
        (_needless_fraction, ValueError, "val' for it; received: test_fraction=0.1"),
    ],
)
def test_bad_folders_are_refused(tmp_path, make, error, message):
    arguments = {"path": tmp_path, "image_size": (6, 4), "channels": 1}
    arguments |= make(tmp_path)
    with pytest.raises(error, match=message):
        image_folder(**arguments)


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("image_size", [(6,), (6, 0), (6, 4, 1), 6, (6.0, 4), "64", None]),
        ("channels", [0, 2, "3", None]),
        ("batch_size", [0, None, True]),
        ("seed", [-1]),
        ("test_fraction", [0.0, 1]),
        ("rescale", [(1, 0), 255]),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, argument, values):
    _write_classes(tmp_path)
    for value in values:
        with pytest.raises(ValueError, match=f"`{argument}`"):
            image_folder(tmp_path, **{"image_size": (6, 4), argument: value})


def test_images_in_memory_are_as_those_to_train_on(tmp_path):
    _write_classes(tmp_path / "train", channels=3)
    _write_classes(tmp_path / "val", count=2, first=10, channels=3)
    test = image_folder(tmp_path, (4, 3), rescale=(0.0, 2.0)).test
    paths = find_images(tmp_path / "val")
    assert [str(path) for path in paths] == test.file_paths
    found = read_images(paths, (4, 3), 3, (0.0, 2.0))
    assert found.dtype == np.float32
    expected = np.concatenate([x for x, _ in test])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_image_that_cannot_be_read_is_found(tmp_path):
    _write_classes(tmp_path)
    train, test = image_folder(tmp_path, (6, 4), 1)
    paths = train.file_paths + test.file_paths
    assert unreadable_image(paths, 1) is None
    bad = tmp_path / "bee" / "2.png"
    bad.write_bytes(bad.read_bytes()[:40])
    assert unreadable_image(paths, 1) == str(bad)
    bad.unlink()
    assert unreadable_image(paths, 1) == str(bad)
    with pytest.raises(tf.errors.NotFoundError):
        _read(train, test)
