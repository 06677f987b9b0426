"""Where the time of a training step goes, by TensorFlow's profiler.

The student and teacher of step_time.py, with a discriminator for each convolution.
Operations are grouped by what they belong to, which their names tell. Times are those
of the operations themselves, added up over all threads: shares of the work, and not of
the seconds that pass.

    python benchmarks/step_profile.py --output benchmarks/results/step_profile.json
"""

from __future__ import annotations

import argparse
import collections
import re
import tempfile
from pathlib import Path
from typing import Any

# First: it chooses Keras.
from step_time import CONTENDERS, PLAIN, SETTINGS, cache_folder, data, run

# isort: split
from result_files import described, machine, markdown_table, write_results
from rich.console import Console
from rich.table import Table
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from keras_rbcn._backend import tf

SETTING = "16-32-64, batch 64"
PROFILED = (PLAIN, "RBCN, per stage", "RBCN, per convolution")
# The first pattern that an operation's name matches says what it belongs to.
GROUPS = {
    "discriminators: backward": r"^gradient_tape/discriminator_",
    "discriminators: forward": r"^discriminator_",
    "student: backward": r"^gradient_tape/|_grad/|^gradients/",
    "teacher": r"^teacher/",
    "student: forward": r"^student/",
    "optimizers": r"(^|/)(Adam|SGD)(_\d+)?/|clip_by_value",
    "all else: losses, gradients added up, logs": r"",
}


def profiled(name: str) -> list[tuple[str, str, float]]:
    """Name, kind and milliseconds per step of each operation of a step."""
    setting = SETTINGS[SETTING]
    model, batches = CONTENDERS[name](setting.widths), data(setting)
    with cache_folder() as folder, tempfile.TemporaryDirectory() as logs:
        run(name, model, batches, setting.steps, folder)  # Traces, and warms up.
        tf.profiler.experimental.start(logs)
        run(name, model, batches, setting.steps, folder)
        tf.profiler.experimental.stop()
        (path,) = Path(logs).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    times: dict[str, float] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                # Of operations "name:kind"; TensorFlow's own work has no colon.
                times[plane.event_metadata[event.metadata_id].name] += event.duration_ps
    found = []
    for label, picoseconds in times.items():
        operation, colon, kind = label.rpartition(":")
        if colon and "::" not in label and " " not in label:
            found.append((operation, kind, picoseconds / 1e9 / setting.steps))
    return found


def group_of(operation: str) -> str:
    # Updates stand within the conditions that they depend on.
    operation = re.sub(r"^cond(_\d+)?/(then|else)/_\d+/(cond(_\d+)?/)?", "", operation)
    return next(
        group for group, pattern in GROUPS.items() if re.search(pattern, operation)
    )


def grouped(operations: list[tuple[str, str, float]]) -> dict[str, float]:
    totals = dict.fromkeys(GROUPS, 0.0)
    for operation, _, milliseconds in operations:
        totals[group_of(operation)] += milliseconds
    return totals


def most(operations: list[tuple[str, str, float]], count: int = 12) -> dict[str, Any]:
    """The kinds of operations that take the longest."""
    times: dict[str, float] = collections.Counter()
    numbers: dict[str, int] = collections.Counter()
    for _, kind, milliseconds in operations:
        times[kind] += milliseconds
        numbers[kind] += 1
    kinds = sorted(times, key=lambda kind: -times[kind])[:count]
    return {kind: {"milliseconds": times[kind], "of": numbers[kind]} for kind in kinds}


def tables(result: dict[str, Any]) -> list[list[tuple[str, ...]]]:
    found = result["contenders"]
    first = [("", *found)]
    for group in GROUPS:
        times = [one["groups"][group] for one in found.values()]
        totals = [sum(one["groups"].values()) for one in found.values()]
        cells = [
            f"{time:.1f} ms ({time / total:.0%})"
            for time, total in zip(times, totals, strict=True)
        ]
        first.append((group, *cells))
    last = found[PROFILED[-1]]["kinds"]
    second = [("kind of operation", "different ones", "ms")]
    for kind, one in last.items():
        second.append((kind, str(one["of"]), f"{one['milliseconds']:.1f}"))
    return [first, second]


def markdown(result: dict[str, Any]) -> str:
    first, second = (
        markdown_table([lines[0], ("---", *["---:"] * (len(lines[0]) - 1)), *lines[1:]])
        for lines in tables(result)
    )
    introduction = (__doc__ or "").partition("\n\n")[2].partition("    python")[0]
    return (
        "# Where the time of a training step goes\n\nWritten by benchmarks/"
        f"step_profile.py on {described(result['machine'])}; {SETTING}, per step.\n\n"
        f"{introduction}{first}\nThe operations of '{PROFILED[-1]}' that take the "
        f"longest:\n\n{second}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    contenders = {}
    for name in PROFILED:
        operations = profiled(name)
        contenders[name] = {
            "groups": grouped(operations),
            "kinds": most(operations),
        }
    result = {"machine": machine(), "setting": SETTING, "contenders": contenders}
    for header, *lines in tables(result):
        table = Table(*header)
        for line in lines:
            table.add_row(*line)
        Console().print(table)
    if arguments.output:
        write_results(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
