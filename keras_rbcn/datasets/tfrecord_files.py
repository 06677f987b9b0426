"""What a folder of TFRecord files holds: which files, of which layout, how many images.

A TFRecord file is a sequence of records: the length of the data (uint64), a checksum of
it (uint32), the data, and a checksum of these (uint32).
"""

from __future__ import annotations

import errno
import json
import os
import re
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_rbcn._backend import tf

# What a record takes besides its data, in bytes.
RECORD_OVERHEAD = 16
# Written by `write_tfrecords` beside the files.
INDEX_FILE = "tfrecords.json"
INDEX_FORMAT = "keras_rbcn.tfrecords"
INDEX_VERSION = 1

TRAIN_SPLIT = "train"
# The first of these that there is.
TEST_SPLITS = ("validation", "val", "test")

_SPLITS = (TRAIN_SPLIT, *TEST_SPLITS)
_FILE_NAME = re.compile(
    rf"(?P<prefix>(.+-)?(?P<split>{'|'.join(_SPLITS)})(\.tfrecord)?-)"
    r"(?P<number>\d{5,})-of-(?P<count>\d{5,})"
)
_TFDS_INFO = "dataset_info.json"
_GZIP = b"\x1f\x8b"
_COUNTING_THREADS = 16


@dataclass(frozen=True)
class Layout:
    """How records name what they hold.

    Args:
        name: For messages.
        image: Name of the feature that holds the encoded image.
        label: Name of the feature that holds the number of the class.
        first_label: Number of the first class.
    """

    name: str
    image: str
    label: str
    first_label: int


IMAGENET_LAYOUT = Layout("ImageNet scripts", "image/encoded", "image/class/label", 1)
TFDS_LAYOUT = Layout("TensorFlow Datasets", "image", "label", 0)
_LAYOUTS = (IMAGENET_LAYOUT, TFDS_LAYOUT)


@dataclass(frozen=True)
class Shards:
    """The files of one part of a data set.

    Args:
        paths: In the order of their numbers.
        lengths: How many records each holds; None if that is not known.
    """

    paths: tuple[Path, ...]
    lengths: tuple[int, ...] | None = None


@dataclass(frozen=True)
class RecordFolder:
    """A folder of TFRecord files.

    Args:
        layout: Of all records.
        train: The files to train on.
        test: The files to test on.
        class_names: In the order of their numbers; None if they are not known.
        classes: Number of classes; None if it is not known.
    """

    layout: Layout
    train: Shards
    test: Shards
    class_names: list[str] | None
    classes: int | None


def read_folder(root: Path) -> RecordFolder:
    """Finds the files in a folder, and what lies beside them; counts nothing.

    Raises:
        OSError: If there is no such folder.
        ValueError: If files are missing, of several data sets, or of no known layout.
    """
    if not root.is_dir():
        number = errno.ENOTDIR if root.exists() else errno.ENOENT
        raise OSError(number, os.strerror(number), str(root))
    found = _find_shards(root)
    train, test = (_part(root, found, names) for names in ((TRAIN_SPLIT,), TEST_SPLITS))
    layouts = [_layout(found[name]) for name in (train, test)]
    if layouts[0] != layouts[1]:
        raise ValueError(
            f"Expected the files in '{root}' to be of one layout, received "
            f"{layouts[0].name} for '{train}', {layouts[1].name} for '{test}'."
        )
    lengths, names = _read_index(root) or _read_tfds_info(root) or ({}, None)
    parts = [
        Shards(found[name], _checked_lengths(root, name, found[name], lengths))
        for name in (train, test)
    ]
    classes = len(names) if names else _tfds_classes(root)
    return RecordFolder(layouts[0], parts[0], parts[1], names, classes)


def counted(shards: Shards) -> Shards:
    """With the numbers of records, from the lengths that stand in front of each.

    Raises:
        ValueError: If a file is cut off or no TFRecord file; names it.
    """
    if shards.lengths is not None:
        return shards
    with ThreadPoolExecutor(_COUNTING_THREADS) as pool:
        return Shards(shards.paths, tuple(pool.map(_count_records, shards.paths)))


