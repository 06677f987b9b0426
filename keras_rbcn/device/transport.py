"""Ways to a device: what a benchmark asks of them, whichever program they use."""

from __future__ import annotations

import abc
import os
import re
import shlex
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from keras_rbcn.device.errors import DeviceError

SHORT_TIMEOUT = 30.0
PUSH_TIMEOUT = 600.0
# The process that a folder's benchmark runs in, to end it if need be.
_PROCESS_FILE = "process"
# `df -P`: blocks, used, available, share, mount point. The device in front of them,
# and the mount point, may hold spaces.
_AVAILABLE = re.compile(r"\s\d+\s+\S+\s+(\d+)\s+\S+%\s+/.*$", re.MULTILINE)
_REFUSED = {
    "No space left on device": "it has no space left: delete something there",
    "Disk quota exceeded": "the quota is used up: delete something there",
    "Read-only file system": "its file system is read-only: name another user",
    "Permission denied": "its user may not write there: log in as another",
}


class CommandResult(NamedTuple):
    """What a program left: its output, its errors and its exit status."""

    stdout: str
    stderr: str
    status: int

    @property
    def text(self) -> str:
        """Output and errors, for messages that may be in either."""
        return f"{self.stdout}\n{self.stderr}"


class Transport(abc.ABC):
    """A way to a device: runs commands there, and brings files to it."""

    # Where folders for files can be made, and programs in them be run.
    _BASE: str

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """How messages name the device."""

    @abc.abstractmethod
    def run(self, script: str, timeout: float = SHORT_TIMEOUT) -> CommandResult:
        """Runs a script of POSIX shell on the device.

        Args:
            script: The script; who writes it quotes what stands in it.
            timeout: Seconds after which it is given up. It may run on there:
                `remove_folder` ends what `run_in` runs.

        Raises:
            DeviceError: If the device cannot be reached, or the time is over. A script
                that fails raises nothing.
        """

    @abc.abstractmethod
    def _push(self, local: Path, remote: str) -> CommandResult:
        """Copies a file; a status that is not zero says that it failed."""

    @abc.abstractmethod
    def description(self) -> str:
        """What the device says it is, such as its model."""

    def architecture(self) -> str:
        """The device's machine type, as `uname -m` tells it: "aarch64", for example.

        Raises:
            DeviceError: If the device cannot be reached, or does not tell.
        """
        result = self.run("uname -m")
        lines = result.stdout.split()
        if result.status or len(lines) != 1:
            raise DeviceError(
                f"Expected {self.name} to tell its architecture by 'uname -m'; "
                f"received: {last_line(result)!r}. Is it Android or Linux?"
            )
        return lines[0]

    def free_bytes(self, folder: str) -> int | None:
        """The space left in a folder of the device; None if the device does not tell.

        Raises:
            DeviceError: If the device cannot be reached.
        """
        result = self.run(f"df -Pk -- {shlex.quote(folder)}")
        found = _AVAILABLE.search(result.stdout)
        return int(found[1]) * 1024 if found else None

    def has_program(self, program: str) -> bool:
        """Whether the device finds a program by its name.

        Raises:
            DeviceError: If the device cannot be reached.
        """
        return not self.run(f"command -v {shlex.quote(program)}").status

    def new_folder_name(self) -> str:
        """The name of a folder that is not there yet.

        Chosen here, so that it is known whenever the work is interrupted.
        """
        return f"{self._BASE}/keras_rbcn_{uuid.uuid4().hex}"

    def make_folder(self, folder: str) -> None:
        """Makes a folder on the device.

        Raises:
            DeviceError: If it cannot be made.
        """
        result = self.run(f"umask 077; mkdir -- {shlex.quote(folder)}")
        if result.status:
            raise DeviceError(self._refusal(f"a folder {folder!r}", result))

    def push(self, local: Path, remote: str) -> None:
        """Copies a file to the device.

        Args:
            local: The file.
            remote: Its path there; an older file at it is replaced.

        Raises:
            DeviceError: If it cannot be copied, or does not arrive as a whole.
        """
        # Absolute: no program takes it for an option, or for a place elsewhere.
        local = local.absolute()
        result = self._push(local, remote)
        if result.status:
            raise DeviceError(self._refusal(f"the file '{local.name}'", result))

    def make_executable(self, remote: str) -> None:
        """Makes a file of the device a program.

        Raises:
            DeviceError: If that cannot be done.
        """
        result = self.run(f"chmod 700 -- {shlex.quote(remote)}")
        if result.status:
            raise DeviceError(self._refusal("a program", result))

    def run_in(
        self, folder: str, command: Sequence[str], timeout: float
    ) -> CommandResult:
        """Runs a program within a folder of the device, so that it can be ended.

        Args:
            folder: The folder.
            command: The program and its arguments.
            timeout: Seconds after which it is given up.

        Raises:
            DeviceError: As `run` does.
        """
        started = f'echo $$ >{_PROCESS_FILE}; exec "$@"'
        return self.run(
            f"cd -- {shlex.quote(folder)} || exit 1; "
            f"sh -c {shlex.quote(started)} sh {shlex.join(command)}; "
            f"status=$?; rm -f {_PROCESS_FILE}; exit $status",
            timeout,
        )

    def remove_folder(self, folder: str) -> None:
        """Ends what runs in a folder of the device, and removes the folder.

        Raises:
            DeviceError: If the device cannot be reached, or the folder stays.
        """
        process = shlex.quote(f"{folder}/{_PROCESS_FILE}")
        result = self.run(
            f'if [ -f {process} ]; then kill -9 "$(cat {process})" 2>/dev/null; fi; '
            f"rm -rf -- {shlex.quote(folder)}"
        )
        if result.status:
            raise DeviceError(last_line(result))

    def _refusal(self, what: str, result: CommandResult) -> str:
        text = result.text
        reason = next((why for said, why in _REFUSED.items() if said in text), None)
        cause = ended(reason or last_line(result))
        return f"Cannot put {what} on {self.name}: {cause}"


def last_line(result: CommandResult) -> str:
    """The last line that a program wrote, which tells most, without its full stop."""
    lines = (result.stdout + "\n" + result.stderr).split("\n")
    written = [line.strip() for line in lines if line.strip()]
    return written[-1].rstrip(".") if written else f"exit status {result.status}"


def ended(text: str) -> str:
    """The end of a sentence, with a full stop unless it ends in a question."""
    return text if text.endswith("?") else f"{text}."


def call(
    arguments: Sequence[str],
    timeout: float,
    install: str,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
) -> CommandResult:
    """Runs a program of this machine.

    Args:
        arguments: The program and its arguments.
        timeout: Seconds after which it is ended.
        install: What to do if there is no such program.
        stdin: What it reads.

    Raises:
        DeviceError: If there is no such program, or the time is over.
    """
    # To files, not pipes: a daemon that the program leaves behind would keep a pipe
    # open, and reading it would never end.
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(
                list(arguments),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                # Messages are told apart by their words.
                env={**os.environ, "LC_ALL": "C"},
            )
        except (FileNotFoundError, PermissionError):
            raise DeviceError(
                f"There is no program '{arguments[0]}' on this machine: {install}."
            ) from None
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise DeviceError(
                f"'{arguments[0]}' took more than {timeout:g} seconds: the device is "
                "busy, asleep or out of reach. Wake it, or give it more time."
            ) from None
        finally:
            if process.poll() is None:  # Interrupted, or over its time.
                process.kill()
                process.wait()
        return CommandResult(_text(stdout), _text(stderr), status)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace").replace("\r\n", "\n")
