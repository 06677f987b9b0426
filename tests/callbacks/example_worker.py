"""One worker that runs examples/multi_worker/train.py; see test_resumable_workers.py.

The `first` program trains unbroken, meets what must be refused, and trains once more
until it is killed. The `second` is started with the same command as that last training,
and goes on for ever once it has ended.
"""

import functools
import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np

from keras_rbcn import RBCNModel
from keras_rbcn._backend import keras
from keras_rbcn.callbacks import ResumableTraining, shared_folder

EXAMPLE = Path(__file__).parents[2] / "examples" / "multi_worker" / "train.py"
OPTIONS = ["--epochs", "2", "--save-every", "5"]
TASK = json.loads(os.environ["TF_CONFIG"])["task"]["index"]


def example():
    spec = importlib.util.spec_from_file_location("train", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(part, folder):
    # Off in the example, as by default; checkpoints are to hold discriminators, too.
    RBCNModel.compile = functools.partialmethod(
        RBCNModel.compile, kernel_weight=1e-4, adversarial_weight=0.01
    )
    program = example()
    name = "whole" if part == "first" else "broken"
    model = program.main([str(folder / name), *OPTIONS])
    text = json.dumps([model.history.epoch, model.history.history])
    (folder / f"{part}{TASK}.json").write_text(text)
    strategy = model.distribute_strategy
    if part == "first":
        text = json.dumps(refusals(strategy, folder))
        (folder / f"refusals{TASK}.json").write_text(text)
        program.train(strategy, program.parse([str(folder / "broken"), *OPTIONS]))
    data, _ = program.rbcn.datasets.digits()
    model.fit(program.batches(data, 64), epochs=10**6, verbose=0)


def refusals(strategy, folder):
    """What a worker is told, by case."""
    shared_folder._PATIENCE_SECONDS = 1.0
    (folder / "file").write_text("")
    whole = folder / "of_one_program"
    assert fit(strategy, whole) is None
    return {
        "not shared": fit(strategy, folder / f"of_worker_{TASK}"),
        "not writable": fit(
            strategy, folder / "file" / "below" if TASK else folder / "of_chief"
        ),
        "another program": fit(strategy, whole, epsilon=0.5 if TASK else 1e-7),
    }


def fit(strategy, folder, epsilon=1e-7):
    with strategy.scope():
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(epsilon=epsilon), "mse")
    x, y = np.ones((8, 2)), np.ones((8, 1))
    try:
        model.fit(x, y, verbose=0, callbacks=[ResumableTraining(folder)])
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
