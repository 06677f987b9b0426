"""Writes a verified .tflite file."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import platform
import threading
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn._backend import require_model
from keras_rbcn._files import replacing
from keras_rbcn._samples import input_signature
from keras_rbcn.export.converter import LCE, LITERT, RUNTIMES, check_policies, convert
from keras_rbcn.export.matching import (
    Matching,
    describe_operators,
    match,
    suspicious_layers,
)
from keras_rbcn.export.report import (
    Agreement,
    ExportError,
    ExportReport,
    ValueInfo,
)
from keras_rbcn.export.verification import (
    compare,
    run_student,
    verification_samples,
)
from keras_rbcn.tflite import interpreters
from keras_rbcn.tflite.interpreter import TFLiteModel

logger = logging.getLogger("keras_rbcn.export")
_EXPORT_LOCK = threading.Lock()

_PACKAGES = (
    "keras-rbcn",
    "tensorflow",
    "tf-keras",
    "larq",
    "larq-compute-engine",
    "numpy",
)


def export_tflite(
    model: Any,
    path: str | os.PathLike[str],
    verify_data: Any = None,
    verify_samples: int = 64,
    runtime: str = LCE,
) -> ExportReport:
    """Writes a model as a .tflite file, and proves that the file is right.

    The student goes through Larq Compute Engine's converter, or for the stock runtime
    through that of TensorFlow. Before anything is written, the bytes are checked: every
    `RectifiedConv2D` is a 1-bit convolution (`LceBconv2d`, or one that emulates it)
    with the student's own signs, the interpreter can allocate and run the file, and its
    outputs agree with the student's. How agreement is judged where rounding decides a
    sign is told in `docs/export.md`. The file holds a batch of one;
    `TFLiteModel.predict` takes any number of samples.

    Args:
        model: A Keras 2 model, or an `RBCNModel`, of which the student is exported.
            The sizes of its inputs must be defined, and it must compute in float32.
        path: Where to write the file. An older file there is replaced if the export
            succeeds, and stays as it is if it fails.
        verify_data: Inputs to compare file and student on, best from the validation
            data: an array `(samples, ...)`; a list, or a dictionary by name, of arrays
            for several inputs; a tuple `(inputs, labels)`; a `tf.data.Dataset` or
            `keras.utils.Sequence` of batches with or without labels. Labels are not
            used. Random normal data, with a warning, if None.
        verify_samples: How many samples to compare at most; the first ones are taken.
            The 1-bit operators are slow on x86-64.
        runtime: `"lce"` for that of Larq Compute Engine, which is small and fast on
            64-bit ARM; `"litert"` for the stock one of TensorFlow Lite, now LiteRT,
            which runs everywhere and knows no 1-bit operators: kernels take 4 bits a
            value, and convolutions the time of real ones. That file is compared in each
            stock interpreter that is installed.

    Returns:
        The report. It prints as a table.

    Raises:
        TypeError: If `model` is not a Keras 2 model.
        ValueError: If model, path or data cannot be used.
        FileNotFoundError: If the folder of `path` does not exist.
        ExportError: If the file would be wrong; carries the report, and the names of
            the layers at fault.

    Example:
        >>> student = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     RectifiedConv2D(16, 3, padding="same"),
        ...     keras.layers.BatchNormalization(),
        ... ])
        >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
        >>> report = export_tflite(student, "student.tflite", verify_data=images)
        >>> report.operator_counts
        {'LceQuantize': 1, 'LceBconv2d': 1}
    """
    student = require_model(getattr(model, "student", model), "model")
    target = _check_path(path)
    if isinstance(verify_samples, bool) or not (
        isinstance(verify_samples, int | np.integer) and verify_samples >= 1
    ):
        raise ValueError(
            "Expected `verify_samples` to be a positive integer, received: "
            f"verify_samples={verify_samples!r}."
        )
    if runtime not in RUNTIMES:
        raise ValueError(
            f"Expected `runtime` to be one of {RUNTIMES}, received: "
            f"runtime={runtime!r}."
        )
    # One at a time: comparing watches the student's layers by patching them.
    with _EXPORT_LOCK:
        return _convert_and_verify(
            student, target, verify_data, verify_samples, runtime
        )


def _convert_and_verify(
    student: Any, target: Path, verify_data: Any, verify_samples: int, runtime: str
) -> ExportReport:
    check_policies(student)
    signature = input_signature(student)
    samples, data = verification_samples(verify_data, signature, verify_samples)
    conversion = convert(student, signature, runtime)
    files = _opened(conversion.content, student, runtime)
    file = files[0]
    matching = match(file.graph, conversion.calls)
    report = _report(target, conversion.content, file, student, matching, runtime)
    if matching.failed:
        layers = tuple(dict.fromkeys(call.name for call in matching.failed))
        raise ExportError(matching.explain(), report, layers)
    logger.info("Comparing file and student on %d samples", len(samples[0]))
    run = run_student(student, signature, samples)
    for file in files:
        agreement = compare(student, signature, file, samples, data, matching, run)
        report = dataclasses.replace(report, agreement=agreement)
        if not agreement.passed:
            suspects = suspicious_layers(matching)
            message = _disagreement(student, agreement, suspects)
            raise ExportError(message, report, tuple(suspects))
    with replacing(target) as beside:
        beside.write_bytes(conversion.content)
    return report


def _opened(content: bytes, student: Any, runtime: str) -> list[TFLiteModel]:
    """The file in each interpreter that it is compared in."""
    stock = interpreters.stock_interpreters()
    names = (interpreters.LARQ,) if runtime == LCE else stock
    try:
        return [TFLiteModel(content, interpreter=name) for name in names]
    except ValueError as error:
        raise ExportError(
            f"The converted file of model '{student.name}' cannot be run: {error}"
        ) from error


def _check_path(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if target.is_dir():
        raise ValueError(
            "Expected `path` to be the path of a file, received a folder: "
            f"path={os.fspath(path)!r}."
        )
    if target.exists() and not target.is_file():
        raise ValueError(
            "Expected `path` to be the path of an ordinary file, received a device or "
            f"another special file: path={str(target)!r}."
        )
    if not target.parent.is_dir():
        raise FileNotFoundError(
            f"Expected the folder of `path` to exist, received: path={str(target)!r}. "
            f"Create the folder '{target.parent}' first."
        )
    if not os.access(target.parent, os.W_OK):
        raise ValueError(
            "Expected the folder of `path` to be writable, received: "
            f"path={str(target)!r}."
        )
    return target


def _report(
    target: Path,
    content: bytes,
    file: TFLiteModel,
    student: Any,
    matching: Matching,
    runtime: str,
) -> ExportReport:
    operators = describe_operators(file.graph, student, matching)
    inputs = zip(file.input_names, file.input_shapes, file.input_dtypes, strict=True)
    outputs = zip(
        file.output_names, file.output_shapes, file.output_dtypes, strict=True
    )
    return ExportReport(
        path=str(target),
        runtime=runtime,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        inputs=tuple(ValueInfo(name, shape, str(kind)) for name, shape, kind in inputs),
        outputs=tuple(
            ValueInfo(name, shape, str(kind)) for name, shape, kind in outputs
        ),
        layers=operators,
        operator_counts=dict(Counter(row.operator for row in operators)),
        binary_convolutions=tuple(matching.names),
        missing=tuple(dict.fromkeys(call.name for call in matching.missing)),
        agreement=None,
        versions={"python": platform.python_version(), **_versions(runtime)},
    )


def _versions(runtime: str) -> dict[str, str]:
    found = {package: metadata.version(package) for package in _PACKAGES}
    installed = interpreters.stock_interpreters()
    if runtime == LITERT and interpreters.LITERT in installed:
        found["ai-edge-litert"] = metadata.version("ai-edge-litert")
    return found


def _disagreement(student: Any, agreement: Agreement, suspects: dict[str, str]) -> str:
    message = (
        f"The converted file does not compute what model '{student.name}' computes, "
        f"run by the interpreter '{agreement.interpreter}': "
        f"{agreement.beyond_rounding:.0%} of {agreement.samples} samples differ by "
        f"more than rounding, by up to {agreement.max_difference:.3g}. Nothing was "
        "written."
    )
    if not np.isfinite(agreement.max_difference):
        message += " The outputs of the student, or of the file, are not finite."
    if agreement.contradicting_layers:
        message += (
            " On the signs that the file computed, the first 1-bit layer whose inputs "
            f"differ is '{agreement.contradicting_layers[0]}': what is converted "
            "wrongly stands between it and the 1-bit layers before it."
        )
    elif agreement.beyond_rounding_with_file_signs:
        message += (
            " All 1-bit layers get the right inputs: what is converted wrongly stands "
            "behind the last of them."
        )
    if not suspects:
        hint = " No known cause was found."
        if agreement.undecided or agreement.beyond_rounding_with_file_signs is not None:
            hint += (
                " 1-bit convolutions convert rightly with padding='valid', or "
                "padding='same' with pad_values=1.0."
            )
        return message + hint
    return (
        message
        + " Likely causes:\n"
        + "\n".join(f"- layer '{name}': {reason}" for name, reason in suspects.items())
    )
