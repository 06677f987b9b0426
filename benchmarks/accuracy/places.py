"""Where the study keeps what."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "accuracy"
WORK = HERE / "work"


class Places(NamedTuple):
    """The two folders of the study.

    Attributes:
        results: What is committed, and outlives the machine: lines, the teachers, which
            students that are still to come need, and what each network answered.
        work: What is not: checkpoints and trained students.
    """

    results: Path = RESULTS
    work: Path = WORK

    def make(self) -> None:
        """Creates the folders that are not there yet."""
        for folder in (self.work, self.results / "teachers", self.results / "answers"):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def lines(self) -> Path:
        """A line for each run that has ended."""
        return self.results / "runs.jsonl"

    @property
    def tested(self) -> Path:
        """A line for each network whose answers to the test images were looked at."""
        return self.results / "tested.jsonl"

    def epoch_time(self, size: str) -> Path:
        """How long the contenders of a size train, to each other."""
        return self.results / f"epoch_time-{size}.json"

    def teacher(self, digest: str) -> Path:
        """A teacher's network, without the state of its training."""
        return self.results / "teachers" / f"{digest}.keras"

    def student(self, digest: str) -> Path:
        """A student's network."""
        return self.work / f"{digest}.keras"

    def answers(self, digest: str) -> Path:
        """The classes that a network says validation and test images are of."""
        return self.results / "answers" / f"{digest}.npz"

    def checkpoints(self, name: str) -> Path:
        return self.work / name
