"""The benchmark of files on a device: the command, and what it does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from keras_rbcn import device
from keras_rbcn.cli.errors import FAILED, UserError, user_errors, warnings_at_once
from keras_rbcn.cli.files import check_input, check_output, written_beside
from keras_rbcn.device import AdbTransport, DeviceError, SshTransport


def benchmark(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL.tflite", help="The 1-bit network's file.")
    ],
    binary: Annotated[
        Path,
        typer.Option(
            metavar="PROGRAM",
            help="lce_benchmark_model for the device, of Larq Compute Engine's "
            "releases.",
        ),
    ],
    float_file: Annotated[
        Path | None,
        typer.Option(
            "--float",
            metavar="FILE.tflite",
            help="The same network in full precision, to compare with.",
        ),
    ] = None,
    int8_file: Annotated[
        Path | None,
        typer.Option(
            "--int8", metavar="FILE.tflite", help="The same network in int8, likewise."
        ),
    ] = None,
    adb: Annotated[
        bool, typer.Option("--adb", help="Run on an Android device, by adb.")
    ] = False,
    serial: Annotated[
        str | None,
        typer.Option(
            metavar="SERIAL",
            help="Which Android device, as 'adb devices' lists it, if there are "
            "several.",
        ),
    ] = None,
    ssh: Annotated[
        str | None,
        typer.Option(
            metavar="HOST",
            help="Run on a board, by ssh: user@host, or a name of ~/.ssh/config. It "
            "must log in without a password.",
        ),
    ] = None,
    ssh_option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="An option of ssh's configuration, such as Port=2222. May be given "
            "several times.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Number of threads.")] = 1,
    runs: Annotated[
        int,
        typer.Option(min=1, help="Inferences of each run of the program, at least."),
    ] = 50,
    repeats: Annotated[
        int, typer.Option(min=1, help="Runs of the program for each file, in turns.")
    ] = 5,
    cpu_mask: Annotated[
        str | None,
        typer.Option(
            metavar="HEX",
            help="The CPUs to run on, in hexadecimal digits: f0 for CPUs 4 to 7.",
            show_default="chosen by the device",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Where to write it as JSON as well."),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Where to draw a bar for each file."),
    ] = None,
) -> None:
    """Measure on a phone or a board how long a .tflite file takes.

    The device is reached by --adb or by --ssh. Nothing is left on it. If it cannot be
    used, or the program fails on it, the exit code is 1.
    """
    files = {"1-bit": model, "float32": float_file, "int8": int8_file}
    given = {name: path for name, path in files.items() if path is not None}
    inputs = (*given.values(), binary)
    for path in inputs:
        check_input(path)
    if json is not None:
        check_output(json, *inputs)
    if plot is not None:
        check_output(plot, *inputs, json, suffix=".png")
    try:
        with user_errors(), warnings_at_once():
            transport = _transport(adb, serial, ssh, ssh_option or ())
            report = device.benchmark(
                given, transport, binary, threads, runs, repeats, cpu_mask
            )
    except DeviceError as error:
        raise UserError(str(error), exit_code=FAILED) from error
    Console().print(report)
    for output, write in ((json, report.to_json), (plot, report.plot)):
        if output is not None:
            with written_beside(output) as beside:
                write(beside)
            typer.echo(f"Wrote {output}")


def _transport(
    adb: bool, serial: str | None, ssh: str | None, ssh_options: Sequence[str]
) -> AdbTransport | SshTransport:
    if adb == (ssh is not None):
        raise UserError("expected either --adb, or --ssh with a host.")
    if serial is not None and not adb:
        raise UserError("--serial is for --adb: leave it out.")
    if ssh_options and ssh is None:
        raise UserError("--ssh-option is for --ssh: leave it out.")
    return AdbTransport(serial) if ssh is None else SshTransport(ssh, ssh_options)
