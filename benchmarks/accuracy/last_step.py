"""Looks at the test images, once for each network of the conclusion.

The last step of the study, when all has been chosen by the validation images: compares
what each network answered with the right answers. It becomes a line of
results/accuracy/tested.jsonl, and is never judged again. A network like it is written
to a `.tflite` file and verified, for its size.

    python benchmarks/accuracy/last_step.py --size large
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # For result_files.

from contenders import SEEDS, TEACHER, contender, contenders_at  # noqa: E402
from lines import Rows, finals, read_lines  # noqa: E402
from parts import network, student_of  # noqa: E402
from places import RESULTS, Places  # noqa: E402
from sizes import SIZES  # noqa: E402
from study_images import images  # noqa: E402
from training import judged, read_answers  # noqa: E402

import keras_rbcn as rbcn  # noqa: E402
from keras_rbcn._backend import keras, tf  # noqa: E402


def tested(row: dict[str, Any], places: Places) -> dict[str, Any]:
    """What a network makes of the test images, and the size of its file."""
    size = SIZES[row["size"]]
    labels = images(size.data, size.images).test[1]
    said = read_answers(places, row["digest"])
    return {
        "digest": row["digest"],
        **judged(row["teacher"], said, places, labels, "test"),
        "tflite_bytes": file_size(row["size"], row["contender"]),
    }


@functools.cache
def file_size(size: str, name: str) -> int:
    """Bytes of the `.tflite` file of a contender's network, whatever it has learnt.

    Its weights are made distinct first: equal constants are stored once, and a fresh
    network has many, such as the statistics of its batch normalisations.
    """
    chosen = contender(name)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.tflite"
        model = network(SIZES[size], "full_precision")
        if name == TEACHER:
            _make_distinct(model)
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
            path.write_bytes(converter.convert())
        else:
            keras.utils.set_random_seed(0)
            images_ = images(SIZES[size].data, SIZES[size].images).validation[0]
            student = student_of(chosen, SIZES[size], model)
            _make_distinct(student)
            rbcn.export_tflite(student, path, verify_data=images_[:200])
        return path.stat().st_size


def _make_distinct(model: Any) -> None:
    random = np.random.default_rng(0)
    model.set_weights(
        [w + random.uniform(0.0, 0.01, w.shape) for w in model.get_weights()]
    )


def to_test(rows: Rows, size: str) -> Rows:
    """The lines of a size, each contender's at its best rate.

    Raises:
        SystemExit: If one of the conclusion has not been run with all seeds: the test
            images are for networks that no choice depends on any more.
    """
    found = finals(rows, size)
    lacking = [
        name
        for name in contenders_at(size)
        if len(found.get(name, ())) < (1 if name == TEACHER else SEEDS)
    ]
    if lacking:
        raise SystemExit(f"Not yet: fewer than {SEEDS} seeds of {lacking}.")
    # Some ran under other names.
    return [{**row, "contender": name} for name, own in found.items() for row in own]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    places = Places(arguments.results)
    seen = {row["digest"] for row in read_lines(places.tested)}
    for row in to_test(read_lines(places.lines), arguments.size):
        if row["digest"] not in seen:
            line = json.dumps(tested(row, places))
            with places.tested.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
