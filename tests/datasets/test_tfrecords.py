"""TFRecord files as pipelines: which images come, when, and what of each."""

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from interruption import Interrupt, InterruptionError
from PIL import Image
from record_files import (
    CLASSES,
    TEST,
    TRAIN,
    encoded,
    imagenet_example,
    labelled,
    numbers,
    read,
    write_imagenet,
    write_shards,
    write_tfds,
)

from keras_rbcn._backend import keras, tf
from keras_rbcn.callbacks import ResumableTraining
from keras_rbcn.datasets import tfrecords, write_tfrecords
from keras_rbcn.datasets.image_crops import (
    central_crop,
    random_crop_and_flip,
    random_window,
)

SIZE = (6, 4)
POLICY = tf.data.experimental.AutoShardPolicy


@pytest.fixture
def imagenet(tmp_path):
    write_imagenet(tmp_path / "records")
    return tmp_path / "records"


def write_in_split_folders(folder):
    write_imagenet(folder, split_folders=True)


def write_in_one_file_each(folder):
    write_imagenet(folder, shards=(1, 1), test="test")


@pytest.mark.parametrize(
    ("write", "class_names"),
    [
        (write_imagenet, None),
        (write_in_split_folders, None),
        (write_in_one_file_each, None),
        (write_tfds, list(CLASSES)),
    ],
)
def test_every_image_is_read_once_with_its_class(tmp_path, write, class_names):
    write(tmp_path)
    train, test = tfrecords(tmp_path, SIZE, batch_size=5)
    assert train.class_names == test.class_names == class_names
    assert (len(train), len(test)) == (5, 2)
    assert train.element_spec[0] == tf.TensorSpec((None, 6, 4, 3), tf.float32)
    assert train.element_spec[1] == tf.TensorSpec((None,), tf.int32)
    for _ in range(2):
        assert sorted(read(train)) == labelled(0, TRAIN)
    assert sorted(read(test)) == labelled(100, TEST)
    assert read(test) == read(test)
    assert all(Path(path).is_file() for path in train.file_paths + test.file_paths)


def test_files_that_tfds_has_written():
    """Kept files of TensorFlow Datasets 4.9.10: JPEG images of one grey value each."""
    folder = Path(__file__).with_name("written_by_tfds") / "three_greys" / "1.0.0"
    train, test = tfrecords(folder, (8, 8), rescale=(0.0, 255.0), batch_size=4)
    assert train.class_names == ["black", "grey", "white"]
    assert len(train.file_paths) == 2
    assert [len(part) for part in (train, test)] == [2, 1]
    for part, count in ((train, 8), (test, 4)):
        x, y = (np.concatenate(one) for one in zip(*part, strict=True))
        assert len(x) == count
        np.testing.assert_allclose(x, 120.0 * y[:, None, None, None] + 8 + 0 * x)


def test_classes_that_are_counted_otherwise(tmp_path):
    """Of scripts for other data, which count from 0 under the names of ImageNet."""
    examples = [imagenet_example(number, number % 3) for number in range(6)]
    write_shards(tmp_path, "train", examples, 2)
    write_shards(tmp_path, "validation", examples, 2)
    train, _ = tfrecords(tmp_path, SIZE, first_label=0, classes=4)
    assert {label for _, label in read(train)} == {1, 2, 3}


# --- order -------------------------------------------------------------------


def epochs(folder, count=2, global_seed=0, **arguments):
    keras.utils.set_random_seed(global_seed)
    train = tfrecords(folder, SIZE, **{"parallel_reads": 2, **arguments}).train
    return [np.concatenate([x for x, _ in train]) for _ in range(count)]


@pytest.mark.parametrize("shards", [(4, 2), (1, 1)])
def test_order_is_another_one_in_each_epoch_and_decided_by_the_seeds(tmp_path, shards):
    write_imagenet(tmp_path, shards)
    first = epochs(tmp_path, seed=1)
    for one, again in zip(first, epochs(tmp_path, seed=1), strict=True):
        np.testing.assert_array_equal(one, again)
    orders = [numbers(one) for one in first]
    orders += [numbers(epochs(tmp_path, 1, seed=2)[0])]
    orders += [numbers(epochs(tmp_path, 1, seed=1, global_seed=5)[0])]
    assert len({tuple(order) for order in orders}) == 4


def test_without_a_buffer_only_files_change_places(imagenet):
    order = numbers(epochs(imagenet, 1, shuffle_buffer=1, parallel_reads=1)[0])
    files = [order[start : order.index(last) + 1] for start, last in _runs(order)]
    assert sorted(files) == [list(range(first, TRAIN, 4)) for first in range(4)]


