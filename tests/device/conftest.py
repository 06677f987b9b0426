"""What the tests of devices share."""

import pytest
from devices import (
    _running_sshd,
    arm_elf,
    fake_adb,
    interruptible,
    local_elf,
    sshd,
    stand_in,
    tflite_file,
)

__all__ = [
    "_running_sshd",
    "arm_elf",
    "fake_adb",
    "interruptible",
    "local_elf",
    "sshd",
    "stand_in",
]


@pytest.fixture
def files(tmp_path):
    """Three files to benchmark, with names that shells and programs stumble over."""
    names = {
        "1-bit": "a file's $name.tflite",
        "float32": "-rf.tflite",
        "int8": "ü.tflite",
    }
    for number, name in enumerate(names.values(), start=1):
        (tmp_path / name).write_bytes(tflite_file(1000 * number))
    return {name: tmp_path / file for name, file in names.items()}
