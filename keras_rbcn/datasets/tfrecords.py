"""Reader of sharded TFRecord files of images, as ImageNet is kept in."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.datasets.image_folder import check_format
from keras_rbcn.datasets.splits import (
    DEFAULT_RESCALE,
    Splits,
    check_arguments,
    check_rescale,
    is_integer,
)
from keras_rbcn.datasets.tfrecord_files import (
    Layout,
    RecordFolder,
    Shards,
    counted,
    read_folder,
)
from keras_rbcn.datasets.tfrecord_pipeline import ImageReader

# At the 110 kB of an image of ImageNet: 450 MB.
DEFAULT_SHUFFLE_BUFFER = 4096
# For each worker: then one file more or less makes a few percent.
_ENOUGH_FILES = 16
# The largest label is an int32.
_UNKNOWN_CLASSES = 2**31 - 1


def tfrecords(
    path: str | os.PathLike[str],
    image_size: tuple[int, int],
    channels: int = 3,
    batch_size: int = 32,
    seed: int = 0,
    rescale: tuple[float, float] = DEFAULT_RESCALE,
    *,
    augment: bool = False,
    crop_fraction: float = 0.875,
    drop_remainder: bool = False,
    shuffle_buffer: int = DEFAULT_SHUFFLE_BUFFER,
    parallel_reads: int = 16,
    parallel_calls: int | None = None,
    samples: tuple[int, int] | None = None,
    classes: int | None = None,
    first_label: int | None = None,
) -> Splits:
    """Images in sharded TFRecord files, read, shuffled and augmented while training.

    Two layouts are known, and found out by the names of the features:

    - that of the ImageNet scripts of TensorFlow's models (slim, TPU), which
      `write_tfrecords` writes too: files `train-00000-of-01024` and
      `validation-00000-of-00128`, in one folder or in a folder for each part; features
      `image/encoded` and `image/class/label`, counted from 1;
    - that of TensorFlow Datasets: files `imagenet2012-train.tfrecord-00000-of-01024`
      in the folder of a version, beside `dataset_info.json` and `features.json`;
      features `image` and `label`, counted from 0.

    For testing the files of `validation`, `val` or `test` are taken, whichever of these
    are there first. TensorFlow Datasets itself is not needed.

    Every epoch goes through the files in another order, reads several at once, and
    shuffles the images of each in a buffer. In which order images come, and how each is
    augmented, is decided by `seed` and TensorFlow's global seed alone, and
    `ResumableTraining` saves the position. Where a training is distributed over several
    machines, each reads files of its own if these can be shared out evenly between the
    workers that the environment variable TF_CONFIG names; else each reads all files,
    and keeps its share of the batches.

    Args:
        path: The folder.
        image_size: Height and width in pixels of the images.
        channels: 1 (grey), 3 (red, green, blue) or 4 (and alpha).
        batch_size: Images in a batch.
        seed: Decides the order of the training images, and their augmentation.
        rescale: What black (0) and white (255) become.
        augment: Whether training images are cut out at random - 8 to 100 % of the area,
            with an aspect ratio (width to height) of 3/4 to 4/3 - and mirrored every
            other time, as usual for ImageNet.
        crop_fraction: Of all other images, the middle is cut out: of the largest part
            with the aspect ratio of `image_size`, this fraction of the sides. 1.0 for
            the whole part.
        drop_remainder: Whether the last training batch is left out if it is smaller.
        shuffle_buffer: How many training images are held in memory, still encoded, to
            draw the next ones from, in equal shares for the files that are read at the
            same time. A checkpoint of the position holds them too.
        parallel_reads: How many files are read at the same time.
        parallel_calls: How many images are decoded at the same time; None for one for
            each processor.
        samples: How many images there are for training and for testing. None to take
            the numbers from `dataset_info.json` or `tfrecords.json`, or to count if
            there are none: that reads no images, but seeks to every one.
        classes: Number of classes, if no file beside the records tells it. A label out
            of range stops the training.
        first_label: Number of the first class in the files, if it is not that of the
            layout.

    Returns:
        `Splits`: `train` and `test`, each a `tf.data.Dataset` of known cardinality, of
        batches of images, float32 of shape `(batch, height, width, channels)`, and
        class numbers counted from 0, int32 of shape `(batch,)`. Images are resized
        bilinearly. As those of `image_folder`, the pipelines have the attributes
        `class_names` (None if no file tells them) and `file_paths`, here of the
        TFRecord files.

    Raises:
        OSError: If there is no such folder.
        ValueError: If files are missing, are of several data sets or of no known
            layout, if one is cut off, the first record cannot be read, or an argument
            is out of its range. What is found only while reading raises
            `tf.errors.InvalidArgumentError` then: a damaged file or a label out of
            range, which are named, or an image that cannot be decoded.

    Example:
        >>> for number in range(8):
        ...     image = np.full((12, 9, 3), 25 * number, "uint8")
        ...     path = Path("pets", ("cats", "dogs")[number % 2], f"{number}.png")
        ...     path.parent.mkdir(parents=True, exist_ok=True)
        ...     tf.io.write_file(str(path), tf.io.encode_png(image))
        >>> write_tfrecords("pets", "pets-tfrecords", test_fraction=0.25)
        {'train': 6, 'validation': 2}
        >>> train, test = tfrecords("pets-tfrecords", (8, 8), batch_size=4)
        >>> train.class_names, len(train), len(test)
        (['cats', 'dogs'], 2, 1)
        >>> train.element_spec[0].shape
        TensorShape([None, 8, 8, 3])

    Reference:
        - [Going Deeper with Convolutions](https://arxiv.org/abs/1409.4842), which
          introduced the random crops
    """
    check_arguments(batch_size, seed, None)
    check_rescale(rescale)
    check_format(image_size, channels, batch_size)
    _check_fraction(crop_fraction)
    _check_positive("shuffle_buffer", shuffle_buffer)
    _check_positive("parallel_reads", parallel_reads)
    if parallel_calls is not None:
        _check_positive("parallel_calls", parallel_calls)
    folder = read_folder(Path(path))
    reader = ImageReader(
        _checked_layout(folder.layout, first_label),
        _checked_classes(folder, path, classes),
        (image_size[0], image_size[1]),
        channels,
        rescale,
        crop_fraction,
        parallel_reads,
        parallel_calls or os.cpu_count() or 1,
    )
    for shards in (folder.train, folder.test):
        reader.check_first(shards.paths)
    train_size, test_size = _sizes(folder, samples)
    train = reader.training_images(
        folder.train.paths, min(shuffle_buffer, train_size), seed, augment
    )
    test = reader.test_images(folder.test.paths)
    train = _batches(train, train_size, batch_size, drop_remainder)
    test = _batches(test, test_size, batch_size, drop_remainder=False)
    return Splits(
        _finished(train, folder.train, folder.class_names),
        _finished(test, folder.test, folder.class_names),
    )


def _batches(images: Any, size: int, batch_size: int, drop_remainder: bool) -> Any:
    """Batches, whose number Keras is told."""
    count = size // batch_size if drop_remainder else -(-size // batch_size)
    if not count:
        raise ValueError(
            f"Expected enough images for one batch, received: {size} images, "
            f"batch_size={batch_size}, drop_remainder={drop_remainder}."
        )
    batches = images.batch(batch_size, drop_remainder=drop_remainder)
    return batches.apply(tf.data.experimental.assert_cardinality(count)).prefetch(2)


def _finished(batches: Any, shards: Shards, class_names: list[str] | None) -> Any:
    """With the options of the pipeline, and the attributes that users read."""
    options = tf.data.Options()
    # What there is to tune is given by arguments, and a tuned pipeline ends late:
    # TensorFlow 2.21 waits for a thread that sleeps.
    options.autotune.enabled = False
    policy = tf.data.experimental.AutoShardPolicy
    options.experimental_distribute.auto_shard_policy = (
        policy.FILE if _can_be_shared_out(len(shards.paths)) else policy.DATA
    )
    result = batches.with_options(options)
    result.class_names = class_names
    result.file_paths = [str(path) for path in shards.paths]
    return result


def _can_be_shared_out(files: int) -> bool:
    """Whether the workers of this training get as good as the same number of files.

    A worker that runs out of batches leaves the others to train alone.
    """
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    jobs = resolver.cluster_spec().as_dict()
    workers = sum(len(jobs.get(name, ())) for name in ("chief", "worker"))
    return workers < 2 or files % workers == 0 or files >= _ENOUGH_FILES * workers


def _sizes(folder: RecordFolder, samples: Any) -> tuple[int, int]:
    """How many images there are to train and to test on."""
    parts = (folder.train, folder.test)
    if samples is not None:
        _check_samples(samples)
        if any(part.lengths is None for part in parts):
            return int(samples[0]), int(samples[1])
    train, test = (sum(counted(part).lengths or ()) for part in parts)
    if samples is not None and tuple(samples) != (train, test):
        raise ValueError(
            f"Expected `samples` to be what the JSON file beside the records tells, "
            f"({train}, {test}), received: samples={samples!r}. Leave it out."
        )
    return train, test


def _checked_layout(layout: Layout, first_label: Any) -> Layout:
    if first_label is None:
        return layout
    if not is_integer(first_label):
        raise ValueError(
            "Expected `first_label` to be an integer, received: "
            f"first_label={first_label!r}."
        )
    return dataclasses.replace(layout, first_label=int(first_label))


def _checked_classes(
    folder: RecordFolder, path: str | os.PathLike[str], classes: Any
) -> int:
    if classes is None:
        return folder.classes or _UNKNOWN_CLASSES
    _check_positive("classes", classes)
    if folder.classes not in (None, classes):
        raise ValueError(
            f"Expected `classes` to be the {folder.classes} that the JSON file in "
            f"'{os.fspath(path)}' tells, received: classes={classes!r}. Leave it out."
        )
    return int(classes)


def _check_samples(samples: Any) -> None:
    numbers = tuple(samples) if isinstance(samples, list | tuple) else ()
    if len(numbers) != 2 or not all(is_integer(n) and n > 0 for n in numbers):
        raise ValueError(
            "Expected `samples` to be the numbers of images for training and for "
            f"testing, two positive integers, received: samples={samples!r}."
        )


def _check_positive(name: str, value: Any) -> None:
    if not is_integer(value) or value < 1:
        raise ValueError(
            f"Expected `{name}` to be a positive integer, received: {name}={value!r}."
        )


def _check_fraction(fraction: Any) -> None:
    is_number = isinstance(fraction, float) or is_integer(fraction)
    if not is_number or not 0.0 < fraction <= 1.0:
        raise ValueError(
            "Expected `crop_fraction` to be a number above 0 and up to 1, received: "
            f"crop_fraction={fraction!r}."
        )
