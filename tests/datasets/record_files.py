"""Small sets of TFRecord files, in the layouts that ImageNet is found in.

Each image has one colour, by which it is known again: its number is its grey value.
"""

import io
import json

import numpy as np
from PIL import Image

from keras_rbcn._backend import tf

CLASSES = ("n01440764", "n01443537", "n01484850")
TRAIN, TEST = 22, 7


def encoded(number, size=(6, 4), file_format="PNG"):
    content = io.BytesIO()
    Image.fromarray(np.full((*size, 3), number, "uint8")).save(content, file_format)
    return content.getvalue()


def feature(value):
    if isinstance(value, bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
    values = value if isinstance(value, list) else [value]
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(**features):
    return tf.train.Example(
        features=tf.train.Features(
            feature={name: feature(value) for name, value in features.items()}
        )
    ).SerializeToString()


def imagenet_example(number, label):
    """What build_imagenet_data.py and imagenet_to_gcs.py write of an image."""
    return example(
        **{
            "image/height": 6,
            "image/width": 4,
            "image/colorspace": b"RGB",
            "image/channels": 3,
            "image/class/label": label + 1,
            "image/class/synset": CLASSES[label].encode(),
            "image/format": b"JPEG",
            "image/filename": f"{CLASSES[label]}_{number}.JPEG".encode(),
            "image/encoded": encoded(number),
        }
    )


def tfds_example(number, label):
    return example(
        image=encoded(number), label=label, file_name=f"{number}.JPEG".encode()
    )


def write_shards(folder, prefix, examples, shards):
    """Writes the records in turn; returns how many each file holds."""
    folder.mkdir(parents=True, exist_ok=True)
    examples = list(examples)
    for shard in range(shards):
        path = folder / f"{prefix}-{shard:05d}-of-{shards:05d}"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for one in examples[shard::shards]:
                writer.write(one)
    return [len(examples[shard::shards]) for shard in range(shards)]


def labelled(first, count):
    return [(number, number % len(CLASSES)) for number in range(first, first + count)]


def write_imagenet(folder, shards=(4, 2), split_folders=False, test="validation"):
    """The layout of the ImageNet scripts, in one folder or one for each part."""
    for name, first, count, number in (
        ("train", 0, TRAIN, shards[0]),
        (test, 100, TEST, shards[1]),
    ):
        examples = [imagenet_example(*one) for one in labelled(first, count)]
        write_shards(folder / name if split_folders else folder, name, examples, number)


def write_tfds(folder, shards=(4, 2), name="imagenet2012"):
    """The layout of TensorFlow Datasets, with what lies beside the records."""
    splits = []
    for split, first, count, number in (
        ("train", 0, TRAIN, shards[0]),
        ("validation", 100, TEST, shards[1]),
    ):
        examples = [tfds_example(*one) for one in labelled(first, count)]
        lengths = write_shards(folder, f"{name}-{split}.tfrecord", examples, number)
        splits.append(
            {
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
                "name": split,
                "shardLengths": [str(length) for length in lengths],
            }
        )
    info = {"fileFormat": "tfrecord", "name": name, "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    label = {"classLabel": {"numClasses": str(len(CLASSES))}}
    features = {"featuresDict": {"features": {"label": label}}}
    (folder / "features.json").write_text(json.dumps(features))
    (folder / "label.labels.txt").write_text("\n".join(CLASSES) + "\n")


def numbers(images):
    """Which images they are, whatever has been cut out of them."""
    values = np.rint((np.asarray(images) + 1) * 127.5).astype(int)
    assert (values == values[:, :1, :1, :1]).all()
    return values[:, 0, 0, 0].tolist()


def read(dataset):
    """The numbers and labels of the images in a pipeline, in their order."""
    return [
        (number, int(label))
        for images, labels in dataset
        for number, label in zip(numbers(images), labels, strict=True)
    ]
