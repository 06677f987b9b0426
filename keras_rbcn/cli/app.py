"""The commands, and how their errors reach the user."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from keras_rbcn.cli import commands
from keras_rbcn.cli.errors import UserError, one_line

INTERRUPTED = 130


class _Group(TyperGroup):
    """Turns errors into one line on the standard error stream and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["standalone_mode"] = False
        kwargs["prog_name"] = "keras-rbcn"
        try:
            code = super().main(*args, **kwargs) or 0
        except UserError as error:
            code = _fail(str(error), error.exit_code, error.details)
        except (KeyboardInterrupt, typer.Abort):
            code = INTERRUPTED
        except Exception as error:
            # An unknown option and its kin. Their class is not public in typer.
            if not hasattr(error, "format_message"):
                raise
            code = _fail(f"{error.format_message()} (see keras-rbcn --help)")
        if code == INTERRUPTED:
            typer.echo("interrupted", err=True)
        sys.exit(code)


def _fail(message: str, exit_code: int = 2, details: Any = ()) -> int:
    typer.echo(f"error: {one_line(message)}", err=True)
    for detail in details:
        typer.echo(f"  {detail}", err=True)
    return exit_code


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="1-bit convolutional networks for Keras: train them with a teacher, and ship "
    "them as verified .tflite files.",
)


def main() -> None:
    """Runs the command line; the entry point of the console script `keras-rbcn`."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"keras-rbcn {metadata.version('keras-rbcn')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version, and exit.",
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        raise UserError(
            "expected a command: demo, export or predict (see keras-rbcn --help)"
        )


@app.command()
def demo(
    output: Annotated[
        Path, typer.Option(help="Folder for the results; created if missing.")
    ] = Path("keras_rbcn_demo"),
    epochs: Annotated[
        int, typer.Option(min=1, help="Epochs of training of each network.")
    ] = 25,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=2**32 - 1, help="Decides the split, the weights and the order."
        ),
    ] = 0,
) -> None:
    """Train a teacher and three 1-bit students on handwritten digits, and export one.

    Writes a table, plots, the .tflite file and its export report to a folder. It takes
    about two minutes on two cores.
    """
    commands.demo(output, epochs, seed)


@app.command()
def export(
    student: Annotated[
        Path,
        typer.Argument(
            metavar="STUDENT.keras",
            help="A saved model: a student, or a whole RBCNModel.",
        ),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT.tflite", help="The file to write.")
    ],
    verify_data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="Real inputs, to compare file and student on: one "
            "array, or the one named x; for several inputs, one named as each.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Where to write the report as well."),
    ] = None,
) -> None:
    """Write a student as a .tflite file, and check that the file is right.

    If it is not, nothing is written, and the exit code is 1.
    """
    commands.export(student, out, verify_data, report)


@app.command()
def predict(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.tflite", help="A file that export wrote, or any other."
        ),
    ],
    images: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGES.npz",
            help="Inputs: one array, or the one named x; for several "
            "inputs, one named as each.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.npz", help="Where to write the outputs."),
    ] = None,
) -> None:
    """Run a .tflite file on images, and print what it says.

    This is for checking: the time it takes here says nothing about a device.
    """
    commands.predict(file, images, output)
