"""TFRecord files that cannot be used: what is found at the call, what while reading."""

import gzip
import json
import shutil

import pytest
from record_files import (
    CLASSES,
    TEST,
    TRAIN,
    encoded,
    example,
    imagenet_example,
    labelled,
    read,
    tfds_example,
    write_imagenet,
    write_shards,
    write_tfds,
)

from keras_rbcn._backend import tf
from keras_rbcn.datasets import tfrecords

SIZE = (6, 4)


def _missing(folder):
    return {"path": folder / "none"}


def _file(folder):
    (folder / "file").write_text("a file")
    return {"path": folder / "file"}


def _empty(folder):
    return {}


def _other_files(folder):
    (folder / "images-00000-of-00001").write_text("of no known part")
    return {}


def _only_training(folder):
    write_imagenet(folder)
    for path in folder.glob("validation-*"):
        path.unlink()
    return {}


def _folder_above(folder):
    write_tfds(folder / "imagenet2012" / "5.1.0")
    return {}


def _array_record(folder):
    (folder / "dataset_info.json").write_text('{"fileFormat": "array_record"}')
    (folder / "x-train.array_record-00000-of-00001").write_text("array record")
    return {}


def _missing_shard(folder):
    write_imagenet(folder)
    (folder / "train-00001-of-00004").unlink()
    return {}


def _missing_last_shard(folder):
    write_tfds(folder)
    (folder / "imagenet2012-validation.tfrecord-00001-of-00002").unlink()
    return {}


def _two_versions(folder):
    write_imagenet(folder)
    write_imagenet(folder, shards=(3, 2))
    return {}


def _two_names(folder):
    write_tfds(folder)
    write_tfds(folder, name="cifar10")
    return {}


def _both_namings(folder):
    write_tfds(folder)
    write_imagenet(folder)
    return {}


def _two_layouts(folder):
    examples = [imagenet_example(*one) for one in labelled(0, 4)]
    write_shards(folder, "train", examples, 1)
    examples = [tfds_example(*one) for one in labelled(0, 4)]
    write_shards(folder, "validation", examples, 1)
    return {}


def _with(record):
    def make(folder):
        for name in ("train", "val"):
            write_shards(folder, name, [record] * 3, 2)
        return {}

    return make


def _no_records(folder):
    write_imagenet(folder)
    for path in folder.glob("train-*"):
        path.write_bytes(b"")
    return {}


def _compressed(folder):
    write_imagenet(folder)
    for path in folder.glob("train-*"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return {}


def _text(folder):
    write_imagenet(folder)
    (folder / "train-00000-of-00004").write_text("a text with many characters")
    return {}


def _cut_off(folder, at=-9, shard=2):
    write_imagenet(folder)
    path = folder / f"train-{shard:05d}-of-00004"
    path.write_bytes(path.read_bytes()[:at])
    return {}


def _length_damaged(folder):
    write_imagenet(folder)
    path = folder / "validation-00001-of-00002"
    content = bytearray(path.read_bytes())
    content[3] = 77  # Far more than there is.
    path.write_bytes(content)
    return {}


def _label_from_one(folder):
    write_imagenet(folder)
    return {"first_label": 2}


def _too_few_classes(folder):
    examples = [tfds_example(number, 2) for number in range(3)]
    for name in ("train", "test"):
        write_shards(folder, name, examples, 1)
    return {"classes": 2}


def _other_number_of_classes(folder):
    write_tfds(folder)
    return {"classes": 1000}


def _other_number_of_files(folder):
    write_tfds(folder)
    info = json.loads((folder / "dataset_info.json").read_text())
    info["splits"][0]["shardLengths"].pop()
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return {}


def _damaged_info(folder):
    write_tfds(folder)
    (folder / "dataset_info.json").write_text('{"splits":')
    return {}


def _index(**content):
    def make(folder):
        write_imagenet(folder)
        (folder / "tfrecords.json").write_text(json.dumps(content))
        return {}

    return make


def _too_large_batch(folder):
    write_imagenet(folder)
    return {"batch_size": TRAIN + 1, "drop_remainder": True}


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (_missing, FileNotFoundError, "none"),
        (_file, NotADirectoryError, "file"),
        (_empty, ValueError, "'train', named like 'train-00000-of-.*it holds none"),
        (_other_files, ValueError, "it holds none"),
        (_only_training, ValueError, r"'validation or val or test'.*only.*\['train'\]"),
        (_folder_above, ValueError, "Did you mean '.*imagenet2012/5.1.0'"),
        (_array_record, ValueError, "'array_record': prepare.*file_format='tfrecord'"),
        (_missing_shard, ValueError, "received 3; missing: train-00001-of-00004"),
        (
            _missing_last_shard,
            ValueError,
            r"missing: imagenet2012-v.*-00001-of-00002\.",
        ),
        (_two_versions, ValueError, "several: .*00000-of-00003.*00000-of-00004"),
        (_two_names, ValueError, "several: .*cifar10-train.*imagenet2012-train"),
        (_both_namings, ValueError, r"several: .*2-train\.tfrecord-.*'train-0"),
        (_two_layouts, ValueError, "ImageNet scripts for 'train', TensorFlow Datasets"),
        (
            _with(example(img=b"x", target=1)),
            ValueError,
            r"'image/encoded' and 'image/class/label' or .*: \['img', 'target'\]",
        ),
        (
            _with(example(image=encoded(1), label=b"cat")),
            ValueError,
            r"class number \(int64\).*received 1 of bytes_list and 1 of bytes_list",
        ),
        (
            _with(example(image=encoded(1), label=[1, 2])),
            ValueError,
            "received 1 of bytes_list and 2 of int64_list",
        ),
        (_with(b"no example"), ValueError, "train-0.*first record cannot be read"),
        (
            _with(example(image=b"no image", label=1)),
            ValueError,
            "'image' in .*encoded image of 3 channels; the first cannot be decoded",
        ),
        (_no_records, ValueError, "they hold none"),
        (_compressed, ValueError, r"train-00000-of-00004' .*compressed \(gzip\)"),
        (_text, ValueError, "train-00000-of-00004' to be a TFRecord file"),
        (
            _cut_off,
            ValueError,
            r"train-00002-of-00004' .*cut off or damaged at record 4",
        ),
        (_length_damaged, ValueError, "validation-00001-of-00002' .*at record 0"),
        (_label_from_one, ValueError, "class numbers from 2 to .*received: 1"),
        (_too_few_classes, ValueError, "class numbers from 0 to 1 in .*received: 2"),
        (_other_number_of_classes, ValueError, "`classes` to be the 3 .*classes=1000"),
        (_other_number_of_files, ValueError, "the 3 files for 'train'.*received 4"),
        (_damaged_info, ValueError, r"dataset_info\.json' as JSON"),
        (_index(format="mine"), ValueError, "its format is 'mine'"),
        (
            _index(format="keras_rbcn.tfrecords", version=2),
            ValueError,
            "version=2. Install a newer keras_rbcn",
        ),
        (_too_large_batch, ValueError, "one batch, received: 22 images, batch_size=23"),
    ],
)
def test_found_at_the_call(tmp_path, make, error, message):
    arguments = {"path": tmp_path, "image_size": SIZE}
    arguments |= make(tmp_path)
    with pytest.raises(error, match=message):
        tfrecords(**arguments)


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("image_size", [(6,), (6, 0), 6, None]),
        ("channels", [0, 2, None]),
        ("batch_size", [0, None]),
        ("seed", [-1]),
        ("rescale", [(1, 0), 255]),
        ("crop_fraction", [0.0, 1.1, None, "1"]),
        ("shuffle_buffer", [0, 1.5]),
        ("parallel_reads", [0, None]),
        ("parallel_calls", [0, True]),
        ("samples", [5, (5,), (5, 0), (5.0, 5)]),
        ("classes", [0, 2.0]),
        ("first_label", [0.5, "0"]),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, argument, values):
    write_imagenet(tmp_path)
    for value in values:
        with pytest.raises(ValueError, match=f"`{argument}`"):
            tfrecords(tmp_path, **{"image_size": SIZE, argument: value})