def first_record(paths: Sequence[Path]) -> tuple[Path, Any]:
    """The first record of these files, a `tf.train.Example`, and the file it is in.

    Raises:
        ValueError: If there is none, or it cannot be read; names the file.
    """
    for path in paths:
        with path.open("rb") as file:
            if file.read(2) == _GZIP:
                raise ValueError(
                    f"Expected '{path}' to be a TFRecord file, but it is compressed "
                    "(gzip): write it again without compression."
                )
        try:
            for record in tf.data.TFRecordDataset(str(path)).take(1):
                return path, tf.train.Example.FromString(record.numpy())
        # What TensorFlow and what protobuf raise.
        except Exception as error:
            raise ValueError(
                f"Expected '{path}' to be a TFRecord file of tf.train.Example "
                f"messages; its first record cannot be read: {_reason(error)}."
            ) from error
    raise ValueError(
        f"Expected records in '{paths[0]}' and the {len(paths) - 1} other files of "
        "this part; they hold none."
    )


def _find_shards(root: Path) -> dict[str, tuple[Path, ...]]:
    """The files of each part, complete and in order, in the folder or one for each."""
    folders = [root, *(root / name for name in _SPLITS)]
    sets: dict[str, dict[tuple[Path, str, int], dict[int, Path]]] = {}
    for folder in filter(Path.is_dir, folders):
        for path in sorted(folder.iterdir()):
            match = _FILE_NAME.fullmatch(path.name)
            if match is None or not path.is_file():
                continue
            if folder == root or folder.name == match["split"]:
                key = (folder, match["prefix"], int(match["count"]))
                files = sets.setdefault(match["split"], {}).setdefault(key, {})
                files[int(match["number"])] = path
    return {name: _one_set(root, name, found) for name, found in sets.items()}


def _one_set(
    root: Path, split: str, found: dict[tuple[Path, str, int], dict[int, Path]]
) -> tuple[Path, ...]:
    if len(found) > 1:
        examples = [min(files.values()).name for files in found.values()]
        raise ValueError(
            f"Expected the files for '{split}' in '{root}' to be of one data set, "
            f"received files of several: {examples}. Move the others elsewhere."
        )
    ((folder, prefix, count), files) = next(iter(found.items()))
    missing = [n for n in range(count) if n not in files]
    if missing:
        names = [f"{prefix}{n:05d}-of-{count:05d}" for n in missing[:3]]
        raise ValueError(
            f"Expected {count} files '{prefix}...-of-{count:05d}' in '{folder}', "
            f"received {count - len(missing)}; missing: {', '.join(names)}"
            + (f" and {len(missing) - 3} more." if len(missing) > 3 else ".")
        )
    return tuple(files[n] for n in range(count))


def _part(root: Path, found: dict[str, Any], names: Sequence[str]) -> str:
    """The first of the parts that there is."""
    for name in names:
        if name in found:
            return name
    raise ValueError(
        f"Expected '{root}' to hold TFRecord files for '{' or '.join(names)}', named "
        f"like '{names[0]}-00000-of-00008' or "
        f"'imagenet2012-{names[0]}.tfrecord-00000-of-00008'; it holds "
        f"{f'only those for {sorted(found)}' if found else 'none'}.{_hint(root)}"
    )


def _hint(root: Path) -> str:
    """What may have been meant by a folder without files."""
    file_format = _json_object(root / _TFDS_INFO).get("fileFormat", "tfrecord")
    if file_format != "tfrecord":
        return (
            f" TensorFlow Datasets has written files of the format '{file_format}': "
            "prepare them with file_format='tfrecord'."
        )
    below = {
        path.parent
        for pattern in ("*/*-of-*", "*/*/*-of-*")
        for path in root.glob(pattern)
        if _FILE_NAME.fullmatch(path.name)
    }
    below -= {root / name for name in _SPLITS}
    return f" Did you mean '{max(below)}'?" if below else ""


