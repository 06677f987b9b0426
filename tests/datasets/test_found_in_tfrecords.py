"""What once went wrong with TFRecords: files lost, images twice or unreadable."""

import io
import os
import sys

import numpy as np
import pytest
from PIL import Image
from record_files import encoded, read

from keras_rbcn._backend import tf
from keras_rbcn.datasets import tfrecords, write_tfrecords
from keras_rbcn.datasets.image_crops import central_crop, random_crop_and_flip

CLASSES = ("cat", "dog")


def write_images(folder, count=6):
    """Images of one grey value each, which tells the class: even ones are cats."""
    for number in range(count):
        path = folder / CLASSES[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number))


def everything(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refused(folder, message, images, output, **arguments):
    """Nothing in a folder changes when the call is refused."""
    before = everything(folder)
    with pytest.raises(ValueError, match=message):
        write_tfrecords(images, output, **arguments)
    assert everything(folder) == before


# --- folders that are replaced -----------------------------------------------


@pytest.mark.parametrize(
    "name", ["notes.txt", "train-00000-of-00001.bak", "other/train-00000-of-00001"]
)
def test_what_lies_beside_the_files_is_not_deleted(tmp_path, name):
    images, output = tmp_path / "images", tmp_path / "records"
    write_images(images)
    write_tfrecords(images, output, shards=(2, 1))
    (output / name).parent.mkdir(exist_ok=True)
    (output / name).write_text("precious")
    first = name.partition("/")[0]
    refused(tmp_path, rf"1 others: \['{first}'\]", images, output, overwrite=True)


def test_a_folder_called_as_a_file_is_not_deleted(tmp_path):
    images, output = tmp_path / "images", tmp_path / "records"
    write_images(images)
    write_tfrecords(images, output, shards=(1, 1))
    (output / "train-00000-of-00002").mkdir()
    refused(tmp_path, "1 others", images, output, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_images_inside_the_output_are_not_deleted(tmp_path, overwrite):
    output = tmp_path / "records"
    write_images(output / "images")
    (output / "tfrecords.json").write_text("{}")
    (tmp_path / "link").symlink_to(output / "images")
    for images in (output / "images", tmp_path / "link"):
        message = "`output` not to hold the folder of images"
        refused(tmp_path, message, images, output, overwrite=overwrite)


def test_a_mount_point_is_refused_at_the_call(tmp_path, monkeypatch):
    images, output = tmp_path / "images", tmp_path / "volume"
    write_images(images)
    output.mkdir()
    (tmp_path / "link").symlink_to(output)
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == str(output))
    for name in (output, tmp_path / "link"):
        message = "mount point, .* inside it, such as '.*/tfrecords'"
        refused(tmp_path, message, images, name)
    # What the message proposes.
    write_tfrecords(images, output / "tfrecords", shards=(1, 1))
    assert (output / "tfrecords" / "tfrecords.json").is_file()


# --- which images ------------------------------------------------------------


def found_images(images, output):
    """Numbers and labels of all images that are written."""
    write_tfrecords(images, output, test_fraction=0.25, shards=(1, 1))
    train, test = tfrecords(output, (6, 4))
    return sorted(read(train) + read(test))


def test_links_in_a_circle_are_followed_once(tmp_path):
    images = tmp_path / "images"
    write_images(images, 8)
    expected = [(number, number % 2) for number in range(8)]
    (images / "cat" / "self").symlink_to(images / "cat")
    # Not the way to the other class.
    (images / "cat" / "above").symlink_to(images)
    assert found_images(images, tmp_path / "circle") == expected
    # Every folder leads to every other: 12! ways through them.
    for number in range(12):
        (images / "dog" / f"{number}").mkdir()
        (images / "dog" / f"{number}" / "image.png").write_bytes(encoded(100 + number))
        for other in range(12):
            link = images / "dog" / f"{number}" / f"to-{other}"
            link.symlink_to(images / "dog" / f"{other}")
    expected += [(100 + number, 1) for number in range(12)]
    assert found_images(images, tmp_path / "mesh") == expected


def test_links_elsewhere_are_followed_and_hidden_folders_are_not(tmp_path):
    images = tmp_path / "images"
    write_images(images, 4)
    for folder in (tmp_path / "elsewhere", images / "dog" / ".thumbnails"):
        (folder / "deeper").mkdir(parents=True)
        (folder / "deeper" / "image.png").write_bytes(encoded(100))
    (images / "dog" / "link").symlink_to(tmp_path / "elsewhere")
    (images / "dog" / "again").symlink_to(tmp_path / "elsewhere" / "deeper")
    (images / "mouse").symlink_to(tmp_path / "elsewhere")
    # Of the class "mouse" too, which is that folder.
    expected = [(0, 0), (1, 1), (2, 0), (3, 1), (100, 1), (100, 2)]
    (images / "mouse" / "second.png").write_bytes(encoded(101))
    expected += [(101, 1), (101, 2)]
    assert found_images(images, tmp_path / "records") == expected


@pytest.mark.parametrize(
    ("encoding", "end"), [("utf-8", ""), ("utf-8", "\n\n  \n"), ("utf-8-sig", "\r\n")]
)
def test_classes_with_spaces_in_a_file_of_labels(tmp_path, encoding, end):
    names = ("great white shark", "tench")
    for number, name in enumerate(names):
        (tmp_path / "images" / "train" / name).mkdir(parents=True)
        path = tmp_path / "images" / "train" / name / "0.png"
        path.write_bytes(encoded(number))
    (tmp_path / "images" / "val").mkdir()
    for number in range(3):
        path = tmp_path / "images" / "val" / f"{number}.png"
        path.write_bytes(encoded(100 + number))
    text = "\n".join([names[0], names[1], names[0]]) + end
    (tmp_path / "labels.txt").write_bytes(text.encode(encoding))
    write_tfrecords(
        tmp_path / "images",
        tmp_path / "records",
        test_labels=tmp_path / "labels.txt",
        shards=(1, 1),
    )
    _, test = tfrecords(tmp_path / "records", (6, 4))
    assert sorted(read(test)) == [(100, 0), (101, 1), (102, 0)]
    # A blank line in between is a class that is missing.
    text = "\n".join([names[0], "", names[0]])
    (tmp_path / "labels.txt").write_text(text)
    refused(
        tmp_path,
        r"1 others, such as \[''\]",
        tmp_path / "images",
        tmp_path / "other",
        test_labels=tmp_path / "labels.txt",
    )


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 elsewhere")
@pytest.mark.parametrize("name", [b"dog/\xff.png", b"d\xf6g/0.png"])
def test_a_name_that_is_not_utf8_is_named(tmp_path, name):
    images = tmp_path / "images"
    write_images(images)
    path = images / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encoded(9))
    message = r"UTF-8, received: '.*\\udc[0-9a-f]{2}.*Rename it"
    refused(tmp_path, message, images, tmp_path / "records")


