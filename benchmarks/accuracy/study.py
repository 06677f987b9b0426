"""Does rectification with discriminators pay? Runs the study, and goes on with it.

Each run ends as a line of results/accuracy/runs.jsonl; one that is there is not run
again, and one that was stopped goes on where it was. So the same command may be given
as often as it takes. With two cores two processes share the runs, once there is a
teacher:

    python benchmarks/accuracy/study.py --size small --teachers
    python benchmarks/accuracy/study.py --size small --share 1 2 &
    python benchmarks/accuracy/study.py --size small --share 2 2
    python benchmarks/accuracy/study.py --size small --questions --seeds 0

Nothing here looks at the test images.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # Before larq is imported.
# One core for each process: two runs side by side get further than one on two cores.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # For result_files.

from contenders import CONTENDERS, QUESTIONS, TEACHER, names  # noqa: E402
from parts import SIZES  # noqa: E402
from training import Run, trained  # noqa: E402

RESULTS = HERE.parent / "results" / "accuracy" / "runs.jsonl"
# The teacher's, and those that each contender chooses from by its validation accuracy.
RATES = (1e-3, 3e-3, 1e-2)


def planned(arguments: argparse.Namespace, teacher: str) -> list[Run]:
    """The students that are asked for, seed by seed."""
    chosen = arguments.contender or list(
        QUESTIONS if arguments.questions else CONTENDERS
    )
    return [
        Run(arguments.size, name, rate, seed, teacher)
        for seed in arguments.seeds
        for name in chosen
        if name != TEACHER
        for rate in arguments.rates
    ]


def rows(path: Path) -> list[dict[str, Any]]:
    """The lines that are there."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def best_teacher(path: Path, size: str) -> str:
    """The digest of the teacher that knew most of the validation images."""
    teachers = [r for r in rows(path) if (r["size"], r["contender"]) == (size, TEACHER)]
    if not teachers:
        raise SystemExit(f"There is no teacher of size {size!r}: run with --teachers.")
    return max(teachers, key=lambda row: row["validation_accuracy"])["digest"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--contender", choices=names(), nargs="+")
    parser.add_argument("--teachers", action="store_true", help="which come first")
    parser.add_argument("--questions", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument(
        "--share",
        type=int,
        nargs=2,
        default=(1, 1),
        metavar=("NUMBER", "COUNT"),
        help="which of so many equal shares of the runs this process does",
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--work", type=Path, default=HERE / "work", help="checkpoints and teachers"
    )
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    number, count = arguments.share
    if arguments.teachers:
        runs = [Run(arguments.size, TEACHER, rate, 0) for rate in arguments.rates]
    else:
        runs = planned(arguments, best_teacher(arguments.results, arguments.size))
    for run in runs[number - 1 :: count]:
        if run.digest() in {row["digest"] for row in rows(arguments.results)}:
            continue
        print(f"--- {run}", flush=True)
        row = trained(run, arguments.work)
        with arguments.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"    {row['validation_accuracy']:.4f}", flush=True)


if __name__ == "__main__":
    main()
