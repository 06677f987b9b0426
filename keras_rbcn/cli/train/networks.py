"""Student and teacher of a training: loaded or made, checked, and compiled."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_rbcn._backend import keras
from keras_rbcn._samples import input_signature
from keras_rbcn.cli.errors import UserError, user_errors, warning_lines
from keras_rbcn.cli.models import load_model
from keras_rbcn.cli.train.settings import DEFAULT_STYLE, RunSettings
from keras_rbcn.conversion import (
    BinarizationReport,
    binarize,
    copy_weights,
    full_precision_counterpart,
)
from keras_rbcn.training.output_scores import outputs_from_logits

MOMENTUM = 0.9


# What messages advise to those who write Python, and what it is here.
_ADVICE = {
    "Pass `taps=[(student_layer, teacher_layer), ...]`": (
        "Pair layers of other names in Python, with keras_rbcn.RBCNModel"
    ),
    "`taps=[]`": "--taps none",
    "pass `check_teacher=False`": (
        "train in Python, with keras_rbcn.RBCNModel and `check_teacher=False`"
    ),
    "pass distillation_from_logits": (
        "train in Python, with keras_rbcn.RBCNModel and `distillation_from_logits`"
    ),
}


class Networks(NamedTuple):
    """A student with its teacher.

    Args:
        rbcn: The `RBCNModel` of both; its teacher is None if there is none.
        report: Of the binarisation, if the student was made of the teacher.
        counterpart: The student's full-precision counterpart, if the student is to
            start from it.
        shape: Of the input, without the batch.
        classes: Number of scores.
    """

    rbcn: Any
    report: BinarizationReport | None
    counterpart: Any
    shape: tuple[int, ...]
    classes: int


def load_networks(settings: RunSettings) -> Networks:
    """Loads the teacher, and loads the student or makes it of the teacher.

    Raises:
        UserError: If a file holds no model, or the models cannot be trained or do not
            fit each other.
    """
    teacher = settings.teacher and load_model(settings.teacher)
    recipe, report, counterpart = settings.as_recipe(), None, None
    with _advice_for_options(), user_errors(), warning_lines():
        if settings.student is not None:
            student = load_model(settings.student)
        else:
            style = settings.style or DEFAULT_STYLE
            student, report = binarize(
                teacher,
                style=style,
                kernel_quantizer=recipe.kernel_quantizer,
                return_report=True,
            )
        if settings.pretrain_epochs:
            counterpart = full_precision_counterpart(student)
            # Refuses before any training what it would refuse behind it.
            copy_weights(counterpart, student)
        rbcn = recipe.model(
            student,
            counterpart if teacher is None else teacher,
            check_teacher=teacher is not None,  # The counterpart is yet to be trained.
        )
        shape, classes = _input_shape(student), _classes(student)
    return Networks(rbcn, report, counterpart, shape, classes)


def compile_networks(
    networks: Networks, settings: RunSettings, steps_per_epoch: int
) -> None:
    """Gives all networks optimizers, losses and metrics."""
    rbcn, counterpart = networks.rbcn, networks.counterpart
    arguments = settings.as_recipe().compile_arguments(settings.epochs, steps_per_epoch)
    arguments["optimizer"] = _optimizer(settings, settings.epochs * steps_per_epoch)
    for name, rate in (
        ("strategy_b_optimizer", settings.strategy_b_learning_rate),
        ("scale_optimizer", settings.scale_learning_rate),
    ):
        if settings.schedule == "constant" and name in arguments:
            arguments[name] = keras.optimizers.Adam(rate)
    with _advice_for_options(), user_errors():
        (from_logits,) = outputs_from_logits(rbcn.student, rbcn.student, None)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
        rbcn.compile(loss=loss, metrics=[_accuracy()], **arguments)
    if rbcn.teacher is not None:
        rbcn.teacher.compile(metrics=[_accuracy()])
    if counterpart is not None:
        optimizer = settings.as_recipe().pretraining_optimizer(
            settings.pretrain_epochs, steps_per_epoch
        )
        counterpart.compile(optimizer, loss, metrics=[_accuracy()])


def _optimizer(settings: RunSettings, steps: int) -> Any:
    rate: Any = settings.learning_rate
    if settings.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    if settings.optimizer == "adam":
        return keras.optimizers.Adam(rate)
    return keras.optimizers.SGD(rate, momentum=MOMENTUM)


@contextlib.contextmanager
def _advice_for_options() -> Iterator[None]:
    """Within it, a `UserError` advises what the command line has."""
    try:
        yield
    except UserError as error:
        message = str(error)
        for python, here in _ADVICE.items():
            message = message.replace(python, here)
        raise UserError(message) from error


def _accuracy() -> Any:
    return keras.metrics.SparseCategoricalAccuracy(name="accuracy")


def _input_shape(model: Any) -> tuple[int, ...]:
    specs = input_signature(model).specs
    if len(specs) != 1:
        raise UserError(
            f"expected models of one input, but '{model.name}' has {len(specs)}: train "
            "it in Python, with keras_rbcn.RBCNModel."
        )
    return tuple(specs[0].shape[1:])


def _classes(model: Any) -> int:
    shapes = [tuple(tensor.shape) for tensor in getattr(model, "outputs", None) or []]
    if len(shapes) != 1 or len(shapes[0]) != 2 or (shapes[0][1] or 0) < 2:
        raise UserError(
            f"expected models that end in one score for each class, of shape (batch, "
            f"classes), but the outputs of '{model.name}' have the shapes {shapes}: "
            "train it in Python, with keras_rbcn.RBCNModel."
        )
    return shapes[0][1]
