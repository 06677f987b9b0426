"""Model files that a user names."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.cli.errors import UserError
from keras_rbcn.cli.files import check_input, written_beside


def check_keras_file(path: Path) -> None:
    """Checks that the file is a .keras file of Keras 2."""
    check_input(path)
    kind = f"expected '{path}' to be a model saved by model.save('NAME.keras')"
    if path.suffix != ".keras":
        raise UserError(f"{kind}; its name does not end in .keras.")
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json"))["keras_version"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{kind}; it is damaged or something else.") from error
    if not str(version).startswith("2."):
        raise UserError(
            f"{kind} under Keras 2 (tf_keras); it is of Keras {version}, and such a "
            "file does not load in Keras 2. Build the model again with tf_keras, and "
            "load its weights into it."
        )


def load_model(path: Path) -> Any:
    """Loads a model; of an RBCNModel, its student."""
    try:
        model = keras.models.load_model(path, compile=False)
    # Whatever a class in the file raises when it is built.
    except Exception as error:
        raise UserError(f"cannot load the model in '{path}': {error}") from error
    return getattr(model, "student", model)


def save_model(model: Any, path: Path) -> None:
    """Saves a model as a .keras file, which is there whole or not at all."""
    with written_beside(path) as beside:
        model.save(beside)
