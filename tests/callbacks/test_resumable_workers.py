"""Two processes, as on two machines, are killed and go on; they run the example."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from keras_rbcn._backend import keras

PROGRAM = Path(__file__).with_name("example_worker.py")
STEPS = 21  # Per epoch: 1,347 images in whole batches of 64.
EPOCHS = 2


class Workers:
    """Two processes; their output is kept in files."""

    def __init__(self, folder, part):
        sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
        hosts = [f"localhost:{one.getsockname()[1]}" for one in sockets]
        for one in sockets:
            one.close()
        self._logs = [folder / f"{part}{task}.log" for task in range(2)]
        self.processes = [
            self._start(log, hosts, task, [part, folder])
            for task, log in enumerate(self._logs)
        ]

    def _start(self, log, hosts, task, arguments):
        config = {
            "cluster": {"worker": hosts},
            "task": {"type": "worker", "index": task},
        }
        with log.open("w") as file:
            return subprocess.Popen(
                [sys.executable, str(PROGRAM), *map(str, arguments)],
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def log(self, task):
        return self._logs[task].read_text("utf-8")

    def wait_until(self, holds, seconds=500):
        end = time.monotonic() + seconds
        while not holds():
            codes = [process.poll() for process in self.processes]
            assert codes == [None, None], self.log(0)[-3000:] + self.log(1)[-3000:]
            assert time.monotonic() < end, "waited too long"
            time.sleep(0.01)

    def kill(self, *tasks):
        for task in tasks:
            self.processes[task].send_signal(signal.SIGKILL)
        return [self.processes[task].wait() for task in tasks]


def checkpoints(folder):
    return sorted(int(path.stem.split("-")[1]) for path in folder.glob("ckpt-*.json"))


def read(path):
    return json.loads(path.read_text("utf-8"))


def test_two_workers_that_are_killed_end_as_unbroken_ones(tmp_path):
    broken = tmp_path / "broken" / "student_checkpoints"
    workers = Workers(tmp_path, "first")
    try:
        # Within the second epoch.
        workers.wait_until(lambda: any(n > STEPS for n in checkpoints(broken)))
        assert workers.kill(0, 1) == [-signal.SIGKILL] * 2
    finally:
        workers.kill(0, 1)
    killed_at = checkpoints(broken)[-1]
    assert STEPS < killed_at < EPOCHS * STEPS

    workers = Workers(tmp_path, "second")
    try:
        ends = [tmp_path / f"second{task}.json" for task in range(2)]
        workers.wait_until(lambda: all(path.exists() for path in ends))
        time.sleep(0.1)
        # The one that is left ends by itself, with an error.
        assert workers.kill(1) == [-signal.SIGKILL]
        assert workers.processes[0].wait(timeout=120) not in (0, -signal.SIGKILL)
        assert "UnavailableError" in workers.log(0)
    finally:
        workers.kill(0, 1)

    assert_same_training(tmp_path)
    assert_refused(tmp_path)
    # The chief's files alone are left.
    assert {path.name for path in (tmp_path / "broken").iterdir()} == {
        "student.tflite",
        "student_checkpoints",
        "teacher_checkpoints",
        "trained.keras",
    }
    names = {path.name.partition(".")[0] for path in broken.iterdir()}
    assert names == {"checkpoint", "ckpt-40", "ckpt-42"}


def assert_same_training(folder):
    """Bit for bit: two numbers have one sum, whichever worker adds them up."""
    for task in range(2):
        epochs, history = read(folder / f"first{task}.json")
        assert epochs == list(range(EPOCHS))
        assert read(folder / f"second{task}.json") == [epochs, history]
    whole, broken = (
        keras.models.load_model(folder / name / "trained.keras")
        for name in ("whole", "broken")
    )
    optimizers = ("optimizer", "discriminator_optimizer")
    variables = [
        [*model.weights, *(v for o in optimizers for v in slots(getattr(model, o)))]
        for model in (whole, broken)
    ]
    assert len(variables[0]) > len(whole.weights) + 20
    for one, other in zip(*variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.name)
    exported = [folder / name / "student.tflite" for name in ("whole", "broken")]
    assert exported[0].read_bytes() == exported[1].read_bytes()


def slots(optimizer):
    found = optimizer.variables
    return found() if callable(found) else found  # A method of legacy ones.


def assert_refused(folder):
    """All workers are told the same."""
    expected = {
        "not shared": "ValueError: Expected all workers to share the folder.*"
        "workers \\[1\\] do not see what worker 0 writes",
        "not writable": "NotADirectoryError.*cannot write its checkpoints on worker 1"
        ".*file.below",
        "another program": "ValueError: Expected all workers to take up the checkpoint "
        "that worker 0 takes up, but on worker 1 .*epsilon: 1e-07 there, 0.5 here",
    }
    for task in range(2):
        told = read(folder / f"refusals{task}.json")
        assert told.keys() == expected.keys()
        for case, pattern in expected.items():
            assert re.search(pattern, told[case]), told[case]
