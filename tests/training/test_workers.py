"""Two processes, as on two machines, train as one device does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import worker
from tiny import student, synchronized

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf

pytestmark = pytest.mark.filterwarnings("ignore:In the last 3 epochs:UserWarning")


def free_ports(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(folder, task, addresses):
    config = {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": task},
    }
    return subprocess.Popen(
        [sys.executable, worker.__file__, str(folder)],
        env={**os.environ, "TF_CONFIG": json.dumps(config)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_workers_train_as_one_device(data, teacher, tmp_path):
    pupil, master = synchronized(student()), synchronized(teacher)
    model = rbcn.RBCNModel(pupil, master)
    pupil.save(tmp_path / "student.keras")
    master.save(tmp_path / "teacher.keras")
    for index, part in enumerate(model.discriminators):
        part.save(tmp_path / f"discriminator{index}.keras")
    x, y = data
    np.savez(tmp_path / "data.npz", x=x, y=y)
    addresses = [f"localhost:{port}" for port in free_ports(2)]
    workers = [start(tmp_path, task, addresses) for task in range(2)]
    model.compile(**worker.settings())
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)
    expected = model.fit(batches, epochs=2, verbose=0).history
    for one in workers:
        _, errors = one.communicate(timeout=240)
        assert one.returncode == 0, errors[-3000:]
    for task in range(2):
        history = json.loads(Path(tmp_path / f"history{task}.json").read_text())
        assert history.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_allclose(
                history[name], values, rtol=2e-3, atol=1e-6, err_msg=name
            )
    trained = keras.models.load_model(tmp_path / "trained.keras")
    for a, b in zip(trained.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)
