"""Writes a verified .tflite file."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn._backend import installed_versions, require_student
from keras_rbcn._checks import check_positive_integer
from keras_rbcn._files import replacing
from keras_rbcn._samples import input_signature
from keras_rbcn.export.accounting import account
from keras_rbcn.export.converter import (
    LCE,
    LITERT,
    RUNTIMES,
    Conversion,
    check_policies,
    convert,
)
from keras_rbcn.export.document.agreement import Agreement
from keras_rbcn.export.document.report import ExportError, ExportReport, ValueInfo
from keras_rbcn.export.int8.costs import Int8Report
from keras_rbcn.export.int8.element_types import FLOAT32, ElementTypes
from keras_rbcn.export.int8.measuring import int8_report
from keras_rbcn.export.matching import (
    Matching,
    describe_operators,
    match,
    suspicious_layers,
    zero_padded_int8,
)
from keras_rbcn.export.provenance import checked_provenance, provenance_of
from keras_rbcn.export.verification import (
    compare,
    run_student,
    verification_samples,
)
from keras_rbcn.quantization.quantize import SAMPLES
from keras_rbcn.tflite import interpreters
from keras_rbcn.tflite.flatbuffer import InvalidModelError, parse
from keras_rbcn.tflite.interpreter import TFLiteModel
from keras_rbcn.tflite.quantization import Quantization

logger = logging.getLogger("keras_rbcn.export")
_EXPORT_LOCK = threading.Lock()


def export_tflite(
    model: Any,
    path: str | os.PathLike[str],
    verify_data: Any = None,
    verify_samples: int = 64,
    runtime: str = LCE,
    provenance: Mapping[str, Any] | None = None,
    *,
    real_layers: str = FLOAT32,
    calibration_data: Any = None,
    calibration_samples: int = SAMPLES,
    input_type: str = FLOAT32,
    output_type: str = FLOAT32,
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
            used. Random normal data, with a warning, if None; real layers in int8 need
            real inputs.
        verify_samples: How many samples to compare at most; the first ones are taken.
            The 1-bit operators are slow on x86-64.
        runtime: `"lce"` for that of Larq Compute Engine, which is small and fast on
            64-bit ARM; `"litert"` for the stock one of TensorFlow Lite, now LiteRT,
            which runs everywhere and knows no 1-bit operators: kernels take 4 bits a
            value, and convolutions the time of real ones. That file is compared in each
            stock interpreter that is installed.
        provenance: What the report is to tell of where the model comes from, besides
            what the model itself tells: anything that JSON can hold, such as the path
            and the `datasets.fingerprint` of the training data, or a commit.
        real_layers: In what layers with real kernels compute: `"float32"`, or `"int8"`
            for a quarter of their bytes; see `quantize_real_layers`. A student that it
            returned is exported with `"int8"`. The file is then compared with the
            student whose values are rounded to 8 bits in Keras.
        calibration_data: Inputs from the training data, in the form of `verify_data`,
            on which the ranges of values are measured that are to be in int8. Only for
            a student that has no ranges yet.
        calibration_samples: How many of them to take at most; the first ones.
        input_type: What the file is given, `"float32"` or `"int8"`; the latter is for
            real layers in int8, and stands for real numbers by a scale and a zero
            point, which are in the file.
        output_type: What the file gives, likewise.

    Returns:
        The report. It prints as a table.

    Raises:
        TypeError: If `model` is not a Keras 2 model, or `provenance` no dictionary.
        ValueError: If model, path, data or provenance cannot be used.
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
    student = require_student(model, "model")
    target = _check_path(path)
    check_positive_integer("verify_samples", verify_samples)
    if runtime not in RUNTIMES:
        raise ValueError(
            f"Expected `runtime` to be one of {RUNTIMES}, received: "
            f"runtime={runtime!r}."
        )
    types = ElementTypes(real_layers, input_type, output_type)
    types.check(student, calibration_data, verify_data)
    origin = provenance_of(model, student, checked_provenance(provenance))
    check_policies(student)
    samples = verification_samples(
        verify_data, input_signature(student), verify_samples
    )
    # One at a time: comparing watches the student's layers by patching them.
    with _EXPORT_LOCK:
        rounded = types.brought_to(student, calibration_data, calibration_samples)
        source = None if rounded is student else student
        return _convert_and_verify(
            rounded, source, target, samples, runtime, types, origin
        )


def _convert_and_verify(
    student: Any,
    source: Any,
    target: Path,
    verification: tuple[list[np.ndarray], str],
    runtime: str,
    types: ElementTypes,
    origin: dict[str, Any],
) -> ExportReport:
    signature = input_signature(student)
    samples, data = verification
    conversion = convert(student, signature, runtime, types)
    try:
        if conversion.roundings:
            _check_int8_paddings(conversion)
        files = _opened(conversion.content, runtime)
    except (InvalidModelError, ValueError) as error:
        raise ExportError(
            f"The converted file of model '{student.name}' cannot be run: {error}"
        ) from error
    file = files[0]
    matching = match(file.graph, conversion.calls, conversion.roundings)
    report = _report(
        target, conversion.content, file, student, matching, runtime, origin
    )
    if matching.failed:
        raise ExportError(matching.explain(student), report, matching.failed)
    logger.info("Comparing file and student on %d samples", len(samples[0]))
    run = run_student(student, signature, samples)
    if matching.roundings:
        int8 = int8_report(student, source, signature, samples, run.outputs)
        report = dataclasses.replace(report, int8=int8)
        if int8.complaints:
            raise ExportError(_unlike(student, int8), report)
    for file in files:
        agreement = compare(student, signature, file, samples, data, matching, run)
        report = dataclasses.replace(report, agreements=(*report.agreements, agreement))
        if not agreement.passed:
            suspects = suspicious_layers(matching)
            message = _disagreement(student, agreement, suspects)
            raise ExportError(message, report, tuple(suspects))
    with replacing(target) as beside:
        beside.write_bytes(conversion.content)
    return report


def _opened(content: bytes, runtime: str) -> list[TFLiteModel]:
    """The file in each interpreter that it is compared in."""
    stock = interpreters.stock_interpreters()
    names = (interpreters.LARQ,) if runtime == LCE else stock
    return [TFLiteModel(content, interpreter=name) for name in names]


def _check_int8_paddings(conversion: Conversion) -> None:
    """Says why a file cannot be opened, which the interpreter does not."""
    graph = parse(conversion.content)
    names = zero_padded_int8(match(graph, conversion.calls))
    if names:
        raise ExportError(
            "Larq Compute Engine cannot pad with zeros where a 1-bit convolution gives "
            f"int8: {', '.join(names)}. Nothing was written. Use pad_values=1.0, or "
            "float32 outputs.",
            layers=tuple(names),
        )


def _unlike(student: Any, int8: Int8Report) -> str:
    return (
        f"The ranges of model '{student.name}' in int8 are not those of `verify_data`. "
        "Nothing was written. Calibrate on data that are scaled alike and look alike.\n"
        + "\n".join(f"- {complaint}." for complaint in int8.complaints[:5])
    )


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
    origin: dict[str, Any],
) -> ExportReport:
    operators = describe_operators(file.graph, student, matching)
    return ExportReport(
        path=str(target),
        runtime=runtime,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        inputs=_values(
            file.input_names,
            file.input_shapes,
            file.input_dtypes,
            file.input_quantizations,
        ),
        outputs=_values(
            file.output_names,
            file.output_shapes,
            file.output_dtypes,
            file.output_quantizations,
        ),
        layers=operators,
        operator_counts=dict(Counter(row.operator for row in operators)),
        binary_convolutions=tuple(matching.names),
        missing=matching.not_one_bit(student),
        agreements=(),
        versions=_versions(runtime),
        promise=account(student, content, target, operators),
        provenance=origin,
    )


def _values(
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    dtypes: Sequence[np.dtype],
    quantizations: Sequence[Quantization | None],
) -> tuple[ValueInfo, ...]:
    return tuple(
        ValueInfo(name, shape, str(dtype), quantization)
        for name, shape, dtype, quantization in zip(
            names, shapes, dtypes, quantizations, strict=True
        )
    )


def _versions(runtime: str) -> dict[str, str]:
    found = installed_versions()
    installed = interpreters.stock_interpreters()
    if runtime == LITERT and interpreters.LITERT in installed:
        found["ai-edge-litert"] = metadata.version("ai-edge-litert")
    return found


def _disagreement(student: Any, agreement: Agreement, suspects: dict[str, str]) -> str:
    parts = [
        f"The converted file does not compute what model '{student.name}' computes, "
        f"run by the interpreter '{agreement.interpreter}': {_shares(agreement)}. "
        "Nothing was written."
    ]
    if not np.isfinite(agreement.max_difference):
        parts.append(
            "The outputs of the student, or of the file, are not finite. Look for NaN "
            "in the weights: "
            "[w.name for w in model.weights if not np.isfinite(w).all()]."
        )
    if agreement.contradicting_layers:
        parts.append(
            "On what the file decided, the first layer with signs or values that are "
            f"not the student's is '{agreement.contradicting_layers[0]}': what is "
            "converted wrongly stands between it and those before it."
        )
    elif agreement.beyond_rounding_with_file_signs:
        parts.append(
            "All 1-bit layers get the right inputs: what is converted wrongly stands "
            "behind the last of them."
        )
    causes = [f"- layer '{name}': {reason}" for name, reason in suspects.items()]
    text = " ".join(
        [*parts, "Likely causes:" if causes else "No known cause was found."]
    )
    return "\n".join([text, *causes])


def _shares(agreement: Agreement) -> str:
    """How many samples are wrong, by each of the ways to judge them."""
    text = (
        f"{agreement.beyond_rounding:.0%} of {agreement.samples} samples differ by "
        f"more than rounding, by up to {agreement.max_difference:.3g}"
    )
    beyond = agreement.beyond_rounding_with_file_signs
    if beyond is None or agreement.contradicting_signs is None:
        return text
    return (
        f"{text}; on the signs, and values of 8 bits, that the file decided, "
        f"{beyond:.0%} do, and {agreement.contradicting_signs:.0%} hold some that the "
        "student contradicts"
    )
