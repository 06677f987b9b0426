"""What the commands do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from keras_rbcn import conversion, profiling
from keras_rbcn._backend import tf
from keras_rbcn._samples import input_signature
from keras_rbcn.cli.errors import (
    UserError,
    export_errors,
    user_errors,
    warning_lines,
)
from keras_rbcn.cli.files import (
    check_input,
    check_output,
    check_output_folder,
    create_folder,
    write_arrays,
    write_text,
    written_beside,
)
from keras_rbcn.cli.int8 import check_calibration_data, int8_arguments
from keras_rbcn.cli.models import check_keras_file, load_model, save_model
from keras_rbcn.cli.reports import check_reports, read_provenance, write_reports
from keras_rbcn.cli.samples import Rescale, check_samples, read_samples
from keras_rbcn.export import export_tflite
from keras_rbcn.export.int8.element_types import ElementTypes
from keras_rbcn.tflite import TFLiteModel
from keras_rbcn.tflite.quantization import meant_by

# Rows of a table of predictions.
_SHOWN = 20
# Samples that file and student are compared on.
_VERIFIED = 64


def demo(output: Path, epochs: int, seed: int) -> None:
    """See `keras_rbcn.cli.app.demo`."""
    check_output_folder(output)
    # Here, since matplotlib and scikit-learn take their time to start.
    from keras_rbcn.cli.demo import result_table, run_demo

    create_folder(output)
    check_output(output / "results.json")
    # For the whole process, and not to be undone: not for the library to decide.
    tf.config.experimental.enable_op_determinism()
    result = run_demo(output, epochs, seed, progress=_say)
    console = Console()
    console.print(result_table(result))
    for note in result.notes():
        console.print(f"- {note}", markup=False, highlight=False)
    # Not through the console, which would break a long path into two lines.
    typer.echo(f"Results are in {output.resolve()}")


def export(
    student: Path,
    out: Path,
    verify_data: Path | None,
    rescale: Rescale,
    reports: Sequence[Path],
    provenance: Path | None,
    runtime: str,
    types: ElementTypes,
    calibration_data: Path | None,
) -> None:
    """See `keras_rbcn.cli.app.export`."""
    check_keras_file(student)
    inputs = (student, verify_data, provenance, calibration_data)
    check_output(out, *inputs, suffix=".tflite")
    check_reports(reports, out, *inputs)
    origin = None if provenance is None else read_provenance(provenance)
    check_calibration_data(calibration_data, types)
    if verify_data is not None:
        check_samples(verify_data)
    elif rescale is not None and calibration_data is None:
        raise UserError("--rescale is for --verify-data: leave it out.")
    model = load_model(student)
    with user_errors():
        signature = input_signature(model)
    shapes = [tuple(spec.shape[1:]) for spec in signature.specs]

    def read(path: Path, count: int) -> Any:
        return read_samples(path, signature.names, shapes, rescale, count).x

    int8 = int8_arguments(model, types, calibration_data, read)
    data = None if verify_data is None else read(verify_data, _VERIFIED)
    with export_errors():
        result = export_tflite(
            model,
            out,
            verify_data=data,
            verify_samples=_VERIFIED,
            runtime=runtime,
            provenance=origin,
            **int8,
        )
    write_reports(result, reports)
    Console().print(result)
    typer.echo(f"Wrote {out}")


def profile(
    model: Path,
    reference: Path | None,
    json_file: Path | None,
    csv_file: Path | None,
    plot_file: Path | None,
) -> None:
    """See `keras_rbcn.cli.app.profile`."""
    inputs = [path for path in (model, reference) if path is not None]
    for path in inputs:
        check_input(path)
        if path.suffix == ".keras":
            check_keras_file(path)
    outputs: list[Path] = []
    for output, suffix in ((json_file, ""), (csv_file, ""), (plot_file, ".png")):
        if output is not None:
            check_output(output, *inputs, *outputs, suffix=suffix)
            outputs.append(output)
    with user_errors(), warning_lines():
        result = profiling.profile(*inputs)
    Console().print(result)
    for output, write in (
        (json_file, result.to_json),
        (csv_file, result.to_csv),
        (plot_file, result.plot),
    ):
        if output is not None:
            with written_beside(output) as beside:
                write(beside)
            typer.echo(f"Wrote {output}")


def binarize(
    teacher: Path, student: Path, report: Path | None, **arguments: Any
) -> None:
    """See `keras_rbcn.cli.app.binarize`; with arguments of the function."""
    check_keras_file(teacher)
    check_output(student, teacher, suffix=".keras")
    if report is not None:
        check_output(report, teacher, student)
    model = load_model(teacher)
    with user_errors(), warning_lines():
        made, changes = conversion.binarize(model, **arguments, return_report=True)
    save_model(made, student)
    if report is not None:
        write_text(report, changes.to_json() + "\n")
    Console().print(changes)
    typer.echo(f"Wrote {student}")


def predict(file: Path, images: Path, rescale: Rescale, output: Path | None) -> None:
    """See `keras_rbcn.cli.app.predict`."""
    check_input(file)
    check_samples(images)
    if output is not None:
        check_output(output, file, images, suffix=".npz")
    with user_errors():
        model = TFLiteModel(file)
    shapes = [shape[1:] for shape in model.input_shapes]
    samples = read_samples(images, model.input_names, shapes, rescale)
    arrays = samples.x if isinstance(samples.x, list) else [samples.x]
    with user_errors():
        outputs = meant_by(model, model.predict(_given(model, arrays)))
    for name, array, dtype in zip(
        model.output_names, outputs, model.output_dtypes, strict=True
    ):
        Console().print(_prediction_table(name, array, dtype, samples.names))
    if output is not None:
        named = dict(zip(model.output_names, outputs, strict=True))
        if samples.names is not None:
            key = "image_files" if "files" in named else "files"
            named = {key: np.array(samples.names)} | named
        write_arrays(output, named)
        typer.echo(f"Wrote {output}")


def _given(model: TFLiteModel, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Real numbers as the integers that the file wants; integers as they are."""
    given = []
    for name, array, meaning, dtype in zip(
        model.input_names,
        arrays,
        model.input_quantizations,
        model.input_dtypes,
        strict=True,
    ):
        if meaning is None or array.dtype.kind != "f":
            given.append(array)
            continue
        if np.isnan(array).any():
            raise UserError(
                f"expected real numbers for input '{name}', of which the file wants "
                f"{dtype}; some are no numbers (NaN)."
            )
        given.append(meaning.to_integers(array.astype(np.float32), dtype))
    return given


