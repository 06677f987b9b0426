"""Reads bundles, and runs the model as the metadata says."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from keras_rbcn._checks import check_positive_integer
from keras_rbcn.bundle.labels import read_labels
from keras_rbcn.bundle.metadata import (
    LOGITS,
    METADATA_NAME,
    OTHER,
    Input,
    Metadata,
    Output,
    Value,
)
from keras_rbcn.bundle.values import inputs_of, outputs_of
from keras_rbcn.signing.folders import MODEL_SUFFIX
from keras_rbcn.signing.reading import read_bundle
from keras_rbcn.tflite.interpreter import TFLiteModel


class Prediction(NamedTuple):
    """A class, and how much the model takes an image for one of it.

    Args:
        label: The class's name; its number, if the bundle has no names.
        score: From 0 to 1.

    Example:
        >>> label, score = Prediction("cat", 0.75)
        >>> label
        'cat'
    """

    label: str
    score: float


class Bundle:
    """A bundle that `export_bundle` wrote, read into memory, checked, ready to run.

    All files are read once. If there is a key, they are verified before anything else
    looks at them. The model must be the one that `metadata.json` names by its SHA-256,
    with the inputs and outputs that are told there.

    Args:
        path: The folder, or an encrypted bundle.
        verify_key: Path of the public key in PEM that it was signed with; it is not
            verified if None.
        decryption_key: As `key` of `signing.decrypt`, for an encrypted bundle.

    Raises:
        signing.SignatureError: If there is a `verify_key`, and the bundle is not signed
            with it, or was altered.
        signing.EncryptionError: If there is a `decryption_key`, and it is not the
            bundle's, or the bundle was altered.
        FileNotFoundError: If there is nothing at the path.
        ValueError: If it is no bundle of `export_bundle`, is incomplete, was written in
            a newer format, or its files contradict each other.

    Example:
        >>> student = keras.Sequential([
        ...     keras.Input((8, 8, 3)),
        ...     keras.layers.GlobalAveragePooling2D(),
        ...     keras.layers.Dense(2),
        ... ])
        >>> report = export_bundle(
        ...     student,
        ...     "pets",
        ...     labels=["cat", "dog"],
        ...     preprocessing=ImagePreprocessing.from_range(-1, 1),
        ...     verify_data=np.zeros((1, 8, 8, 3)),
        ... )
        >>> bundle = Bundle("pets")
        >>> photo = np.full((480, 640, 3), 200, "uint8")
        >>> [prediction.label for prediction in bundle.classify(photo)]
        ['cat', 'dog']
        >>> bundle.preprocess(photo).shape
        (1, 8, 8, 3)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        verify_key: str | os.PathLike[str] | None = None,
        decryption_key: str | os.PathLike[str] | bytes | None = None,
    ) -> None:
        self._source = f"bundle '{os.fspath(path)}'"
        if verify_key is None and decryption_key is None:
            self._check_is_bundle(Path(path))
        contents = read_bundle(Path(path), verify_key, decryption_key=decryption_key)
        self._files = MappingProxyType(contents)
        self._metadata = Metadata.from_json(
            self._file(METADATA_NAME), f"'{METADATA_NAME}' of {self._source}"
        )
        self._model = self._read_model()
        self._labels = self._read_labels()

    @property
    def metadata(self) -> Metadata:
        """What `metadata.json` says."""
        return self._metadata

    @property
    def model(self) -> TFLiteModel:
        """The model, which takes what `preprocess` returns."""
        return self._model

    @property
    def labels(self) -> list[str] | None:
        """The names of the classes, in the order of their numbers; None without."""
        return None if self._labels is None else list(self._labels)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that the model takes.

        Raises:
            ValueError: If the bundle does not say how images become inputs.
        """
        height, width, channels = self._image_input()[0].shape[1:]
        return height, width, channels

    @property
    def files(self) -> Mapping[str, bytes]:
        """The contents of all files by name, as they were verified."""
        return self._files

    def preprocess(self, images: Any) -> np.ndarray:
        """Turns images into what the model takes.

        Args:
            images: One image of any size: uint8, `(height, width, 3)`, red, green and
                blue; or `(height, width, 1)` or `(height, width)`, grey. Or a list of
                such images, of different sizes perhaps; or an array of them,
                `(images, height, width, channels)`.

        Returns:
            Array `(images, height, width, channels)` of the type of the model's input.

        Raises:
            TypeError: If an image is not of type uint8.
            ValueError: If the bundle does not say how images become inputs, or an
                image has another shape.
        """
        value, preprocessing = self._image_input()
        height, width, channels = self.image_shape
        prepared = np.stack(
            [
                preprocessing.apply(image, (height, width), channels)
                for image in _as_images(images)
            ]
        )
        if value.quantization is None:
            return prepared
        return value.quantization.to_integers(prepared, np.dtype(value.dtype))

    def classify(self, image: Any, top: int = 5) -> list[Prediction]:
        """Classifies one image.

        Args:
            image: As for `preprocess`.
            top: How many classes to return at most.

        Returns:
            The classes with the largest scores, the largest first; of equal ones, that
            with the smaller number. Logits become probabilities by a softmax.

        Raises:
            TypeError: If the image is not of type uint8.
            ValueError: If the bundle does not say how images become inputs, its model
                does not have one output of scores, or an argument is out of range.
        """
        check_positive_integer("top", top)
        number, output = self._scores_output()
        inputs = self.preprocess(image)
        if len(inputs) != 1:
            raise ValueError(
                f"Expected one image, received {len(inputs)}: classify each by itself."
            )
        outputs = self._model.predict(inputs)
        scores = (outputs if isinstance(outputs, list) else [outputs])[number][0]
        return best_classes(scores, output, self._labels, int(top))

    def _image_input(self) -> tuple[Input, Any]:
        inputs = self._metadata.inputs
        if len(inputs) != 1 or inputs[0].image is None:
            raise ValueError(
                f"Expected a model of one image, but {self._source} does not say how "
                "an image becomes its inputs. Export it with `preprocessing`, or give "
                "`model.predict` its inputs."
            )
        return inputs[0], inputs[0].image

    def _scores_output(self) -> tuple[int, Output]:
        found = [
            (number, output)
            for number, output in enumerate(self._metadata.outputs)
            if output.kind != OTHER
        ]
        if len(found) != 1:
            raise ValueError(
                f"Expected a model with one output of scores, but that of "
                f"{self._source} has {len(found)}: use `model.predict`."
            )
        return found[0]

    def _check_is_bundle(self, path: Path) -> None:
        """Tells what is no bundle before all that lies in the folder is read."""
        if path.is_dir() and not (path / METADATA_NAME).exists():
            raise self._lacks(METADATA_NAME)
        is_model = path.is_file() and path.suffix == MODEL_SUFFIX
        if is_model and not (path.parent / METADATA_NAME).exists():
            raise ValueError(
                f"Expected the folder of a bundle, or a {MODEL_SUFFIX} file in one, "
                f"received a file that has no '{METADATA_NAME}' beside it: "
                f"path={str(path)!r}. Run it by `TFLiteModel`, or write its model by "
                "`export_bundle`."
            )

    def _file(self, name: str) -> bytes:
        try:
            return self._files[name]
        except KeyError:
            raise self._lacks(name) from None

    def _lacks(self, name: str) -> ValueError:
        return ValueError(
            f"Expected {self._source} to hold '{name}': it is incomplete, or was "
            "not written by export_bundle."
        )

    def _read_model(self) -> TFLiteModel:
        told = self._metadata.model
        content = self._file(told.file)
        digest = hashlib.sha256(content).hexdigest()
        if digest != told.sha256 or len(content) != told.bytes:
            raise ValueError(
                f"Expected '{told.file}' of {self._source} to be the model that its "
                f"metadata were written for, of SHA-256 {told.sha256}, received: "
                f"{digest}. It was altered or exchanged."
            )
        model = TFLiteModel(content)
        for kind, values, actual in (
            ("input", self._metadata.inputs, inputs_of(model)),
            ("output", self._metadata.outputs, outputs_of(model)),
        ):
            received = [_plain_value(value) for value in values]
            if received != actual:
                raise ValueError(
                    f"Expected the {kind}s in the metadata of {self._source} to be "
                    f"those of the model, {actual}, received: {received}."
                )
        return model

    def _read_labels(self) -> list[str] | None:
        """The labels of the output that has some."""
        found = None
        for output in self._metadata.outputs:
            if output.labels is None:
                continue
            source = f"'{output.labels}' of {self._source}"
            labels = read_labels(self._file(output.labels), source)
            if len(labels) != output.shape[1]:
                raise ValueError(
                    f"Expected {source} to hold a label for each score of output "
                    f"'{output.name}', of shape {output.shape}, received: "
                    f"{len(labels)} labels."
                )
            found = labels
        return found


def _plain_value(value: Value) -> Value:
    return Value(value.name, value.shape, value.dtype, value.quantization)


def _as_images(images: Any) -> list[Any]:
    if isinstance(images, list | tuple) and images:
        return list(images)
    array = np.asarray(images)
    return list(array) if array.ndim == 4 and len(array) else [array]


def best_classes(
    scores: np.ndarray, output: Output, labels: Sequence[str] | None, top: int
) -> list[Prediction]:
    """The classes with the largest scores, as `Bundle.classify` returns them.

    Args:
        scores: Array `(classes,)`, of the output's type.
        output: What the scores are.
        labels: The names of the classes; None for their numbers.
        top: How many classes at most.
    """
    if output.quantization is not None:
        scores = output.quantization.to_numbers(scores)
    if output.kind == LOGITS:
        scores = _softmax(scores)
    best = np.argsort(-scores, kind="stable")[:top]
    names = labels or list(map(str, range(len(scores))))
    return [Prediction(names[number], float(scores[number])) for number in best]


def _softmax(scores: np.ndarray) -> np.ndarray:
    exponentials = np.exp(scores.astype(np.float64) - np.max(scores))
    return exponentials / exponentials.sum()
