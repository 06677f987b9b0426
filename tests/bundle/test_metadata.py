"""`metadata.json`: what is written, and what is refused when it is read."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest
from bundles import LABELS, MINUS_ONE_TO_ONE, int8_file, write_by_hand

from keras_rbcn import Bundle
from keras_rbcn.bundle.metadata import (
    Input,
    Metadata,
    ModelFile,
    Output,
)
from keras_rbcn.bundle.preprocessing import ImagePreprocessing
from keras_rbcn.tflite.quantization import Quantization

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "docs" / "bundle_metadata.schema.json").read_text()
)
WRITTEN = Metadata(
    "pets",
    "keras-rbcn 0.1.0",
    ModelFile("model.tflite", "0" * 64, 1000, "lce"),
    (
        Input(
            "photo",
            (1, 8, 12, 3),
            "int8",
            Quantization(1 / 128, -1),
            ImagePreprocessing([1, 2, 3], [10, 20, 30], 0.875),
        ),
    ),
    (
        Output("scores", (1, 2), "float32", None, "logits", "labels.txt"),
        Output("features", (1, 4, 4, 8), "float32", None, "other", None),
    ),
)


def _strict(schema):
    """The schema, without fields that it does not name."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _strict(value) for key, value in schema.items()}
    if schema.get("type") == "object":
        result["additionalProperties"] = False
    return result


def _assert_fits(content):
    jsonschema.validate(json.loads(content), _strict(SCHEMA))


def _object():
    return json.loads(WRITTEN.to_json())


def _read(value):
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Metadata.from_json(content, "the file")


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["format_version"] == {"const": 1}


def test_what_is_written_fits_the_schema():
    _assert_fits(WRITTEN.to_json())
    none = Input("x", (1, 4), "float32", None, None)
    _assert_fits(Metadata("a", "b", WRITTEN.model, (none,), WRITTEN.outputs).to_json())


def test_what_is_written_in_full():
    told = _object()
    assert told["format"] == "keras-rbcn-bundle"
    assert told["inputs"] == [
        {
            "name": "photo",
            "shape": [1, 8, 12, 3],
            "dtype": "int8",
            "quantization": {"scale": 1 / 128, "zero_point": -1},
            "image": {
                "color": "rgb",
                "pixel_range": [0, 255],
                "mean": [1.0, 2.0, 3.0],
                "std": [10.0, 20.0, 30.0],
                # From -0.1, of each channel, to 254 / 10.
                "range": [-0.1, 25.4],
                "resize": {"method": "bilinear", "aspect": "crop", "fraction": 0.875},
            },
        }
    ]


def test_it_is_read_back():
    assert _read(WRITTEN.to_json().encode()) == WRITTEN


def test_fields_that_nobody_knows_do_no_harm():
    told = _object()
    told["comment"] = "of a later version"
    told["inputs"][0]["image"]["comment"] = 5
    assert _read(told) == WRITTEN


def test_files_of_integers_fit_the_schema(tmp_path):
    folder = write_by_hand(
        tmp_path / "b", int8_file()[0], MINUS_ONE_TO_ONE, labels=LABELS
    )
    _assert_fits((folder / "metadata.json").read_text())
    assert Bundle(folder).metadata.inputs[0].quantization is not None


def _places(value, path=()):
    """Each field of each object in it."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(value, dict):
            yield (*path, key)
        if isinstance(item, dict | list):
            yield from _places(item, (*path, key))


def _at(value, path):
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize(
    "path", list(_places(_object())), ids=lambda path: ".".join(map(str, path))
)
def test_each_field_must_be_there_and_of_its_type(path):
    wrong = [True, 1.5, -1, "", "x", [], {}, [None], 1e308, float("nan")]
    if _at(_object(), path) is not None:
        wrong.append(None)
    told = _object()
    del _at(told, path[:-1])[path[-1]]
    with pytest.raises(ValueError, match=f"the file.* to have a field '{path[-1]}'"):
        _read(told)
    refused = 0
    for value in wrong:
        told = _object()
        _at(told, path[:-1])[path[-1]] = value
        try:
            _read(told)
        except ValueError as error:
            assert "the file" in str(error)  # noqa: PT017 - some are no error.
            refused += 1
        else:
            # Then it is a value that the schema allows as well.
            jsonschema.validate(told, SCHEMA)
    assert refused >= 5


@pytest.mark.parametrize(
    ("path", "value", "fragment"),
    [
        (["format"], "another", "format, to be 'keras-rbcn-bundle'"),
        (["format_version"], 2, "version 1 or older, received: 2.*update"),
        (["format_version"], 0, "an integer from 1"),
        (["model", "sha256"], "A" * 64, "64 hexadecimal digits"),
        (["model", "sha256"], "a" * 63, "64 hexadecimal digits"),
        (["model", "runtime"], "coreml", "one of lce, litert"),
        (["inputs", 0, "shape"], [1, 8, 12, 4], "image, to be null"),
        (["inputs", 0, "shape"], [2, 8, 12, 3], "image, to be null"),
        (["inputs", 0, "dtype"], "int32", "image, to be null"),
        (["inputs", 0, "quantization"], None, "image, to be null"),
        (["inputs", 0, "image", "color"], "grayscale", "one of rgb"),
        (["inputs", 0, "image", "pixel_range"], [0, 1], r"\[0, 255\]"),
        (["inputs", 0, "image", "mean"], [1, 2], "3 numbers"),
        (["inputs", 0, "image", "std"], [1, 0, 2], "3 positive numbers"),
        (["inputs", 0, "image", "range"], [-1, 1], "as its mean and std say"),
        (["inputs", 0, "image", "resize", "method"], "nearest", "one of bilinear"),
        (["inputs", 0, "image", "resize", "aspect"], "pad", "one of stretch, crop"),
        (["inputs", 0, "image", "resize", "aspect"], "stretch", "fraction, to be null"),
        (["inputs", 0, "image", "resize", "fraction"], 1.1, "at most 1"),
        (["outputs", 0, "kind"], "other", "labels, to be null"),
        (["outputs", 1, "kind"], "logits", "kind, to be other"),
        (["outputs", 0, "shape"], [1, 1], "kind, to be other"),
        (["inputs"], [], "a list of objects"),
        (["outputs"], [5], r"outputs\[0\] to be an object"),
        (["model", "bytes"], 10**400, None),
        (["inputs", 0, "quantization", "scale"], 10**400, "a positive number"),
    ],
)
def test_what_is_refused(path, value, fragment):
    told = copy.deepcopy(_object())
    _at(told, path[:-1])[path[-1]] = value
    if fragment is None:
        assert _read(told).model.bytes == value
        return
    with pytest.raises(ValueError, match=f"the file.*{fragment}"):
        _read(told)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"a": NaN}', b"[" * 99999, b'"text"'],
    ids=["empty", "cut", "list", "null", "no UTF-8", "NaN", "deep", "string"],
)
def test_what_is_no_object(content):
    with pytest.raises(ValueError, match="Expected the file to be"):
        _read(content)
