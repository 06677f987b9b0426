"""Profiles Keras models and .tflite files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from keras_rbcn._backend import require_model
from keras_rbcn.profiling.keras_models import profile_layers
from keras_rbcn.profiling.report import FullPrecision, LayerProfile, Profile
from keras_rbcn.profiling.saved_models import load_student, student_of
from keras_rbcn.profiling.tflite_files import profile_operators


def profile(model_or_path: Any, reference: Any = None) -> Profile:
    """Counts memory and operations of a network, per layer and in total.

    The convention is that of the literature on 1-bit networks: a binary parameter takes
    1 bit, an int8 one 8 and a real one 32. Operations are multiply-accumulates, of
    which 64 binary ones count as one; they are binary if inputs and kernel are. The
    moving statistics of batch normalisations, and elementwise arithmetic, are not
    counted. A .tflite file counts by what is in it, so that what a model promises and
    what is delivered can be compared.

    A full-precision ResNet-18 takes 374.06 Mbit and 1.814e9 operations, its 1-bit
    student (first convolution, 1x1 shortcuts and dense layer real, one scale per
    channel) 33.64 Mbit and 1.640e8: 11.12 and 11.06 times less. Published are 11.1 and
    10.86 times, for XNOR-Net's row of RBCN's table of costs.

    Layers whose multiply-accumulates cannot be counted, such as convolutions in loops,
    are named in `not_counted`; those of the reference in `full_precision.not_counted`.

    Args:
        model_or_path: A built Keras 2 model whose input sizes are defined, an
            `RBCNModel` (its student counts), or the path of a .tflite or .keras file.
        reference: The full-precision network to compare with, given in the same ways.
            None compares with the same network with every kernel in 32 bits and
            without the scales of 1-bit kernels.

    Returns:
        The profile. It prints as a table.

    Raises:
        TypeError: If it is neither a Keras 2 model nor a path.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind, of Keras 3 or damaged, or the model
            is not built, has inputs of undefined size, or does not run.

    Example:
        >>> student = keras.Sequential([
        ...     keras.Input((8, 8, 32)),
        ...     RectifiedConv2D(64, 3, padding="same"),
        ...     keras.layers.BatchNormalization(),
        ... ])
        >>> result = profile(student)
        >>> result.total.binary_macs, result.operations
        (1179648, 18432.0)
        >>> result.full_precision.memory_bits
        593920

    Reference:
        RBCN, arXiv 1908.07748; XNOR-Net, arXiv 1603.05279.
    """
    name, layers, file_bytes = _profile(model_or_path, "model_or_path")
    if reference is None:
        full_precision = FullPrecision.of_itself(layers)
    else:
        other, others, _ = _profile(reference, "reference")
        full_precision = FullPrecision.of_reference(other, others)
    return Profile(name, layers, full_precision, file_bytes)


def _profile(
    model_or_path: Any, argument: str
) -> tuple[str, tuple[LayerProfile, ...], int | None]:
    """Name, rows, and the size of a .tflite file."""
    if not isinstance(model_or_path, str | os.PathLike):
        model = require_model(student_of(model_or_path), argument)
        return model.name, profile_layers(model), None
    path = _check_path(model_or_path, argument)
    if path.suffix.lower() == ".tflite":
        content = path.read_bytes()
        # A name that is not in UTF-8 can be neither printed nor drawn.
        name = path.name.encode("utf-8", "backslashreplace").decode()
        return name, profile_operators(content, path), len(content)
    return path.name, profile_layers(load_student(path)), None


def _check_path(value: str | os.PathLike[Any], argument: str) -> Path:
    path = Path(os.fsdecode(value))
    received = f"received: {argument}={str(path)!r}"
    if path.is_dir():
        raise ValueError(
            f"Expected `{argument}` to be the path of a .tflite or .keras file, "
            f"received a folder: {argument}={str(path)!r}. Load a SavedModel by "
            "keras.models.load_model and pass the model."
        )
    if path.suffix.lower() not in (".tflite", ".keras"):
        raise ValueError(
            f"Expected `{argument}` to be a Keras model, or the path of a .tflite or "
            f".keras file, {received}. Load other files by keras.models.load_model and "
            "pass the model."
        )
    if not path.exists():
        raise FileNotFoundError(
            f"Expected `{argument}` to be an existing file, {received}."
        )
    return path
