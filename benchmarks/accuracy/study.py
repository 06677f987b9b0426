"""Does rectification with discriminators pay? Runs the study, and goes on with it.

Each run ends as a line of results/accuracy/runs.jsonl; one that is there is not run
again, and one that was stopped goes on where it was. So the same command may be given
as often as it takes, and twice at once, to use two cores: neither takes up what the
other is at, and both end when all has ended. Teachers come first:

    python benchmarks/accuracy/study.py --size small --teachers
    python benchmarks/accuracy/study.py --size small --seeds 0 &
    python benchmarks/accuracy/study.py --size small --seeds 0
    python benchmarks/accuracy/study.py --size small --best-rate --questions

To run anew all that the committed lines are of:

    python benchmarks/accuracy/study.py --repeat --results FOLDER --work FOLDER

Nothing here looks at the right answers to the test images.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # Before larq is imported.
# One core for each process: two runs side by side get further than one on two cores.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # For result_files.

from contenders import (  # noqa: E402
    QUESTIONS,
    TEACHERS,
    contender,
    contenders_at,
    is_taught,
    names,
)
from lines import (  # noqa: E402
    RATES,
    Rows,
    best_rate,
    name_of,
    needed_teacher,
    read_lines,
)
from places import RESULTS, WORK, Places  # noqa: E402
from sizes import SIZES  # noqa: E402
from training import Run, trained  # noqa: E402

from keras_rbcn._backend import tf  # noqa: E402


class Asked(NamedTuple):
    """A run, before it is known by which networks it is taught."""

    size: str
    contender: str
    learning_rate: float
    seed: int


def planned(arguments: argparse.Namespace, rows: Rows) -> list[Asked]:
    """The runs that are asked for, seed by seed."""
    size = arguments.size
    if arguments.repeat:
        return repeated(read_lines(arguments.repeat))
    if arguments.teachers:
        needed = dict.fromkeys(contender(n).teacher for n in contenders_at(size))
        chosen = arguments.contender or list(needed)
        return [
            Asked(size, name, rate, 0) for name in chosen for rate in arguments.rates
        ]
    chosen = arguments.contender or list(
        QUESTIONS if arguments.questions else contenders_at(size)
    )
    return [
        Asked(size, name, rate, seed)
        for seed in arguments.seeds
        for name in chosen
        if name not in TEACHERS
        for rate in (
            [best_rate(rows, name, size)] if arguments.best_rate else arguments.rates
        )
        if rate is not None
    ]


def repeated(rows: Rows) -> list[Asked]:
    """The runs that lines are of, which may have run under other names."""
    return [
        Asked(row["size"], name, row["learning_rate"], row["seed"])
        for row in rows
        if (name := name_of(row)) is not None
    ]


def stages(asked: list[Asked]) -> list[list[Asked]]:
    """Teachers that have no teacher, those that have one, and students."""
    found: list[list[Asked]] = [[], [], []]
    for one in asked:
        found[is_taught(one.contender) + (one.contender not in TEACHERS)].append(one)
    return found


def run_of(asked: Asked, rows: Rows) -> Run:
    """A run with the teacher, and the start, that are the best so far.

    Raises:
        SystemExit: If there is none.
    """
    if not is_taught(asked.contender):
        return Run(*asked)
    chosen, size = contender(asked.contender), asked.size
    start = needed_teacher(rows, size, chosen.start) if chosen.start else None
    return Run(*asked, needed_teacher(rows, size, chosen.teacher), start)


def done(path: Path) -> set[str]:
    """The digests of the runs that have ended."""
    return {row["digest"] for row in read_lines(path)}


@contextlib.contextmanager
def claimed(path: Path, wait: bool = False) -> Iterator[bool]:
    """Keeps other processes away from what a file stands for.

    Args:
        path: Of the file.
        wait: Until it is free, in place of yielding False.

    Yields:
        Whether it is this process's now.
    """
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True  # Until the file is closed, or this process ends.


def train_once(run: Run, places: Places, wait: bool) -> None:
    """Trains what has not been trained, and adds its line.

    Args:
        run: Which one.
        places: Where things are.
        wait: If another process is at it, until that one has ended. If it was stopped,
            this one goes on with the run.
    """
    with claimed(places.work / f"{run.digest()}.lock", wait) as is_ours:
        if not is_ours or run.digest() in done(places.lines):
            return
        print(f"--- {run}", flush=True)
        row = trained(run, places)
        with places.lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"    {row['validation_accuracy']:.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--contender", choices=[*names(), *TEACHERS], nargs="+")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--teachers", action="store_true", help="which come first")
    which.add_argument("--questions", action="store_true")
    which.add_argument(
        "--repeat",
        type=Path,
        nargs="?",
        const=Places().lines,
        metavar="LINES",
        help="all runs of a file of lines, whichever size, seeds and rates; of the "
        "committed one by default",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument(
        "--best-rate",
        action="store_true",
        help="the one that each contender has chosen, in place of --rates",
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=WORK)
    arguments = parser.parse_args()
    places = Places(arguments.results, arguments.work)
    places.make()
    tf.config.experimental.enable_op_determinism()
    for stage in stages(planned(arguments, read_lines(places.lines))):
        rows = read_lines(places.lines)  # With the teachers of the stage before.
        runs = [run_of(asked, rows) for asked in stage]
        for wait in (False, True):  # What comes next may need all that is asked for.
            for run in runs:
                train_once(run, places, wait)


if __name__ == "__main__":
    main()
