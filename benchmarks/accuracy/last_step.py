"""Looks at the test images, once for each network of the conclusion.

The last step of the study, when all has been chosen by the validation images. Each
network becomes a line of results/accuracy/tested.jsonl, and is never judged again. Its
`.tflite` file is written and verified as well, for its size.

    python benchmarks/accuracy/last_step.py --size large
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from contenders import TEACHER
from lines import Rows, read_lines
from parts import SIZES
from report import finals
from training import images, judged, saved

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import keras_rbcn as rbcn  # noqa: E402
from keras_rbcn._backend import keras, tf  # noqa: E402

RESULTS = HERE.parent / "results" / "accuracy"
SEEDS = 3  # So many each contender must have.


def tested(row: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a network makes of the test images, and the size of its file."""
    size = SIZES[row["size"]]
    data = images(size.data, size.images)
    model, teacher = (
        digest and keras.models.load_model(saved(digest, folder))
        for digest in (row["digest"], row["teacher"])
    )
    found = {
        name.replace("validation", "test"): value
        for name, value in judged(model, teacher, data.test).items()
    }
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "model.tflite"
        if row["contender"] == TEACHER:
            converter = tf.lite.TFLiteConverter.from_keras_model(model)
            path.write_bytes(converter.convert())
        else:
            rbcn.export_tflite(model, path, verify_data=data.validation[0][:200])
        length = path.stat().st_size
    return {"digest": row["digest"], **found, "tflite_bytes": length}


def to_test(rows: Rows, size: str) -> Rows:
    """The lines of the conclusion.

    Raises:
        SystemExit: If one has not been run with all seeds: the test images are for
            networks that no choice depends on any more.
    """
    found = finals(rows, size)
    lacking = [
        name for name, own in found.items() if name != TEACHER and len(own) < SEEDS
    ]
    if lacking or not found:
        raise SystemExit(f"Not yet: fewer than {SEEDS} seeds of {lacking or 'all'}.")
    return [row for own in found.values() for row in own]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    arguments = parser.parse_args()
    path = arguments.results / "tested.jsonl"
    seen = {row["digest"] for row in read_lines(path)}
    for row in to_test(read_lines(arguments.results / "runs.jsonl"), arguments.size):
        if row["digest"] not in seen:
            line = json.dumps(tested(row, arguments.work))
            with path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")


if __name__ == "__main__":
    main()
