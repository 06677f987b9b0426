"""One run of the study: a contender, a learning rate and a seed make a row."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from contenders import Contender, contender
from result_files import machine
from sklearn.model_selection import train_test_split

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.applications.networks import Architecture, Top, build_network

CLASSES = 10
# Of the training images; the rest decides between settings. Which ones never changes.
VALIDATION = 10_000
SPLIT_SEED = 0
SHIFT = 2  # Pixels that an image is moved by at the most, either way.


class Size(NamedTuple):
    """A network and its budget."""

    stages: tuple[int, int, int]
    blocks: int
    images: int
    batch: int
    teacher_epochs: int
    epochs: int


SIZES = {
    "small": Size((16, 32, 64), 2, 50_000, 128, 20, 10),
    "large": Size((32, 64, 128), 2, 50_000, 128, 20, 20),
    # To try the scripts, and in their test.
    "tiny": Size((4, 4, 8), 1, 512, 64, 2, 2),
}


class Run(NamedTuple):
    """What a run is known by."""

    size: str
    contender: str
    learning_rate: float
    seed: int
    teacher: str | None = None  # The digest of its run.

    def budget(self) -> dict[str, Any]:
        budget = SIZES[self.size]._asdict()
        epochs, teacher_epochs = budget.pop("epochs"), budget.pop("teacher_epochs")
        return {**budget, "epochs": epochs if self.teacher else teacher_epochs}

    def digest(self) -> str:
        """Of all that decides the run: another budget or setting is another run."""
        chosen = dataclasses.asdict(contender(self.contender))
        text = json.dumps([self, self.budget(), chosen], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Images(NamedTuple):
    """Training, validation and test images, each with its labels."""

    train: Any
    validation: Any
    test: Any


@functools.cache
def images(count: int) -> Images:
    """Fashion-MNIST, with as many training images as are asked for."""
    (x, y), test = rbcn.datasets.fashion_mnist()
    x, left_x, y, left_y = train_test_split(
        x, y, test_size=VALIDATION, stratify=y, random_state=SPLIT_SEED
    )
    return Images((x[:count], y[:count]), (left_x, left_y), test)


def network(size: Size, kind: str) -> Any:
    """A network of the study: three stages behind a first convolution with strides."""
    architecture = Architecture(
        "study", 28, size.stages[0], size.stages, size.blocks, stem_strides=2
    )
    top = Top(True, None, CLASSES, None)
    return build_network(architecture, kind, top, (28, 28, 1), None, None)


def batches(data: Any, size: Size, seed: int) -> Any:
    """Training batches: another order in each epoch, mirrored and shifted at random."""

    def augmented(sample: Any, key: Any) -> Any:
        (x, y), key = sample, tf.stack([tf.cast(seed, tf.int64), key])
        flip = tf.random.stateless_uniform((), key) < 0.5
        x = tf.where(flip, tf.reverse(x, [1]), x)
        padded = tf.pad(x, [[SHIFT, SHIFT], [SHIFT, SHIFT], [0, 0]], constant_values=-1)
        return tf.image.stateless_random_crop(padded, x.shape, key), y

    samples = tf.data.Dataset.from_tensor_slices(data)
    shuffled = samples.shuffle(len(data[1]), seed=seed)
    keys = tf.data.Dataset.random(seed, rerandomize_each_iteration=True)
    options = tf.data.Options()
    options.autotune.enabled = False
    options.threading.private_threadpool_size = 1
    made = tf.data.Dataset.zip((shuffled, keys)).map(augmented)
    return made.batch(size.batch, drop_remainder=True).prefetch(2).with_options(options)


def saved(digest: str, folder: Path) -> Path:
    """Where the network that a run trained is kept."""
    return folder / f"{digest}.keras"


def model_of(chosen: Contender, size: Size, teacher: Any) -> Any:
    """The model to train."""
    student = network(size, chosen.network)
    if chosen.from_teacher:
        rbcn.copy_weights(teacher, student)
    needs_teacher = bool(chosen.taps) or chosen.settings.get("distillation", 0) > 0
    build = functools.partial(
        rbcn.discriminators.build_discriminator, **chosen.discriminator
    )
    return rbcn.RBCNModel(
        student, teacher if needs_teacher else None, chosen.taps, build
    )


def trained(run: Run, folder: Path) -> dict[str, Any]:
    """Trains as a run says, or goes on with it, and returns its row.

    Args:
        run: Which one.
        folder: Where checkpoints and the teacher are.
    """
    size, chosen = SIZES[run.size], contender(run.contender)
    keras.utils.set_random_seed(run.seed)
    tf.config.experimental.enable_op_determinism()
    data, teacher = images(size.images), None
    if run.teacher is None:
        model = network(size, "full_precision")
    else:
        teacher = keras.models.load_model(saved(run.teacher, folder))
        model = model_of(chosen, size, teacher)
    epochs = run.budget()["epochs"]
    train = batches(data.train, size, run.seed)
    compile_for(model, chosen, run.learning_rate, epochs * len(train))
    seconds = EpochSeconds()
    history = model.fit(
        train,
        epochs=epochs,
        validation_data=_fixed(data.validation),
        verbose=2,
        callbacks=[
            seconds,
            rbcn.callbacks.ResumableTraining(folder / run.digest()),
        ],
    )
    # Kept for the test images, which are looked at once the final settings are known.
    (model.student if teacher else model).save(saved(run.digest(), folder))
    return {
        **run._asdict(),
        "digest": run.digest(),
        "settings": dataclasses.asdict(chosen),
        "budget": run.budget(),
        "history": history.history,
        "seconds_per_epoch": float(np.median(seconds.seconds)),
        **judged(model, teacher, data.validation),
        "machine": machine(),
    }


def compile_for(model: Any, chosen: Contender, rate: float, steps: int) -> None:
    def optimizer(factor: float) -> Any:
        schedule = keras.optimizers.schedules.CosineDecay(rate * factor, steps)
        return keras.optimizers.Adam(schedule)

    others = {name: optimizer(factor) for name, factor in chosen.optimizers.items()}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        optimizer(1.0), loss, metrics=["accuracy"], **chosen.settings, **others
    )


def judged(model: Any, teacher: Any, data: Any) -> dict[str, float]:
    """Accuracy on images, and the share of them to which teacher and student agree."""
    x, y = data
    answers = _answers(model, x)
    found = {"validation_accuracy": float(np.mean(answers == y))}
    if teacher is not None:
        agreement = np.mean(answers == _answers(teacher, x))
        found["validation_agreement"] = float(agreement)
    return found


def _answers(model: Any, x: Any) -> Any:
    return model.predict(_fixed((x,)), verbose=0).argmax(-1)


def _fixed(data: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(data).batch(500)


class EpochSeconds(keras.callbacks.Callback):
    """How long each epoch took, without its validation."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = time.perf_counter()

    def on_test_begin(self, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._start)
