"""Folders of images as TFRecord files: what is written, in which order, what is not."""

import json
import os

import numpy as np
import pytest
from PIL import Image
from record_files import encoded, read

from keras_rbcn._backend import tf
from keras_rbcn.datasets import image_folder, tfrecords, write_tfrecords

WNIDS = ("n01440764", "n01443537", "n01484850")


def write_images(folder, count=4, first=0, names=WNIDS, file_format="JPEG"):
    """Images of one grey value each; returns the files' contents by name."""
    contents = {}
    for place in range(count * len(names)):
        name = names[place % len(names)]
        path = folder / name / f"{name}_{first + place}.{file_format}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(first + place, (8, 8 + place % 3), file_format))
        contents[path.name] = path.read_bytes()
    return contents


def write_flat(folder, count, first):
    """As the archive of ImageNet's validation images is unpacked; returns classes."""
    folder.mkdir(parents=True)
    for place in range(count):
        path = folder / f"ILSVRC2012_val_{place + 1:08d}.JPEG"
        path.write_bytes(encoded(first + place, file_format="JPEG"))
    return [WNIDS[place * 2 % 3] for place in range(count)]


def records(folder, split):
    """Features of all records of a part, by file."""
    result = {}
    for path in sorted(folder.glob(f"{split}-*")):
        result[path.name] = [
            {
                name: (one.bytes_list.value or one.int64_list.value)[0]
                for name, one in tf.train.Example.FromString(
                    record.numpy()
                ).features.feature.items()
            }
            for record in tf.data.TFRecordDataset(str(path))
        ]
    return result


def test_imagenet_as_it_is_unpacked(tmp_path):
    """train/<wnid>/*.JPEG, and val with no folders but a list of classes."""
    contents = write_images(tmp_path / "raw" / "train")
    labels = write_flat(tmp_path / "raw" / "val", 5, first=50)
    (tmp_path / "labels.txt").write_text("\n".join(labels) + "\n")
    counts = write_tfrecords(
        tmp_path / "raw",
        tmp_path / "records",
        test_labels=tmp_path / "labels.txt",
        shards=(5, 2),
    )
    assert counts == {"train": 12, "validation": 5}
    train, validation = (
        records(tmp_path / "records", split) for split in ("train", "validation")
    )
    assert list(train) == [f"train-{n:05d}-of-00005" for n in range(5)]
    assert list(validation) == [f"validation-{n:05d}-of-00002" for n in range(2)]
    assert sorted(map(len, train.values())) == [2, 2, 2, 3, 3]
    found = {
        one["image/filename"].decode(): one for file in train.values() for one in file
    }
    # Every file once, byte for byte.
    assert {name: one["image/encoded"] for name, one in found.items()} == contents
    for name, one in found.items():
        wnid = name.partition("_")[0]
        assert one.pop("image/encoded")
        width = one.pop("image/width")
        assert 8 <= width <= 10
        assert one == {
            "image/filename": name.encode(),
            "image/class/label": WNIDS.index(wnid) + 1,
            "image/class/synset": wnid.encode(),
            "image/format": b"JPEG",
            "image/height": 8,
            "image/channels": 3,
            "image/colorspace": b"RGB",
        }
    tested = sorted(
        (one["image/filename"], one["image/class/synset"].decode())
        for file in validation.values()
        for one in file
    )
    assert [synset for _, synset in tested] == labels
    index = json.loads((tmp_path / "records" / "tfrecords.json").read_text())
    assert index["class_names"] == list(WNIDS)
    assert index["shard_lengths"] == {
        "train": [len(file) for file in train.values()],
        "validation": [len(file) for file in validation.values()],
    }
    # Nothing is left beside.
    assert sorted(os.listdir(tmp_path)) == ["labels.txt", "raw", "records"]


@pytest.mark.parametrize("test_folder", ["validation", "val", "test"])
def test_what_is_read_is_what_the_folder_holds(tmp_path, test_folder):
    write_images(tmp_path / "images" / "train", file_format="PNG")
    write_images(tmp_path / "images" / test_folder, 2, 50, file_format="PNG")
    write_tfrecords(tmp_path / "images", tmp_path / "records")
    found = tfrecords(tmp_path / "records", (8, 8), batch_size=5)
    expected = image_folder(tmp_path / "images", (8, 8), batch_size=5)
    for one, other in zip(found, expected, strict=True):
        assert sorted(read(one)) == sorted(read(other))
        assert one.class_names == other.class_names
        assert len(one) == len(other)


