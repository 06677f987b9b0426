"""examples/vectors/vectors.json is what the package computes."""

import json

import numpy as np
import vectors


def test_the_file_is_up_to_date():
    written = json.loads(vectors.PATH.read_text("utf-8"))
    computed = json.loads(vectors.text())
    _assert_close(written, computed)


def _assert_close(written, computed):
    """Equal, but for the rounding of another processor."""
    assert type(written) is type(computed)
    if isinstance(written, dict):
        assert written.keys() == computed.keys()
        for key, value in written.items():
            _assert_close(value, computed[key])
    elif isinstance(written, list) and written and isinstance(written[0], float):
        scale = max(map(abs, computed))
        np.testing.assert_allclose(written, computed, rtol=0, atol=1e-6 * scale)
    elif isinstance(written, list):
        assert len(written) == len(computed)
        for one, other in zip(written, computed, strict=True):
            _assert_close(one, other)
    elif isinstance(written, float):
        assert abs(written - computed) < 1e-6
    else:
        assert written == computed


def test_they_show_what_can_go_wrong():
    written = json.loads(vectors.PATH.read_text("utf-8"))
    inputs = [case["input"] for case in written["images"]]
    assert {value["dtype"] for value in inputs} == {"float32", "int8", "uint8"}
    assert {value["image"]["color"] for value in inputs} == {"rgb", "grayscale"}
    aspects = {value["image"]["resize"]["aspect"] for value in inputs}
    assert aspects == {"stretch", "crop"}
    cut_off = [case for case in written["images"] if case["input"]["dtype"] == "int8"]
    ends = {number for case in cut_off for number in case["expected"]}
    assert {-128, 127} <= ends
