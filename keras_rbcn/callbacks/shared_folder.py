"""One folder of checkpoints for all workers of a training."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.callbacks.checkpoints import CheckpointFolder, RefusedError
from keras_rbcn.callbacks.workers import Workers

# A file system over a network may show a file to another machine so much later.
_PATIENCE_SECONDS = 60.0


class SharedFolder:
    """Checkpoints that the chief writes, and that all workers take up together.

    The chief decides which one; the others read the same, or all of them stop. Without
    several workers it is a `CheckpointFolder` and no more. All workers must call each
    method that says so.

    Args:
        directory: The folder; it is created. All workers must call this.
        keep: How many checkpoints stay.
        workers: The workers that share it.

    Raises:
        OSError: If a worker cannot write to it.
        ValueError: If a worker does not see what the chief writes.
    """

    def __init__(self, directory: Path, keep: int, workers: Workers) -> None:
        self._workers = workers
        problem = None
        try:
            self._folder = CheckpointFolder(directory, keep)
            self._writer: Any = self._folder
            if not workers.is_chief:
                self._writer = _TemporaryCheckpoints(directory, workers.index)
        except OSError as error:
            problem = [error.errno, error.strerror, str(directory)]
        for index, found in enumerate(workers.gather(problem)):
            if found is not None:
                where = f" on worker {index}" if workers.count > 1 else ""
                raise OSError(
                    found[0],
                    f"ResumableTraining cannot write its checkpoints{where}: "
                    f"{found[1]}",
                    found[2],
                )
        if workers.count > 1:
            self._check_shared(directory)

    def __str__(self) -> str:
        return str(self._folder)

    def numbers(self) -> list[int]:
        """Numbers of the checkpoints, newest first, behind the removal of half ones.

        All workers must call this.
        """
        if self._workers.is_chief:
            self._folder.clear_unfinished()
        return list(self._workers.of_chief(self._folder.numbers()))

    def prefix(self, number: int) -> str:
        """Path of a checkpoint, without the suffixes of its files."""
        return self._folder.prefix(number)

    def read(self, number: int, check: Callable[[int, Any], None]) -> dict[str, Any]:
        """The state in a checkpoint, once its files have been verified.

        All workers must call this.

        Args:
            number: Which one.
            check: Raises `RefusedError` for a number and a state that do not fit.

        Raises:
            RefusedError: If the chief does not use it.
            ValueError: If the chief does, and another worker cannot.
        """
        workers = self._workers
        state, refused = None, None
        if workers.is_chief:
            state, refused = self._attempt(number, check)
        found = workers.of_chief(refused and [str(refused), refused.damaged])
        if found:
            raise RefusedError(*found)
        if not workers.is_chief:
            state, refused = self._attempt(number, check, _PATIENCE_SECONDS)
        for index, problem in enumerate(workers.gather(refused and str(refused))):
            if problem:
                raise ValueError(
                    "Expected all workers to take up the checkpoint that worker 0 "
                    f"takes up, but on worker {index} {problem}. Start the same "
                    "program on all machines, with a `directory` that they share."
                )
        assert state is not None
        return state

    def open(self, checkpoint: Any, number: int | None) -> None:
        """Gets ready to write, behind the checkpoint of a number or from the start."""
        self._writer.open(checkpoint, number)

    def write(self, number: int, state: dict[str, Any]) -> None:
        """Writes a checkpoint; see `CheckpointFolder.write`.

        All workers must call this; what the chief passes is what is kept.
        """
        self._writer.write(number, state)

    def _attempt(
        self, number: int, check: Callable[[int, Any], None], patience: float = 0.0
    ) -> tuple[dict[str, Any] | None, RefusedError | None]:
        """The state, or why there is none; one that may still come is waited for."""
        end = time.monotonic() + patience
        while True:
            try:
                state = self._folder.read(number)
                check(number, state)
            except RefusedError as error:
                if not error.damaged or time.monotonic() >= end:
                    return None, error
                time.sleep(0.1)
            else:
                return state, None

    def _check_shared(self, directory: Path) -> None:
        workers = self._workers
        # By a name that a folder is cleared of, should the program be killed here.
        mark = directory / f".{uuid.uuid4().hex}.json"
        if workers.is_chief:
            mark.touch()
        name, place = workers.of_chief([mark.name, str(directory.resolve())])
        seen = workers.gather(_appears(directory / name))
        if workers.is_chief:
            mark.unlink()
        blind = [index for index, sees in enumerate(seen) if not sees]
        if blind:
            raise ValueError(
                "Expected all workers to share the folder of ResumableTraining, but "
                f"workers {blind} do not see what worker 0 writes to '{place}', "
                f"received: directory='{directory}' on worker {workers.index}. Pass a "
                "folder on a file system that all machines mount."
            )


class _TemporaryCheckpoints:
    """What a worker other than the chief writes, and removes at once.

    Values that are summed up over the workers when they are read are read by all
    together, so that all must write.
    """

    def __init__(self, directory: Path, index: int) -> None:
        self._directory = directory / f"worker-{index}"
        self._checkpoint: Any = None
        shutil.rmtree(self._directory, ignore_errors=True)  # Of a killed program.
        self._directory.mkdir()
        self._directory.rmdir()

    def open(self, checkpoint: Any, number: int | None) -> None:
        self._checkpoint = checkpoint

    def write(self, number: int, state: dict[str, Any]) -> None:
        try:
            manager = tf.train.CheckpointManager(
                self._checkpoint, str(self._directory), max_to_keep=1
            )
            manager.save(checkpoint_number=number)
        finally:
            shutil.rmtree(self._directory, ignore_errors=True)


def _appears(path: Path) -> bool:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not path.exists():
        if time.monotonic() >= end:
            return False
        time.sleep(0.1)
    return True
