"""Android devices, by way of the `adb` program."""

from __future__ import annotations

import re
from pathlib import Path

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

_INSTALL = "install Android's platform-tools, and put their folder on the PATH"
# What adb itself says, as in the `acquire_one_transport` of its transport.cpp; "error:"
# in front in older versions, "adb:" in newer ones.
_OWN_ERROR = re.compile(r"^(?:adb(?:\.exe)?|error): (?:error: )?(.+)", re.MULTILINE)
_CAUSES = (
    (
        r"no devices(?:/emulators)? found",
        "there is no device. Connect one by USB with USB debugging switched on, and "
        "look whether 'adb devices' lists it",
    ),
    (
        r"more than one (?:device|emulator)",
        "there are several devices. Name one by its serial, as 'adb devices' lists it",
    ),
    (
        r"device '?.*'? not found",
        "there is no such device (any more). Look at its cable, and compare the serial "
        "with those that 'adb devices' lists",
    ),
    (
        r"device unauthorized|device still authorizing",
        "the device does not trust this machine yet. Unlock it, and accept the dialog "
        "that asks about USB debugging",
    ),
    (
        r"device (?:is )?offline",
        "the device is offline. Unplug it and plug it in again, or restart it",
    ),
    (
        r"no permissions|insufficient permissions",
        "this user may not use the USB device. Add a udev rule for it, as "
        "developer.android.com/tools/device tells",
    ),
    (
        r"closed|protocol fault|device disconnected|connection reset",
        "the connection broke. Look at its cable, and try again",
    ),
    (
        r"cannot connect to daemon|failed to start daemon",
        "its server does not start. Try 'adb kill-server' and 'adb start-server'",
    ),
)


class AdbTransport(Transport):
    """An Android device, reached by the `adb` program.

    Nothing is sent before it is used.

    Args:
        serial: Which device, as `adb devices` lists it. Not needed if there is one
            alone, or the environment variable ANDROID_SERIAL names it.

    Example:
        >>> AdbTransport("emulator-5554").name
        "the Android device 'emulator-5554'"
    """

    # The one folder that the shell's user can write to and run programs from.
    _BASE = "/data/local/tmp"

    def __init__(self, serial: str | None = None) -> None:
        if serial == "":
            raise ValueError(
                "Expected `serial` to be that of a device, or None for the only one; "
                "received: serial=''. 'adb devices' lists them."
            )
        self._serial = serial

    @property
    def name(self) -> str:
        which = "" if self._serial is None else f" '{self._serial}'"
        return f"the Android device{which}"

    def run(self, script: str, timeout: float = SHORT_TIMEOUT) -> CommandResult:
        return self._call(["shell", script], timeout)

    def description(self) -> str:
        result = self.run("getprop ro.product.model")
        return (not result.status and result.stdout.strip()) or self.name

    def _push(self, local: Path, remote: str) -> CommandResult:
        result = self._call(["push", str(local), remote], PUSH_TIMEOUT)
        # Some versions end with 0 although they failed to copy.
        status = result.status or int("failed to copy" in result.text)
        return result._replace(status=status)

    def _call(self, arguments: list[str], timeout: float) -> CommandResult:
        which = [] if self._serial is None else ["-s", self._serial]
        result = call(["adb", *which, *arguments], timeout, _INSTALL)
        result = result._replace(stdout=_without_daemon(result.stdout))
        if result.status:
            _check_connection(self.name, result)
        return result


def _without_daemon(text: str) -> str:
    """The output without what older versions say when they start their server."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("* daemon "))


def _check_connection(name: str, result: CommandResult) -> None:
    """Raises if it was adb that failed, and not the program on the device."""
    found = _OWN_ERROR.search(result.stderr)
    if found is None:
        return
    for pattern, cause in _CAUSES:
        if re.match(pattern, found[1]):
            raise DeviceError(f"Cannot reach {name}: {ended(cause)}")
    if "failed to copy" not in found[1] and result.stderr.startswith("adb"):
        raise DeviceError(f"Cannot reach {name}: adb says {last_line(result)!r}.")
