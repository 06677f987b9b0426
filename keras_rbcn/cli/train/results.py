"""The folder that a training leaves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from keras_rbcn.cli.errors import UserError
from keras_rbcn.cli.files import check_output, check_output_folder, create_folder


@dataclass(frozen=True)
class ResultFolder:
    """Where the files are: in a subfolder while training, and then in the folder.

    So that files of two trainings never stand side by side, and those of an earlier
    one stay until the new ones are whole.

    Args:
        path: The folder.
    """

    path: Path

    @property
    def unfinished(self) -> ResultFolder:
        """Where the files are while training."""
        return ResultFolder(self.path / "unfinished")

    @property
    def config(self) -> Path:
        """The settings, as a file that `--config` takes."""
        return self.path / "config.yaml"

    @property
    def binarization(self) -> Path:
        """What `binarize` did to the teacher, if the student was made of it."""
        return self.path / "binarization.json"

    @property
    def counterpart(self) -> Path:
        """The full-precision network that the student started from, if it did."""
        return self.path / "counterpart.keras"

    @property
    def pretraining(self) -> Path:
        """The losses and accuracies of that network, a line for each epoch."""
        return self.path / "pretraining.csv"

    @property
    def history(self) -> Path:
        """Losses and accuracies, a line for each epoch; grows while training."""
        return self.path / "history.csv"

    @property
    def log(self) -> Path:
        """What `TrainingLog` writes, a line for each epoch; grows while training."""
        return self.path / "training_log.jsonl"

    @property
    def plot(self) -> Path:
        """A picture of the log."""
        return self.path / "training_log.png"

    @property
    def student(self) -> Path:
        """The student as it was after the last epoch."""
        return self.path / "student.keras"

    @property
    def summary(self) -> Path:
        """How it ended."""
        return self.path / "summary.json"

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        return (
            self.config,
            self.binarization,
            self.counterpart,
            self.pretraining,
            self.history,
            self.log,
            self.plot,
            self.student,
            self.summary,
        )

    def check(self, overwrite: bool, *inputs: Path | None) -> None:
        """Checks, before any work, that the files can be written.

        Args:
            overwrite: Whether results of an earlier training may be replaced.
            *inputs: Files that must not be replaced.

        Raises:
            UserError: If not.
        """
        check_output_folder(self.path)
        check_output_folder(self.unfinished.path)
        for folder in (self, self.unfinished):
            for file in folder.files if folder.path.exists() else ():
                check_output(file, *inputs)
        found = [file.name for file in self.files if file.exists()]
        if found and not overwrite:
            raise UserError(
                f"the folder '{self.path}' holds results already ({', '.join(found)}): "
                "name another, or pass --overwrite to replace them."
            )

    def begin(self) -> ResultFolder:
        """Creates the folder, and the one in it to train in, which is returned."""
        create_folder(self.unfinished.path)
        for file in self.unfinished.files:
            try:
                file.unlink(missing_ok=True)
            except OSError as error:
                raise UserError(f"cannot replace '{file}': {error.strerror}.") from (
                    error
                )
        return self.unfinished

    def finish(self) -> None:
        """Puts the new files in place of the old ones."""
        try:
            for new, old in zip(self.unfinished.files, self.files, strict=True):
                if new.exists():
                    os.replace(new, old)
                else:
                    old.unlink(missing_ok=True)
            self.unfinished.path.rmdir()
        except OSError as error:
            raise UserError(
                f"cannot move the results from '{self.unfinished.path}' to "
                f"'{self.path}': {error.strerror}."
            ) from error
