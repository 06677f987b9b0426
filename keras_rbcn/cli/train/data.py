"""What `--data` names, as training and validation data for a given model."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from keras_rbcn import datasets
from keras_rbcn._backend import tf
from keras_rbcn.cli.errors import UserError, user_errors
from keras_rbcn.cli.files import check_input, resolved
from keras_rbcn.cli.samples import image_format
from keras_rbcn.cli.train.settings import RunSettings
from keras_rbcn.datasets import Splits
from keras_rbcn.datasets.image_folder import unreadable_image
from keras_rbcn.datasets.splits import DEFAULT_RESCALE, DEFAULT_TEST_FRACTION

NAMED = ("digits", "fashion_mnist")


def check_data(settings: RunSettings) -> None:
    """Checks, before any work, that there is such data and the settings fit it."""
    name, path = settings.data, Path(settings.data)
    if name in NAMED:
        if settings.rescale is not None:
            raise UserError(
                f"the data set {name} is scaled to [-1, 1] already: leave out "
                "--rescale."
            )
        if name == "fashion_mnist" and settings.validation_fraction is not None:
            raise UserError(
                "fashion_mnist has images for validation of its own: leave out "
                "--validation-fraction."
            )
    elif name and path.is_dir():
        output = resolved(settings.output)
        if resolved(path) in (output, *output.parents):
            raise UserError(
                f"the folder for the results, '{settings.output}', lies in that of "
                f"the data, '{path}', and would be taken for a class: name another."
            )
    elif not name or not path.exists():
        near = difflib.get_close_matches(name, NAMED, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"The sets are {list(NAMED)}."
        raise UserError(
            f"there is no file or folder '{name}', and no data set of this name. {hint}"
        )
    else:
        check_input(path)
        if path.suffix != ".npz":
            raise UserError(
                f"expected the data to be a folder, an .npz file or one of "
                f"{list(NAMED)}, received the file '{path}'."
            )


def load_data(settings: RunSettings, shape: tuple[int, ...], classes: int) -> Splits:
    """Loads the data that a model is to be trained on.

    Args:
        settings: Of which those of the data count.
        shape: Of the model's input, without the batch.
        classes: Number of the model's scores.

    Returns:
        `Splits` of arrays, or, of a folder, of pipelines.

    Raises:
        UserError: If the data cannot be read, or do not fit the model.
    """
    with user_errors():
        splits = _load(settings, shape)
    name, train = settings.data, splits.train
    if isinstance(train, tf.data.Dataset):
        names = train.class_names
        if len(names) != classes:
            raise UserError(
                f"the model tells {classes} classes apart, but the data in '{name}' "
                f"have {len(names)}: {names}."
            )
        return splits
    if train.x.shape[1:] != shape:
        raise UserError(
            f"the model takes inputs of shape {shape}, but the samples of '{name}' are "
            f"of shape {train.x.shape[1:]}."
        )
    largest = max(int(part.y.max()) for part in splits)
    if largest >= classes:
        raise UserError(
            f"the model tells {classes} classes apart, which are numbered from 0 to "
            f"{classes - 1}, but the labels of '{name}' go up to {largest}."
        )
    return splits


def data_digest(settings: RunSettings, splits: Splits) -> str:
    """The fingerprint of all the data: of a file, its SHA-256."""
    named = settings.data in NAMED
    with user_errors():
        return datasets.fingerprint(splits if named else Path(settings.data))


def arguments(part: Any, batch_size: int) -> dict[str, Any]:
    """One part of the data as arguments of Keras' `fit` and `evaluate`."""
    if isinstance(part, tf.data.Dataset):
        return {"x": part}
    return {"x": part.x, "y": part.y, "batch_size": batch_size}


def sample_count(part: Any) -> int:
    """The number of samples in one part of the data."""
    return len(part.file_paths if isinstance(part, tf.data.Dataset) else part.y)


def find_unreadable_image(splits: Splits, channels: int) -> str | None:
    """The first file of the data that is no image, or None."""
    if not isinstance(splits.train, tf.data.Dataset):
        return None
    paths = [path for part in splits for path in part.file_paths]
    return unreadable_image(paths, channels)


def _load(settings: RunSettings, shape: tuple[int, ...]) -> Splits:
    seed, fraction = settings.seed, settings.validation_fraction
    if settings.data == "digits":
        return datasets.digits(None, seed, fraction or DEFAULT_TEST_FRACTION)
    if settings.data == "fashion_mnist":
        return datasets.fashion_mnist()
    path = Path(settings.data)
    if path.is_file():
        return datasets.npz_file(path, None, seed, fraction, settings.rescale)
    size, channels = image_format([shape])
    rescale = settings.rescale or DEFAULT_RESCALE
    return datasets.image_folder(
        path, size, channels, settings.batch_size, seed, fraction, rescale
    )
