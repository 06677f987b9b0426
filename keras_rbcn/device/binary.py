"""The benchmark program: for which machines it was built."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

from keras_rbcn.device.errors import DeviceError

# The only one that Larq Compute Engine has fast kernels for.
FAST_ARCHITECTURE = "aarch64"
_MAGIC = b"\x7fELF"
# Magic, class, byte order, the rest of the identification; type and machine.
_HEADER = struct.Struct("<4sBB10xHH")
_CLASSES = {1: 32, 2: 64}
_LITTLE_ENDIAN = 1
# Machine types of the ELF header by bits, as `uname -m` calls them.
_ARCHITECTURES = {
    (3, 32): "i686",
    (40, 32): "arm",
    (62, 64): "x86_64",
    (183, 64): "aarch64",
    (243, 64): "riscv64",
}
# Names of the same machines that `uname -m` gives as well.
_OTHER_NAMES = {
    r"arm64|armv8b": "aarch64",
    r"armv[5678].*": "arm",
    r"amd64": "x86_64",
    r"i[3-6]86": "i686",
}
_GET_IT = (
    "Take lce_benchmark_model for the device from Larq Compute Engine's releases on "
    "GitHub"
)


class Binary(NamedTuple):
    """A program, and the architecture that it was built for."""

    path: Path
    architecture: str


def read_binary(path: Path) -> Binary:
    """Reads for which architecture a program was built.

    Args:
        path: The program, an ELF file.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be read.
        DeviceError: If it is no ELF program.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
    if header[:2] == b"#!":
        raise DeviceError(
            f"Expected the program of Larq Compute Engine; '{path}' is a script. "
            f"{_GET_IT}."
        )
    if len(header) < _HEADER.size or header[:4] != _MAGIC:
        raise DeviceError(
            f"Expected an ELF program, as Android and Linux run them; '{path}' is "
            f"none: it begins with {header[:4]!r}. {_GET_IT}."
        )
    _, bits, order, _, machine = _HEADER.unpack(header)
    if order != _LITTLE_ENDIAN:
        raise DeviceError(
            f"'{path}' is for big-endian machines, which TensorFlow Lite does not "
            f"run on. {_GET_IT}."
        )
    key = (machine, _CLASSES.get(bits, 0))
    return Binary(path, _ARCHITECTURES.get(key, f"ELF machine {machine}"))


def check_runs_on(binary: Binary, machine: str, device: str) -> None:
    """Checks that a program was built for a device.

    Args:
        binary: The program.
        machine: What `uname -m` says on the device.
        device: How messages name the device.

    Raises:
        DeviceError: If it was built for another.

    Example:
        >>> check_runs_on(Binary(Path("model"), "arm"), "armv7l", "'pi'")
        >>> check_runs_on(Binary(Path("model"), "arm"), "aarch64", "'pi'")
        Traceback (most recent call last):
        keras_rbcn.device.errors.DeviceError: 'pi' is aarch64, but 'model' was built ...
    """
    expected = common_architecture(machine)
    if binary.architecture != expected:
        raise DeviceError(
            f"{device} is {machine}, but '{binary.path}' was built for "
            f"{binary.architecture}. {_GET_IT}: the one for {expected}."
        )


def common_architecture(machine: str) -> str:
    """One name for what `uname -m` calls by several: "aarch64" for "arm64"."""
    for pattern, name in _OTHER_NAMES.items():
        if re.fullmatch(pattern, machine):
            return name
    return machine
