"""What `metadata.json` in a bundle says, as objects, and as JSON.

`docs/deploy.md` tells what the fields mean, `docs/bundle_metadata.schema.json` what
they look like. `FORMAT_VERSION` goes up whenever an app that knows the fields of today
would compute something wrong from the file; fields that it does not know do no harm.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from keras_rbcn.bundle.fields import Fields
from keras_rbcn.bundle.preprocessing import COLORS, WHITE, ImagePreprocessing
from keras_rbcn.tflite.quantization import Quantization

FORMAT = "keras-rbcn-bundle"
FORMAT_VERSION = 1
METADATA_NAME = "metadata.json"
LOGITS, PROBABILITIES, OTHER = KINDS = ("logits", "probabilities", "other")
RUNTIMES = ("lce", "litert")
QUANTIZED_TYPES = ("int8", "uint8")
# How far the range may be from what mean and standard deviation say, as a share of it.
_TOLERANCE = 1e-5


@dataclass(frozen=True)
class ModelFile:
    """The .tflite file of a bundle.

    Attributes:
        file: Its name in the bundle.
        sha256: Hexadecimal digest of its bytes.
        bytes: How many there are.
        runtime: What it was made for, as in `export_tflite`.
    """

    file: str
    sha256: str
    bytes: int
    runtime: str


@dataclass(frozen=True)
class Value:
    """An input or an output of the model.

    Attributes:
        name: Its name.
        shape: Its shape, with the batch of one.
        dtype: Its element type.
        quantization: What its integers stand for; None if they stand for themselves, or
            the type is no integer.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None


@dataclass(frozen=True)
class Input(Value):
    """An input of the model.

    Attributes:
        image: How an image becomes this input; None if nothing is known.
    """

    image: ImagePreprocessing | None


@dataclass(frozen=True)
class Output(Value):
    """An output of the model.

    Attributes:
        kind: `"logits"`, scores that a softmax makes probabilities; `"probabilities"`,
            scores from 0 to 1; `"other"`.
        labels: Name of the file in the bundle with the names of the classes, a line
            each, in the order of the scores; None if there is none.
    """

    kind: str
    labels: str | None


@dataclass(frozen=True)
class Metadata:
    """All that `metadata.json` says.

    Attributes:
        name: What the model is called.
        created_by: Name and version of the package that wrote the bundle.
        model: The file.
        inputs: Its inputs, in the order of the file.
        outputs: Its outputs, in the order of the file.
    """

    name: str
    created_by: str
    model: ModelFile
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]

    def to_json(self) -> str:
        """The text of the file: the same for the same model, whenever it is written."""
        return json.dumps(_to_object(self), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, content: bytes, source: str) -> Metadata:
        """Reads the file.

        Args:
            content: Its bytes.
            source: What to call it in messages.

        Raises:
            ValueError: If it is not what this version writes; names the field.
        """
        fields = Fields.from_json(content, source)
        _check_version(fields, source)
        return cls(
            fields.text("name"),
            fields.text("created_by"),
            _read_model(fields.object("model")),
            tuple(map(_read_input, fields.objects("inputs"))),
            tuple(map(_read_output, fields.objects("outputs"))),
        )


def is_scores(shape: tuple[Any, ...]) -> bool:
    """Whether the shape is `(batch, classes)`, for two classes or more."""
    return len(shape) == 2 and shape[1] is not None and shape[1] > 1


def takes_images(value: Value) -> bool:
    """Whether an input is one image, in numbers that pixels can become."""
    shape = value.shape
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in COLORS:
        return False
    if value.quantization is None:
        return value.dtype == "float32"
    return value.dtype in QUANTIZED_TYPES


def _to_object(metadata: Metadata) -> dict[str, Any]:
    model = metadata.model
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": metadata.name,
        "created_by": metadata.created_by,
        "model": {
            "file": model.file,
            "sha256": model.sha256,
            "bytes": model.bytes,
            "runtime": model.runtime,
        },
        "inputs": [
            _value_object(value) | {"image": _image_object(value)}
            for value in metadata.inputs
        ],
        "outputs": [
            _value_object(value) | {"kind": value.kind, "labels": value.labels}
            for value in metadata.outputs
        ],
    }


