"""Does rectification with discriminators pay? Runs the study, and goes on with it.

Each run ends as a line of results/accuracy/runs.jsonl; one that is there is not run
again, and one that was stopped goes on where it was. So the same command may be given
as often as it takes. With two cores two processes share the runs, once there is a
teacher:

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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# One core for each process: two runs side by side get further than one on two cores.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # For result_files.

from contenders import CONTENDERS, QUESTIONS, TEACHER, names  # noqa: E402
from training import SIZES, Run, trained  # noqa: E402

RESULTS = HERE.parent / "results" / "accuracy" / "runs.jsonl"
# The teacher's, and those that each contender chooses from by its validation accuracy.
RATES = (1e-3, 3e-3, 1e-2)


def planned(arguments: argparse.Namespace) -> list[Run]:
    """The runs that are asked for, seed by seed, the teacher in front."""
    chosen = arguments.contender or list(
        QUESTIONS if arguments.questions else CONTENDERS
    )
    runs = [Run(arguments.size, TEACHER, arguments.teacher_rate, 0)]
    for seed in arguments.seeds:
        for name in chosen:
            if name != TEACHER:
                runs += [Run(arguments.size, name, r, seed) for r in arguments.rates]
    return runs


def done(path: Path) -> set[str]:
    """Digests of the runs whose lines are there."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return {json.loads(line)["digest"] for line in lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--contender", choices=names(), nargs="+")
    parser.add_argument("--questions", action="store_true")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=RATES)
    parser.add_argument("--teacher-rate", type=float, default=3e-3)
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
    teacher, *students = planned(arguments)
    # The teacher comes first, and alone: all others need it.
    for run in [teacher, *students[number - 1 :: count]]:
        if run.digest() in done(arguments.results):
            continue
        print(f"--- {run}", flush=True)
        row = trained(run, arguments.work)
        with arguments.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"    {row['validation_accuracy']:.4f}", flush=True)


if __name__ == "__main__":
    main()
