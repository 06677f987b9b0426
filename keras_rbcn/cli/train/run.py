"""Runs a training: checks, trains, and leaves a folder of results."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import typer

from keras_rbcn._backend import installed_versions, keras, tf
from keras_rbcn.callbacks import TrainingLog, plot_training_log
from keras_rbcn.cli.errors import FAILED, UserError, warn, warnings_at_once
from keras_rbcn.cli.files import write_text
from keras_rbcn.cli.models import save_model
from keras_rbcn.cli.train.config import to_values, to_yaml
from keras_rbcn.cli.train.data import (
    arguments,
    check_data,
    data_digest,
    find_unreadable_image,
    load_data,
    sample_count,
)
from keras_rbcn.cli.train.fitting import fit
from keras_rbcn.cli.train.networks import Networks, compile_networks, load_networks
from keras_rbcn.cli.train.pretraining import pretrain
from keras_rbcn.cli.train.results import ResultFolder
from keras_rbcn.cli.train.settings import RunSettings
from keras_rbcn.conversion import BinarizationReport, check_binary_inputs
from keras_rbcn.datasets import Arrays, Splits
from keras_rbcn.datasets.splits import rescaled
from keras_rbcn.layers.binary_inputs import binary_layers
from keras_rbcn.training.description import weights_digest

# What pixels of 0 and 255 mostly become.
_SCALES = ((-1.0, 1.0), (0.0, 1.0))
# By how much an accuracy is better that is not by chance.
_CLEARLY = 0.05


def run_training(settings: RunSettings) -> None:
    """Trains a student, and leaves a `ResultFolder`.

    Raises:
        UserError: If something is wrong with the settings, the models or the data,
            before anything is written; or if the training fails.
    """
    folder = ResultFolder(settings.output)
    settings.check()
    check_data(settings)
    folder.check(settings.overwrite, settings.teacher, settings.student)
    if settings.deterministic:
        # For the whole process, and not to be undone: not for the library to decide.
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)
    networks = load_networks(settings)
    rbcn = networks.rbcn
    splits = load_data(settings, networks.shape, networks.classes)
    digest = data_digest(settings, splits)
    steps = -(-sample_count(splits.train) // settings.batch_size)
    compile_networks(networks, settings, steps)
    with _failures(splits, networks), warnings_at_once():
        accuracies = _teacher_accuracy(networks, splits, settings)
        unfinished = folder.begin()
        write_text(unfinished.config, to_yaml(settings, unfinished.config.name))
        _write_report(networks.report, unfinished)
        start = time.perf_counter()
        accuracies |= pretrain(networks, settings, splits, unfinished)
        _warn_of_constant_signs(rbcn.student, splits)
        history = fit(
            rbcn,
            settings.epochs,
            splits,
            settings.batch_size,
            unfinished.history,
            "--learning-rate",
            TrainingLog(unfinished.log),
        )
    seconds = time.perf_counter() - start
    save_model(rbcn.student, unfinished.student)
    summary = {
        **_summary(networks, splits, history, seconds),
        **accuracies,
        **_origin(settings, rbcn, digest),
    }
    write_text(unfinished.summary, json.dumps(summary, indent=2) + "\n")
    _plot(unfinished)
    folder.finish()
    typer.echo(f"The student gets {_share(summary['accuracy'], splits)} right.")
    typer.echo(f"Results are in {folder.path.resolve()}")
    file = shlex.quote(str(folder.student))
    typer.echo(f"Next: keras-rbcn export {file} STUDENT.tflite")


@contextlib.contextmanager
def _failures(splits: Splits, networks: Networks) -> Iterator[None]:
    """Within it, failures of TensorFlow that a user can mend are a `UserError`."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            "memory ran out: try a smaller --batch-size.", exit_code=FAILED
        ) from error
    except tf.errors.OpError as error:
        path = find_unreadable_image(splits, networks.shape[-1])
        if path is None:
            raise
        raise UserError(
            f"cannot read '{path}' as an image of {networks.shape[-1]} channel(s): "
            "remove it, or save it as PNG."
        ) from error


