"""What a failed run of the benchmark tool means, from what programs really say."""

import pytest
from devices import DATA

from keras_rbcn.device.failures import why_it_failed
from keras_rbcn.device.transport import CommandResult


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        # TensorFlow Lite's own tool.
        ((DATA / "unresolved_operator.txt").read_text(), 1, "lce_benchmark_model"),
        ("ERROR: Encountered unresolved custom op: FlexErf.", 1, "FlexErf"),
        # Loaders: of old systems, and without a library, on Linux and on Android.
        ((DATA / "old_system.txt").read_text(), 1, "GLIBC_2.29' not found"),
        (
            "./x: error while loading shared libraries: libm.so.6: cannot open shared "
            "object file: No such file or directory",
            127,
            "lacks a library that the program needs .*libm.so.6",
        ),
        (
            'CANNOT LINK EXECUTABLE "./x": library "libc++_shared.so" not found: '
            "needed by main executable",
            1,
            "lacks a library",
        ),
        # Shells: dash, bash, mksh of Android; and taskset.
        ("sh: 1: exec: ./x: Exec format error", 126, "cannot run a program of this"),
        ("x: cannot execute binary file: Exec format error", 126, "cannot run a"),
        ("sh: ./x: not executable: 64-bit ELF file", 126, "64-bit ELF"),
        ("taskset: failed to execute ./x: Exec format error", 126, "cannot run a"),
        ("sh: 1: exec: ./x: Permission denied", 126, "noexec"),
        ("sh: 1: exec: ./x: not found", 127, "nor one of 64 bits on a system of 32"),
        ("sh: ./x: inaccessible or not found", 127, "does not run on Android"),
        (
            "taskset: failed to set pid 0's affinity: Invalid argument",
            1,
            "does not run programs on these CPUs",
        ),
        # The tool itself.
        ("ERROR: Failed to construct interpreter\n", 1, "cannot load the file"),
        ("Failed to initialize the interpreter", 1, "cannot load the file"),
        ("Failed to load model", 1, "cannot load the file"),
        ("Failed to mmap model 0.tflite", 1, "cannot load the file"),
        ("ERROR: Failed to allocate tensors!", 1, "cannot run it"),
        ("x: write error: No space left on device", 1, "no space left"),
        # Signals.
        ("Killed", 137, "want of memory"),
        ("Terminated", 143, "ended on the device by another"),
        ("Illegal instruction", 132, "instructions that the device's processor"),
        ("Segmentation fault", 139, "crashed"),
        ("", 128 + 34, "signal 34"),
        # Anything else.
        ("Something new", 9, "exit status 9: 'Something new'"),
        ("", 9, "exit status 9"),
        ("hello", 0, "no timings.*'hello'"),
    ],
)
def test_each_cause_is_told(text, status, said):
    import re

    assert re.search(said, why_it_failed(CommandResult("", text, status)))
    assert re.search(said, why_it_failed(CommandResult(text, "", status)))
