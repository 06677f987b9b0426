"""What the commands do."""

from __future__ import annotations

import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from keras_rbcn._backend import keras, tf
from keras_rbcn.cli.errors import UserError, one_line, user_errors
from keras_rbcn.cli.files import (
    check_input,
    check_output,
    read_inputs,
    write_arrays,
    written_beside,
)
from keras_rbcn.export import ExportError, export_tflite
from keras_rbcn.tflite import TFLiteModel

# Rows of a table of predictions.
_SHOWN = 20


def demo(output: Path, epochs: int, seed: int) -> None:
    """See `keras_rbcn.cli.app.demo`."""
    if output.exists() and not output.is_dir():
        raise UserError(f"expected a folder for the results, but '{output}' is a file.")
    # Here, since matplotlib and scikit-learn take their time to start.
    from keras_rbcn.cli.demo import result_table, run_demo

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot create the folder '{output}': {error.strerror}."
        ) from error
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
    student: Path, out: Path, verify_data: Path | None, report: Path | None
) -> None:
    """See `keras_rbcn.cli.app.export`."""
    _check_keras_file(student)
    inputs = (student, verify_data)
    check_output(out, *inputs, suffix=".tflite")
    if report is not None:
        check_output(report, out, *inputs)
    if verify_data is not None:
        check_input(verify_data)
    model = _load_model(student)
    data = None
    if verify_data is not None:
        data = read_inputs(verify_data, _input_names(model))
    try:
        with user_errors(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")
            warnings.filterwarnings("always", category=UserWarning)
            result = export_tflite(model, out, verify_data=data)
    except ExportError as error:
        layers = [f"layer: {name}" for name in error.layers]
        raise UserError(str(error), layers, exit_code=1) from error
    for warning in caught:
        typer.echo(f"warning: {one_line(warning.message)}", err=True)
    if report is not None:
        with written_beside(report) as beside:
            result.to_json(beside)
    Console().print(result)
    typer.echo(f"Wrote {out}")


def predict(file: Path, images: Path, output: Path | None) -> None:
    """See `keras_rbcn.cli.app.predict`."""
    check_input(file)
    check_input(images)
    if output is not None:
        check_output(output, file, images, suffix=".npz")
    with user_errors():
        model = TFLiteModel(file)
        outputs = model.predict(read_inputs(images, model.input_names))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    for name, array in zip(model.output_names, outputs, strict=True):
        Console().print(_prediction_table(name, array))
    if output is not None:
        write_arrays(output, dict(zip(model.output_names, outputs, strict=True)))
        typer.echo(f"Wrote {output}")


def _say(line: str) -> None:
    typer.echo(line)
    # Python holds lines back if the output is a pipe.
    typer.get_text_stream("stdout").flush()


def _check_keras_file(path: Path) -> None:
    """Checks that the file is a .keras file of Keras 2."""
    check_input(path)
    kind = f"expected '{path}' to be a model saved by model.save('NAME.keras')"
    if path.suffix != ".keras":
        raise UserError(f"{kind}; its name does not end in .keras.")
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json"))["keras_version"]
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{kind}; it is damaged or something else.") from error
    if not str(version).startswith("2."):
        raise UserError(
            f"{kind} under Keras 2 (tf_keras); it is of Keras {version}, and such a "
            "file does not load in Keras 2. Build the model again with tf_keras, and "
            "load its weights into it."
        )


def _load_model(path: Path) -> Any:
    try:
        model = keras.models.load_model(path, compile=False)
    # Whatever a class in the file raises when it is built.
    except Exception as error:
        raise UserError(f"cannot load the model in '{path}': {error}") from error
    return getattr(model, "student", model)


def _input_names(model: Any) -> list[str]:
    return list(getattr(model, "input_names", None) or ["x"])


def _prediction_table(name: str, array: Any) -> Table:
    """The first rows of an output; for scores of classes, the class and its score."""
    shape = "x".join(str(size) for size in array.shape)
    table = Table(title=f"{name}: {shape} {array.dtype}")
    table.add_column("sample", justify="right")
    scores = array.ndim == 2 and array.shape[1] > 1
    columns = ("class", "score") if scores else ("mean", "smallest", "largest")
    for column in columns:
        table.add_column(column, justify="right")
    for number, values in enumerate(array[:_SHOWN]):
        if scores:
            best = int(np.argmax(values))
            table.add_row(str(number), str(best), f"{values[best]:.4g}")
        else:
            figures = (np.mean(values), np.min(values), np.max(values))
            table.add_row(str(number), *(f"{figure:.4g}" for figure in figures))
    if len(array) > _SHOWN:
        table.caption = f"{_SHOWN} of {len(array)} samples shown"
    return table