# --- which formats -----------------------------------------------------------


def file_of(mode, file_format, colour=(200, 100, 50)):
    content = io.BytesIO()
    image = Image.fromarray(np.full((6, 4, 3), colour, "uint8")).convert(mode)
    image.save(content, file_format)
    return content.getvalue()


def test_another_format_is_refused_and_named(tmp_path):
    write_images(tmp_path / "images")
    webp = file_of("RGB", "WEBP")
    # TensorFlow itself would take it.
    assert tf.io.decode_image(webp).shape == (1, 6, 4, 3)
    (tmp_path / "images" / "dog" / "web.jpg").write_bytes(webp)
    message = r"dog/web\.jpg' as an image: remove it, .*JPEG or PNG"
    refused(tmp_path, message, tmp_path / "images", tmp_path / "records")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_what_is_written_can_be_read_with_any_channels(tmp_path, channels):
    """Pillow tells what the pixels must be."""
    kinds = [
        (mode, file_format)
        for file_format, modes in (
            ("JPEG", ("L", "RGB", "CMYK")),
            ("PNG", ("L", "LA", "P", "RGB", "RGBA")),
            ("GIF", ("L", "RGB")),
            ("BMP", ("L", "RGB", "RGBA")),
        )
        for mode in modes
    ]
    for number, (mode, file_format) in enumerate(kinds):
        # The class tells which kind it is.
        path = tmp_path / "images" / f"{number:02d}" / f"0.{file_format.lower()}"
        path.parent.mkdir(parents=True)
        path.write_bytes(file_of(mode, file_format))
    for split in ("train", "val"):
        (tmp_path / "split").mkdir(exist_ok=True)
        (tmp_path / "split" / split).symlink_to(tmp_path / "images")
    write_tfrecords(tmp_path / "split", tmp_path / "records", shards=(1, 1))
    for augment, part in ((True, 0), (False, 1)):
        data = tfrecords(
            tmp_path / "records", (5, 5), channels, 13, 0, (0, 255), augment=augment
        )[part]
        ((x, y),) = data
        assert x.shape == (13, 5, 5, channels)
        for image, label in zip(x.numpy(), y.numpy(), strict=True):
            mode, file_format = kinds[label]
            content = io.BytesIO(file_of(mode, file_format))
            target = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
            with Image.open(content) as opened:
                expected = np.asarray(opened.convert(target)).reshape(6, 4, -1)[0, 0]
            error = abs(image - expected).max()
            assert error <= 3, (mode, file_format, image[0, 0], expected)


def test_files_that_are_converted_are_cut_as_others_are():
    """TensorFlow makes grey of PNG files itself, of the other two it does not."""
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (30, 40), "uint8"))
    files = {}
    for file_format in ("PNG", "BMP", "GIF"):
        content = io.BytesIO()
        grey.save(content, file_format)
        files[file_format] = content.getvalue()
    for crop in (
        lambda file: central_crop(file, (9, 9), 1, 0.8),
        lambda file: random_crop_and_flip(file, (9, 9), 1, [3, 5]),
    ):
        for file_format in ("BMP", "GIF"):
            np.testing.assert_allclose(
                crop(files[file_format]), crop(files["PNG"]), atol=1.0
            )
