"""What an export did: the report, and the error that carries it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from keras_rbcn._files import replacing
from keras_rbcn._report import Report
from keras_rbcn.export.document.agreement import Agreement
from keras_rbcn.export.document.promise import Promise
from keras_rbcn.export.int8.costs import Int8Report
from keras_rbcn.tflite.quantization import Quantization

# Of the JSON. It rises when older releases cannot read it any more.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class OperatorReport:
    """One operator of the file.

    Attributes:
        name: The Keras layer it comes from, as far as the file tells.
        operator: The operator's name, such as "LceBconv2d" or "CONV_2D".
        kind: "1-bit", "1-bit in float32" for a convolution of signs with a kernel of
            signs by real numbers, or the element type of its output, such as "float32".
        output_shape: Shape of its first output, with the batch of one.
        bytes: Bytes of the constants it is the first to read.
    """

    name: str
    operator: str
    kind: str
    output_shape: tuple[int, ...]
    bytes: int


@dataclass(frozen=True)
class ValueInfo:
    """An input or output of the file.

    Attributes:
        name: Its name.
        shape: Its shape, with the batch of one.
        dtype: Its element type.
        quantization: What its integers stand for, as in
            `TFLiteModel.input_quantizations`; None for real numbers, and in reports of
            releases that did not tell it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None = None


@dataclass(frozen=True)
class ExportReport(Report):
    """What is in an exported file, and how it was checked.

    Attributes:
        path: Where the file was to be written.
        runtime: What it was made for, `"lce"` or `"litert"`.
        bytes: Size of the file.
        sha256: Hexadecimal digest of the file.
        inputs: The file's inputs, in the order of the Keras model.
        outputs: The file's outputs, in the order of the Keras model.
        layers: One entry for each operator, in order of execution.
        operator_counts: Number of operators of each name.
        binary_convolutions: Name of the Keras layer of every 1-bit convolution, in
            order of execution; a layer called twice is listed twice.
        missing: Names of the layers with 1-bit kernels that are no 1-bit convolutions
            in the file, and take as much there as real ones. A `RectifiedConv2D` among
            them fails the export; a plain larq layer does not.
        agreements: How file and student were compared, one entry for each interpreter
            that ran the file; empty if the export failed before.
        versions: Versions of Python and of the packages that made the file.
        promise: What a profile of the student promises, beside what the file holds.
        provenance: Where the file comes from: `"student"`, its name and the SHA-256 of
            its weights; if an `RBCNModel` was exported, `"teacher"` with the same,
            `"taps"`, and `"training"` with settings, losses, optimizers and calls of
            `fit`; `"given"` is what the user told. See `docs/export.md`.
        int8: The layers that compute in int8, and what that costs; None if none does.

    `str(report)` is a table, `print(report)` prints it, and a notebook shows it.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> report = export_tflite(model, "model.tflite", verify_data=np.ones((8, 4)))
        >>> report.agreement.passed
        True
        >>> report.to_dict()["operator_counts"]
        {'FULLY_CONNECTED': 1}
        >>> text = report.to_json("report.json")
        >>> page = ExportReport.from_json("report.json").to_html("report.html")
        >>> page == report.to_html()
        True
    """

    path: str
    runtime: str
    bytes: Annotated[int, Gt(0)]
    sha256: str
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    layers: tuple[OperatorReport, ...]
    operator_counts: dict[str, int]
    binary_convolutions: tuple[str, ...]
    missing: tuple[str, ...]
    agreements: tuple[Agreement, ...]
    versions: dict[str, str]
    promise: Promise
    provenance: dict[str, Any]
    int8: Int8Report | None = None

    @property
    def agreement(self) -> Agreement | None:
        """The last of the agreements, which is the one that failed if one did.

        None if the export failed before.
        """
        return self.agreements[-1] if self.agreements else None

    def to_dict(self) -> dict[str, Any]:
        """The report as dictionaries, lists, strings and finite numbers.

        `"format_version"` tells the version of this form. What is not finite, such as
        the difference of an output that is NaN, is None.
        """
        return {"format_version": FORMAT_VERSION, **super().to_dict()}

    @classmethod
    def from_json(cls, path_or_text: str | os.PathLike[str]) -> ExportReport:
        """Reads what `to_json` has written.

        Args:
            path_or_text: The path of a file, or the JSON itself.

        Returns:
            The report. What was not finite is NaN.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is something else, or of a newer format than this release
                knows.
        """
        # Here, since pydantic takes its time to start.
        from keras_rbcn.export.document.reading import read_report

        return read_report(path_or_text)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """The report as one page of HTML, with plots, that needs nothing else.

        Nothing is loaded and nothing runs in it. The same report gives the same page.

        Args:
            path: A file to write it to as well.

        Returns:
            The text of the page.
        """
        # Here, since matplotlib takes its time to start.
        from keras_rbcn.export.document.page import to_page

        text = to_page(self)
        if path is not None:
            with replacing(Path(path)) as beside:
                beside.write_text(text, "utf-8")
        return text

    def __rich__(self) -> Group:
        return Group(self._layer_table(), self._summary())

    def _layer_table(self) -> Table:
        table = Table(title=f"{escape(Path(self.path).name)}, {self.bytes:,} bytes")
        table.add_column("layer", overflow="fold")
        table.add_column("operator")
        table.add_column("kind")
        table.add_column("output")
        table.add_column("bytes", justify="right")
        for row in self.layers:
            shape = "x".join(str(size) for size in row.output_shape[1:])
            table.add_row(row.name, row.operator, row.kind, shape, f"{row.bytes:,}")
        return table

    def _summary(self) -> Table:
        table = Table(show_header=False, box=None, padding=(0, 1))
        table.add_column()
        table.add_column(overflow="fold")
        counts = ", ".join(f"{n} {name}" for name, n in self.operator_counts.items())
        table.add_row("runtime", self.runtime)
        table.add_row("operators", counts)
        table.add_row("1-bit convolutions", str(len(self.binary_convolutions)))
        if self.missing:
            table.add_row("not 1-bit", ", ".join(self.missing))
        for kind, values in (("input", self.inputs), ("output", self.outputs)):
            for value in values:
                if value.quantization is not None:
                    text = f"{escape(value.name)}: {value.dtype}, {value.quantization}"
                    table.add_row(f"integer {kind}", text)
        if self.int8 is not None:
            table.add_row("int8", _int8_row(self.int8))
        if not self.agreements:
            table.add_row("agreement", "not measured")
        for agreement in self.agreements:
            for name, text in _agreement_rows(agreement):
                table.add_row(name, text)
        table.add_row("sha256", self.sha256)
        versions = ", ".join(f"{k} {v}" for k, v in self.versions.items())
        table.add_row("versions", versions)
        return table


