"""For which machine a program was built, and what runs it."""

import sys
from pathlib import Path

import pytest
from devices import elf_header

from keras_rbcn.device import DeviceError
from keras_rbcn.device.binary import Binary, check_runs_on, read_binary


@pytest.mark.parametrize(
    ("machine", "bits", "architecture"),
    [("aarch64", 64, "aarch64"), ("arm", 32, "arm"), ("x86_64", 64, "x86_64")],
)
def test_the_architecture_is_read_from_the_header(
    tmp_path, machine, bits, architecture
):
    path = tmp_path / "program"
    path.write_bytes(elf_header(machine, bits))
    assert read_binary(path) == Binary(path, architecture)


@pytest.mark.skipif(sys.platform != "linux", reason="its programs are no ELF")
def test_a_real_program():
    import platform

    assert read_binary(Path(sys.executable)).architecture == platform.machine()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"#!/bin/sh\n", "is a script"),
        (b"", "begins with b''"),
        (b"\x7fELF", "is none"),
        (b"<html>" + bytes(100), "is none"),
        (b"\xcf\xfa\xed\xfe" + bytes(100), "is none"),  # Of macOS.
        (b"\x7fELF\x02\x02" + bytes(100), "big-endian"),
    ],
)
def test_what_is_no_program_for_a_device_is_refused(tmp_path, content, said):
    path = tmp_path / "program"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match=said) as error:
        read_binary(path)
    assert "releases" in str(error.value)


@pytest.mark.parametrize(
    ("architecture", "machine"),
    [
        ("aarch64", "aarch64"),
        ("aarch64", "arm64"),
        ("arm", "armv7l"),
        ("arm", "armv8l"),
        ("x86_64", "x86_64"),
        ("i686", "i386"),
    ],
)
def test_a_program_for_the_device_passes(architecture, machine):
    check_runs_on(Binary(Path("model"), architecture), machine, "'pi'")


@pytest.mark.parametrize(
    ("architecture", "machine"),
    [
        ("x86_64", "aarch64"),
        ("aarch64", "x86_64"),
        ("arm", "aarch64"),
        ("aarch64", "armv7l"),
        ("ELF machine 8", "aarch64"),
    ],
)
def test_a_program_for_another_machine_is_refused(architecture, machine):
    with pytest.raises(DeviceError, match="was built for") as error:
        check_runs_on(Binary(Path("model"), architecture), machine, "'pi'")
    assert architecture in str(error.value)
    assert machine in str(error.value)
