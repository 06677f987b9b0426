"""What examples/multi_worker/train.py says of a wrong set-up; its training is run by
tests/callbacks/test_resumable_workers.py.
"""

import importlib.util
import json
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[1] / "examples" / "multi_worker" / "train.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("multi_worker_train", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(index=0, kind="worker", workers=("localhost:1", "localhost:2")):
    task = {"type": kind, "index": index}
    return json.dumps({"cluster": {"worker": workers}, "task": task})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "it is not set"),
        ("{'cluster': 1}", "received: TF_CONFIG={'cluster': 1}.*JSONDecodeError"),
        ('{"cluster": {}}', "received: .*KeyError.*worker"),
        (config(2), "from 0 to 1, received: task=.*2"),
        (config(-1), "from 0 to 1, received: task=.*-1"),
        (config("0"), "from 0 to 1, received: task=.*'0'"),
        (config(kind="chief"), "received: task=.*chief"),
    ],
)
def test_a_wrong_cluster(value, message, example, monkeypatch, tmp_path):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_CONFIG", value)
    with pytest.raises(SystemExit, match=f"(?s)TF_CONFIG to be like.*{message}"):
        example.main([str(tmp_path)])


def test_a_batch_that_cannot_be_divided(
    example, monkeypatch, tmp_path, mirrored_strategy
):
    monkeypatch.setenv("TF_CONFIG", config())
    monkeypatch.setattr(
        example.tf.distribute, "MultiWorkerMirroredStrategy", lambda: mirrored_strategy
    )
    with pytest.raises(
        SystemExit, match=r"--batch-size to be at least 2.*received: .* 1"
    ):
        example.main([str(tmp_path), "--batch-size", "1"])
