"""What the demo found: as a table for the terminal, as JSON and as Markdown."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from dataclasses import dataclass
from typing import Any

from rich.table import Table

HEADINGS = ("network", "accuracy", "bytes", "training", "agreement")


@dataclass(frozen=True)
class NetworkResult:
    """One trained network.

    Attributes:
        name: What it is.
        kind: "teacher" or "student".
        correct: Number of test images that the Keras model gets right.
        accuracy: The same as a share.
        bytes: Size of its .tflite file.
        seconds: Time that `fit` took, with one look at the test images per epoch.
        history: Logs of `fit`, one value per epoch.
    """

    name: str
    kind: str
    correct: int
    accuracy: float
    bytes: int
    seconds: float
    history: dict[str, list[float]]


@dataclass(frozen=True)
class FileResult:
    """The .tflite file that the demo leaves, run on all test images.

    Attributes:
        name: Name of the file.
        network: Name of the network in it.
        correct: Number of test images that the file gets right.
        accuracy: The same as a share.
        bytes: Size of the file.
        sha256: Hexadecimal digest of the file.
        same_class: Number of test images to which file and Keras model give the same
            class.
        max_difference: Largest absolute difference of a logit.
    """

    name: str
    network: str
    correct: int
    accuracy: float
    bytes: int
    sha256: str
    same_class: int
    max_difference: float


@dataclass(frozen=True)
class DemoResult:
    """All that the demo found.

    Attributes:
        seed: Of the split, the weights and the order.
        epochs: Of training of each network.
        train_images: Number of training images.
        test_images: Number of test images.
        networks: The teachers, then the students.
        file: The .tflite file of the last student.
        versions: Versions of Python and of the packages.
    """

    seed: int
    epochs: int
    train_images: int
    test_images: int
    networks: list[NetworkResult]
    file: FileResult
    versions: dict[str, str]

    @property
    def students(self) -> list[NetworkResult]:
        """The 1-bit students."""
        return [network for network in self.networks if network.kind == "student"]

    def notes(self) -> list[str]:
        """What the table means, and what it does not."""
        return [
            f"{self.train_images} training and {self.test_images} test images; seed "
            f"{self.seed}, {self.epochs} epochs each. {self._winner()} Handwritten "
            "digits are too easy to rank the students, and one run cannot: nothing is "
            "claimed from this.",
            "Accuracy is that on the test images. Bytes are those of the network as a "
            ".tflite file, all written by the same converter; of these files only "
            f"{self.file.name} is kept.",
            "Training is the time of fit on this machine, with one look at the test "
            "images per epoch.",
            "Agreement counts the test images to which file and Keras model give the "
            f"same class; logits differ by at most {self.file.max_difference:.1g}.",
        ]

    def _winner(self) -> str:
        best = max(student.correct for student in self.students)
        worst = min(student.correct for student in self.students)
        names = [f"'{s.name}'" for s in self.students if s.correct == best]
        if best == worst:
            return f"All 1-bit students got {best} test images right."
        return (
            f"Most test images among the 1-bit students on this run: "
            f"{' and '.join(names)} ({best} right, the weakest {worst})."
        )

    def rows(self) -> list[tuple[str, ...]]:
        """The cells of the table, without its head."""
        rows = [
            (
                network.name,
                f"{network.accuracy:.2%}",
                f"{network.bytes:,}",
                f"{network.seconds:.1f} s",
                "",
            )
            for network in self.networks
        ]
        file = self.file
        agreement = f"{file.same_class}/{self.test_images}"
        accuracy = f"{file.accuracy:.2%}"
        return [*rows, (file.name, accuracy, f"{file.bytes:,}", "", agreement)]

    def to_json(self) -> str:
        """All figures as JSON, with the machine they were found on."""
        machine = {
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
        }
        content = {**dataclasses.asdict(self), "machine": machine}
        return json.dumps({**content, "notes": self.notes()}, indent=2) + "\n"

    def to_markdown(self) -> str:
        """The table and its notes as Markdown."""
        lines = [HEADINGS, ("---", "---:", "---:", "---:", "---:"), *self.rows()]
        table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        notes = "\n".join(f"- {note}" for note in self.notes())
        versions = ", ".join(f"{name} {value}" for name, value in self.versions.items())
        return f"{table}\n\n{notes}\n- Made with {versions}.\n"


def result_table(result: DemoResult) -> Table:
    """The table for the terminal."""
    table: Any = Table(title="Handwritten digits: full precision and 1 bit")
    table.add_column(HEADINGS[0])
    for heading in HEADINGS[1:]:
        table.add_column(heading, justify="right")
    rows = result.rows()
    teachers = len(result.networks) - len(result.students)
    for number, row in enumerate(rows, start=1):
        # Lines between teachers, students and file.
        table.add_row(*row, end_section=number in (teachers, len(result.networks)))
    return table