def _int8_row(int8: Int8Report) -> str:
    text = ", ".join(int8.layers)
    if int8.missing:
        text += f"; not {', '.join(int8.missing)}"
    if int8.class_agreement is not None:
        text += f"; same class as in float32: {int8.class_agreement:.1%} of samples"
    elif int8.median_relative_difference is None:
        text += "; same class as in float32: not known, as it came with its ranges"
    return text


def _agreement_rows(agreement: Agreement) -> list[tuple[str, str]]:
    source = "verify_data" if agreement.data == "verify_data" else "random data"
    rows = [
        (
            "agreement",
            f"{'yes' if agreement.passed else 'NO'}, on {agreement.samples} samples of "
            f"{source}, in the interpreter {agreement.interpreter}",
        ),
        (
            "difference",
            f"at most {agreement.max_difference:.2g}, mean "
            f"{agreement.mean_difference:.2g}; relative median "
            f"{agreement.median_relative_difference:.2g}",
        ),
        (
            "samples",
            f"{agreement.beyond_rounding:.1%} beyond rounding, "
            f"{agreement.undecided:.1%} with signs that rounding decides",
        ),
    ]
    beyond = agreement.beyond_rounding_with_file_signs
    contradicting = agreement.contradicting_signs
    if beyond is not None and contradicting is not None:
        rows.append(
            (
                "on the file's signs",
                f"{beyond:.1%} beyond rounding, {contradicting:.1%} with signs that "
                "contradict",
            )
        )
    if agreement.class_agreement is not None:
        rows.append(("same class", f"{agreement.class_agreement:.1%} of samples"))
    return rows


class ExportError(RuntimeError):
    """An export that failed; there is no new file.

    Attributes:
        report: The `ExportReport` of the file that was refused; None if the converter
            produced none.
        layers: Names of the Keras layers at fault, as far as they are known.
    """

    def __init__(
        self,
        message: str,
        report: ExportReport | None = None,
        layers: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.report = report
        self.layers = layers
