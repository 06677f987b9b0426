"""One run of the study: a contender, a learning rate and a seed make a row."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from contenders import EACH_EPOCH, TEACHERS, Contender, Ramp, contender, settings_of
from parts import model_of, student_of, teacher_of, with_real
from places import Places
from result_files import machine
from sizes import SIZES, Size
from study_images import batches, images

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf


class Run(NamedTuple):
    """What a run is known by."""

    size: str
    contender: str
    learning_rate: float
    seed: int
    teacher: str | None = None  # The digest of its run.
    start: str | None = None  # Of that of the network it starts from, if another.

    def budget(self) -> dict[str, Any]:
        # Without what is as always, and was not thought of when the first lines came.
        budget = {
            field: value
            for field, value in SIZES[self.size]._asdict().items()
            if value != Size._field_defaults.get(field)
        }
        epochs, teacher_epochs = budget.pop("epochs"), budget.pop("teacher_epochs")
        is_long = self.teacher is None or contender(self.contender).long
        return {**budget, "epochs": teacher_epochs if is_long else epochs}

    def digest(self) -> str:
        """Of all that decides the run: another budget or setting is another run."""
        known = {**self._asdict(), "budget": self.budget()}
        known["contender"] = settings_of(self.contender)
        if self.start is None:  # As with those that were before it was thought of.
            del known["start"]
        text = json.dumps(known, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def trained(run: Run, places: Places) -> dict[str, Any]:
    """Trains as a run says, or goes on with it, and returns its row.

    The network is kept, and so is what it answers to validation and test images. The
    right answers to the test images are not looked at here.

    Args:
        run: Which one.
        places: Where things are.
    """
    size, chosen = SIZES[run.size], contender(run.contender)
    keras.backend.clear_session()  # Of the run before.
    keras.utils.set_random_seed(run.seed)
    fit, digest = Fit(run, places), run.digest()
    if run.teacher is None:
        model = teacher_of(chosen, size)
        histories = [fit(model, 0, run.budget()["epochs"])]
    else:
        teacher = _read(places.teacher(run.teacher))
        start = _read(places.teacher(run.start)) if run.start else teacher
        model = student_of(chosen, size, start)
        histories = _student_trained(fit, chosen, teacher, model)
    if run.contender in TEACHERS:
        copy = keras.models.clone_model(model)  # Was never compiled.
        copy.set_weights(model.get_weights())
        copy.save(places.teacher(digest))
    else:
        model.save(places.student(digest))
    data = images(size.data, size.images)
    said = Answers(*(_answers(model, part[0]) for part in data[1:]))
    np.savez_compressed(places.answers(digest), **said._asdict())
    return {
        **run._asdict(),
        "digest": digest,
        "settings": settings_of(run.contender),
        "budget": run.budget(),
        "histories": histories,
        "seconds_per_epoch": float(np.median(fit.seconds)),
        **judged(run.teacher, said, places, data.validation[1], "validation"),
        "machine": machine(),
    }


def _read(path: Path) -> Any:
    return keras.models.load_model(path, compile=False)


def _student_trained(fit: Fit, chosen: Contender, teacher: Any, student: Any) -> Any:
    size, epochs = SIZES[fit.run.size], fit.run.budget()["epochs"]
    if not chosen.two_stages:
        return [fit(model_of(chosen, size, teacher, student), 0, epochs)]
    first = with_real(student, "kernels")
    # Automatic taps are of rectified convolutions, which it has not.
    plain = dataclasses.replace(chosen, taps=[]).with_settings(adversarial_weight=0.0)
    histories = [fit(model_of(plain, size, teacher, first), 0, epochs // 2)]
    rbcn.copy_weights(first, student)
    second = model_of(chosen, size, teacher, student)
    return [*histories, fit(second, epochs // 2, epochs)]


class Fit:
    """Trains a model with the budget of a run.

    Args:
        run: Which one.
        places: Where its checkpoints are.
    """

    def __init__(self, run: Run, places: Places) -> None:
        self.run, self._places = run, places
        self.seconds: list[float] = []  # Of each epoch, without its validation.

    def __call__(self, model: Any, first: int, last: int) -> dict[str, list[float]]:
        """Trains for the epochs from the first on, and returns their history."""
        size, chosen = SIZES[self.run.size], contender(self.run.contender)
        data = images(size.data, size.images)
        train = batches(data.train, size, self.run.seed + 1000 * first)
        steps = len(train)
        compile_for(
            model, chosen, self.run.learning_rate, (last - first) * steps, steps
        )
        seconds = EpochSeconds(self.seconds)
        name = self.run.digest() + (f"-{first}" if first else "")
        history = model.fit(
            train,
            epochs=last - first,
            validation_data=_fixed(data.validation),
            verbose=2,
            callbacks=[
                seconds,
                rbcn.callbacks.ResumableTraining(self._places.checkpoints(name)),
            ],
        )
        return history.history


def compile_for(
    model: Any, chosen: Contender, rate: float, steps: int, steps_per_epoch: int
) -> None:
    schedules = keras.optimizers.schedules

    def optimizer(factor: float) -> Any:
        return keras.optimizers.Adam(schedules.CosineDecay(rate * factor, steps))

    def setting(value: Any) -> Any:
        if value == EACH_EPOCH:
            return steps_per_epoch
        if not isinstance(value, Ramp):
            return value
        steps = value.epochs * steps_per_epoch
        return schedules.PolynomialDecay(
            value.first, steps, end_learning_rate=value.last
        )

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if not isinstance(model, rbcn.RBCNModel):
        model.compile(optimizer(1.0), loss, metrics=["accuracy"])
        return
    others = {name: optimizer(factor) for name, factor in chosen.optimizers.items()}
    # Whatever the defaults of `compile` become: they are what the study decides.
    settings = {"distillation": 0.0}
    settings.update({name: setting(value) for name, value in chosen.settings.items()})
    if not model.taps:
        settings["adversarial_weight"] = 0.0
    model.compile(optimizer(1.0), loss, metrics=["accuracy"], **settings, **others)


class Answers(NamedTuple):
    """The classes that a network says images are of."""

    validation: Any
    test: Any


def read_answers(places: Places, digest: str) -> Answers:
    """What the network of a run that has ended said."""
    with np.load(places.answers(digest)) as file:
        return Answers(file["validation"], file["test"])


def judged(
    teacher: str | None, said: Answers, places: Places, labels: Any, part: str
) -> dict[str, float]:
    """Accuracy on images, and the share of them to which teacher and student agree.

    Args:
        teacher: The digest of the teacher's run; None if there is none.
        said: The network's answers.
        places: Where the teacher's answers are.
        labels: The right answers.
        part: Whether they are of "validation" or "test" images.
    """
    answers = getattr(said, part)
    found = {f"{part}_accuracy": float(np.mean(answers == labels))}
    if teacher is not None:
        theirs = getattr(read_answers(places, teacher), part)
        found[f"{part}_agreement"] = float(np.mean(answers == theirs))
    return found


def _answers(model: Any, x: Any) -> Any:
    return model.predict(_fixed((x,)), verbose=0).argmax(-1).astype(np.uint8)


def _fixed(data: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(data).batch(500)


class EpochSeconds(keras.callbacks.Callback):
    """How long each epoch took, without its validation."""

    def __init__(self, seconds: list[float]) -> None:
        super().__init__()
        self.seconds = seconds
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._start = time.perf_counter()

    def on_test_begin(self, logs: Any = None) -> None:
        self.seconds.append(time.perf_counter() - self._start)
