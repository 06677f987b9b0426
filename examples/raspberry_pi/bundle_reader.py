"""A bundle of keras_rbcn, read and used with NumPy and nothing of TensorFlow.

It computes what `keras_rbcn.Bundle` computes; a test holds it to that.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

METADATA = "metadata.json"
FORMAT = "keras-rbcn-bundle"
FORMAT_VERSION = 1
# Red, green and blue in grey, in thousandths.
_GREY = np.array([299, 587, 114], np.int32)


class BundleError(Exception):
    """What is wrong with a bundle."""


class Bundle:
    """A bundle's metadata, model and labels.

    Args:
        folder: The folder of the bundle.

    Raises:
        BundleError: If it is none, is one that this program does not know, or holds
            another model than its metadata tell of.
    """

    def __init__(self, folder):
        folder = Path(folder)
        if not (folder / METADATA).is_file():
            raise BundleError(
                f"'{folder}' is no bundle: there is no file '{folder / METADATA}'"
            )
        try:
            metadata = json.loads((folder / METADATA).read_bytes())
            _check_version(metadata)
            told = metadata["model"]
            self.name = metadata["name"]
            self.runtime = told["runtime"]
            self.model = (folder / told["file"]).read_bytes()
            if hashlib.sha256(self.model).hexdigest() != told["sha256"]:
                raise BundleError(f"'{told['file']}' was exchanged")
            (self.input,) = metadata["inputs"]
            self.output_number, self.output = _scores_output(metadata["outputs"])
            self.labels = _read_labels(folder, self.output)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BundleError(f"'{folder}' is no bundle: {error!r}") from error
        if self.input["image"] is None:
            raise BundleError(f"'{folder}' does not tell how images become inputs")

    def preprocess(self, image):
        """Turns the pixels of an image into what the model takes.

        Args:
            image: uint8 array `(height, width, 3)`, red, green and blue.

        Returns:
            Array `(1, height, width, channels)` of the type of the model's input.
        """
        told = self.input["image"]
        _, height, width, channels = self.input["shape"]
        if channels == 1:
            image = ((image @ _GREY + 500) // 1000)[..., np.newaxis]
        pixels = _window(image, (height, width), told["resize"])
        resized = _resized(pixels.astype(np.float32), height, width)
        mean, std = np.float32(told["mean"]), np.float32(told["std"])
        values = ((resized - mean) / std)[np.newaxis]
        if self.input["quantization"] is None:
            return values
        return _to_integers(values, self.input)

    def best(self, scores, top=5):
        """The classes with the largest scores, as pairs of label and score.

        Args:
            scores: The output of the model, `(1, classes)`.
            top: How many classes at most.
        """
        scores = scores[0]
        quantization = self.output["quantization"]
        if quantization is not None:
            steps = scores.astype(np.int32) - quantization["zero_point"]
            scores = steps.astype(np.float32) * np.float32(quantization["scale"])
        if self.output["kind"] == "logits":
            scores = np.exp(scores.astype(np.float64) - scores.max())
            scores /= scores.sum()
        order = np.argsort(-scores, kind="stable")[:top]
        names = self.labels or [str(number) for number in range(len(scores))]
        return [(names[number], float(scores[number])) for number in order]


def _check_version(metadata):
    if metadata["format"] != FORMAT:
        raise BundleError(f"{METADATA} is not that of a bundle")
    if metadata["format_version"] != FORMAT_VERSION:
        raise BundleError(
            f"{METADATA} has format version {metadata['format_version']}, this program "
            f"knows {FORMAT_VERSION}"
        )


def _scores_output(outputs):
    found = [
        (n, output) for n, output in enumerate(outputs) if output["kind"] != "other"
    ]
    if len(found) != 1:
        raise BundleError(f"the model has {len(found)} outputs of scores, not one")
    return found[0]


def _read_labels(folder, output):
    if output["labels"] is None:
        return None
    labels = (
        (folder / output["labels"]).read_text("utf-8").removesuffix("\n").split("\n")
    )
    if len(labels) != output["shape"][1]:
        raise BundleError(
            f"there are {len(labels)} labels for {output['shape'][1]} scores"
        )
    return labels


def _window(image, size, resize):
    """The part of the image that is used."""
    if resize["method"] != "bilinear" or resize["aspect"] not in ("stretch", "crop"):
        raise BundleError(f"this program does not know how to resize: {resize}")
    if resize["aspect"] == "stretch":
        return image
    height, width = np.float32(image.shape[0]), np.float32(image.shape[1])
    ratio = np.float32(size[1] / size[0])
    fraction = np.float32(resize["fraction"])
    rows = max(int(np.rint(min(height, width / ratio) * fraction)), 1)
    columns = max(int(np.rint(min(width, height * ratio) * fraction)), 1)
    top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
    return image[top : top + rows, left : left + columns]


def _resized(image, height, width):
    """Bilinear, without smoothing, pixels counted from their middles."""
    top, bottom, down = _steps(height, image.shape[0])
    left, right, across = _steps(width, image.shape[1])
    down, across = down[:, np.newaxis, np.newaxis], across[:, np.newaxis]

    def row(numbers):
        first, second = image[numbers][:, left], image[numbers][:, right]
        return first + (second - first) * across

    upper, lower = row(top), row(bottom)
    return upper + (lower - upper) * down


def _steps(count, available):
    """The two pixels that each place lies between, and how near it is to the second."""
    scale = np.float32(available / np.float32(count))
    places = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * scale
    places -= np.float32(0.5)
    below = np.floor(places)
    low = np.maximum(below.astype(int), 0)
    high = np.minimum(np.ceil(places).astype(int), available - 1)
    return low, high, places - below


def _to_integers(values, told):
    quantization, limits = told["quantization"], np.iinfo(told["dtype"])
    steps = np.rint(values / np.float32(quantization["scale"]))
    steps += np.float32(quantization["zero_point"])
    return np.clip(steps, limits.min, limits.max).astype(told["dtype"])
