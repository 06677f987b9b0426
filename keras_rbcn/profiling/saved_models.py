"""Networks that a user names: by a file of Keras, or by the model that trains them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.training import RBCNModel


def student_of(model: Any) -> Any:
    """The student of an `RBCNModel`, and any other model itself."""
    # Not by the attribute, which a user's own model may have as well.
    return model.student if isinstance(model, RBCNModel) else model


def check_keras_2_file(path: Path) -> None:
    """Checks, before it is loaded, that a file is a .keras file of Keras 2.

    Args:
        path: An existing file.

    Raises:
        ValueError: If it is not; says what it is.
    """
    kind = f"Expected '{path}' to be a model saved by model.save('NAME.keras')"
    if path.suffix != ".keras":
        raise ValueError(
            f"{kind}; its name does not end in .keras (in lower case), and Keras goes "
            "by the name. Rename it if it is such a file."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json"))["keras_version"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{kind}; it is damaged or something else.") from error
    if not str(version).startswith("2."):
        raise ValueError(
            f"{kind} under Keras 2 (tf_keras); it is of Keras {version}, and such a "
            "file does not load in Keras 2. Build the model again with tf_keras, and "
            "load its weights into it."
        )


def load_student(path: Path) -> Any:
    """Loads a model of a .keras file; of an `RBCNModel`, its student.

    Raises:
        ValueError: If the file is none of Keras 2, or the model cannot be loaded.
    """
    check_keras_2_file(path)
    try:
        model = keras.models.load_model(path, compile=False)
    # Whatever a class in the file raises when it is built.
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise ValueError(
            f"Expected a model that Keras 2 (tf_keras) can load; it cannot load the "
            f"model in '{path}': {reason}"
        ) from error
    return student_of(model)
