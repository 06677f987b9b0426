"""The examples of docs/training.md run."""

import re
from pathlib import Path

import pytest
from tiny import student

DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"


@pytest.mark.filterwarnings("ignore:In the last 3 epochs:UserWarning")
def test_the_examples_run(data, teacher, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 7
    names = {"student": student(), "teacher": teacher}
    names["images"], names["labels"] = data
    exec(compile(blocks[0], str(DOCUMENT), "exec"), names)
    assert list(names["model"].discriminator_accuracies) == ["norm1", "norm2"]
    exec(compile("\n".join(blocks[1:]), str(DOCUMENT), "exec"), names)
    assert names["model"].optimizer.iterations == 3
