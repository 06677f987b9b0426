"""What tells one data set from another: SHA-256 of what is in it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn._files import file_digest


def fingerprint(data: Any) -> str:
    """SHA-256 of the contents of a data set, to write down what a model was trained on.

    The same samples in the same order have the same fingerprint, as arrays or as
    batches of any size; those of files have others. So take it of the data before they
    are shuffled, repeated or augmented at random. All data are read once.

    Args:
        data: Arrays with the samples along the first axis, in tuples, lists and
            dictionaries if there are several, such as the `Arrays` and `Splits` of
            `keras_rbcn.datasets`; a `tf.data.Dataset` or `keras.utils.Sequence` of
            batches of such; or the path of a file, whose bytes count, or of a folder,
            of which the files and their names count. What begins with a dot is left
            aside in a folder.

    Returns:
        64 hexadecimal digits; of a file those that `sha256sum` prints.

    Raises:
        TypeError: If it is none of these.
        FileNotFoundError: If there is no such file or folder.
        ValueError: If a dataset repeats for ever, an array has no axis of samples, or
            batches differ in type, structure or in the shape of a sample.

    Example:
        >>> x, y = np.zeros((6, 2), "float32"), np.arange(6)
        >>> batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
        >>> fingerprint((x, y)) == fingerprint(batches)
        True
        >>> fingerprint((x, y)) == fingerprint((x, y + 1))
        False
    """
    if isinstance(data, str | os.PathLike):
        return _of_path(Path(data))
    return hashlib.sha256(json.dumps(_described(data)).encode()).hexdigest()


def _of_path(path: Path) -> str:
    if path.is_file():
        return file_digest(path)
    if not path.is_dir():
        raise FileNotFoundError(
            f"Expected `data` to be an existing file or folder, received: "
            f"data={str(path)!r}."
        )
    names = {
        file.relative_to(path).as_posix(): file
        for file in path.rglob("*")
        if file.is_file()
    }
    digests = {
        name: file_digest(file)
        for name, file in sorted(names.items())
        if not any(part.startswith(".") for part in name.split("/"))
    }
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()


def _described(data: Any) -> Any:
    """The data with a description of each array, its digest included, in its place."""
    if isinstance(data, tf.data.Dataset):
        if int(data.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "Expected data that end, to take their fingerprint, received a dataset "
                "that repeats for ever. Take it before `repeat()`."
            )
        return _of_batches(data.as_numpy_iterator())
    if isinstance(data, keras.utils.Sequence):
        return _of_batches(data[number] for number in range(len(data)))
    if isinstance(data, Mapping | tuple | list):
        return _mapped(_described, data)
    column = _Column(data)
    column.add(data)
    return column.described()


def _of_batches(batches: Iterable[Any]) -> Any:
    columns = None
    for batch in batches:
        if columns is None:
            columns = _mapped(_Column, batch)
        there, here = list(_leaves(columns)), list(_leaves(batch))
        if len(there) != len(here):
            raise ValueError(
                "Expected batches of the same structure, received one with "
                f"{len(there)} arrays and one with {len(here)}."
            )
        for column, array in zip(there, here, strict=True):
            column.add(array)
    return _mapped(_Column.described, columns)


def _mapped(function: Callable[[Any], Any], data: Any) -> Any:
    """Applies a function to what is in a structure; tuples become lists."""
    if isinstance(data, Mapping):
        return {str(name): _mapped(function, data[name]) for name in sorted(data)}
    if isinstance(data, tuple | list):
        return [_mapped(function, one) for one in data]
    return None if data is None else function(data)


def _leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, Mapping):
        data = [data[name] for name in sorted(data)]
    if isinstance(data, tuple | list):
        for one in data:
            yield from _leaves(one)
    elif data is not None:
        yield data


class _Column:
    """The values of one array of all samples, given batch by batch.

    Args:
        array: One of the batches, which tells type and shape of a sample.
    """

    def __init__(self, array: Any) -> None:
        self._kind = self._kind_of(_checked(array))
        self._count = 0
        self._digest = hashlib.sha256()

    def add(self, array: Any) -> None:
        """Adds a batch."""
        values = _checked(array)
        if self._kind_of(values) != self._kind:
            raise ValueError(
                "Expected samples of one type and shape, received "
                f"{self._kind} and {self._kind_of(values)}."
            )
        self._count += len(values)
        self._digest.update(_bytes_of(values))

    def described(self) -> list[Any]:
        """Type and shape of a sample, number of samples, and their digest."""
        return [*self._kind, self._count, self._digest.hexdigest()]

    @staticmethod
    def _kind_of(array: np.ndarray) -> list[Any]:
        return [_type_of(array), list(array.shape[1:])]


def _checked(array: Any) -> np.ndarray:
    if not hasattr(array, "shape") or not hasattr(array, "__array__"):
        raise TypeError(
            "Expected `data` to be arrays, a tf.data.Dataset, a keras.utils.Sequence "
            f"or a path, received: {type(array).__name__}."
        )
    values = np.asarray(array)
    if not values.ndim:
        raise ValueError(
            "Expected arrays with the samples along the first axis, or batches of "
            f"samples, received a single number: {values}."
        )
    return values


def _is_text(array: np.ndarray) -> bool:
    return array.dtype.kind in "OSU"  # TensorFlow's strings are objects.


def _type_of(array: np.ndarray) -> str:
    return "text" if _is_text(array) else str(array.dtype.name)


def _bytes_of(array: np.ndarray) -> Any:
    if _is_text(array):
        texts = (
            one if isinstance(one, bytes) else str(one).encode() for one in array.flat
        )
        # With their lengths, so that it counts where one ends.
        return b"".join(len(text).to_bytes(8, "little") + text for text in texts)
    ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return np.ascontiguousarray(ordered).reshape(-1).view(np.uint8)
