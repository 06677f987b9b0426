"""Writes examples/vectors/vectors.json: what the sample apps must compute.

    python tests/examples/vectors.py

They are read by the tests of the sample apps, in Kotlin, in C++ and in Python.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from keras_rbcn import ImagePreprocessing
from keras_rbcn.bundle.metadata import Input, Metadata, ModelFile, Output
from keras_rbcn.bundle.reading import best_classes
from keras_rbcn.tflite.quantization import Quantization

PATH = Path(__file__).parents[2] / "examples" / "vectors" / "vectors.json"
_ORIENTATION = 0x0112
_INT8 = Quantization(float(np.float32(1 / 64)), -5)
_UINT8 = Quantization(float(np.float32(0.02)), 127)
_IMAGENET = ImagePreprocessing([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
_SYMMETRIC = ImagePreprocessing.from_range(-1, 1)


def vectors():
    """All of them, as one object."""
    return {
        "images": [_image_case(*case) for case in _IMAGES],
        "scores": [_scores_case(*case) for case in _SCORES],
        "orientations": [_orientation_case(value) for value in range(1, 9)],
        "metadata": [_metadata_case(*case) for case in _METADATA],
    }


# What it shows, height and width of the image and of the input, channels, how, type.
_IMAGES = [
    ("smaller", (7, 9), (4, 5), 3, _SYMMETRIC, "float32", None),
    ("larger", (2, 3), (5, 4), 3, _SYMMETRIC, "float32", None),
    ("as it is", (3, 4), (3, 4), 3, _IMAGENET, "float32", None),
    ("much smaller", (40, 31), (2, 3), 3, _IMAGENET, "float32", None),
    ("one pixel", (1, 1), (2, 2), 3, _SYMMETRIC, "float32", None),
    ("grey", (5, 6), (4, 4), 1, ImagePreprocessing(0, 255), "float32", None),
    (
        "middle of a wide image",
        (9, 16),
        (4, 4),
        3,
        ImagePreprocessing(0, 1, 0.875),
        "float32",
        None,
    ),
    (
        "middle of a high image",
        (17, 8),
        (3, 5),
        1,
        ImagePreprocessing(127.5, 127.5, 0.6),
        "float32",
        None,
    ),
    ("int8", (7, 9), (4, 5), 3, _SYMMETRIC, "int8", _INT8),
    ("int8 beyond its ends", (6, 6), (6, 6), 3, _IMAGENET, "int8", _INT8),
    ("uint8", (7, 9), (4, 5), 1, _SYMMETRIC, "uint8", _UINT8),
]


def _image_case(name, image_size, size, channels, preprocessing, dtype, quantization):
    seed = sum(map(ord, name))
    image = np.random.default_rng(seed).integers(0, 256, (*image_size, 3))
    image = image.astype(np.uint8)
    value = Input("image", (1, *size, channels), dtype, quantization, preprocessing)
    expected = preprocessing.apply(image, size, channels)
    if quantization is not None:
        expected = quantization.to_integers(expected, np.dtype(dtype))
    return {
        "name": name,
        "input": _object([value], [])["inputs"][0],
        "height": image_size[0],
        "width": image_size[1],
        "pixels": image.ravel().tolist(),
        "expected": expected.ravel().tolist(),
    }


# What it shows, kind, type, quantization, scores, labels.
_SCORES = [
    ("logits", "logits", "float32", None, [-1.0, 2.5, 0.25], ["a", "b", "c d"]),
    ("large", "logits", "float32", None, [1000.0, 998.0, -1000.0], ["a", "b", "c"]),
    ("equal", "logits", "float32", None, [1.0, 2.0, 2.0, 1.0], None),
    ("shares", "probabilities", "float32", None, [0.25, 0.75], ["ä", "ö"]),
    (
        "int8 shares",
        "probabilities",
        "int8",
        Quantization(1 / 256, -128),
        [-128, 127, 0],
        ["a", "b", "c"],
    ),
    ("uint8", "logits", "uint8", Quantization(0.5, 100), [255, 0, 104], None),
]


def _scores_case(name, kind, dtype, quantization, scores, labels):
    output = Output(
        "scores",
        (1, len(scores)),
        dtype,
        quantization,
        kind,
        labels and "labels.txt",
    )
    best = best_classes(np.array(scores, dtype), output, labels, top=2)
    return {
        "name": name,
        "output": _object([], [output])["outputs"][0],
        "scores": scores,
        "labels": labels,
        "top": 2,
        "expected": [{"label": p.label, "score": p.score} for p in best],
    }


def _orientation_case(orientation):
    """An image that lies as a camera stores it, and how Pillow turns it upright."""
    stored = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.fromarray(stored)
    image.getexif()[_ORIENTATION] = orientation
    return {
        "orientation": orientation,
        "stored": stored.tolist(),
        "upright": np.asarray(ImageOps.exif_transpose(image)).tolist(),
    }


def _metadata_case(name, model, value, outputs):
    metadata = Metadata(name, "a test", model, (value,), outputs)
    return {
        "name": name,
        "written": json.loads(metadata.to_json()),
        "expected": understood(metadata),
    }


_METADATA = [
    (
        "Bär",
        ModelFile("pets.tflite", "5a" * 32, 12345, "lce"),
        Input(
            "image",
            (1, 8, 12, 3),
            "int8",
            _INT8,
            ImagePreprocessing([123.675, 116.28, 103.53], [58.4, 57.1, 57.4], 0.875),
        ),
        (
            Output("features", (1, 4, 4, 8), "float32", None, "other", None),
            Output("scores", (1, 3), "uint8", _UINT8, "logits", "labels.txt"),
        ),
    ),
    (
        "plain",
        ModelFile("model.tflite", "0f" * 32, 7, "litert"),
        Input("image", (1, 5, 4, 1), "float32", None, ImagePreprocessing(0, 255)),
        (Output("scores", (1, 2), "float32", None, "probabilities", None),),
    ),
]


def understood(metadata):
    """What an app must understand of a metadata.json with one output of scores."""
    (value,) = metadata.inputs
    ((index, scores),) = (
        (index, output)
        for index, output in enumerate(metadata.outputs)
        if output.kind != "other"
    )
    _, height, width, channels = value.shape
    mean, std = value.image.for_channels(channels)
    return {
        "name": metadata.name,
        "model_file": metadata.model.file,
        "sha256": metadata.model.sha256,
        "bytes": metadata.model.bytes,
        "runtime": metadata.model.runtime,
        "input": {
            "height": height,
            "width": width,
            "channels": channels,
            "dtype": value.dtype,
            "quantization": _quantization(value),
            "mean": mean,
            "std": std,
            "crop_fraction": value.image.crop_fraction,
        },
        "output": {
            "index": index,
            "classes": scores.shape[1],
            "dtype": scores.dtype,
            "quantization": _quantization(scores),
            "is_logits": scores.kind == "logits",
            "labels_file": scores.labels,
        },
    }


def _quantization(value):
    if value.quantization is None:
        return None
    return {
        "scale": value.quantization.scale,
        "zero_point": value.quantization.zero_point,
    }


def _object(inputs, outputs):
    model = ModelFile("model.tflite", "0" * 64, 1, "lce")
    metadata = Metadata("vectors", "a test", model, tuple(inputs), tuple(outputs))
    return json.loads(metadata.to_json())


def text():
    """The text of the file, a case a line."""
    parts = [
        f"{json.dumps(name)}: [\n"
        + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
        + "\n]"
        for name, cases in vectors().items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def assert_close(written, computed):
    """Equal, but for the rounding of another processor."""
    assert type(written) is type(computed)
    if isinstance(written, dict):
        assert written.keys() == computed.keys()
        for key, value in written.items():
            assert_close(value, computed[key])
    elif isinstance(written, list) and written and isinstance(written[0], float):
        scale = max(map(abs, computed))
        np.testing.assert_allclose(written, computed, rtol=0, atol=1e-6 * scale)
    elif isinstance(written, list):
        assert len(written) == len(computed)
        for one, other in zip(written, computed, strict=True):
            assert_close(one, other)
    elif isinstance(written, float):
        assert abs(written - computed) < 1e-6
    else:
        assert written == computed


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
