"""From TFRecord files to pipelines of images: read, checked, shuffled, decoded.

There is no Python code in the pipelines, and no random operation but those whose state
TensorFlow saves, so that a position in them can be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.datasets.image_crops import central_crop, random_crop_and_flip
from keras_rbcn.datasets.splits import rescaled
from keras_rbcn.datasets.tfrecord_files import RECORD_OVERHEAD, Layout, first_record


@dataclass(frozen=True)
class ImageReader:
    """How records become images and labels.

    Args:
        layout: Of the records.
        classes: Number of classes.
        image_size: Height and width in pixels.
        channels: 1, 3 or 4.
        rescale: What black (0) and white (255) become.
        crop_fraction: Of the sides, for images that are not augmented.
        parallel_reads: How many files are read at the same time.
        parallel_calls: How many images are decoded at the same time.
    """

    layout: Layout
    classes: int
    image_size: tuple[int, int]
    channels: int
    rescale: tuple[float, float]
    crop_fraction: float
    parallel_reads: int
    parallel_calls: int

    def check_first(self, paths: Sequence[Path]) -> None:
        """Raises `ValueError` if the first image cannot be decoded or labelled."""
        path, example = first_record(paths)
        features = example.features.feature
        label = features[self.layout.label].int64_list.value[0]
        first = self.layout.first_label
        if not first <= label < first + self.classes:
            raise ValueError(
                f"Expected class numbers from {first} to {first + self.classes - 1} in "
                f"'{path}', received: {label}. Tell others by `first_label` and "
                "`classes`."
            )
        try:
            self._central(features[self.layout.image].bytes_list.value[0])
        except tf.errors.OpError as error:
            raise ValueError(
                f"Expected '{self.layout.image}' in '{path}' to be an encoded image of "
                f"{self.channels} channels; the first cannot be decoded: "
                f"{error.message}."
            ) from error

    def training_images(
        self, paths: Sequence[Path], shuffle_buffer: int, seed: int, augment: bool
    ) -> Any:
        """A dataset of images and labels, in another order in each epoch.

        What tells the epochs apart stands in front of the reading, side by side. Of a
        shuffle on top of another, TensorFlow saves no position that a training could be
        resumed at, since the lower one begins only when it is asked for its first
        element. And it divides files between machines only if nothing else goes into
        the reading.
        """
        files = _files(paths).shuffle(len(paths), seed=seed)
        seeds = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
        buffer_size = -(-shuffle_buffer // min(self.parallel_reads, len(paths)))

        def read(file: Any, seed: Any) -> Any:
            path, size = file
            return _shuffled(_records_of_file(path, size, seed), buffer_size, seed)

        records = self._interleaved(tf.data.Dataset.zip(files, seeds), read)
        return self._images(records, augment)

    def test_images(self, paths: Sequence[Path]) -> Any:
        """A dataset of images and labels, always in the same order."""
        no_seed = tf.constant(0, tf.int64)
        records = self._interleaved(
            _files(paths), lambda path, size: _records_of_file(path, size, no_seed)
        )
        return self._images(records, augment=False)

    def _interleaved(self, files: Any, read: Callable[..., Any]) -> Any:
        return files.interleave(
            read,
            cycle_length=self.parallel_reads,
            num_parallel_calls=self.parallel_reads,
            deterministic=True,
        )

    def _images(self, records: Any, augment: bool) -> Any:
        def image_and_label(record: Any, path: Any, number: Any, seed: Any) -> Any:
            encoded, label = self._parsed(record, path, number)
            if augment:
                image = random_crop_and_flip(
                    encoded, self.image_size, self.channels, tf.stack([seed, number])
                )
            else:
                image = self._central(encoded)
            return rescaled(image, self.rescale), label

        return records.map(image_and_label, self.parallel_calls, deterministic=True)

    def _parsed(self, record: Any, path: Any, number: Any) -> tuple[Any, Any]:
        names = self.layout.image, self.layout.label
        kinds = tf.string, tf.int64
        features = tf.io.parse_single_example(
            record,
            {
                name: tf.io.FixedLenFeature((), kind)
                for name, kind in zip(names, kinds, strict=True)
            },
        )
        encoded, label = (features[name] for name in names)
        first = self.layout.first_label
        last = first + self.classes - 1
        tf.debugging.Assert(
            (first <= label) & (label <= last),
            [
                f"Expected class numbers from {first} to {last} in",
                path,
                "; received in record (counted from 0)",
                number,
                "class number",
                label,
            ],
        )
        return encoded, tf.cast(label - first, tf.int32)

    def _central(self, encoded: Any) -> Any:
        return central_crop(encoded, self.image_size, self.channels, self.crop_fraction)


def _files(paths: Sequence[Path]) -> Any:
    names = [str(path) for path in paths]
    sizes = [path.stat().st_size for path in paths]
    return tf.data.Dataset.from_tensor_slices((names, tf.constant(sizes, tf.int64)))


def _records_of_file(path: Any, size: Any, seed: Any) -> Any:
    """The records of a file, each with the file, its number there, and the seed.

    TensorFlow's error about a damaged file does not name it. So the error is turned
    into an early end, and what has been read is compared with the size of the file.
    """
    # An error that comes whenever the file is opened would be ignored for ever: here it
    # is raised, and names the file.
    opened = tf.data.FixedLengthRecordDataset(path, record_bytes=1).take(1)
    records = opened.flat_map(
        lambda _: tf.data.TFRecordDataset(path).ignore_errors(log_warning=True)
    )
    nothing = tf.data.Dataset.from_tensors("")  # No record is empty.

    def with_number(state: Any, record: Any) -> Any:
        number, position = state
        length = tf.cast(tf.strings.length(record), tf.int64)
        tf.debugging.Assert(
            (length > 0) | (position == size),
            [
                "Cannot read the whole TFRecord file",
                path,
                "; damaged is record",
                number,
            ],
        )
        following = number + 1, position + length + RECORD_OVERHEAD
        return following, (record, path, number, seed)

    zero = tf.constant(0, tf.int64)
    numbered = records.concatenate(nothing).scan((zero, zero), with_number)
    return numbered.filter(lambda record, *_: tf.strings.length(record) > 0)


def _shuffled(records: Any, buffer_size: int, seed: Any) -> Any:
    """In an order that `seed` alone decides.

    `Dataset.shuffle` takes no tensor as its seed if TensorFlow's global seed is 0.
    """
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=buffer_size,
        seed=seed,
        seed2=1,
        output_types=[spec.dtype for spec in records.element_spec],
        output_shapes=[spec.shape for spec in records.element_spec],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, records.element_spec)
