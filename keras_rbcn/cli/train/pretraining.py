"""The training that a student starts from: its counterpart in full precision."""

from __future__ import annotations

import typer

from keras_rbcn.cli.models import save_model
from keras_rbcn.cli.train.fitting import fit
from keras_rbcn.cli.train.networks import Networks
from keras_rbcn.cli.train.results import ResultFolder
from keras_rbcn.cli.train.settings import RunSettings
from keras_rbcn.conversion import copy_weights
from keras_rbcn.datasets import Splits


def pretrain(
    networks: Networks, settings: RunSettings, splits: Splits, folder: ResultFolder
) -> dict[str, float]:
    """Trains the counterpart, keeps it, and lets the student start from it.

    Returns:
        Its accuracy on the validation samples, also as that of the teacher if it is
        the teacher; nothing if there is no counterpart.

    Raises:
        UserError: As `fit`.
    """
    student, counterpart = networks.rbcn.student, networks.counterpart
    if counterpart is None:
        return {}
    typer.echo("The student's full-precision counterpart, from which it starts:")
    history = fit(
        counterpart,
        settings.pretrain_epochs,
        splits,
        settings.batch_size,
        folder.pretraining,
        "--pretrain-learning-rate",
    )
    save_model(counterpart, folder.counterpart)
    recipe = settings.as_recipe()
    copy_weights(counterpart, student, recipe.pretrained_kernel_magnitude)
    typer.echo("The student:")
    accuracy = history["val_accuracy"][-1]
    roles = ["counterpart"]
    if networks.rbcn.teacher is counterpart:
        roles.append("teacher")
    return {f"{role}_accuracy": accuracy for role in roles}