def _runs(order):
    """Where each file begins, and the last number in it: every fourth is in one."""
    starts = [0, *(n for n in range(1, len(order)) if order[n] - order[n - 1] != 4)]
    ends = [*(start - 1 for start in starts[1:]), len(order) - 1]
    return zip(starts, (order[end] for end in ends), strict=True)


def test_a_buffer_shuffles_within_files(imagenet):
    order = numbers(epochs(imagenet, 1, shuffle_buffer=8, parallel_reads=1)[0])
    for start in range(4):
        # All of a file come one behind the other, but not in the order of the file.
        places = [order.index(number) for number in range(start, TRAIN, 4)]
        assert max(places) - min(places) == len(places) - 1
    assert any(
        places != sorted(places)
        for places in (
            [order.index(n) for n in range(start, TRAIN, 4)] for start in range(4)
        )
    )


def test_augmentation_is_another_one_in_each_epoch(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for name in ("a", "b"):
            path = tmp_path / "images" / split / name / "0.png"
            path.parent.mkdir(parents=True)
            Image.fromarray(rng.integers(0, 256, (30, 40, 3), "uint8")).save(path)
    write_tfrecords(tmp_path / "images", tmp_path / "records")

    def images(augment, part="train"):
        keras.utils.set_random_seed(0)
        data = getattr(tfrecords(tmp_path / "records", (16, 16), augment=augment), part)
        found = [next(iter(data)) for _ in range(2)]
        return [[x[int(np.argmax(y == label))] for label in (0, 1)] for x, y in found]

    one, two = images(augment=True)
    for label in (0, 1):
        assert not np.allclose(one[label], two[label])
    np.testing.assert_array_equal(images(augment=True), [one, two])
    for part, augment in (("train", False), ("test", True)):
        one, two = images(augment, part)
        np.testing.assert_array_equal(one, two)


# --- batches -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("drop_remainder", "sizes"), [(True, [8, 8]), (False, [8, 8, 6])]
)
def test_last_batch(imagenet, drop_remainder, sizes):
    train, test = tfrecords(imagenet, SIZE, batch_size=8, drop_remainder=drop_remainder)
    assert len(train) == len(sizes)
    assert [len(y) for _, y in train] == sizes
    assert [len(y) for _, y in test] == [TEST]


@settings(max_examples=6, deadline=None)
@given(
    images=st.integers(3, 12),
    shards=st.integers(1, 5),
    batch_size=st.integers(1, 7),
    buffer=st.integers(1, 30),
    reads=st.integers(1, 6),
)
def test_whatever_the_numbers_all_images_come(
    tmp_path_factory, images, shards, batch_size, buffer, reads
):
    folder = tmp_path_factory.mktemp("records")
    examples = [imagenet_example(*one) for one in labelled(0, images)]
    write_shards(folder, "train", examples, shards)
    write_shards(folder, "val", examples[:1], 1)
    train, _ = tfrecords(
        folder,
        SIZE,
        batch_size=batch_size,
        shuffle_buffer=buffer,
        parallel_reads=reads,
        parallel_calls=2,
    )
    assert sorted(read(train)) == labelled(0, images)
    assert len(train) == -(-images // batch_size)


def _fail_to_count(path):
    pytest.fail(f"{path} was read to count what is known")


def test_numbers_of_images_that_the_user_knows(imagenet, monkeypatch):
    monkeypatch.setattr(
        "keras_rbcn.datasets.tfrecord_files._count_records", _fail_to_count
    )
    train, test = tfrecords(imagenet, SIZE, batch_size=5, samples=(TRAIN, TEST))
    assert (len(train), len(test)) == (5, 2)
    assert sorted(read(train)) == labelled(0, TRAIN)
    # What is wrong is noticed at the end of the first epoch.
    train, _ = tfrecords(imagenet, SIZE, batch_size=5, samples=(TRAIN + 5, TEST))
    with pytest.raises(tf.errors.FailedPreconditionError, match=r"6 elements .* 5"):
        read(train)


def test_numbers_of_images_that_a_file_tells(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "keras_rbcn.datasets.tfrecord_files._count_records", _fail_to_count
    )
    write_tfds(tmp_path)
    train, test = tfrecords(tmp_path, SIZE, batch_size=5)
    assert (len(train), len(test)) == (5, 2)
    with pytest.raises(ValueError, match=r"\(22, 7\), received: samples=\(22, 8\)"):
        tfrecords(tmp_path, SIZE, samples=(TRAIN, 8))


# --- several machines --------------------------------------------------------


def worker_part(dataset, policy, worker, workers=2):
    """What automatic sharding makes of a pipeline for one of several workers."""
    specs = dataset.element_spec
    sharded = tf.raw_ops.AutoShardDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        num_workers=workers,
        index=worker,
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
        auto_shard_policy=policy,
    )
    return tf.data.experimental.from_variant(sharded, specs)


