"""Fits a network to the data, and says what went wrong in the command's words."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn.cli.errors import FAILED, UserError
from keras_rbcn.cli.train.data import arguments
from keras_rbcn.datasets import Splits


def fit(
    model: Any,
    epochs: int,
    splits: Splits,
    batch_size: int,
    path: Path,
    rate_option: str,
    *callbacks: Any,
) -> dict[str, list[float]]:
    """Trains a compiled model, and returns its history.

    Args:
        model: The model.
        epochs: How many.
        splits: Data to train and to validate on.
        batch_size: Samples in a step.
        path: Where losses and metrics go, a line for each epoch.
        rate_option: The option of its learning rate.
        *callbacks: What else is to be called.

    Raises:
        UserError: If the file cannot be written, or the loss is no number any more.
    """
    test = splits.test
    try:
        history = model.fit(
            **arguments(splits.train, batch_size),
            validation_data=test if isinstance(test, tf.data.Dataset) else tuple(test),
            epochs=epochs,
            # Lines for a file or a pipe, a bar for a terminal.
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[
                keras.callbacks.CSVLogger(str(path)),
                *callbacks,
                keras.callbacks.TerminateOnNaN(),
            ],
        ).history
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error.strerror or error}.") from error
    if not math.isfinite(history["loss"][-1] + history["val_loss"][-1]):
        raise UserError(
            f"the loss became NaN or infinite in epoch {len(history['loss'])}, and no "
            f"student was written: try a smaller {rate_option}.",
            exit_code=FAILED,
        )
    return dict(history)