def _warn_of_constant_signs(student: Any, splits: Splits) -> None:
    if not binary_layers(student):
        return
    names = check_binary_inputs(student, splits.test).suspicious
    if names:
        warn(
            f"the inputs of the 1-bit layers {list(names)} hardly ever change sign on "
            "the validation samples, and little can be learned from them: put an RSign "
            "or a batch normalisation in front of these layers."
        )


def _teacher_accuracy(
    networks: Networks, splits: Splits, settings: RunSettings
) -> dict[str, float | None]:
    """The teacher's accuracy, which shows whether the data are as it knows them."""
    teacher = networks.rbcn.teacher
    if teacher is None or teacher is networks.counterpart:
        return {"teacher_accuracy": None}
    data = arguments(splits.test, settings.batch_size)
    accuracy = float(teacher.evaluate(**data, verbose=0, return_dict=True)["accuracy"])
    typer.echo(f"The teacher gets {_share(accuracy, splits)} right.")
    guessing = 1 / networks.classes
    scale = _better_scale(teacher, splits.test, settings, accuracy)
    if scale is not None:
        warn(
            f"the teacher gets {accuracy:.2%} right with pixels from 0 to 255 as they "
            f"are, and {scale[1]:.2%} with --rescale {scale[0][0]:g} {scale[0][1]:g} "
            "(of type uint8): it seems to have been trained on such."
        )
    elif accuracy < guessing + 0.1 * (1 - guessing):
        warn(
            "the teacher does hardly better than guessing, and has little to teach: "
            "are the data scaled as they were for its training (--rescale), and the "
            "classes in the same order?"
        )
    return {"teacher_accuracy": accuracy}


def _better_scale(
    teacher: Any, test: Any, settings: RunSettings, accuracy: float
) -> tuple[tuple[float, float], float] | None:
    """A scale of pixels that the teacher knows better, and its accuracy with it.

    None if the data are no unscaled pixels, or there is no such scale.
    """
    if isinstance(test, tf.data.Dataset) or not _are_bytes(test.x):
        return None
    found = {}
    for scale in _SCALES:
        data = arguments(Arrays(rescaled(test.x, scale), test.y), settings.batch_size)
        logs = teacher.evaluate(**data, verbose=0, return_dict=True)
        found[scale] = float(logs["accuracy"])
    best = max(found, key=lambda scale: found[scale])
    return (best, found[best]) if found[best] > accuracy + _CLEARLY else None


def _are_bytes(x: Any) -> bool:
    """Whether all are whole numbers as of bytes, more than zeros and ones."""
    return bool(x.min() >= 0 and 1 < x.max() <= 255 and np.array_equal(x, np.rint(x)))


def _share(accuracy: float, splits: Splits) -> str:
    return f"{accuracy:.2%} of {sample_count(splits.test)} validation samples"


def _write_report(report: BinarizationReport | None, folder: ResultFolder) -> None:
    if report is not None:
        write_text(folder.binarization, report.to_json() + "\n")
        typer.echo(
            f"The student has {len(report.binary_convolutions)} 1-bit convolutions; "
            f"{folder.binarization.name} tells about each layer."
        )


def _plot(folder: ResultFolder) -> None:
    try:
        plot_training_log(folder.log, folder.plot)
    except (OSError, ValueError) as error:  # The student is worth more.
        warn(f"there is no picture of the training: {error}")


def _origin(settings: RunSettings, rbcn: Any, data: str) -> dict[str, Any]:
    """What the student comes from, for those who ask for it later."""
    teacher = rbcn.teacher
    return {
        "student_sha256": weights_digest(rbcn.student).hexdigest(),
        "teacher_sha256": teacher and weights_digest(teacher).hexdigest(),
        "data_sha256": data,
        "settings": to_values(settings),
    }


def _summary(
    networks: Networks,
    splits: Splits,
    history: dict[str, list[float]],
    seconds: float,
) -> dict[str, Any]:
    last = {name: float(values[-1]) for name, values in history.items()}
    return {
        "epochs": len(history["loss"]),
        "seconds": round(seconds, 2),
        "training_samples": sample_count(splits.train),
        "validation_samples": sample_count(splits.test),
        "classes": getattr(splits.train, "class_names", networks.classes),
        "accuracy": last["val_accuracy"],
        "last_epoch": last,
        "versions": installed_versions(),
    }
