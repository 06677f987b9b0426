"""Starts TensorFlow without its chatter."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import tempfile
from collections.abc import Iterator


def start_tensorflow() -> None:
    """Imports what the commands need, silently.

    TensorFlow's C++ code writes to the standard error stream before it reads
    `TF_CPP_MIN_LOG_LEVEL`, so that stream is put aside during the import. What goes
    wrong in an import is an exception, and is not lost.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _standard_error_aside():
        importlib.import_module("keras_rbcn.export")
        importlib.import_module("keras_rbcn.datasets")
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def _standard_error_aside() -> Iterator[None]:
    """Sends what is written to file descriptor 2 to a file that is thrown away."""
    try:
        before = os.dup(2)
    except OSError:  # There is no such stream.
        yield
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(before, 2)
            os.close(before)
