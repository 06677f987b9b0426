"""How long do the contenders train? Their steps by turns, in one process.

The runs of the study share machines with other work, and tell nothing of time. Here
each contender makes some steps of its own in turn, for some rounds; what counts is the
median over the rounds of its time to that of the plain student in the same round.

    python benchmarks/accuracy/epoch_time.py --size small
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

from contenders import PLAIN, TEACHER, contender, contenders_at
from lines import needed_teacher, read_lines
from parts import model_of, student_of, teacher_of
from places import RESULTS, Places
from sizes import SIZES

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from result_files import described, machine, markdown_table, write_results  # noqa: E402
from study_images import batches, images  # noqa: E402
from training import compile_for  # noqa: E402

from keras_rbcn._backend import keras  # noqa: E402

STEPS, ROUNDS = 20, 7
RATE = 1e-2


def compiled(name: str, label: str, teachers: dict[str, Any]) -> Any:
    """A contender's model, as the study trains it, with its one of the teachers."""
    chosen, size = contender(name), SIZES[label]
    if name == TEACHER:
        model = teacher_of(chosen, size)
    else:
        teacher = teachers[chosen.teacher]
        model = model_of(chosen, size, teacher, student_of(chosen, size, teacher))
    compile_for(model, chosen, RATE, STEPS * ROUNDS, STEPS)
    return model


def seconds_by_round(models: dict[str, Any], data: Any) -> dict[str, list[float]]:
    """How long each model takes for its steps, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for number in range(ROUNDS + 1):
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(data, verbose=0)
            if number:  # The first round traces.
                seconds[name].append(time.perf_counter() - start)
        print(f"round {number} of {ROUNDS}", file=sys.stderr, flush=True)
    return seconds


def measured(label: str, places: Places) -> dict[str, Any]:
    size = SIZES[label]
    rows, names = read_lines(places.lines), contenders_at(label)
    teachers = {
        wanted: keras.models.load_model(
            places.teacher(needed_teacher(rows, label, wanted)), compile=False
        )
        for wanted in {contender(name).teacher for name in names}
    }
    models = {name: compiled(name, label, teachers) for name in names}
    train = images(size.data, size.images).train
    data = batches(train, size, seed=0).take(STEPS).cache()
    seconds = seconds_by_round(models, data)
    ratios = {
        name: [one / plain for one, plain in zip(own, seconds[PLAIN], strict=True)]
        for name, own in seconds.items()
    }
    return {
        "size": label,
        "steps": STEPS,
        "rounds": ROUNDS,
        "milliseconds_per_step": {
            name: 1000 * statistics.median(own) / STEPS for name, own in seconds.items()
        },
        "ratio": {name: statistics.median(own) for name, own in ratios.items()},
        "machine": machine(),
    }


def markdown(result: dict[str, Any]) -> str:
    rows = [("contender", "ms per step", "x plain"), ("---", "---:", "---:")]
    rows += [
        (name, f"{ms:.0f}", f"{result['ratio'][name]:.2f}")
        for name, ms in result["milliseconds_per_step"].items()
    ]
    return (
        f"# Time of a training step of the study's {result['size']} networks\n\n"
        f"Written by benchmarks/accuracy/epoch_time.py on "
        f"{described(result['machine'])}: one thread, {result['rounds']} rounds of "
        f"{result['steps']} steps by turns, medians.\n\n{markdown_table(rows)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    places = Places(arguments.results)
    result = measured(arguments.size, places)
    write_results(places.epoch_time(arguments.size), result, markdown(result))


if __name__ == "__main__":
    main()
