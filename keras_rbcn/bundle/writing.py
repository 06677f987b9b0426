"""Writes bundles."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from importlib import metadata as distributions
from pathlib import Path
from typing import Any

from keras_rbcn._backend import require_student, tf
from keras_rbcn._files import naming_the_cause, replacing_folder
from keras_rbcn._samples import input_signature
from keras_rbcn.bundle.labels import (
    LABELS_NAME,
    check_labels,
    labels_file,
    warn_of_equal,
)
from keras_rbcn.bundle.metadata import (
    FORMAT,
    METADATA_NAME,
    Input,
    Metadata,
    ModelFile,
    Output,
    is_scores,
)
from keras_rbcn.bundle.preprocessing import COLORS, ImagePreprocessing
from keras_rbcn.bundle.reading import Bundle
from keras_rbcn.bundle.values import inputs_of, kinds_of_outputs, outputs_of
from keras_rbcn.export import ExportError, ExportReport, export_tflite
from keras_rbcn.signing.folders import SIGNATURE_NAME
from keras_rbcn.tflite import TFLiteModel

MODEL_NAME = "model.tflite"
REPORT_NAME = "report.json"
PAGE_NAME = "report.html"
# All that may be in the folder of an older bundle that is replaced.
_NAMES = frozenset(
    {
        MODEL_NAME,
        METADATA_NAME,
        LABELS_NAME,
        REPORT_NAME,
        PAGE_NAME,
        SIGNATURE_NAME,
    }
)


def export_bundle(
    model: Any,
    folder: str | os.PathLike[str],
    *,
    labels: Sequence[str] | None = None,
    preprocessing: ImagePreprocessing | None = None,
    verify_data: Any = None,
    name: str | None = None,
    overwrite: bool = False,
    **export_arguments: Any,
) -> ExportReport:
    """Writes a model with all that an app must know to use it, as a folder.

    The folder holds the file that `export_tflite` writes and has compared, as
    `model.tflite`; `metadata.json`, which tells how images become inputs and what the
    outputs are (`docs/deploy.md`); `labels.txt`; and the report of the export, as
    `report.json` and as a page, `report.html`. `Bundle` reads the folder, and so do the
    apps in `examples/`. `signing.sign` signs it as a whole.

    Args:
        model: As for `export_tflite`.
        folder: The folder to write. It appears as a whole, or not at all.
        labels: The names of the classes in the order of their numbers, such as
            `class_names` of the data set; None if the app has them from elsewhere.
        preprocessing: How images become inputs. As they did for training, or classes
            and scores are wrong without a word:
            `ImagePreprocessing.from_range(-1, 1)` for `datasets.image_folder`. None if
            the inputs are no images, or the app knows.
        verify_data: As for `export_tflite`: what the model takes, and not pixels.
        name: What to call the model; None for its own name.
        overwrite: Whether to replace an older bundle in the folder. A folder with any
            other file in it is never replaced.
        export_arguments: Any other arguments of `export_tflite`, such as `runtime`.

    Returns:
        The report of the export.

    Raises:
        TypeError: If `model` is no Keras 2 model, or an argument is of a wrong type.
        ValueError: If an argument cannot be used, labels or preprocessing do not fit
            the model, or the folder is not to be replaced.
        FileNotFoundError: If there is no folder to put it into.
        ExportError: As for `export_tflite`.

    Example:
        >>> student = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     RectifiedConv2D(16, 3, padding="same"),
        ...     keras.layers.BatchNormalization(),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2),
        ... ])
        >>> images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3))
        >>> report = export_bundle(
        ...     student,
        ...     "pets",
        ...     labels=["cat", "dog"],
        ...     preprocessing=ImagePreprocessing.from_range(-1, 1),
        ...     verify_data=images,
        ... )
        >>> sorted(path.name for path in Path("pets").iterdir())
        ['labels.txt', 'metadata.json', 'model.tflite', 'report.html', 'report.json']
    """
    student = require_student(model, "model")
    target = _check_folder(folder, overwrite)
    names = None if labels is None else check_labels(labels)
    warn_of_equal(names or ())
    _check_preprocessing(preprocessing, student)
    # A subclassed model does not know its outputs: the file does.
    if names is not None and getattr(student, "outputs", None):
        shapes = [tuple(tensor.shape) for tensor in tf.nest.flatten(student.outputs)]
        _labelled_output(shapes, names)
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise ValueError(
            f"Expected `name` to be a string or None, received: name={name!r}."
        )
    with replacing_folder(target) as beside:
        report = _export(model, target, beside, verify_data, export_arguments)
        content = (beside / MODEL_NAME).read_bytes()
        metadata = _metadata(
            name or student.name, report, TFLiteModel(content), names, preprocessing
        )
        with naming_the_cause("The bundle cannot be written", target):
            _write_beside_the_model(beside, report, metadata, names)
        Bundle(beside)  # Nothing is written that cannot be read.
        # It took its time: what has come into the folder meanwhile is not lost.
        _check_folder(folder, overwrite)
    return report


def _write_beside_the_model(
    folder: Path, report: ExportReport, metadata: Metadata, labels: list[str] | None
) -> None:
    (folder / METADATA_NAME).write_text(metadata.to_json(), "utf-8")
    if labels is not None:
        (folder / LABELS_NAME).write_bytes(labels_file(labels))
    # Neither where the bundle lay once, nor of which user, is for whoever gets it.
    shipped = dataclasses.replace(report, path=MODEL_NAME)
    shipped.to_json(folder / REPORT_NAME)
    shipped.to_html(folder / PAGE_NAME)


def _export(
    model: Any,
    target: Path,
    beside: Path,
    verify_data: Any,
    arguments: dict[str, Any],
) -> ExportReport:
    """Exports, and reports the path that the file will have."""
    path = str(target / MODEL_NAME)
    try:
        report = export_tflite(
            model, beside / MODEL_NAME, verify_data=verify_data, **arguments
        )
    except ExportError as error:
        if error.report is not None:
            error.report = dataclasses.replace(error.report, path=path)
        raise
    return dataclasses.replace(report, path=path)


def _metadata(
    name: str,
    report: ExportReport,
    file: TFLiteModel,
    labels: list[str] | None,
    preprocessing: ImagePreprocessing | None,
) -> Metadata:
    outputs, kinds = outputs_of(file), kinds_of_outputs(file)
    labelled = None
    if labels is not None:
        labelled = _labelled_output([value.shape for value in outputs], labels)
    return Metadata(
        name,
        f"keras-rbcn {distributions.version('keras-rbcn')}",
        ModelFile(MODEL_NAME, report.sha256, report.bytes, report.runtime),
        tuple(Input(**vars(value), image=preprocessing) for value in inputs_of(file)),
        tuple(
            Output(
                **vars(value),
                kind=kinds[number],
                labels=LABELS_NAME if number == labelled else None,
            )
            for number, value in enumerate(outputs)
        ),
    )


def _labelled_output(shapes: Sequence[tuple[Any, ...]], labels: Sequence[str]) -> int:
    """Which output has a score for each label."""
    fitting = [
        number
        for number, shape in enumerate(shapes)
        if is_scores(shape) and shape[1] == len(labels)
    ]
    if len(fitting) != 1:
        listed = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(
            "Expected `labels` to name the scores of one output, of shape (1, classes) "
            f"with two classes or more, received: {len(labels)} labels for outputs of "
            f"shape {listed}."
        )
    return fitting[0]


def _check_preprocessing(preprocessing: Any, student: Any) -> None:
    if preprocessing is None:
        return
    if not isinstance(preprocessing, ImagePreprocessing):
        raise TypeError(
            "Expected `preprocessing` to be an ImagePreprocessing or None, received: "
            f"preprocessing={preprocessing!r}."
        )
    signature = input_signature(student)
    shapes = [tuple(spec.shape) for spec in signature.specs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][3] not in COLORS:
        raise ValueError(
            "Expected a model of one input, images of 1 or 3 channels, to go with "
            f"`preprocessing`; the inputs of model '{student.name}' are of shape "
            f"{', '.join(map(str, shapes))}."
        )
    preprocessing.for_channels(shapes[0][3])
    dtype = signature.specs[0].dtype.name
    if dtype != "float32":
        raise ValueError(
            "Expected a model of float32 inputs to go with `preprocessing`, which "
            f"makes real numbers of pixels; that of model '{student.name}' takes "
            f"{dtype}. Leave `preprocessing` out, or build the model with a float32 "
            "input."
        )


def _check_folder(folder: str | os.PathLike[str], overwrite: bool) -> Path:
    """The folder, if a bundle may be written there."""
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise ValueError(
            "Expected `folder` to be the path of a folder, received a file: "
            f"folder={os.fspath(folder)!r}."
        )
    if not target.resolve().parent.is_dir():
        raise FileNotFoundError(
            f"Expected `folder` to lie in a folder that exists, received: "
            f"folder={os.fspath(folder)!r}. Create '{target.parent}' first."
        )
    if target.exists() and target.samefile("."):
        raise ValueError(
            "Expected `folder` to be another than the current one, in whose place a "
            f"new one comes, received: folder={os.fspath(folder)!r}. Name a folder in "
            "it, or go elsewhere first."
        )
    if not target.exists() or not any(target.iterdir()):
        return target
    if not overwrite:
        raise ValueError(
            f"Expected `folder` to be new or empty, but '{target}' is not: name "
            "another, or pass overwrite=True to replace an older bundle."
        )
    _check_replaceable(target)
    return target


def _check_replaceable(folder: Path) -> None:
    """Raises unless the folder is a bundle and nothing else."""
    strange = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in _NAMES or not path.is_file() or path.is_symlink()
    )
    try:
        content = json.loads((folder / METADATA_NAME).read_bytes())
        is_ours = content["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        is_ours = False
    if strange or not is_ours:
        reason = (
            f"it holds '{strange[0]}', which is no part of one"
            if strange
            else f"its {METADATA_NAME} is not that of one"
        )
        raise ValueError(
            f"Expected `folder` to be an older bundle, to be replaced, but {reason}: "
            f"folder={str(folder)!r}. Name another folder, or remove this one yourself."
        )