def damaged(folder, how):
    """A set of which the third file to train on is damaged at its fourth record."""
    write_imagenet(folder)
    path = folder / "train-00002-of-00004"
    content = bytearray(path.read_bytes())
    length = len(content) // 5  # TRAIN // 4 records, all about as long.
    if how == "cut off":
        del content[3 * length + 40 :]
    else:
        content[3 * length + length // 2] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("how", ["cut off", "a bit is flipped"])
def test_a_damaged_file_is_named_while_reading(tmp_path, how):
    path = damaged(tmp_path, how)
    # With the numbers known, the lengths of records are not looked at before.
    train, test = tfrecords(tmp_path, SIZE, batch_size=2, samples=(TRAIN, TEST))
    assert len(read(test)) == TEST
    for _ in range(2):
        with pytest.raises(
            tf.errors.InvalidArgumentError,
            match=rf"Cannot read the whole TFRecord file\] \[{path}\].*record\] \[3\]",
        ):
            read(train)


def test_a_flipped_bit_is_found_without_known_numbers_too(tmp_path):
    path = damaged(tmp_path, "a bit is flipped")
    train, _ = tfrecords(tmp_path, SIZE)
    with pytest.raises(tf.errors.InvalidArgumentError, match=path.name):
        read(train)


def test_a_label_out_of_range_is_named_while_reading(tmp_path):
    write_tfds(tmp_path)
    prefix = "imagenet2012-train.tfrecord"
    examples = [tfds_example(number, 0) for number in range(21)]
    examples.append(tfds_example(21, len(CLASSES)))
    write_shards(tmp_path, prefix, examples, 4)
    train, _ = tfrecords(tmp_path, SIZE)
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"from 0 to 2 in\] \[.*train\.tfrecord-00001-of-00004\].*\[5\].*\[3\]",
    ):
        read(train)


def test_labels_below_the_first_are_found(tmp_path):
    """Counted from 0 though the layout counts from 1; the first record has class 2."""
    labels = [2, 1, 0]
    examples = [imagenet_example(n, label - 1) for n, label in enumerate(labels)]
    for name in ("train", "val"):
        write_shards(tmp_path, name, examples, 1)
    _, test = tfrecords(tmp_path, SIZE)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"from 1 to .*\[2\].*\[0\]"
    ):
        read(test)


def test_an_image_that_cannot_be_decoded_stops_the_reading(tmp_path):
    examples = [imagenet_example(*one) for one in labelled(0, 3)]
    bad = example(**{"image/encoded": encoded(1)[:30], "image/class/label": 1})
    write_shards(tmp_path, "train", [*examples, bad], 1)
    write_shards(tmp_path, "val", examples, 1)
    train, test = tfrecords(tmp_path, SIZE)
    assert len(read(test)) == 3
    with pytest.raises(tf.errors.InvalidArgumentError):
        read(train)


def test_a_file_that_is_gone_is_named(tmp_path):
    write_imagenet(tmp_path / "records")
    train, _ = tfrecords(tmp_path / "records", SIZE)
    shutil.move(tmp_path / "records" / "train-00003-of-00004", tmp_path / "elsewhere")
    with pytest.raises(tf.errors.NotFoundError, match="train-00003-of-00004"):
        read(train)