def _layout(paths: Sequence[Path]) -> Layout:
    path, example = first_record(paths)
    features = example.features.feature
    for layout in _LAYOUTS:
        if layout.image in features and layout.label in features:
            image, label = features[layout.image], features[layout.label]
            if len(image.bytes_list.value) == len(label.int64_list.value) == 1:
                return layout
            raise ValueError(
                f"Expected records in '{path}' to hold one image (bytes) as "
                f"'{layout.image}' and one class number (int64) as '{layout.label}', "
                f"received {_described(image)} and {_described(label)}."
            )
    expected = " or ".join(f"'{one.image}' and '{one.label}'" for one in _LAYOUTS)
    raise ValueError(
        f"Expected records in '{path}' to have the features {expected}, received: "
        f"{sorted(features)}."
    )


def _described(feature: Any) -> str:
    kind = feature.WhichOneof("kind") or "bytes_list"
    return f"{len(getattr(feature, kind).value)} of {kind}"


def _checked_lengths(
    root: Path, name: str, paths: Sequence[Path], lengths: dict[str, Any]
) -> tuple[int, ...] | None:
    if name not in lengths:
        return None
    if len(lengths[name]) != len(paths):
        raise ValueError(
            f"Expected the {len(lengths[name])} files for '{name}' that the JSON file "
            f"in '{root}' tells of, received {len(paths)} files: they are of two "
            "versions of the data."
        )
    return tuple(lengths[name])


def _read_index(root: Path) -> tuple[dict[str, Any], list[str] | None] | None:
    """Numbers of records and names of classes, as `write_tfrecords` tells them."""
    path = root / INDEX_FILE
    if not path.exists():
        return None
    index = _json_object(path)
    if index.get("format") != INDEX_FORMAT:
        raise ValueError(
            f"Expected '{path}' to have been written by write_tfrecords; its format "
            f"is {index.get('format')!r}."
        )
    if index.get("version") != INDEX_VERSION:
        raise ValueError(
            f"Expected '{path}' to be of version {INDEX_VERSION}, received: "
            f"version={index.get('version')!r}. Install a newer keras_rbcn, or write "
            "the files again."
        )
    return index["shard_lengths"], index["class_names"]


def _read_tfds_info(root: Path) -> tuple[dict[str, Any], list[str] | None] | None:
    """The same, as TensorFlow Datasets tells them."""
    if not (root / _TFDS_INFO).exists():
        return None
    splits = _json_object(root / _TFDS_INFO).get("splits", [])
    # Protocol buffers write 64-bit integers as strings.
    lengths = {
        split["name"]: [int(length) for length in split["shardLengths"]]
        for split in splits
        if split.get("shardLengths")
    }
    names_file = root / f"{TFDS_LAYOUT.label}.labels.txt"
    if not names_file.exists():
        return lengths, None
    return lengths, names_file.read_text("utf-8").strip("\n").split("\n")


def _tfds_classes(root: Path) -> int | None:
    features = _json_object(root / "features.json")
    for key in ("featuresDict", "features", TFDS_LAYOUT.label, "classLabel"):
        features = features.get(key, {})
    return int(features["numClasses"]) if "numClasses" in features else None


def _json_object(path: Path) -> dict[str, Any]:
    """What a JSON file holds; nothing if there is no such file."""
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"Cannot read '{path}' as JSON: {error}.") from error
    return value if isinstance(value, dict) else {}


def _count_records(path: Path) -> int:
    size = path.stat().st_size
    count = position = 0
    with path.open("rb", buffering=0) as file:
        while position < size:
            file.seek(position)
            head = file.read(8)
            if len(head) < 8:
                break
            position += struct.unpack("<Q", head)[0] + RECORD_OVERHEAD
            count += 1
    if position != size:
        raise ValueError(
            f"Expected '{path}' to be a whole TFRecord file; it is cut off or damaged "
            f"at record {max(count - 1, 0)} (counted from 0): copy or write it again."
        )
    return count


def _reason(error: Exception) -> str:
    text = str(getattr(error, "message", None) or error)
    return text.rpartition("}}")[2].partition(" [Op:")[0].strip().rstrip(".")
