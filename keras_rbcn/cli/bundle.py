"""Bundles for apps: the commands that write and try them, and what they do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from keras_rbcn._samples import Signature, input_signature
from keras_rbcn.bundle import Bundle, ImagePreprocessing, Prediction, export_bundle
from keras_rbcn.bundle.preprocessing import COLORS
from keras_rbcn.cli import export_options, int8
from keras_rbcn.cli.errors import UserError, export_errors, user_errors, warn
from keras_rbcn.cli.files import (
    check_input,
    check_name_for_tensorflow,
    check_output_folder,
)
from keras_rbcn.cli.models import check_keras_file, load_model
from keras_rbcn.cli.reports import read_provenance
from keras_rbcn.cli.samples import (
    check_samples,
    image_format,
    read_samples,
    rescaled_bytes,
)
from keras_rbcn.cli.signing import bundle_errors
from keras_rbcn.datasets.image_folder import find_images, read_pixels
from keras_rbcn.datasets.splits import DEFAULT_RESCALE, check_rescale

# Samples that file and student are compared on.
_VERIFIED = 64


def bundle(
    student: export_options.Student,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder to write.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(
            metavar="LABELS.txt|summary.json",
            help="The names of the classes: a line each, in the order of their "
            "numbers; or what train wrote.",
        ),
    ] = None,
    verify_data: export_options.VerifyData = None,
    rescale: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="BLACK WHITE",
            help="What pixels of 0 and of 255 become: as it was for training.",
            show_default="-1 1 if --verify-data is a folder; else the bundle does not "
            "say it",
        ),
    ] = None,
    crop_fraction: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Cut the middle out of images, as datasets.tfrecords does it.",
            show_default="they are taken whole",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="What to call the model.", show_default="its own name"),
    ] = None,
    provenance: export_options.Provenance = None,
    runtime: export_options.Runtime = "lce",
    real_layers: export_options.RealLayers = "float32",
    calibration_data: export_options.CalibrationData = None,
    input_type: export_options.InputType = "float32",
    output_type: export_options.OutputType = "float32",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older bundle.")
    ] = False,
) -> None:
    """Write a student with all that an app must know to use it, as a folder.

    Leaves model.tflite there, checked as export does it; metadata.json, which says how
    images become inputs; labels.txt; and the report, as JSON and as a page.
    """
    check_keras_file(student)
    check_output_folder(folder)
    names = None if labels is None else _read_labels(labels)
    origin = None if provenance is None else read_provenance(provenance)
    types = int8.ElementTypes(real_layers, input_type, output_type)
    int8.check_calibration_data(calibration_data, types)
    if verify_data is not None:
        check_samples(verify_data)
    with user_errors():
        check_rescale(rescale)
    model = load_model(student)
    with user_errors():
        signature = input_signature(model)
    preprocessing = _preprocessing(rescale, crop_fraction, verify_data, signature)
    data = None
    if verify_data is not None:
        data = _samples(verify_data, signature, rescale, _VERIFIED)
    of_int8 = int8.int8_arguments(
        model,
        types,
        calibration_data,
        lambda path, count: _samples(path, signature, rescale, count),
    )
    with export_errors():
        report = export_bundle(
            model,
            folder,
            labels=names,
            preprocessing=preprocessing,
            verify_data=data,
            name=name,
            overwrite=overwrite,
            verify_samples=_VERIFIED,
            provenance=origin,
            runtime=runtime,
            **of_int8,
        )
    Console().print(report)
    if preprocessing is None and _takes_images(signature):
        warn("the bundle does not say how pixels become inputs: --rescale tells it.")
    written = sorted(path.name for path in folder.iterdir())
    typer.echo(f"Wrote {len(written)} files to {folder}: {', '.join(written)}")


def classify(
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", help="What bundle wrote, or encrypt."),
    ],
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGES...",
            help="Images, and folders with images in them or in folders in them.",
        ),
    ],
    top: Annotated[
        int, typer.Option(min=1, help="How many classes to print of each image.")
    ] = 5,
    verify_key: Annotated[
        Path | None,
        typer.Option(
            metavar="PUBLIC.pem", help="The public key that it was signed with."
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|env:NAME",
            help="The key of an encrypted bundle: its file, or the environment "
            "variable that holds it.",
        ),
    ] = None,
) -> None:
    """Classify images by a bundle, as an app does it.

    This is for checking: the time it takes here says nothing about a device.
    """
    files = _image_files(images)
    with bundle_errors():
        read = Bundle(bundle, verify_key=verify_key, decryption_key=key)
    table = Table("image", "class", "score", title=escape(read.metadata.name))
    table.columns[2].justify = "right"
    for file in files:
        with user_errors():
            pixels = read_pixels(file, read.image_shape[2])
            _add_rows(table, file, read.classify(pixels, top))
    Console().print(table)


def _read_labels(path: Path) -> list[str]:
    """The names of the classes, of a text file or of what `train` wrote."""
    check_input(path)
    try:
        text = path.read_text("utf-8-sig")
        if path.suffix != ".json":
            return [line.strip() for line in text.rstrip().split("\n")]
        classes = json.loads(text)["classes"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"expected '{path}' to be a text file with a label a line, or summary.json "
            f"of a training: {type(error).__name__}: {error}."
        ) from error
    if not isinstance(classes, list):
        raise UserError(
            f"the training of '{path}' knew numbers of classes and no names: give a "
            "text file with a label a line."
        )
    return classes


def _preprocessing(
    rescale: tuple[float, float] | None,
    crop_fraction: float | None,
    verify_data: Path | None,
    signature: Signature,
) -> ImagePreprocessing | None:
    if rescale is None and verify_data is not None and verify_data.is_dir():
        image_format(_shapes(signature))
        rescale = DEFAULT_RESCALE
    if rescale is not None:
        with user_errors():
            return ImagePreprocessing.from_range(*rescale, crop_fraction)
    if crop_fraction is not None:
        raise UserError("--crop-fraction needs --rescale: give both.")
    return None


def _samples(
    path: Path, signature: Signature, rescale: tuple[float, float] | None, count: int
) -> Any:
    of_folder = rescale if path.is_dir() else None
    samples = read_samples(
        path, signature.names, _shapes(signature), of_folder, count
    ).x
    if rescale is None or path.is_dir() or isinstance(samples, list):
        return samples
    # Numbers that are no pixels are taken as they are: here --rescale is for the app.
    return rescaled_bytes([samples], rescale)[0]


def _takes_images(signature: Signature) -> bool:
    """Whether a bundle can say how pixels become the inputs."""
    shapes = _shapes(signature)
    return len(shapes) == 1 and len(shapes[0]) == 3 and shapes[0][2] in COLORS


def _shapes(signature: Signature) -> list[tuple[Any, ...]]:
    return [tuple(spec.shape[1:]) for spec in signature.specs]


def _image_files(paths: Sequence[Path]) -> list[Path]:
    files = []
    for path in paths:
        if path.is_dir():
            with user_errors():
                files += find_images(path)
        else:
            check_input(path)
            files.append(path)
    for file in files:
        check_name_for_tensorflow(file)
    return files


def _add_rows(table: Table, file: Path, predictions: Sequence[Prediction]) -> None:
    for number, prediction in enumerate(predictions):
        name = Text(str(file)) if number == 0 else Text("")
        score = f"{prediction.score:.1%}"
        table.add_row(name, Text(prediction.label), score)
    table.add_section()
