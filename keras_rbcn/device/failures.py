"""Why a run of the benchmark tool failed, in words that tell what to do."""

from __future__ import annotations

import re
import signal

from keras_rbcn.device.transport import CommandResult, last_line

# A shell's exit status for a program that a signal ended is this plus its number.
_SIGNALLED = 128
# Patterns of what programs, shells and loaders say, in the order to look for them.
_CAUSES = (
    (
        r"[Uu]nresolved custom op: Lce",
        "the program does not know Larq Compute Engine's operators: it is "
        "TensorFlow Lite's own benchmark_model. Take lce_benchmark_model from "
        "Larq Compute Engine's releases",
    ),
    (
        r"[Uu]nresolved custom op: \S+",
        "the file holds an operator that the program does not know ({found}). Export "
        "it without that operator, or build the program with it",
    ),
    (
        r"taskset: .*(?:affinity|Invalid argument|bad mask|invalid)",
        "the device does not run programs on these CPUs. Choose a CPU mask out of "
        "those in its /sys/devices/system/cpu",
    ),
    (
        r"version [`'\"]?GLIBC(?:XX)?_[\d.]+'? not found",
        "the system of the device is older than the one the program was built for "
        "({found}). Update the system, or build the program for it",
    ),
    (
        r"error while loading shared libraries: [^:\s]+|library \"[^\"]+\" not found|"
        r"CANNOT LINK EXECUTABLE",
        "the device lacks a library that the program needs ({found}). Is the program "
        "for this system, Android or Linux?",
    ),
    (
        r"Exec format error|not executable: \d+-bit ELF|cannot execute binary file",
        "the device cannot run a program of this kind ({found}). Take "
        "lce_benchmark_model for its architecture and system",
    ),
    (
        r"No space left on device",
        "the device has no space left. Delete something there",
    ),
    (
        r"(?:Failed to|Could not) (?:construct|initialize|build) (?:the )?"
        r"(?:TFLite )?interpreter|Failed to (?:mmap|load) (?:the )?model",
        "the program cannot load the file ({found}). Is it whole, and not newer than "
        "the program?",
    ),
    (
        r"Failed to (?:allocate tensors|invoke)|failed to (?:prepare|invoke)",
        "the program loads the file and cannot run it ({found})",
    ),
)
_LOADER_MISSING = (
    "the program is there, and what it is to be loaded by is not. A program for Linux "
    "does not run on Android, nor one of 64 bits on a system of 32 bits, which some "
    "boards have under a kernel of 64"
)
_NOT_ALLOWED = (
    "the device forbids programs in the folder that it was copied to. Is its file "
    "system mounted with 'noexec'?"
)
_BY_SIGNAL = {
    signal.SIGKILL: "it was killed on the device, most likely for want of memory",
    signal.SIGTERM: "it was ended on the device by another program",
    signal.SIGILL: "it holds instructions that the device's processor does not have",
    signal.SIGSEGV: "it crashed. Is the program of the version that the file is for?",
    signal.SIGABRT: "it gave up",
    signal.SIGBUS: "it crashed. Is the file whole?",
}


def why_it_failed(result: CommandResult) -> str:
    """Why a run of the tool left no timings.

    Args:
        result: What it left.

    Returns:
        The cause, as the rest of a sentence, without a full stop.

    Example:
        >>> why_it_failed(CommandResult("", "exec: ./model: Exec format error", 126))
        'the device cannot run a program of this kind (Exec format error). Take ...'
    """
    text = result.text
    for pattern, cause in _CAUSES:
        if found := re.search(pattern, text):
            return cause.format(found=found[0])
    if result.status == 126:  # Of a shell: found, and not to be run.
        return f"{_NOT_ALLOWED} It says {last_line(result)!r}"
    if result.status == 127:  # Of a shell: not found.
        return _LOADER_MISSING
    if result.status > _SIGNALLED:
        return _by_signal(result)
    if result.status:
        return f"it ended with exit status {result.status}: {last_line(result)!r}"
    return (
        "it printed no timings. Is it lce_benchmark_model? Its last line is "
        f"{last_line(result)!r}"
    )


def _by_signal(result: CommandResult) -> str:
    number = result.status - _SIGNALLED
    cause = _BY_SIGNAL.get(number, f"it was ended by signal {number}")  # type: ignore[call-overload]
    return f"{cause} ({last_line(result)!r})"