@pytest.mark.parametrize("policy", [POLICY.FILE, POLICY.DATA])
@pytest.mark.parametrize("part", ["train", "test"])
def test_workers_share_the_images(imagenet, policy, part):
    expected = labelled(0, TRAIN) if part == "train" else labelled(100, TEST)
    dataset = getattr(tfrecords(imagenet, SIZE, batch_size=2), part)
    workers = [worker_part(dataset, policy, number) for number in range(2)]
    seen = []
    for _ in range(2):
        parts = [read(worker) for worker in workers]
        # All, and none twice.
        assert sorted(parts[0] + parts[1]) == expected
        assert abs(len(parts[0]) - len(parts[1])) <= 2
        seen.append(parts)
        if policy == POLICY.FILE:  # By files, every fourth or second image.
            step = len(dataset.file_paths)
            files = [{number % step for number, _ in one} for one in parts]
            assert not files[0] & files[1]
    assert (seen[0] != seen[1]) == (part == "train")


@pytest.mark.parametrize(
    ("shards", "workers", "policy"),
    [
        (4, 1, POLICY.FILE),
        (4, 2, POLICY.FILE),
        (5, 2, POLICY.DATA),
        (1, 2, POLICY.DATA),
        (49, 3, POLICY.FILE),
    ],
)
def test_files_are_shared_out_if_that_is_even(
    tmp_path, monkeypatch, shards, workers, policy
):
    write_imagenet(tmp_path, (shards, 1))
    names = [f"host{number}:1" for number in range(workers)]
    cluster = {"chief": names[:1], "worker": names[1:]}
    config = {"cluster": cluster, "task": {"type": "chief", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    options = tfrecords(tmp_path, SIZE).train.options()
    assert options.experimental_distribute.auto_shard_policy == policy


# --- what is seen of an image ------------------------------------------------


def jpeg_and_png(pixels, **options):
    result = []
    for file_format in ("JPEG", "PNG"):
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, file_format, **options)
        result.append(content.getvalue())
    return result


def coordinates(height, width):
    """An image that tells where in it a pixel lies."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype("uint8")


@pytest.mark.parametrize(
    ("shape", "size", "fraction", "box"),
    [
        # Of ImageNet: the short side to 256, and 224 of it.
        ((192, 256), (224, 224), 0.875, (12, 44, 168, 168)),
        ((256, 192), (224, 224), 0.875, (44, 12, 168, 168)),
        ((40, 40), (40, 20), 0.5, (10, 15, 20, 10)),
        ((40, 60), (8, 8), 1.0, (0, 10, 40, 40)),
        ((1, 1), (8, 8), 0.1, (0, 0, 1, 1)),
    ],
)
def test_central_crop(shape, size, fraction, box):
    pixels = coordinates(*shape)
    top, left, height, width = box
    part = pixels[top : top + height, left : left + width].astype("float32")
    expected = tf.image.resize(part, size)
    _, png = jpeg_and_png(pixels)
    np.testing.assert_allclose(
        central_crop(png, size, 3, fraction), expected, atol=1e-3
    )


def test_jpeg_files_are_decoded_as_by_pillow():
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), "uint8")
    pixels = np.asarray(Image.fromarray(small).resize((80, 60)))
    jpeg, _ = jpeg_and_png(pixels)
    with Image.open(io.BytesIO(jpeg)) as image:
        expected = np.asarray(image)[8:52, 18:62]  # Of 60x60 the middle 44.
    found = central_crop(jpeg, (44, 44), 3, 44 / 60)
    # TensorFlow's cosine transform is the faster, less exact one.
    np.testing.assert_allclose(found, expected, atol=4)
    # A pixel further it would be another image.
    assert np.abs(np.diff(expected.astype(int), axis=0)).max() > 20
    assert np.abs(np.diff(expected.astype(int), axis=1)).max() > 20


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGBA", "LA", "P"])
@pytest.mark.parametrize("channels", [1, 3])
def test_kinds_of_images_found_in_imagenet(mode, channels):
    """Some are grey, some of CMYK colours, and one is a PNG file by another name."""
    file_format = "JPEG" if mode in ("L", "CMYK") else "PNG"
    content = io.BytesIO()
    image = Image.fromarray(np.full((9, 7, 3), 90, "uint8"))
    image = image.convert(mode, palette=Image.Palette.ADAPTIVE)
    image.save(content, file_format)
    found = central_crop(content.getvalue(), (5, 5), channels, 1.0)
    np.testing.assert_allclose(found, np.full((5, 5, channels), 90.0), atol=3)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 600),
    width=st.integers(1, 600),
    seed=st.tuples(st.integers(0, 2**62), st.integers(0, 2**20)),
)
def test_random_windows_lie_inside_and_are_of_the_promised_shape(height, width, seed):
    top, left, rows, columns = random_window([height, width], seed).numpy()
    assert 0 <= top <= top + rows <= height
    assert 0 <= left <= left + columns <= width
    assert rows >= 1
    assert columns >= 1
    # To a pixel on each side.
    assert (columns - 1) / (rows + 1) <= 4 / 3
    assert (columns + 1) / max(rows - 1, 1e-9) >= 3 / 4
    if 3 / 4 <= width / height <= 4 / 3:
        assert (rows + 1) * (columns + 1) >= 0.08 * height * width


def test_random_windows_are_of_all_sizes_and_places():
    windows = np.array(
        [random_window([300, 400], [seed, 0]).numpy() for seed in range(400)]
    )
    area = windows[:, 2] * windows[:, 3] / (300 * 400)
    assert area.min() < 0.12
    assert area.max() > 0.9
    middle = windows[:, :2] + windows[:, 2:] / 2
    # Around the middle of the image on average: four standard errors of the mean.
    error = 4 * middle.std(axis=0) / 20
    np.testing.assert_array_less(abs(middle.mean(axis=0) - [150, 200]), error)


def test_random_crops_are_mirrored_every_other_time():
    _, png = jpeg_and_png(coordinates(60, 80))
    mirrored = 0
    for number in range(200):
        image = random_crop_and_flip(png, (8, 8), 3, [7, number]).numpy()
        rises = np.diff(image[..., 1], axis=1)
        assert (np.diff(image[..., 0], axis=0) >= 0).all()  # Never upside down.
        assert (rises >= 0).all() or (rises <= 0).all()
        mirrored += (rises <= 0).all()
    assert 70 <= mirrored <= 130


# --- training ----------------------------------------------------------------


class Recorder(keras.Sequential):
    """Keeps the images that each training step saw, by the number of the step."""

    seen = None

    def train_step(self, data):
        def keep(step, images):
            self.seen[int(step)] = images.numpy()

        tf.py_function(keep, [self._train_counter, data[0]], [])
        return super().train_step(data)


def fit(records, folder, interrupt_at=None, **arguments):
    """Trains like a program just started; returns the images of each step."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = Recorder(
        [keras.Input((*SIZE, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model.seen = {}
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    callbacks = [ResumableTraining(folder, 1)]
    if interrupt_at:
        callbacks.append(Interrupt(interrupt_at))
    train, _ = tfrecords(
        records, SIZE, batch_size=4, augment=True, parallel_reads=2, **arguments
    )
    with contextlib.suppress(InterruptionError):
        model.fit(train, epochs=2, verbose=0, callbacks=callbacks)
    return model.seen


# At the end of the first epoch and in the second; in the first.
@pytest.mark.parametrize(("shuffle_buffer", "steps"), [(6, (6, 8)), (4096, (3,))])
def test_a_resumed_training_sees_the_same_images(tmp_path, shuffle_buffer, steps):
    """Warnings are errors: that the position cannot be saved would be one."""
    images = tmp_path / "images"
    rng = np.random.default_rng(0)
    for number in range(22):
        path = images / f"{number % 3}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 9, 3), "uint8")).save(path)
    write_tfrecords(images, tmp_path / "records", shards=(3, 1))
    arguments = {"records": tmp_path / "records", "shuffle_buffer": shuffle_buffer}
    whole = fit(folder=tmp_path / "whole", **arguments)
    assert len(whole) == 2 * 5  # Of five batches, the last of two images.
    resumed = [
        fit(folder=tmp_path / "broken", interrupt_at=step, **arguments)
        for step in (*steps, None)
    ]
    # A position is saved when the next step begins: the last one is repeated.
    assert [min(part) for part in resumed] == [0, *(step - 1 for step in steps)]
    assert set().union(*resumed) == set(whole)
    for part in resumed:
        for step, images in part.items():
            np.testing.assert_array_equal(images, whole[step])
    assert len({image.tobytes() for batch in whole.values() for image in batch}) > 30


def test_a_model_learns_from_the_files(tmp_path):
    """Dark and bright images are told apart after a few epochs."""
    for number in range(60):
        path = tmp_path / "images" / ("dark", "light")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(60 + 120 * (number % 2) + number // 2, (12, 10)))
    write_tfrecords(tmp_path / "images", tmp_path / "records", test_fraction=0.3)
    train, test = tfrecords(tmp_path / "records", (8, 8), batch_size=8, augment=True)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss, metrics=["accuracy"])
    history = model.fit(train, validation_data=test, epochs=6, verbose=0).history
    assert history["val_accuracy"][-1] == 1.0
