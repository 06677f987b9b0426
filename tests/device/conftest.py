"""What the tests of devices share."""

import pytest
from devices import tflite_file


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
