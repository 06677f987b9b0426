"""Boards, by way of the `ssh` program."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from keras_rbcn.device.errors import DeviceError
from keras_rbcn.device.transport import (
    PUSH_TIMEOUT,
    SHORT_TIMEOUT,
    CommandResult,
    Transport,
    call,
    ended,
    last_line,
)

_INSTALL = "install OpenSSH's client, the package openssh-client"
# The exit status of ssh itself; one of the program there would be that of a shell.
_OWN_STATUS = 255
_CAUSES = (
    (
        r"Could not resolve hostname|Name or service not known",
        "its name is unknown. Compare it with your ~/.ssh/config, or name its address",
    ),
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key is another than it was. If the system there was installed anew, "
        "forget the old key with 'ssh-keygen -R', and log in once by hand",
    ),
    (
        r"Host key verification failed|No .*host key is known",
        "its host key is not known yet. Log in once by hand, and compare the key",
    ),
    (
        r"Permission denied \(|Too many authentication failures",
        "it refused the log-in. Set up a key for it with 'ssh-copy-id', and see "
        "whether 'ssh -o BatchMode=yes' logs in; passwords are not asked for",
    ),
    (
        r"Connection refused",
        "it refused the connection. Is its SSH server running, and on this port?",
    ),
    (
        r"(?:Connection|Operation) timed out|Connection to .* timed out",
        "it does not answer. Is it switched on, and in this network?",
    ),
    (
        r"No route to host|Network is unreachable",
        "there is no way to it. Is it switched on, and in this network?",
    ),
    (
        r"Connection closed|Connection reset|Broken pipe|kex_exchange|"
        r"closed by remote host|client_loop",
        "the connection broke. Try again; did the device run out of memory or power?",
    ),
)


class SshTransport(Transport):
    """A Linux board, reached by the `ssh` program.

    What `~/.ssh/config`, agents and jump hosts do for `ssh HOST` they do here. It must
    log in without asking: keys, not passwords. Nothing is sent before it is used.

    Args:
        host: What `ssh` takes: "pi@raspberrypi.local", or a name of `~/.ssh/config`.
        options: Options of ssh's configuration, such as "Port=2222" or
            "IdentityFile=~/.ssh/board".

    Raises:
        ValueError: If the host is empty or begins with a dash, or an option has no
            value.

    Example:
        >>> SshTransport("pi@raspberrypi.local", ["Port=2222"]).name
        "'pi@raspberrypi.local'"
    """

    # The user's own folder, where ssh begins: other folders may forbid programs, or
    # lie in memory.
    _BASE = "."

    def __init__(self, host: str, options: Sequence[str] = ()) -> None:
        if not host or host.startswith("-"):
            raise ValueError(
                "Expected `host` to be what ssh connects to, such as 'pi@board'; "
                f"received: host={host!r}."
            )
        for option in options:
            if not re.match(r"[A-Za-z0-9]+[ =].", option):
                raise ValueError(
                    "Expected each of `options` to be an option of ssh's "
                    f"configuration, such as 'Port=2222'; received: {option!r}."
                )
        self._host = host
        self._options = tuple(options)

    @property
    def name(self) -> str:
        return f"'{self._host}'"

    def run(self, script: str, timeout: float = SHORT_TIMEOUT) -> CommandResult:
        return self._call(script, timeout)

    def description(self) -> str:
        # Boards that are described by a device tree tell their model there.
        result = self.run("cat /proc/device-tree/model 2>/dev/null")
        return result.stdout.replace("\0", "").strip() or self._host

    def _push(self, local: Path, remote: str) -> CommandResult:
        # Neither scp nor sftp: small boards often lack their other end, and versions
        # of scp differ in how a path is to be quoted.
        place = shlex.quote(remote)
        with local.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            script = (
                f"cat >{place} || exit 1; [ $(wc -c <{place}) -eq {size} ] || "
                "{ echo 'it did not arrive as a whole' >&2; exit 1; }"
            )
            return self._call(script, PUSH_TIMEOUT, file)

    def _call(
        self, script: str, timeout: float, stdin: IO[bytes] | int = subprocess.DEVNULL
    ) -> CommandResult:
        # ssh takes the first value that it is given: the user's in front of ours,
        # but never a question that nobody would see. A connection shared with others
        # is used, and none is left behind.
        settings = [
            "BatchMode=yes",
            *self._options,
            "ConnectTimeout=10",
            "ServerAliveInterval=10",
            "ControlMaster=no",
        ]
        flags = [part for setting in settings for part in ("-o", setting)]
        # Through sh, as the user's own shell there may be none of POSIX.
        command = f"exec sh -c {shlex.quote(f'LC_ALL=C; export LC_ALL; {script}')}"
        arguments = ["ssh", *flags, "--", self._host, command]
        result = call(arguments, timeout, _INSTALL, stdin)
        if result.status == _OWN_STATUS:
            raise DeviceError(self._cause(result))
        return result

    def _cause(self, result: CommandResult) -> str:
        for pattern, cause in _CAUSES:
            if re.search(pattern, result.stderr):
                return f"Cannot reach {self.name}: {ended(cause)}"
        return f"Cannot reach {self.name}: ssh says {last_line(result)!r}."
