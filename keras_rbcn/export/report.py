"""What an export did: the report, and the error that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.console import Group
from rich.markup import escape
from rich.table import Table

from keras_rbcn._report import Report


@dataclass(frozen=True)
class Agreement:
    """How far the outputs of the file are from those of the Keras student.

    Attributes:
        passed: Whether the file computes what the student computes.
        interpreter: What ran the file; the last one of several.
        data: `"verify_data"`, or `"random"` if the user gave none.
        samples: Number of samples compared.
        max_difference: Largest absolute difference of an output value.
        mean_difference: Mean absolute difference of the output values.
        median_relative_difference: Median over the samples of their largest
            difference, as a share of the spread of the output's channel.
        beyond_rounding: Share of samples with a difference that rounding does not
            explain (more than 1e-4 of the spread of the output's channel).
        undecided: Share of samples for which an input of a 1-bit layer lies so close
            to zero that rounding decides its sign.
        beyond_rounding_with_file_signs: The share beyond rounding if the student takes
            the signs that the file computed; None if there was no need to measure it.
        contradicting_signs: Share of samples with a sign in the file that the student
            contradicts by more than rounding; None likewise.
        contradicting_layers: Names of the 1-bit layers with such signs, in order of
            execution.
        class_agreement: Share of samples with the same largest output, the smallest
            over all outputs that are vectors of scores; None if there is none.
    """

    passed: bool
    interpreter: str
    data: str
    samples: int
    max_difference: float
    mean_difference: float
    median_relative_difference: float
    beyond_rounding: float
    undecided: float
    beyond_rounding_with_file_signs: float | None
    contradicting_signs: float | None
    contradicting_layers: tuple[str, ...]
    class_agreement: float | None


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
    """Name, shape (with the batch of one) and element type of an input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str


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
        missing: Names of the layers with binary inputs and kernels that are no 1-bit
            convolutions in the file. A `RectifiedConv2D` among them fails the export;
            a plain larq layer does not.
        agreement: How file and student were compared; None if the export failed
            before.
        versions: Versions of Python and of the packages that made the file.

    `str(report)` is a table, `print(report)` prints it, and a notebook shows it.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> report = export_tflite(model, "model.tflite", verify_data=np.ones((8, 4)))
        >>> report.agreement.passed
        True
        >>> report.to_dict()["operator_counts"]
        {'FULLY_CONNECTED': 1}
    """

    path: str
    runtime: str
    bytes: int
    sha256: str
    inputs: tuple[ValueInfo, ...]
    outputs: tuple[ValueInfo, ...]
    layers: tuple[OperatorReport, ...]
    operator_counts: dict[str, int]
    binary_convolutions: tuple[str, ...]
    missing: tuple[str, ...]
    agreement: Agreement | None
    versions: dict[str, str]

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
        if self.agreement is None:
            table.add_row("agreement", "not measured")
        else:
            for name, text in _agreement_rows(self.agreement):
                table.add_row(name, text)
        table.add_row("sha256", self.sha256)
        versions = ", ".join(f"{k} {v}" for k, v in self.versions.items())
        table.add_row("versions", versions)
        return table


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
    if agreement.beyond_rounding_with_file_signs is not None:
        rows.append(
            (
                "on the file's signs",
                f"{agreement.beyond_rounding_with_file_signs:.1%} beyond rounding, "
                f"{agreement.contradicting_signs:.1%} with signs that contradict",
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
