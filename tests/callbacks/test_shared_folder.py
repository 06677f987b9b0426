"""Workers agree on a checkpoint, though a file system shows it to them at other times.

Threads stand in for processes: only what they tell each other is not the real thing.
"""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_rbcn._backend import tf
from keras_rbcn.callbacks import shared_folder
from keras_rbcn.callbacks.checkpoints import CheckpointFolder, RefusedError
from keras_rbcn.callbacks.shared_folder import SharedFolder


class Worker:
    """One of two; `gather` waits for the other as the real one does."""

    count = 2

    def __init__(self, index, barrier, values):
        self.index, self._barrier, self._values = index, barrier, values
        self.is_chief = index == 0

    def gather(self, value):
        self._values[self.index] = value
        self._barrier.wait(30)
        found = list(self._values)
        self._barrier.wait(30)
        return found

    def of_chief(self, value):
        return self.gather(value)[0]


def both(function):
    """What the two get from a function of a worker; an error is returned."""
    barrier, values = threading.Barrier(2), [None, None]

    def call(index):
        try:
            return function(Worker(index, barrier, values))
        except Exception as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(call, range(2)))


def accept(number, state):
    pass


@pytest.fixture
def folder(tmp_path):
    """Two checkpoints, 1 and 2, whose states are their numbers."""
    checkpoints = CheckpointFolder(tmp_path / "chief", keep=2)
    checkpoints.open(tf.train.Checkpoint(v=tf.Variable(1.0)), None)
    for number in (1, 2):
        checkpoints.write(number, {"number": number})
    return tmp_path / "chief"


@pytest.fixture
def view(folder, tmp_path, monkeypatch):
    """What worker 1 sees of the folder: the marks at once, the rest as it is copied."""
    view = tmp_path / "view"
    shutil.copytree(folder, view)
    monkeypatch.setattr(SharedFolder, "_check_shared", lambda *_: None)
    return view


def opened(folder, view):
    return lambda worker: SharedFolder(folder if worker.is_chief else view, 2, worker)


def test_a_manifest_that_is_seen_later(folder, view):
    late = view / "ckpt-2.json"
    aside = view / "aside"
    late.rename(aside)

    def take_up(worker):
        shared = opened(folder, view)(worker)
        numbers = shared.numbers()
        if not worker.is_chief:
            threading.Timer(0.5, lambda: aside.rename(late)).start()
        return numbers, shared.read(numbers[0], accept)

    assert both(take_up) == [([2, 1], {"number": 2})] * 2


def test_a_manifest_that_is_never_seen(folder, view, monkeypatch):
    monkeypatch.setattr(shared_folder, "_PATIENCE_SECONDS", 0.3)
    (view / "ckpt-2.json").unlink()
    errors = both(lambda worker: opened(folder, view)(worker).read(2, accept))
    for error in errors:
        assert isinstance(error, ValueError)
        assert "on worker 1" in str(error)
        assert "ckpt-2.json' cannot be read" in str(error)


def test_what_the_chief_refuses_no_one_waits_for(folder, view):
    for place in (folder, view):
        (place / "ckpt-2.index").write_bytes(b"")
    before = time.monotonic()
    errors = both(lambda worker: opened(folder, view)(worker).read(2, accept))
    assert time.monotonic() - before < 30  # And not the minute of patience.
    for error in errors:
        assert isinstance(error, RefusedError)
        assert error.damaged
        assert "ckpt-2.index' is truncated or altered" in str(error)


def test_the_chief_alone_removes_what_is_half_written(folder):
    (folder / "ckpt-2.json").unlink()
    with pytest.warns(UserWarning, match="half written") as record:
        assert (
            both(lambda worker: opened(folder, folder)(worker).numbers()) == [[1]] * 2
        )
    assert len(record) == 1


def test_marks_and_temporary_folders_do_not_stay(folder):
    (folder / "worker-1").mkdir()  # Left behind by a program that was killed.
    (folder / "worker-1" / "ckpt-2.index").touch()
    before = {path.name for path in folder.iterdir()} - {"worker-1"}
    for shared in both(opened(folder, folder)):
        assert str(shared) == str(folder)
    assert {path.name for path in folder.iterdir()} == before