def test_a_part_is_split_off_by_the_seed(tmp_path):
    write_images(tmp_path / "images", count=5)
    orders = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        folder = tmp_path / name
        counts = write_tfrecords(tmp_path / "images", folder, seed, 0.4, shards=(1, 1))
        assert counts == {"train": 9, "validation": 6}
        parts = [
            [
                one["image/filename"]
                for file in records(folder, split).values()
                for one in file
            ]
            for split in ("train", "validation")
        ]
        assert len({*parts[0], *parts[1]}) == 15
        assert all(part != sorted(part) for part in parts)
        orders.append(parts)
    assert orders[0] == orders[1] != orders[2]
    for name in ("train-00000-of-00001", "tfrecords.json"):
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()


def test_number_of_files(tmp_path):
    write_images(tmp_path / "images", 30, file_format="PNG")
    write_tfrecords(tmp_path / "images", tmp_path / "records", test_fraction=0.05)
    assert len(list((tmp_path / "records").glob("train-*-of-00008"))) == 8
    assert len(list((tmp_path / "records").glob("validation-*-of-00004"))) == 4


def test_other_formats_and_a_wrong_name(tmp_path):
    """One image of ImageNet is a PNG file called .JPEG."""
    for name, file_format in (("0.JPEG", "PNG"), ("1.gif", "GIF"), ("2.bmp", "BMP")):
        path = tmp_path / "images" / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(60, file_format=file_format))
    Image.new("L", (5, 4), 60).save(tmp_path / "images" / "a" / "3.png")
    Image.new("CMYK", (5, 4)).save(tmp_path / "images" / "a" / "4.jpg")
    (tmp_path / "images" / "a" / "notes.txt").write_text("no image")
    (tmp_path / "images" / "a" / "._0.JPEG").write_text("of a Mac")
    write_tfrecords(tmp_path / "images", tmp_path / "records", shards=(1, 1))
    found = {
        one["image/filename"].decode(): (one["image/format"], one["image/channels"])
        for split in ("train", "validation")
        for file in records(tmp_path / "records", split).values()
        for one in file
    }
    assert found == {
        "0.JPEG": (b"PNG", 3),
        "1.gif": (b"GIF", 3),
        "2.bmp": (b"BMP", 3),
        "3.png": (b"PNG", 1),
        "4.jpg": (b"JPEG", 3),
    }
    train, test = tfrecords(tmp_path / "records", (8, 8))
    assert sum(len(y) for part in (train, test) for _, y in part) == 5


# --- what is not written -----------------------------------------------------


def everything(folder):
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def _unreadable(folder):
    path = folder / "images" / WNIDS[1] / f"{WNIDS[1]}_4.JPEG"
    path.write_bytes(path.read_bytes()[:-20])
    return {}


def _is_text(folder):
    (folder / "images" / WNIDS[0] / "text.jpg").write_text("no image")
    return {}


def _full_output(folder):
    (folder / "records").mkdir()
    (folder / "records" / "thesis.txt").write_text("precious")
    return {}


def _output_of_others(folder):
    return _full_output(folder) | {"overwrite": True}


def _output_is_a_file(folder):
    (folder / "records").write_text("precious")
    return {"overwrite": True}


def _output_inside(folder):
    return {"output": folder / "images" / "records"}


def _needless_fraction(folder):
    write_images(folder / "images" / "train")
    write_images(folder / "images" / "val")
    return {"test_fraction": 0.2}


def _other_classes(folder):
    write_images(folder / "images" / "train")
    write_images(folder / "images" / "val", names=(*WNIDS[:2], "dog"))
    return {}


def _flat(folder, labels):
    write_images(folder / "images" / "train")
    write_flat(folder / "images" / "val", 5, first=50)
    (folder / "labels.txt").write_text(labels)
    return {"test_labels": folder / "labels.txt"}


def _flat_without_labels(folder):
    _flat(folder, "")
    return {}


def _too_few_labels(folder):
    return _flat(folder, f"{WNIDS[0]}\n" * 4)


def _numbers_as_labels(folder):
    return _flat(folder, "490\n361\n171\n822\n297\n")


def _needless_labels(folder):
    write_images(folder / "images" / "train")
    write_images(folder / "images" / "val")
    return {"test_labels": folder / "labels.txt"}


def _labels_without_a_folder(folder):
    return {"test_labels": folder / "labels.txt"}


def _empty_class(folder):
    (folder / "images" / "dog").mkdir()
    return {}


def _no_images(folder):
    (folder / "empty" / "dog").mkdir(parents=True)
    return {"path": folder / "empty"}


