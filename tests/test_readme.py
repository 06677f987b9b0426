"""The README's example runs as it is written."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).parent.parent / "README.md"


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    code = "\n".join(blocks)
    assert "export_tflite" in code
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, str(README), "exec"), names)
    assert (tmp_path / "digits.tflite").stat().st_size == names["report"].bytes
    expected = names["model"].predict(names["test"].x, verbose=0)
    agreement = np.mean(names["scores"].argmax(1) == expected.argmax(1))
    assert agreement > 0.99
    # It does not only run: both networks have learned.
    for name in ("teacher", "model"):
        assert names[name].evaluate(*names["test"], verbose=0)[1] > 0.9, name
    assert "LceBconv2d" in capsys.readouterr().out
