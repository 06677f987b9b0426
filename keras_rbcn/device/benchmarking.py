"""The benchmark: push once, run repeatedly, and leave nothing behind."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from keras_rbcn._checks import check_positive_integer
from keras_rbcn.device.benchmark_output import BenchmarkOutput, parse_output
from keras_rbcn.device.binary import (
    Binary,
    check_runs_on,
    common_architecture,
    read_binary,
)
from keras_rbcn.device.errors import DeviceError
from keras_rbcn.device.failures import why_it_failed
from keras_rbcn.device.networks import check_comparable, read_network
from keras_rbcn.device.report import BenchmarkReport, FileTimings
from keras_rbcn.device.transport import CommandResult, Transport, ended

# What the device needs beside the files: for its own work, and what ours prints.
_SPARE_BYTES = 2**20
_PROGRAM = "lce_benchmark_model"


def benchmark(
    files: Mapping[str, str | os.PathLike[str]],
    transport: Transport,
    binary: str | os.PathLike[str],
    threads: int = 1,
    runs: int = 50,
    repeats: int = 5,
    cpu_mask: str | None = None,
    timeout: float = 600.0,
) -> BenchmarkReport:
    """Measures on a device how long .tflite files take.

    All is pushed to a folder of its own, which is removed in any case. The program
    runs `repeats` times for each file, in turns over the files: what heats the device,
    or slows its clock, meets all of them.

    Args:
        files: The files by the names that the report gives them: "1-bit", and
            "float32" and "int8" for the same network otherwise. Times are compared
            with those of "float32". All must take inputs of the same shapes; a
            `UserWarning` tells if their outputs have others.
        transport: The way to the device, an `AdbTransport` or `SshTransport`.
        binary: `lce_benchmark_model` for the device, of Larq Compute Engine's releases.
        threads: Number of threads.
        runs: Inferences of each run of the program, at least; it goes on for one
            second.
        repeats: Runs of the program for each file.
        cpu_mask: The CPUs to run on, as a mask in hexadecimal digits: "f0" for CPUs 4
            to 7. None leaves the choice to the device.
        timeout: Seconds for each run of the program.

    Returns:
        The times, as a `BenchmarkReport`.

    Raises:
        TypeError: If `files` is no dictionary, or `transport` no transport.
        ValueError: If an argument is out of range, a file is no .tflite file, or two
            files take inputs of different shapes.
        OSError: If a file or the program cannot be read.
        DeviceError: If the device cannot be used, the program was built for another,
            or it fails.

    Example:
        >>> board = SshTransport("pi@raspberrypi.local")
        >>> files = {"1-bit": "student.tflite", "float32": "teacher.tflite"}
        >>> report = rbcn.device.benchmark(
        ...     files, board, "lce_benchmark_model_aarch64"
        ... )  # doctest: +SKIP
    """
    if not isinstance(files, Mapping):
        raise TypeError(
            "Expected `files` to be a dictionary of files by their names in the "
            f"report, received: files={files!r}. Pass {{'1-bit': 'student.tflite'}}, "
            "for example."
        )
    paths = {name: Path(path) for name, path in files.items()}
    _check_arguments(paths, threads, runs, repeats, cpu_mask)
    networks = {name: read_network(path) for name, path in paths.items()}
    check_comparable(networks)
    program = read_binary(Path(binary))
    if not isinstance(transport, Transport):
        raise TypeError(
            "Expected `transport` to be an AdbTransport or an SshTransport, received: "
            f"transport={transport!r}. Pass SshTransport('pi@host'), for example."
        )
    machine = transport.architecture()
    check_runs_on(program, machine, transport.name)
    mask = None if cpu_mask is None else _digits(cpu_mask)
    if mask is not None and not transport.has_program("taskset"):
        raise DeviceError(
            f"{transport.name} has no program 'taskset', so that nothing can be bound "
            "to its CPUs: leave the CPU mask out, or install util-linux there."
        )
    device = transport.description()
    pinned = [] if mask is None else ["taskset", mask]
    flags = [f"--num_threads={threads}", f"--num_runs={runs}"]
    with _remote_folder(transport) as folder:
        needed = sum(network.bytes for network in networks.values())
        needed += program.path.stat().st_size + _SPARE_BYTES
        _check_space(transport, folder, needed)
        remote_names = _push_all(transport, folder, program, paths)
        outputs: dict[str, list[BenchmarkOutput]] = {name: [] for name in paths}
        for _ in range(repeats):
            for name, remote in remote_names.items():
                command = [*pinned, f"./{_PROGRAM}", *flags, f"--graph={remote}"]
                result = transport.run_in(folder, command, timeout)
                outputs[name].append(_read(result, paths[name], transport.name))
    return BenchmarkReport(
        device=device,
        architecture=common_architecture(machine),
        threads=int(threads),
        runs=int(runs),
        repeats=int(repeats),
        cpu_mask=mask,
        files=tuple(
            FileTimings.of_outputs(name, str(path), networks[name].bytes, outputs[name])
            for name, path in paths.items()
        ),
    )


def _read(result: CommandResult, path: Path, device: str) -> BenchmarkOutput:
    output = None if result.status else parse_output(result.text)
    if output is None:
        cause = ended(why_it_failed(result))
        raise DeviceError(f"The benchmark of '{path}' failed on {device}: {cause}")
    return output


def _check_arguments(
    files: Mapping[str, Path],
    threads: int,
    runs: int,
    repeats: int,
    cpu_mask: str | None,
) -> None:
    if not files:
        raise ValueError(
            "Expected `files` to name at least one file; received: files={}. Pass "
            "{'1-bit': 'student.tflite'}, for example."
        )
    for name, number in (("threads", threads), ("runs", runs), ("repeats", repeats)):
        check_positive_integer(name, number)
    if cpu_mask is None:
        return
    if not re.fullmatch(r"(?:0[xX])?[0-9a-fA-F]+", cpu_mask) or not int(cpu_mask, 16):
        raise ValueError(
            "Expected `cpu_mask` to be hexadecimal digits with a bit for each CPU, "
            f"such as 'f0' for CPUs 4 to 7; received: cpu_mask={cpu_mask!r}."
        )
    cpus = int(cpu_mask, 16).bit_count()
    if threads > cpus:
        raise ValueError(
            f"Expected at most one thread for each of the {cpus} CPU(s) of "
            f"cpu_mask={cpu_mask!r}; received: threads={threads}. They would wait for "
            "each other."
        )


def _digits(cpu_mask: str) -> str:
    # Without 0x, which Android's taskset does not know.
    return f"{int(cpu_mask, 16):x}"


@contextlib.contextmanager
def _remote_folder(transport: Transport) -> Iterator[str]:
    """A new folder on the device, which is removed in any case."""
    folder = transport.new_folder_name()
    try:
        transport.make_folder(folder)
        yield folder
    finally:
        try:
            transport.remove_folder(folder)
        except DeviceError as error:
            # A warning, so that it does not take the place of what went wrong before.
            warnings.warn(
                f"The folder {folder!r} may be left on {transport.name}: {error} "
                "Remove it by hand.",
                stacklevel=4,
            )


def _check_space(transport: Transport, folder: str, needed: int) -> None:
    free = transport.free_bytes(folder)
    if free is not None and free < needed:
        raise DeviceError(
            f"{transport.name} has {free / 1e6:,.1f} MB of space left; the files need "
            f"{needed / 1e6:,.1f} MB. Delete something there."
        )


def _push_all(
    transport: Transport, folder: str, program: Binary, files: Mapping[str, Path]
) -> dict[str, str]:
    """Pushes all, under plain names; returns those of the files, in the folder."""
    transport.push(program.path, f"{folder}/{_PROGRAM}")
    transport.make_executable(f"{folder}/{_PROGRAM}")
    remote_names = {}
    for number, (name, path) in enumerate(files.items()):
        remote_names[name] = f"{number}.tflite"
        transport.push(path, f"{folder}/{remote_names[name]}")
    return remote_names
