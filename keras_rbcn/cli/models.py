"""Model files that a user names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_rbcn.cli.errors import user_errors
from keras_rbcn.cli.files import (
    check_input,
    check_name_for_tensorflow,
    written_beside,
)
from keras_rbcn.profiling.saved_models import check_keras_2_file, load_student


def check_keras_file(path: Path) -> None:
    """Checks that the file is a .keras file of Keras 2."""
    check_input(path)
    check_name_for_tensorflow(path)
    with user_errors():
        check_keras_2_file(path)


def load_model(path: Path) -> Any:
    """Loads a model; of an RBCNModel, its student."""
    with user_errors():
        return load_student(path)


def save_model(model: Any, path: Path) -> None:
    """Saves a model as a .keras file, which is there whole or not at all."""
    with written_beside(path) as beside:
        model.save(beside)
