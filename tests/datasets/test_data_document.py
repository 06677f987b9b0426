"""The examples of docs/data.md run, on a small set in the layout of ImageNet."""

import re
from pathlib import Path

import numpy as np
from record_files import encoded

DOCUMENT = Path(__file__).parents[2] / "docs" / "data.md"
WNIDS = ("n01440764", "n01443537", "n01484850")


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # An image for each of the 1,024 and 128 files.
    for number in range(1024):
        wnid = WNIDS[number % 3]
        path = Path("imagenet", "train", wnid, f"{wnid}_{number}.JPEG")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number % 256, file_format="JPEG"))
    Path("imagenet", "val").mkdir()
    for number in range(128):
        path = Path("imagenet", "val", f"ILSVRC2012_val_{number + 1:08d}.JPEG")
        path.write_bytes(encoded(number, file_format="JPEG"))
    labels = [WNIDS[number % 3] for number in range(128)]
    Path("synset_labels.txt").write_text("\n".join(labels) + "\n")
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 3
    names = {}
    exec(compile("\n".join(blocks), str(DOCUMENT), "exec"), names)
    assert capsys.readouterr().out == f"{list(WNIDS)} 4 batches\n"
    assert len(list(Path("imagenet-tfrecords").iterdir())) == 1024 + 128 + 1
    x, y = next(iter(names["validation"]))
    assert x.shape == (128, 224, 224, 3)
    assert np.bincount(y).tolist() == [43, 43, 42]
    # What pixels of ImageNet's mean colour become.
    mean = np.full((1, 2, 2, 3), (0.485, 0.456, 0.406), "float32")
    np.testing.assert_allclose(names["normalization"](mean), 0 * mean, atol=1e-6)
    # The layout that the document draws is the one that is found.
    for line in re.findall(r"^ {6}(\S+)", DOCUMENT.read_text("utf-8"), re.MULTILINE):
        if line.startswith(("train-", "validation-", "tfrecords.json")):
            assert Path("imagenet-tfrecords", line).is_file()
