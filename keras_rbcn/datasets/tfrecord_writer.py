"""Writer of sharded TFRecord files out of a folder of images."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_rbcn._backend import tf
from keras_rbcn._files import replacing_folder
from keras_rbcn.datasets.image_folder import is_image, part_folders, subfolders
from keras_rbcn.datasets.splits import (
    DEFAULT_TEST_FRACTION,
    check_arguments,
    is_integer,
)
from keras_rbcn.datasets.tfrecord_files import (
    IMAGENET_LAYOUT,
    INDEX_FILE,
    INDEX_FORMAT,
    INDEX_VERSION,
    TEST_SPLITS,
    TRAIN_SPLIT,
)

# As of ImageNet, where 1,281,167 images are in 1,024 files.
_IMAGES_IN_A_FILE = 1024
# Of a small set, so that several can be read at once, and be divided between machines.
_FEWEST_FILES = 8
# How many images are in memory at a time.
_CHUNK = 128
# How the formats that TensorFlow decodes begin.
_FORMATS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
}


# Those of `_write_split`.
_SHARD_NAME = re.compile(rf"({TRAIN_SPLIT}|{TEST_SPLITS[0]})-\d{{5}}-of-\d{{5}}")


class _Image(NamedTuple):
    path: Path
    label: int  # Counted from 0.


def write_tfrecords(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    seed: int = 0,
    test_fraction: float | None = None,
    *,
    test_labels: str | os.PathLike[str] | None = None,
    shards: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> dict[str, int]:
    """Writes a folder of images as sharded TFRecord files, which `tfrecords` reads.

    The folder is one that `image_folder` reads: one subfolder of images for each class,
    or a folder `train` with such subfolders, and one for testing, `validation`, `val`
    or `test`, beside it. The unpacked archives of ImageNet are such a folder once
    `test_labels` tells the classes of its validation images, which lie in `val` without
    subfolders.

    The files are of the layout of the ImageNet scripts of TensorFlow's models:
    `train-00000-of-01024`, `validation-00000-of-00128`, with the features
    `image/encoded` (the bytes of the image file, unchanged), `image/format`,
    `image/height`, `image/width`, `image/channels`, `image/colorspace`,
    `image/filename`, `image/class/label` (counted from 1) and `image/class/synset` (the
    name of the class). Beside them `tfrecords.json` tells the classes and the numbers
    of images. Images are in an order drawn by `seed`, so that each file holds images of
    many classes.

    The folder comes to be at the end, under its name; until then it is a hidden one
    beside it. Images are not held in memory.

    Args:
        path: The folder of images: .bmp, .gif, .jpeg, .jpg and .png files.
        output: The folder to write.
        seed: Decides the order, and which images are split off for testing.
        test_fraction: Share of the images that is split off for testing, between 0 and
            1; None for 0.2 if there is no folder for testing.
        test_labels: A text file (UTF-8) with the class of each test image on a line of
            its own, in the order of the names of the images, for a test folder without
            subfolders. For ImageNet, `imagenet_2012_validation_synset_labels.txt` of
            TensorFlow's models.
        shards: Numbers of files for training and for testing; None for one for each
            1,024 images, but 8 at least.
        overwrite: Whether a folder that was written by this function, and holds nothing
            else, is replaced.

    Returns:
        How many images were written for `train` and for `validation`.

    Raises:
        OSError: If there is no such folder, or the files cannot be written.
        ValueError: If a folder has no classes or no images, the classes for testing are
            others, an image cannot be decoded or has a name that is not UTF-8 (names
            it), `output` is not empty or a mount point, or an argument is out of its
            range. Nothing is written then.

    Example:
        >>> for number in range(8):
        ...     image = np.full((12, 9, 3), 25 * number, "uint8")
        ...     path = Path("birds", ("kiwi", "owl")[number % 2], f"{number}.png")
        ...     path.parent.mkdir(parents=True, exist_ok=True)
        ...     tf.io.write_file(str(path), tf.io.encode_png(image))
        >>> write_tfrecords("birds", "birds-tfrecords", 0, 0.25, shards=(2, 1))
        {'train': 6, 'validation': 2}
        >>> sorted(path.name for path in Path("birds-tfrecords").iterdir())[:2]
        ['tfrecords.json', 'train-00000-of-00002']
    """
    check_arguments(None, seed, test_fraction)
    _check_shards(shards)
    root, output = Path(path), Path(output)
    _check_apart(root, output)
    _check_output(output, overwrite)
    classes, parts = _find_images(root, seed, test_fraction, test_labels)
    _check_names(classes, parts)
    if shards is None:
        shards = (_default_shards(len(parts[0])), _default_shards(len(parts[1])))
    for images, number in zip(parts, shards, strict=True):
        if number > len(images):
            raise ValueError(
                "Expected no more files than images, received: "
                f"{len(parts[0])} images for training, {len(parts[1])} for testing, "
                f"shards={shards!r}."
            )
    splits = (TRAIN_SPLIT, TEST_SPLITS[0])
    output.resolve().parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(output) as beside:
        lengths = {
            split: _write_split(beside, split, images, number, classes)
            for split, images, number in zip(splits, parts, shards, strict=True)
        }
        index = {
            "format": INDEX_FORMAT,
            "version": INDEX_VERSION,
            "seed": int(seed),
            "class_names": classes,
            "shard_lengths": lengths,
        }
        (beside / INDEX_FILE).write_text(json.dumps(index, indent=1), "utf-8")
    return {split: sum(numbers) for split, numbers in lengths.items()}


def _find_images(
    root: Path, seed: int, test_fraction: float | None, test_labels: Any
) -> tuple[list[str], list[list[_Image]]]:
    """The classes, and the images to train and test on, in an order drawn by seed."""
    folders = part_folders(root)
    classes = subfolders(folders[0])
    if not classes:
        raise ValueError(
            f"Expected the folder '{folders[0]}' to hold one subfolder of images for "
            "each class; it holds no folders."
        )
    parts = [_images_of_classes(folders[0], classes)]
    random = np.random.default_rng(seed)
    if len(folders) > 1:
        if test_fraction is not None:
            raise ValueError(
                "Expected no share to split off for testing, because there is a folder "
                f"'{folders[1]}' for it; received: test_fraction={test_fraction!r}."
            )
        parts.append(_test_images(folders[1], classes, test_labels))
        parts = [_shuffled(part, random) for part in parts]
    else:
        if test_labels is not None:
            raise ValueError(
                "Expected no `test_labels`, because there is no folder for testing in "
                f"'{root}'; received: test_labels={test_labels!r}."
            )
        images = _shuffled(parts[0], random)
        tested = int(len(images) * (test_fraction or DEFAULT_TEST_FRACTION))
        parts = [images[tested:], images[:tested]]
    _check_parts(folders, classes, parts)
    return classes, parts


def _check_parts(
    folders: Sequence[Path], classes: Sequence[str], parts: Sequence[list[_Image]]
) -> None:
    for folder, part in zip((folders[0], folders[-1]), parts, strict=True):
        if not part:
            raise ValueError(
                f"Expected '{folder}' to hold enough images to train and test on, "
                f"received {len(parts[0])} to train and {len(parts[1])} to test on."
            )
    found = {image.label for image in parts[0]}
    missing = [name for label, name in enumerate(classes) if label not in found]
    if missing:
        raise ValueError(
            f"Expected images of every class in '{folders[0]}' to train on, received "
            f"none of {missing}, or so few that all were split off for testing."
        )


def _images_of_classes(folder: Path, classes: Sequence[str]) -> list[_Image]:
    return [
        _Image(path, label)
        for label, name in enumerate(classes)
        for path in _images_below(folder / name)
    ]


def _images_below(folder: Path) -> list[Path]:
    """Images in a folder and those in it, in the order of their paths.

    Hidden ones are left aside, as `find_images` does. Links are followed as
    `image_folder` does, but to each folder once, and never to one that `folder` is in:
    they may lead round in a circle.
    """
    found = []
    top = folder.resolve()
    seen = {top, *top.parents}
    for parent, folders, names in os.walk(folder, followlinks=True):
        found += [
            Path(parent, name)
            for name in names
            if is_image(Path(name)) and not name.startswith(".")
        ]
        followed = []
        for name in sorted(folders):
            real = Path(parent, name).resolve()
            if not name.startswith(".") and real not in seen:
                seen.add(real)
                followed.append(name)
        folders[:] = followed
    return sorted(found)


def _test_images(
    folder: Path, classes: Sequence[str], test_labels: Any
) -> list[_Image]:
    names = subfolders(folder)
    if names:
        if test_labels is not None:
            raise ValueError(
                f"Expected no `test_labels`, because the folder '{folder}' has a "
                f"subfolder for each class; received: test_labels={test_labels!r}."
            )
        if names != list(classes):
            raise ValueError(
                "Expected the same classes for training and for testing, received: "
                f"{sorted(set(classes) - set(names))} only for training, "
                f"{sorted(set(names) - set(classes))} only in '{folder}'. A class "
                "without test images needs an empty folder."
            )
        return _images_of_classes(folder, classes)
    paths = _images_below(folder)
    if test_labels is None:
        raise ValueError(
            f"Expected the folder '{folder}' to hold one subfolder of images for each "
            f"class; it holds {len(paths)} images and no folders. If a text file tells "
            "their classes, name it in `test_labels`."
        )
    labels = _lines(Path(test_labels))
    if len(labels) != len(paths):
        raise ValueError(
            f"Expected a class in '{os.fspath(test_labels)}' for each of the "
            f"{len(paths)} images in '{folder}', received {len(labels)}."
        )
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise ValueError(
            f"Expected '{os.fspath(test_labels)}' to name classes that have a folder "
            f"to train on, received {len(unknown)} others, such as {unknown[:3]}."
        )
    numbers = {name: label for label, name in enumerate(classes)}
    return [
        _Image(path, numbers[name]) for path, name in zip(paths, labels, strict=True)
    ]


def _lines(path: Path) -> list[str]:
    """The lines of a text file, but for blank ones at the end."""
    # Some editors put a byte order mark in front.
    text = path.read_text("utf-8-sig").rstrip()
    # `splitlines` knows ends of lines that may be in a name.
    return [line.strip() for line in text.split("\n")] if text else []


def _check_names(classes: Sequence[str], parts: Sequence[list[_Image]]) -> None:
    """Names go into the records as UTF-8; those of files may be of any bytes."""
    paths = (str(image.path) for part in parts for image in part)
    for name in itertools.chain(classes, paths):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                "Expected names of classes and files to be UTF-8, received: "
                f"{name!r}. Rename it."
            ) from error


def _shuffled(images: list[_Image], random: np.random.Generator) -> list[_Image]:
    return [images[number] for number in random.permutation(len(images))]


def _default_shards(images: int) -> int:
    return max(-(-images // _IMAGES_IN_A_FILE), min(images, _FEWEST_FILES))


def _write_split(
    folder: Path,
    split: str,
    images: Sequence[_Image],
    shards: int,
    classes: Sequence[str],
) -> list[int]:
    """Writes the files of a part; returns how many images each holds."""
    bounds = [len(images) * number // shards for number in range(shards + 1)]
    for number, (start, stop) in enumerate(itertools.pairwise(bounds)):
        path = folder / f"{split}-{number:05d}-of-{shards:05d}"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in _records(images[start:stop], classes):
                writer.write(record)
    return [stop - start for start, stop in itertools.pairwise(bounds)]


def _records(images: Sequence[_Image], classes: Sequence[str]) -> Iterator[bytes]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(images), _CHUNK):
            chunk = images[start : start + _CHUNK]
            yield from pool.map(lambda image: _record(image, classes), chunk)


def _record(image: _Image, classes: Sequence[str]) -> bytes:
    encoded = image.path.read_bytes()
    # TensorFlow may decode others (WebP), but not with all numbers of channels.
    name = next((_FORMATS[one] for one in _FORMATS if encoded.startswith(one)), None)
    try:
        if name is None:
            raise ValueError(f"begins with {encoded[:4]!r}")
        decoded = tf.io.decode_image(encoded, expand_animations=False)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"Cannot read '{image.path}' as an image: remove it, or save it again as "
            f"{' or '.join(_FORMATS.values())}."
        ) from error
    height, width, channels = decoded.shape
    features = {
        IMAGENET_LAYOUT.image: encoded,
        IMAGENET_LAYOUT.label: image.label + IMAGENET_LAYOUT.first_label,
        "image/class/synset": classes[image.label].encode(),
        "image/filename": image.path.name.encode(),
        "image/format": name.encode(),
        "image/height": height,
        "image/width": width,
        "image/channels": channels,
        "image/colorspace": b"RGB" if channels > 2 else b"Grayscale",
    }
    feature = {key: _feature(value) for key, value in features.items()}
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    return example.SerializeToString(deterministic=True)


def _feature(value: bytes | int) -> Any:
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def _check_shards(shards: Any) -> None:
    if shards is None:
        return
    numbers = tuple(shards) if isinstance(shards, list | tuple) else ()
    if len(numbers) != 2 or not all(is_integer(n) and 0 < n < 10**5 for n in numbers):
        raise ValueError(
            "Expected `shards` to be the numbers of files for training and for "
            f"testing, two integers from 1 to 99,999, received: shards={shards!r}."
        )


def _check_apart(root: Path, output: Path) -> None:
    """Neither of the two folders may lie in the other."""
    if output.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"Expected `output` to lie outside of the folder of images, '{root}', "
            f"where it would be taken for a class; received: output='{output}'."
        )
    if root.resolve().is_relative_to(output.resolve()):
        raise ValueError(
            f"Expected `output` not to hold the folder of images, '{root}', because it "
            f"is replaced as a whole; received: output='{output}'. Name a folder "
            "beside the images."
        )


def _check_output(output: Path, overwrite: bool) -> None:
    if not output.exists():
        return
    if not output.is_dir():
        raise ValueError(f"Expected '{output}' to be a folder, but it is a file.")
    # It could not be put in its place at the end.
    if os.path.ismount(output.resolve()):
        raise ValueError(
            f"Expected '{output}' to be an ordinary folder, but it is a mount point, "
            f"which cannot be replaced: name a folder inside it, such as "
            f"'{output / 'tfrecords'}'."
        )
    if not any(output.iterdir()):
        return
    if not overwrite:
        raise ValueError(
            f"Expected the folder '{output}' to be empty: name another one, or pass "
            "overwrite=True to replace it."
        )
    # What else is in there is not ours to delete.
    if not (output / INDEX_FILE).exists():
        raise ValueError(
            f"Expected '{output}' to have been written by write_tfrecords, since it is "
            f"to be replaced, but it holds no {INDEX_FILE}: delete it yourself."
        )
    others = sorted(
        entry.name
        for entry in output.iterdir()
        if not entry.is_file()
        or not (entry.name == INDEX_FILE or _SHARD_NAME.fullmatch(entry.name))
    )
    if others:
        raise ValueError(
            f"Expected '{output}' to hold nothing but what write_tfrecords has "
            f"written, since it is to be replaced, received {len(others)} others: "
            f"{others[:3]}. Move them elsewhere."
        )
