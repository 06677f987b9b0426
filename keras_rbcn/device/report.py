"""What a benchmark on a device says: one row for each file."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from keras_rbcn._report import Report, plain, save_figure
from keras_rbcn.device.benchmark_output import BenchmarkOutput
from keras_rbcn.device.binary import FAST_ARCHITECTURE

# The file that times are compared with.
REFERENCE = "float32"


@dataclass(frozen=True)
class FileTimings:
    """How long one file took on the device; times in milliseconds.

    Attributes:
        name: The name it was given, such as "1-bit".
        path: Where it lies on this machine.
        bytes: Its size.
        latencies: Mean time of an inference, of each run of the program.
        init: The time until it was loaded and ready, the median over the runs.
        first_inference: The time of its first inference, likewise.
        memory: The memory that it took, in MiB, roughly; None if the program did not
            tell.

    Example:
        >>> row = FileTimings("1-bit", "a.tflite", 2048, (4.5, 4.2, 4.4), 1.0, 9.0, 2.5)
        >>> row.median
        4.4
    """

    name: str
    path: str
    bytes: int
    latencies: tuple[float, ...]
    init: float
    first_inference: float
    memory: float | None

    @classmethod
    def of_outputs(
        cls, name: str, path: str, size: int, outputs: Sequence[BenchmarkOutput]
    ) -> FileTimings:
        """What the runs of the program on one file measured."""
        memory = [output.memory for output in outputs if output.memory is not None]
        return cls(
            name=name,
            path=path,
            bytes=size,
            latencies=tuple(output.inference_average / 1e3 for output in outputs),
            init=statistics.median(output.init for output in outputs) / 1e3,
            first_inference=statistics.median(
                output.first_inference / 1e3 for output in outputs
            ),
            memory=statistics.median(memory) if memory else None,
        )

    @property
    def median(self) -> float:
        """The median over the runs of the program."""
        return statistics.median(self.latencies)


@dataclass(frozen=True)
class BenchmarkReport(Report):
    """How long files took on a device.

    `str(report)` is a table, `print(report)` prints it, and a notebook shows it.

    Attributes:
        device: The model of the device, as far as it tells.
        architecture: Its architecture. Larq Compute Engine has fast kernels for
            "aarch64" alone: on others, times say nothing on what 1 bit is worth, and
            no ratios are given.
        threads: Number of threads.
        runs: Inferences of each run of the program, at least.
        repeats: Runs of the program for each file.
        cpu_mask: The CPUs it ran on, in hexadecimal digits; None if the device chose.
        files: What was measured, by file.

    Example:
        >>> files = (
        ...     FileTimings("1-bit", "a.tflite", 2048, (4.5, 4.2, 4.4), 1.0, 9.0, 2.5),
        ...     FileTimings("float32", "b.tflite", 65536, (22.0,) * 3, 1.0, 40.0, 8.0),
        ... )
        >>> report = BenchmarkReport("Pixel 6", "aarch64", 1, 50, 3, None, files)
        >>> report.ratio("1-bit")
        5.0
        >>> report.to_dict()["files"][0]["median"]
        4.4
        >>> figure = report.plot("latency.png")
    """

    device: str
    architecture: str
    threads: int
    runs: int
    repeats: int
    cpu_mask: str | None
    files: tuple[FileTimings, ...]

    @property
    def has_fast_kernels(self) -> bool:
        """Whether Larq Compute Engine has fast kernels for the device."""
        return self.architecture == FAST_ARCHITECTURE

    def ratio(self, name: str) -> float | None:
        """How many times faster a file is than the one named "float32".

        Args:
            name: The file.

        Returns:
            The ratio of the medians; None if there is no such file to compare with, or
            if Larq Compute Engine has no fast kernels for the device.

        Raises:
            KeyError: If no file has that name.
        """
        medians = {row.name: row.median for row in self.files}
        own = medians[name]
        if not self.has_fast_kernels or REFERENCE not in medians or not own:
            return None
        return medians[REFERENCE] / own

    def to_dict(self) -> dict[str, Any]:
        """The report as dictionaries, lists, strings and finite numbers.

        What is not finite is None.
        """
        values = super().to_dict()
        for row, told in zip(self.files, values["files"], strict=True):
            told |= plain({"median": row.median, "ratio": self.ratio(row.name)})
        return {**values, "has_fast_kernels": self.has_fast_kernels}

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draws a bar for the median of each file, and lines for its spread.

        Args:
            path: A file to save the figure in as well, such as "latency.png" or
                "latency.pdf". How its name ends tells the format.

        Returns:
            The `matplotlib.figure.Figure`.

        Raises:
            ValueError: If the name ends in no format that matplotlib writes.
        """
        # Here, since matplotlib takes its time to start.
        from keras_rbcn.device.plot import plot_latencies

        caution = None if self.has_fast_kernels else self._caution()
        figure = plot_latencies(self._title(), self.files, caution)
        if path is not None:
            save_figure(figure, path)
        return figure

    def __rich__(self) -> Group:
        return Group(self._table(), self._notes())

    def _title(self) -> str:
        return f"{self.device} ({self.architecture}), {self.threads} thread(s)"

    def _caution(self) -> str:
        return (
            f"{self.architecture}: not what 1 bit is worth. Fast 1-bit kernels exist "
            f"for {FAST_ARCHITECTURE} only"
        )

    def _table(self) -> Table:
        table = Table(title=escape(self._title()), box=SIMPLE_HEAD)
        table.add_column("file", overflow="fold")
        for title in ("bytes", "median\nms", "spread\nms", "first\nms", "load\nms"):
            table.add_column(title, justify="right", no_wrap=True)
        compared = self.has_fast_kernels and len(self.files) > 1
        remembered = any(row.memory is not None for row in self.files)
        if remembered:
            table.add_column("memory\nMiB", justify="right", no_wrap=True)
        if compared:
            table.add_column("times\nfaster", justify="right", no_wrap=True)
        for row in self.files:
            cells = [
                escape(row.name),
                f"{row.bytes:,}",
                f"{row.median:.3f}",
                f"{min(row.latencies):.3f} - {max(row.latencies):.3f}",
                f"{row.first_inference:.3f}",
                f"{row.init:.3f}",
            ]
            if remembered:
                cells.append("" if row.memory is None else f"{row.memory:.1f}")
            if compared:
                ratio = self.ratio(row.name)
                cells.append("" if ratio is None else f"{ratio:.2f}")
            table.add_row(*cells)
        return table

    def _notes(self) -> Table:
        table = Table(show_header=False, box=None, padding=(0, 1))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        if not self.has_fast_kernels:
            table.add_row("CAUTION", f"{self._caution()}: no ratios are given.")
        table.add_row(
            "measured",
            f"{self.repeats} run(s) of the program for each file, in turns, of at "
            f"least {self.runs} inferences each; the median and the spread are those "
            "of the runs' means.",
        )
        cpus = "chosen by the device" if self.cpu_mask is None else f"0x{self.cpu_mask}"
        table.add_row("CPUs", cpus)
        return table
