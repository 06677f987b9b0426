"""The numbers that images become are those of the training."""

import numpy as np
import pytest

from keras_rbcn import ImagePreprocessing, datasets
from keras_rbcn._backend import tf
from keras_rbcn.datasets.image_crops import central_crop
from keras_rbcn.datasets.image_folder import find_images, read_images
from keras_rbcn.tflite.quantization import Quantization

# Rounding of float32 alone: the range is told in other terms than in training.
CLOSE = {"rtol": 0, "atol": 1e-6}


def _image(height, width, channels=3, seed=0):
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


@pytest.fixture
def folder(tmp_path):
    """Images of several sizes and two classes."""
    for number, size in enumerate([(5, 7), (40, 30), (8, 12), (1, 1), (9, 64)] * 2):
        path = tmp_path / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        tf.io.write_file(str(path), tf.io.encode_png(_image(*size, seed=number)))
    return tmp_path


@pytest.mark.parametrize("rescale", [(-1.0, 1.0), (0.0, 1.0), (0.0, 255.0)])
def test_it_is_what_the_training_pipeline_gives(folder, rescale):
    _, test = datasets.image_folder(folder, (8, 12), rescale=rescale, batch_size=1)
    preprocessing = ImagePreprocessing.from_range(*rescale)
    compared = 0
    for path, (images, _) in zip(test.file_paths, test, strict=True):
        pixels = tf.io.decode_png(tf.io.read_file(path)).numpy()
        received = preprocessing.apply(pixels, (8, 12), 3)
        scale = rescale[1] - rescale[0]
        np.testing.assert_allclose(received / scale, images[0].numpy() / scale, **CLOSE)
        compared += 1
    assert compared == 2


def test_it_is_what_the_command_line_reads(folder):
    paths = find_images(folder)
    expected = read_images(paths, (8, 12), 3, (-1.0, 1.0))
    preprocessing = ImagePreprocessing.from_range(-1, 1)
    for path, image in zip(paths, expected, strict=True):
        pixels = tf.io.decode_png(tf.io.read_file(str(path))).numpy()
        np.testing.assert_allclose(
            preprocessing.apply(pixels, (8, 12), 3), image, **CLOSE
        )


@pytest.mark.parametrize("fraction", [0.875, 1.0, 0.3])
@pytest.mark.parametrize(
    "size", [(20, 30), (30, 20), (33, 33), (1, 9), (100, 3), (17, 16)]
)
def test_the_middle_is_that_of_tfrecords(fraction, size):
    image = _image(*size)
    encoded = tf.io.encode_png(image)
    expected = central_crop(encoded, (8, 12), 3, fraction).numpy()
    preprocessing = ImagePreprocessing(0, 1, crop_fraction=fraction)
    np.testing.assert_array_equal(preprocessing.apply(image, (8, 12), 3), expected)


def test_each_channel_has_its_numbers():
    preprocessing = ImagePreprocessing([1, 2, 3], [2.0, 4.0, 8.0])
    image = np.full((2, 2, 3), 11, "uint8")
    received = preprocessing.apply(image, (1, 1), 3)
    assert received.dtype == np.float32
    assert received.tolist() == [[[5.0, 2.25, 1.0]]]


def test_one_of_two_may_be_for_all_channels():
    received = ImagePreprocessing(1, [1, 2, 5]).for_channels(3)
    assert received == ([1, 1, 1], [1, 2, 5])


def test_colours_become_grey():
    # By hand: 0.299 * 255 = 76.245, 0.587 * 255 = 149.685, 0.114 * 255 = 29.07;
    # 0.299 * 10 + 0.587 * 20 + 0.114 * 35 = 18.72.
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (10, 20, 35), (255, 255, 255)]
    image = np.array([colours], "uint8")
    received = ImagePreprocessing(0, 1).apply(image, (1, 5), 1)
    assert received.ravel().tolist() == [76, 150, 29, 19, 255]
    grey = np.arange(256, dtype="uint8").reshape(16, 16)
    received = ImagePreprocessing(0, 1).apply(np.stack([grey] * 3, -1), (16, 16), 1)
    np.testing.assert_array_equal(received[..., 0], grey)


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1)])
def test_grey_images_become_colours(shape):
    image = _image(4, 6, 1).reshape(shape)
    received = ImagePreprocessing(0, 1).apply(image, (4, 6), 3)
    for channel in range(3):
        np.testing.assert_array_equal(received[..., channel], image.reshape(4, 6))


def test_ranges():
    assert ImagePreprocessing.from_range(-1, 1) == ImagePreprocessing(127.5, 127.5)
    unit = ImagePreprocessing.from_range(0, 1)
    assert unit == ImagePreprocessing(0, 255)
    assert str(unit.mean) == "(0.0,)"  # And not -0.0.
    assert ImagePreprocessing.from_range(0, 255, 0.5).crop_fraction == 0.5


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ((float("nan"), 1), "`mean` to be a finite number.*nan"),
        (("1", 1), "`mean`.*'1'"),
        ((True, 1), "`mean`.*True"),
        (([], 1), r"`mean`.*\[\]"),
        ((0, [1, float("inf"), 1]), "`std`.*inf"),
        ((0, 0), "`std` to be positive"),
        ((0, [1, -1, 1]), "`std` to be positive"),
        ((0, 1, 0), "`crop_fraction`.*0"),
        ((0, 1, 1.5), "`crop_fraction`.*1.5"),
        ((0, 1, True), "`crop_fraction`.*True"),
    ],
)
def test_wrong_numbers(arguments, fragment):
    with pytest.raises(ValueError, match=fragment):
        ImagePreprocessing(*arguments)


@pytest.mark.parametrize(
    "borders",
    [(1, 1), (1, -1), (0, float("inf")), (float("-inf"), 0), ("0", 1), (-1e308, 1e308)],
)
def test_wrong_ranges(borders):
    with pytest.raises(ValueError, match="what black and white become"):
        ImagePreprocessing.from_range(*borders)


@pytest.mark.parametrize(
    "shape", [(4, 4, 4), (4, 4, 2), (4,), (2, 4, 4, 3), (0, 4, 3), (4, 0, 3)]
)
def test_wrong_images(shape):
    with pytest.raises(ValueError, match=r"Expected an image of shape"):
        ImagePreprocessing(0, 1).apply(np.zeros(shape, "uint8"), (4, 4), 3)


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_wrong_types(dtype):
    with pytest.raises(TypeError, match=f"uint8.*received: dtype={dtype}"):
        ImagePreprocessing(0, 1).apply(np.zeros((4, 4, 3), dtype), (4, 4), 3)


def test_numbers_for_other_channels():
    with pytest.raises(ValueError, match=r"one number, or 1 for the channels"):
        ImagePreprocessing([1, 2, 3], 1).for_channels(1)


def test_quantization_is_that_of_the_formula():
    quantization = Quantization(0.5, -3)
    values = np.array([0, 0.24, 0.25, 0.74, 0.75, -0.25, 63, 65, 500, -500], "float32")
    # Halves to the even integer: 0.5, 1.5, -0.5 become 0, 2, 0.
    expected = [-3, -3, -3, -2, -1, -3, 123, 127, 127, -128]
    received = quantization.to_integers(values, np.dtype("int8"))
    assert received.dtype == np.int8
    assert received.tolist() == expected
    back = quantization.to_numbers(np.array([-128, -3, 127], "int8"))
    assert back.tolist() == [-62.5, 0, 65]
    unsigned = Quantization(0.5, 128).to_integers(values[-2:], np.dtype("uint8"))
    assert unsigned.tolist() == [255, 0]