def _value_object(value: Value) -> dict[str, Any]:
    quantization = value.quantization
    return {
        "name": value.name,
        "shape": list(value.shape),
        "dtype": value.dtype,
        "quantization": quantization
        and {"scale": quantization.scale, "zero_point": quantization.zero_point},
    }


def _image_object(value: Input) -> dict[str, Any] | None:
    if value.image is None:
        return None
    channels = value.shape[-1]
    mean, std = value.image.for_channels(channels)
    fraction = value.image.crop_fraction
    return {
        "color": COLORS[channels],
        "pixel_range": [0, WHITE],
        "mean": mean,
        "std": std,
        "range": _value_range(mean, std),
        "resize": {
            "method": "bilinear",
            "aspect": "stretch" if fraction is None else "crop",
            "fraction": fraction,
        },
    }


def _value_range(mean: list[float], std: list[float]) -> list[float]:
    """The smallest and the largest value that a pixel can become."""
    channels = list(zip(mean, std, strict=True))
    return [
        min((0 - center) / scale for center, scale in channels),
        max((WHITE - center) / scale for center, scale in channels),
    ]


def _check_version(fields: Fields, source: str) -> None:
    if fields.text("format") != FORMAT:
        raise fields.refuse("format", f"'{FORMAT}'")
    version = fields.integer("format_version", 1)
    if version > FORMAT_VERSION:
        raise ValueError(
            f"Expected {source} to be of format version {FORMAT_VERSION} or older, "
            f"received: {version}. It was written by a newer keras_rbcn: update this "
            "one."
        )


def _read_model(fields: Fields) -> ModelFile:
    digest = fields.text("sha256")
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise fields.refuse("sha256", "64 hexadecimal digits in small letters")
    return ModelFile(
        fields.text("file"),
        digest,
        fields.integer("bytes", 1),
        fields.choice("runtime", RUNTIMES),
    )


def _read_value(fields: Fields) -> Value:
    return Value(
        fields.text("name"),
        fields.sizes("shape"),
        fields.text("dtype"),
        fields.optional(
            "quantization", lambda name: _read_quantization(fields.object(name))
        ),
    )


def _read_quantization(fields: Fields) -> Quantization:
    return Quantization(
        fields.number("scale", positive=True), fields.integer("zero_point")
    )


def _read_input(fields: Fields) -> Input:
    value = _read_value(fields)

    def read(name: str) -> ImagePreprocessing:
        if not takes_images(value):
            raise fields.refuse(
                name, f"null for an input of shape {value.shape} and {value.dtype}"
            )
        return _read_image(fields.object(name), value.shape[3])

    return Input(**vars(value), image=fields.optional("image", read))


def _read_image(fields: Fields, channels: int) -> ImagePreprocessing:
    fields.choice("color", [COLORS[channels]])
    if fields.numbers("pixel_range", 2) != [0, WHITE]:
        raise fields.refuse("pixel_range", f"[0, {WHITE}]")
    mean = fields.numbers("mean", channels)
    std = fields.numbers("std", channels, positive=True)
    expected, received = _value_range(mean, std), fields.numbers("range", 2)
    tolerance = _TOLERANCE * (expected[1] - expected[0])
    if not all(
        math.isclose(a, b, rel_tol=0, abs_tol=tolerance)
        for a, b in zip(expected, received, strict=True)
    ):
        raise fields.refuse("range", f"{expected}, as its mean and std say")
    return ImagePreprocessing(mean, std, _read_resize(fields.object("resize")))


def _read_resize(fields: Fields) -> float | None:
    """The fraction that is cut out."""
    fields.choice("method", ["bilinear"])
    if fields.choice("aspect", ["stretch", "crop"]) == "stretch":
        if fields.optional("fraction", fields.number) is not None:
            raise fields.refuse("fraction", "null where nothing is cut off")
        return None
    fraction = fields.number("fraction", positive=True)
    if fraction > 1:
        raise fields.refuse("fraction", "at most 1")
    return fraction


def _read_output(fields: Fields) -> Output:
    value = _read_value(fields)
    kind = fields.choice("kind", KINDS)
    if kind != OTHER and not is_scores(value.shape):
        raise fields.refuse("kind", f"{OTHER} for an output of shape {value.shape}")
    labels = fields.optional("labels", fields.text)
    if kind == OTHER and labels is not None:
        raise fields.refuse("labels", f"null for an output of the kind {OTHER}")
    return Output(**vars(value), kind=kind, labels=labels)