def _no_classes(folder):
    (folder / "empty").mkdir()
    return {"path": folder / "empty"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_unreadable, r"n01443537_4\.JPEG' as an image: remove it"),
        (_is_text, r"text\.jpg' as an image"),
        (_full_output, "records' to be empty: .*overwrite=True"),
        (_output_of_others, r"holds no tfrecords\.json: delete it yourself"),
        (_output_is_a_file, "it is a file"),
        (_output_inside, "`output` to lie outside"),
        (_needless_fraction, "val' for it; received: test_fraction=0.2"),
        (_other_classes, r"\['n01484850'\] only for training, \['dog'\] only in"),
        (_flat_without_labels, "5 images and no folders.*`test_labels`"),
        (_too_few_labels, "each of the 5 images in .*received 4"),
        (_numbers_as_labels, r"received 5 others, such as \['171', '297', '361'\]"),
        (_needless_labels, "no `test_labels`, because .*subfolder"),
        (_labels_without_a_folder, "no `test_labels`, because there is no folder"),
        (_empty_class, r"every class.*none of \['dog'\]"),
        (_no_images, "received 0 to train and 0 to test on"),
        (_no_classes, "it holds no folders"),
        (lambda folder: {"shards": (13, 1)}, r"no more files than.*shards=\(13, 1\)"),
    ],
)
def test_nothing_is_written_if_something_is_wrong(tmp_path, make, message):
    write_images(tmp_path / "images")
    arguments = {"path": tmp_path / "images", "output": tmp_path / "records"}
    arguments |= make(tmp_path)
    before = everything(tmp_path)
    with pytest.raises(ValueError, match=message):
        write_tfrecords(**arguments)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("seed", [-1, 1.5]),
        ("test_fraction", [0.0, 1]),
        ("shards", [(0, 1), (1,), 4, (1.0, 1), (True, 1)]),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path, argument, values):
    write_images(tmp_path / "images")
    for value in values:
        with pytest.raises(ValueError, match=f"`{argument}`"):
            write_tfrecords(
                tmp_path / "images", tmp_path / "records", **{argument: value}
            )


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="none"):
        write_tfrecords(tmp_path / "none", tmp_path / "records")


def test_an_older_folder_is_replaced_only_when_the_new_one_is_whole(tmp_path):
    write_images(tmp_path / "images")
    write_tfrecords(tmp_path / "images", tmp_path / "records", shards=(2, 2))
    before = everything(tmp_path / "records")
    with pytest.raises(ValueError, match="overwrite=True"):
        write_tfrecords(tmp_path / "images", tmp_path / "records")
    bad = tmp_path / "images" / WNIDS[2] / "bad.jpg"
    bad.write_text("no image")
    arguments = {"shards": (1, 1), "overwrite": True}
    with pytest.raises(ValueError, match=r"bad\.jpg"):
        write_tfrecords(tmp_path / "images", tmp_path / "records", **arguments)
    assert everything(tmp_path / "records") == before
    bad.unlink()
    write_tfrecords(tmp_path / "images", tmp_path / "records", **arguments)
    assert sorted(os.listdir(tmp_path / "records")) == [
        "tfrecords.json",
        "train-00000-of-00001",
        "validation-00000-of-00001",
    ]
    assert sorted(os.listdir(tmp_path)) == ["images", "records"]


def test_an_older_folder_is_put_back_if_the_new_one_cannot_take_its_place(
    tmp_path, monkeypatch
):
    write_images(tmp_path / "images")
    write_tfrecords(tmp_path / "images", tmp_path / "records", shards=(2, 2))
    before = everything(tmp_path / "records")
    rename, calls = type(tmp_path).rename, []

    def failing_second_time(path, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("disk is gone")
        return rename(path, target)

    monkeypatch.setattr(type(tmp_path), "rename", failing_second_time)
    with pytest.raises(OSError, match="disk is gone"):
        write_tfrecords(tmp_path / "images", tmp_path / "records", overwrite=True)
    assert everything(tmp_path / "records") == before
    assert sorted(os.listdir(tmp_path)) == ["images", "records"]


def test_images_are_not_held_in_memory(tmp_path, monkeypatch):
    """However many images a file gets, few are read ahead of the writing."""
    write_images(tmp_path / "images", 120, file_format="PNG")
    written, ahead = [], []
    writer = tf.io.TFRecordWriter
    read_bytes = type(tmp_path).read_bytes

    class CountingWriter(writer):
        def write(self, record):
            written.append(len(record))
            super().write(record)

    def counting_read(path):
        ahead.append(len(ahead) + 1 - len(written))
        return read_bytes(path)

    monkeypatch.setattr(tf.io, "TFRecordWriter", CountingWriter)
    monkeypatch.setattr(type(tmp_path), "read_bytes", counting_read)
    write_tfrecords(tmp_path / "images", tmp_path / "records", shards=(1, 1))
    assert len(written) == len(ahead) == 360
    assert max(ahead) <= 130
    assert np.mean(ahead) < 130
