"""A folder of checkpoints, each with a manifest that tells whether it is whole."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn._files import file_digest, make_writable, replacing

_NAME = "ckpt"
_MANIFEST = re.compile(rf"{_NAME}-(\d+)\.json")
_OF_A_CHECKPOINT = re.compile(rf"({_NAME}-\d+)[._]")
# What `replacing` leaves behind if the program is killed within it.
_LEFT_OVER = re.compile(r"\.[0-9a-f]{32}\.json")


class RefusedError(Exception):
    """A checkpoint that is not used; says why.

    Attributes:
        damaged: Whether it is damaged; or else it is of another model or version.
    """

    def __init__(self, reason: str, damaged: bool) -> None:
        super().__init__(reason)
        self.damaged = damaged


class CheckpointFolder:
    """Writes checkpoints with TensorFlow's manager, and reads those that are whole.

    A manifest, written behind the files of a checkpoint and before an older one is
    removed, holds their SHA-256 and all that is no tensor. Without it a checkpoint
    counts as half written, so that a kill at any moment leaves the older ones.

    Args:
        directory: The folder; it is created.
        keep: How many checkpoints stay.

    Raises:
        OSError: If it cannot be created or written.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self._directory = directory
        self._keep = keep
        self._manager: Any = None
        make_writable(directory)

    def __str__(self) -> str:
        return str(self._directory)

    def clear_unfinished(self) -> None:
        """Removes what a killed program left half written, with a warning."""
        removed = set()
        for path in list(self._directory.iterdir()):
            match = _OF_A_CHECKPOINT.match(path.name)
            if _LEFT_OVER.fullmatch(path.name):
                path.unlink()
            elif match and not (self._directory / f"{match[1]}.json").exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed.add(str(self._directory / match[1]))
        if removed:
            names = ", ".join(sorted(removed))
            warnings.warn(
                "ResumableTraining does not use a checkpoint that was half written "
                f"when the program ended: {names}. It was removed; "
                "the one before it is tried.",
                stacklevel=2,
            )

    def numbers(self) -> list[int]:
        """Numbers of the checkpoints that have a manifest, newest first."""
        names = (path.name for path in self._directory.iterdir())
        matches = (_MANIFEST.fullmatch(name) for name in names)
        return sorted((int(match[1]) for match in matches if match), reverse=True)

    def prefix(self, number: int) -> str:
        """Path of a checkpoint, without the suffixes of its files."""
        return str(self._directory / f"{_NAME}-{number}")

    def read(self, number: int) -> dict[str, Any]:
        """The contents of a checkpoint's manifest, once its files have been verified.

        Raises:
            RefusedError: If a file is missing or altered, or of another version.
        """
        path = self._directory / f"{_NAME}-{number}.json"
        try:
            manifest = json.loads(path.read_text("utf-8"))
            contents, digest = manifest["contents"], manifest["sha256"]
            files = contents["files"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise RefusedError(f"'{path}' cannot be read ({error!r})", True) from None
        if _digest(_as_text(contents).encode()) != digest:
            raise RefusedError(f"'{path}' has been altered", True)
        for name, expected in files.items():
            file = self._directory / name
            try:
                found = file_digest(file)
            except OSError as error:
                raise RefusedError(
                    f"'{file}' cannot be read ({error!r})", True
                ) from None
            if found != expected:
                raise RefusedError(
                    f"'{file}' is truncated or altered: its SHA-256 is not the one in "
                    f"'{path.name}'",
                    True,
                )
        if contents["version"] != version("keras-rbcn"):
            raise RefusedError(
                f"'{path}' was written by keras_rbcn {contents['version']}, this is "
                f"{version('keras-rbcn')}",
                False,
            )
        return dict(contents["state"])

    def open(self, checkpoint: Any, number: int | None) -> None:
        """Gets ready to write, behind the checkpoint of a number or from the start."""
        kept = [one for one in self.numbers() if number is not None and one <= number]
        paths = [self.prefix(one) for one in reversed(kept)]
        if paths:
            # What the manager believes after a kill, or may not read, is put right.
            tf.__internal__.train.update_checkpoint_state(
                str(self._directory),
                paths[-1],
                all_model_checkpoint_paths=paths,
                all_model_checkpoint_timestamps=[
                    Path(f"{path}.json").stat().st_mtime for path in paths
                ],
            )
        else:
            (self._directory / "checkpoint").unlink(missing_ok=True)
        self._manager = tf.train.CheckpointManager(
            checkpoint, str(self._directory), self._keep, checkpoint_name=_NAME
        )

    def write(self, number: int, state: dict[str, Any]) -> None:
        """Writes a checkpoint of the objects given to `open`, and a state.

        Args:
            number: Number of the training step; an older one of it is replaced.
            state: What is no tensor, for JSON.
        """
        manifest = self._directory / f"{_NAME}-{number}.json"
        manifest.unlink(missing_ok=True)

        def seal(prefix: str) -> None:
            contents = {
                "version": version("keras-rbcn"),
                "files": {path.name: file_digest(path) for path in _files(prefix)},
                "state": state,
            }
            digest = _digest(_as_text(contents).encode())
            with replacing(manifest) as beside:
                beside.write_text(
                    _as_text({"sha256": digest, "contents": contents}), "utf-8"
                )

        # Called before the manager removes an older checkpoint.
        options = tf.train.CheckpointOptions(experimental_write_callbacks=[seal])
        self._manager.save(checkpoint_number=number, options=options)
        for one in self.numbers():
            if not Path(f"{self.prefix(one)}.index").exists():  # It was removed.
                Path(f"{self.prefix(one)}.json").unlink()


def _files(prefix: str) -> Iterator[Path]:
    path = Path(prefix)
    return path.parent.glob(f"{path.name}.[di]*")  # Data and index.


def _as_text(contents: Any) -> str:
    return json.dumps(contents, indent=1, sort_keys=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
