"""What the documents say of int8 is what the benchmark found."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "int8.json"


@pytest.fixture(scope="module")
def results():
    return json.loads(RESULTS.read_text("utf-8"))


def test_resnet18_is_twenty_times_smaller(results):
    sizes = results["bytes"]["ResNet18, 224x224"]
    ratio = sizes["full precision, float32"] / sizes["1-bit, int8"]
    assert ratio >= 20
    # Beside it, the literature's figure for real layers in float32.
    assert sizes["full precision, float32"] / sizes["1-bit, float32"] < 12
    document = (ROOT / "docs" / "export.md").read_text("utf-8")
    (told,) = re.findall(r"in int8 (\d+\.\d) times", document)
    assert told == f"{ratio:.1f}"


@pytest.mark.parametrize("kind", ["int8", "int8, trained on"])
def test_hardly_any_accuracy_is_lost(results, kind):
    for name, rows in results["accuracy"].items():
        lost = [100 * (row["float32"] - row[kind]) for row in rows]
        assert np.mean(lost) <= 0.5, (name, lost)
        assert all(row["bytes, int8"] < row["bytes, float32"] for row in rows)
