"""Does rectification with discriminators pay? Runs the study, and goes on with it.

Each run ends as a line of results/accuracy/runs.jsonl; one that is there is not run
again, and one that was stopped goes on where it was. So the same command may be given
as often as it takes, and twice at once, to use two cores: neither takes up what the
other is at. Teachers come first:

    python benchmarks/accuracy/study.py --size small --teachers
    python benchmarks/accuracy/study.py --size small --seeds 0 &
    python benchmarks/accuracy/study.py --size small --seeds 0
    python benchmarks/accuracy/study.py --size small --best-rate --questions

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
from lines import RATES, Rows, best_rate, needed_teacher, read_lines  # noqa: E402
from places import RESULTS, WORK, Places  # noqa: E402
from sizes import SIZES  # noqa: E402
from training import Run, trained  # noqa: E402

from keras_rbcn._backend import tf  # noqa: E402


def planned(arguments: argparse.Namespace, rows: Rows) -> list[Run]:
    """The runs that are asked for, seed by seed."""
    size = arguments.size
    if arguments.teachers:
        needed = dict.fromkeys(contender(n).teacher for n in contenders_at(size))
        chosen = arguments.contender or list(needed)
        return [
            _run(rows, size, name, rate, 0)
            for name in chosen
            for rate in arguments.rates
        ]
    chosen = arguments.contender or list(
        QUESTIONS if arguments.questions else contenders_at(size)
    )
    return [
        _run(rows, size, name, rate, seed)
        for seed in arguments.seeds
        for name in chosen
        if name not in TEACHERS
        for rate in (
            [best_rate(rows, name, size)] if arguments.best_rate else arguments.rates
        )
        if rate is not None
    ]


def _run(rows: Rows, size: str, name: str, rate: float, seed: int) -> Run:
    if not is_taught(name):
        return Run(size, name, rate, seed)
    chosen = contender(name)
    start = needed_teacher(rows, size, chosen.start) if chosen.start else None
    teacher = needed_teacher(rows, size, chosen.teacher)
    return Run(size, name, rate, seed, teacher, start)


def done(path: Path) -> set[str]:
    """The digests of the runs that have ended."""
    return {row["digest"] for row in read_lines(path)}


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether no other process is at what a file stands for; keeps others away."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True  # Until the file is closed, or this process ends.


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--contender", choices=[*names(), *TEACHERS], nargs="+")
    parser.add_argument("--teachers", action="store_true", help="which come first")
    parser.add_argument("--questions", action="store_true")
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
    for run in planned(arguments, read_lines(places.lines)):
        with claimed(places.work / f"{run.digest()}.lock") as is_ours:
            if not is_ours or run.digest() in done(places.lines):
                continue
            print(f"--- {run}", flush=True)
            row = trained(run, places)
            with places.lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"    {row['validation_accuracy']:.4f}", flush=True)


if __name__ == "__main__":
    main()
