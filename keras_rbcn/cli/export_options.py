"""The options of the commands that export: their types and what `--help` says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from keras_rbcn.quantization.quantize import SAMPLES

Student = Annotated[
    Path,
    typer.Argument(
        metavar="STUDENT.keras", help="A saved model: a student, or a whole RBCNModel."
    ),
]
VerifyData = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz|FOLDER",
        help="Real inputs, to compare file and student on: a folder of images, in it "
        "or in folders in it; or an .npz file of one array, or with one named x, or "
        "for several inputs with one named as each.",
    ),
]
Provenance = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json",
        help="What the report is to tell of where the student comes from, such as "
        "summary.json of its training.",
    ),
]
Runtime = Annotated[
    Literal["lce", "litert"],
    typer.Option(
        help="lce for Larq Compute Engine, which is small and fast on 64-bit ARM; "
        "litert for the stock runtime, which runs everywhere, and has larger files and "
        "no faster convolutions."
    ),
]
ElementType = Literal["float32", "int8"]
RealLayers = Annotated[
    ElementType,
    typer.Option(
        help="In what the layers with real kernels compute: int8 takes a quarter of "
        "their bytes, and wants --calibration-data."
    ),
]
CalibrationData = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.npz|FOLDER",
        help=f"Inputs from the training data, {SAMPLES} of which tell how far values "
        "go that are to be in int8; as --verify-data.",
    ),
]
InputType = Annotated[
    ElementType,
    typer.Option(help="What the file is given; int8 with real layers in int8."),
]
OutputType = Annotated[ElementType, typer.Option(help="What the file gives, likewise.")]
