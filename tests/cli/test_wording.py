"""Arguments of Python in messages become options, and nothing else does."""

from pathlib import Path
from typing import Annotated

import pytest
import typer

from keras_rbcn.cli.wording import in_options

_APP = typer.Typer()


@_APP.command()
def _command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER")],
    real_layers: str = "float32",
    crop_fraction: float = 1.0,
    overwrite: bool = False,
    rescale: str = "",
    password_env: str = "",
    password_file: str = "",
) -> None: ...


PARAMETERS = typer.main.get_command(_APP).params


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("pass `overwrite`.", "pass --overwrite."),
        ("pass overwrite=True.", "pass --overwrite."),
        ("received: overwrite=False", "received: no --overwrite"),
        ("received: crop_fraction=None.", "received: no --crop-fraction."),
        ("received: crop_fraction=-1.5.", "received: --crop-fraction -1.5."),
        ("give real_layers='int8' and more", "give --real-layers int8 and more"),
        ("received: real_layers='a b'", "received: --real-layers 'a b'"),
        ("received: real_layers=''", "received: --real-layers ''"),
        ("Expected `folder` to be new", "Expected FOLDER to be new"),
        ("received: folder='pets'", "received: 'pets'"),
        ("pass `password`", "pass --password-env or --password-file"),
        ("Export it with `preprocessing`", "Export it with --rescale"),
        ("Run it by `TFLiteModel`.", "Run it by keras-rbcn predict."),
        # What is no argument of this command, or no argument at all.
        ("Use pad_values=1.0", "Use pad_values=1.0"),
        ("Expected `labels` to be", "Expected `labels` to be"),
        ("cannot read 'a/overwrite=True'", "cannot read 'a/overwrite=True'"),
        ("received: crop_fraction=[1, 2]", "received: crop_fraction=[1, 2]"),
        ("received: rescale=f(x)", "received: rescale=f(x)"),
        ("overwrite folder rescale", "overwrite folder rescale"),
    ],
)
def test_messages(message, expected):
    assert in_options(message, PARAMETERS) == expected


def test_without_a_command():
    assert in_options("pass overwrite=True", ()) == "pass overwrite=True"