def _say(line: str) -> None:
    typer.echo(line)
    # Python holds lines back if the output is a pipe.
    typer.get_text_stream("stdout").flush()


def _prediction_table(
    name: str, array: Any, dtype: Any, samples: Sequence[str] | None
) -> Table:
    """The first rows of an output; for scores of classes, the class and its score."""
    shape = "x".join(str(size) for size in array.shape)
    # Integers of the file are shown as the real numbers that they stand for.
    told = str(dtype) if array.dtype == dtype else f"{array.dtype}, of {dtype}"
    table = Table(title=escape(f"{name}: {shape} {told}"))
    if samples is None:
        table.add_column("sample", justify="right")
        samples = [str(number) for number in range(len(array))]
    else:
        table.add_column("image")
    scores = array.ndim == 2 and array.shape[1] > 1
    columns = ("class", "score") if scores else ("mean", "smallest", "largest")
    for column in columns:
        table.add_column(column, justify="right")
    for sample, values in zip(map(Text, samples), array[:_SHOWN], strict=False):
        if scores:
            best = int(np.argmax(values))
            table.add_row(sample, str(best), f"{values[best]:.4g}")
        else:
            figures = (np.mean(values), np.min(values), np.max(values))
            table.add_row(sample, *(f"{figure:.4g}" for figure in figures))
    if len(array) > _SHOWN:
        table.caption = f"{_SHOWN} of {len(array)} samples shown"
    return table
