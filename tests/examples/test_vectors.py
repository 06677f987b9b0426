"""examples/vectors/vectors.json is what the package computes."""

import json

import vectors


def test_the_file_is_up_to_date():
    written = json.loads(vectors.PATH.read_text("utf-8"))
    computed = json.loads(vectors.text())
    vectors.assert_close(written, computed)


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
    read = [case["expected"] for case in written["metadata"]]
    assert {value["output"]["index"] for value in read} == {0, 1}
    assert {value["output"]["labels_file"] for value in read} == {None, "labels.txt"}
    assert {value["input"]["crop_fraction"] for value in read} == {None, 0.875}
