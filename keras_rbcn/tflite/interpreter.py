"""Runs .tflite files, with the operators of Larq Compute Engine or without."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_rbcn.signing.encryption import MAGIC, refuse_encrypted
from keras_rbcn.signing.reading import read_model
from keras_rbcn.tflite import probe
from keras_rbcn.tflite.flatbuffer import Graph, InvalidModelError, parse
from keras_rbcn.tflite.interpreters import (
    INTERPRETERS,
    STOCK_MODULES,
    interpreter_for,
    opener,
)
from keras_rbcn.tflite.packing import check_checksum, with_outputs
from keras_rbcn.tflite.quantization import Quantization
from keras_rbcn.tflite.structure import check, check_operators

# Larger than any model takes for one inference on zeros.
_PROBE_SECONDS = 120


class TFLiteModel:
    """A .tflite file that can be run, Larq Compute Engine's operators included.

    This runs the file for checking: on x86-64 the 1-bit operators are slow, and the
    time they take says nothing about a device.

    A file that keras_rbcn has not written, so that it carries no checksum, is run once
    in a process of its own first: the interpreter is C++ code that trusts its input,
    and a corrupted file would end the process.

    Args:
        path: Path of the file, or its contents as bytes.
        num_threads: Number of threads of the interpreter.
        interpreter: `"larq"` for that of Larq Compute Engine, `"litert"` for that of
            the package ai-edge-litert, `"tensorflow"` for TensorFlow's own; None for
            the one that the file is made for: the first if it holds 1-bit operators,
            else the second if it is installed, else the third.
        verify_key: Path of the public key in PEM that a bundle was signed with. Then
            `path` is the bundle's folder or a .tflite file in it, and the bundle is
            verified before anything else looks at the model.
        decryption_key: As `key` of `signing.decrypt`. Then `path` is an encrypted
            bundle; it is decrypted in memory only.

    Raises:
        signing.SignatureError: If there is a `verify_key`, and the bundle is not
            signed with it, or was altered.
        signing.EncryptionError: If there is a `decryption_key`, and it is not the
            bundle's, or the bundle was altered.
        ImportError: If the interpreter asked for is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a .tflite file, is truncated or corrupted, or holds
            operators that are unknown.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> report = export_tflite(model, "model.tflite", verify_data=np.ones((8, 4)))
        >>> TFLiteModel("model.tflite").predict(np.ones((3, 4))).shape
        (3, 2)
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | bytes,
        num_threads: int = 1,
        interpreter: str | None = None,
        *,
        verify_key: str | os.PathLike[str] | None = None,
        decryption_key: str | os.PathLike[str] | bytes | None = None,
    ) -> None:
        if isinstance(num_threads, bool) or not (
            isinstance(num_threads, int | np.integer) and 1 <= num_threads <= 1024
        ):
            raise ValueError(
                "Expected `num_threads` to be an integer from 1 to 1024, received: "
                f"num_threads={num_threads!r}."
            )
        if interpreter not in (None, *INTERPRETERS):
            raise ValueError(
                f"Expected `interpreter` to be one of {INTERPRETERS}, or None for the "
                f"one that the file is made for, received: interpreter={interpreter!r}."
            )
        if verify_key is not None or decryption_key is not None:
            content, self._source = _read_protected(path, verify_key, decryption_key)
        elif isinstance(path, bytes):
            _refuse_encrypted_content(path)
            content, self._source = path, "the content given"
        else:
            content, self._source = _read(path), f"file '{os.fspath(path)}'"
        try:
            self._graph, self._name, self._open = _load(
                content, num_threads, interpreter
            )
            self._interpreter = self._open(content)
        except InvalidModelError as error:
            raise ValueError(
                f"Expected a .tflite model, but {self._source} {error}"
            ) from None
        self._batch = _static_batch(self.input_shapes, self.output_shapes)
        # What a recurrent layer keeps from one inference to the next.
        self._is_stateful = any(tensor.variable for tensor in self._graph.tensors)
        self._content = content

    @property
    def graph(self) -> Graph:
        """The file's operators and tensors."""
        return self._graph

    @property
    def interpreter(self) -> str:
        """The name of the interpreter that runs the file."""
        return self._name

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in the order of the file."""
        return list(self._graph.input_names)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in the order of the file; see `predict`."""
        return list(self._graph.output_names)

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the inputs, with the batch of the file."""
        return list(self._interpreter.input_shapes)

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the outputs, with the batch of the file."""
        return list(self._interpreter.output_shapes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the only input."""
        return _only(self.input_shapes, "input_shape")

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the only output."""
        return _only(self.output_shapes, "output_shape")

    @property
    def input_dtypes(self) -> list[np.dtype]:
        """Element types of the inputs."""
        return list(self._interpreter.input_dtypes)

    @property
    def output_dtypes(self) -> list[np.dtype]:
        """Element types of the outputs."""
        return list(self._interpreter.output_dtypes)

    @property
    def input_quantizations(self) -> list[Quantization | None]:
        """What the integers of the inputs stand for; None for real numbers."""
        return [self._quantization(index) for index in self._graph.inputs]

    @property
    def output_quantizations(self) -> list[Quantization | None]:
        """What the integers of the outputs stand for; None for real numbers."""
        return [self._quantization(index) for index in self._graph.outputs]

    def _quantization(self, index: int) -> Quantization | None:
        tensor = self._graph.tensors[index]
        if tensor.quantization is None or tensor.dtype.kind not in "iu":
            return None
        return Quantization(*tensor.quantization)

    def predict(self, x: Any) -> Any:
        """Runs the file on any number of samples.

        A file that is given int8, or gives it, is so here too: `input_quantizations`
        and `output_quantizations` tell what the integers stand for.

        Args:
            x: Array `(samples, ...)`; for several inputs a list of arrays in the order
                of `input_names`, or a dictionary of arrays by name.

        Returns:
            Array `(samples, ...)`; for several outputs a list of them, in the order of
            `output_names`, whatever the structure was in Keras, of which a file knows
            nothing. Of a model of `export_tflite`, this is the order in which
            `tf.nest.flatten` has Keras' outputs: that of a list, and that of the
            sorted keys of a dictionary. The names are those of the layers that the
            outputs come from.

        Raises:
            ValueError: If number, names, shapes or element types are not those of the
                file's inputs, or the interpreter fails on them, as on an index beyond
                its table.

        Example:
            >>> inputs = keras.Input((4,))
            >>> dense = keras.layers.Dense
            >>> outputs = {"mask": dense(3)(inputs), "label": dense(2)(inputs)}
            >>> model = keras.Model(inputs, outputs)
            >>> report = export_tflite(model, "two.tflite", verify_data=np.ones((8, 4)))
            >>> received = TFLiteModel("two.tflite").predict(np.ones((5, 4)))
            >>> by_key = dict(zip(sorted(outputs), received))
            >>> by_key["mask"].shape, by_key["label"].shape
            ((5, 3), (5, 2))
        """
        outputs = self._run(x, lambda: self._interpreter)
        return outputs[0] if len(outputs) == 1 else outputs

    def predict_tensors(self, x: Any, tensors: Sequence[int]) -> list[np.ndarray]:
        """Runs the file and reads tensors within it, for checking.

        Args:
            x: As in `predict`.
            tensors: Indices of tensors that operators compute.

        Returns:
            One array for each tensor, the samples along the first axis.
        """
        exposed = self._open(with_outputs(self._content, tensors))
        return self._run(x, lambda: exposed)[len(self.output_names) :]

    def _run(self, x: Any, interpreter: Callable[[], Any]) -> list[np.ndarray]:
        arrays = self._check_inputs(x)
        samples, batch = len(arrays[0]) if arrays[0].ndim else 1, self._batch
        results = []
        for start in range(0, samples, batch or samples):
            part = arrays
            if batch is not None:
                part = [
                    _filled(array[start : start + batch], batch) for array in arrays
                ]
            if self._is_stateful:  # Each sample starts anew, as in Keras.
                self._interpreter = self._open(self._content)
            results.append(self._predicted(interpreter(), part))
        outputs = [np.concatenate(parts) for parts in zip(*results, strict=True)]
        return [output[:samples] for output in outputs] if batch else outputs

    def _predicted(self, interpreter: Any, arrays: list[np.ndarray]) -> Any:
        try:
            return interpreter.predict(arrays)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"Expected inputs that {self._source} can be run on, but its "
                f"interpreter, '{self._name}', fails on these: {reason.rstrip('.')}. "
                "Indices, as of an Embedding, must lie within its table."
            ) from error

    def __repr__(self) -> str:
        inputs = dict(zip(self.input_names, self.input_shapes, strict=True))
        outputs = dict(zip(self.output_names, self.output_shapes, strict=True))
        return f"<TFLiteModel of {self._source}: {inputs} -> {outputs}>"

    def _check_inputs(self, x: Any) -> list[np.ndarray]:
        names, shapes, dtypes = self.input_names, self.input_shapes, self.input_dtypes
        arrays = [np.asarray(value) for value in _as_list(x, names, self._source)]
        arrays = [
            self._check_input(*item)
            for item in zip(arrays, names, shapes, dtypes, strict=True)
        ]
        if self._batch is not None:
            counts = {
                name: len(array) for name, array in zip(names, arrays, strict=True)
            }
            if len(set(counts.values())) > 1 or 0 in counts.values():
                raise ValueError(
                    "Expected the same number of samples, at least one, for every "
                    f"input, received: {counts}."
                )
        return arrays

    def _check_input(
        self, array: np.ndarray, name: str, shape: tuple[int, ...], dtype: np.dtype
    ) -> np.ndarray:
        expected: tuple[Any, ...] = shape
        if self._batch is not None:
            expected = ("samples", *shape[1:])
            fits = array.ndim == len(shape) and array.shape[1:] == shape[1:]
        else:
            fits = array.shape == shape
        if not fits:
            hint = ""
            if array.shape == shape[1:]:
                hint = " Add the axis of the samples: x[np.newaxis]."
            raise ValueError(
                f"Expected input '{name}' of {self._source} to have the shape "
                f"({', '.join(map(str, expected))}), received: "
                f"shape={array.shape}.{hint}"
            )
        # Keras casts real numbers; to integers, a cast could change the values.
        rule: Any = "same_kind" if dtype.kind == "f" else "safe"
        if not np.can_cast(array.dtype, dtype, rule):
            raise ValueError(
                f"Expected input '{name}' of {self._source} to have the element type "
                f"{dtype}, received: dtype={array.dtype}."
            )
        return np.ascontiguousarray(array, dtype)


def _read(path: str | os.PathLike[str]) -> bytes:
    path = Path(path)
    if path.is_dir():
        raise ValueError(
            f"Expected the path of a .tflite file, received a folder: "
            f"path={str(path)!r}."
        )
    refuse_encrypted(path)
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no file '{path}'.") from None


def _refuse_encrypted_content(content: bytes) -> None:
    if content.startswith(MAGIC):
        raise ValueError(
            "Expected the content of a .tflite file, received that of an encrypted "
            "bundle. Pass the path of its file, and its key as `decryption_key`."
        )


def _read_protected(
    path: str | os.PathLike[str] | bytes,
    verify_key: str | os.PathLike[str] | None,
    decryption_key: str | os.PathLike[str] | bytes | None,
) -> tuple[bytes, str]:
    """The very bytes that were verified, and where they are from."""
    if isinstance(path, bytes):
        raise ValueError(
            "Expected the path of a bundle with `verify_key` or `decryption_key`, "
            "received bytes."
        )
    name, content = read_model(path, verify_key, decryption_key)
    return content, f"file '{name}' of bundle '{os.fspath(path)}'"


def _load(
    content: bytes, num_threads: int, name: str | None
) -> tuple[Graph, str, Callable[[bytes], Any]]:
    """The graph, the interpreter's name, and what opens files in it."""
    intact = check_checksum(content)
    graph = parse(content)
    check_operators(graph)
    check(graph)
    name = name or interpreter_for(graph)
    load = opener(name, num_threads)
    if not intact:
        _run_in_child(content, name)

    def opened(content: bytes) -> Any:
        try:
            return load(content)
        except Exception as error:
            raise InvalidModelError(f"cannot be run: {error}") from None

    return graph, name, opened


def _run_in_child(content: bytes, name: str) -> None:
    """Runs the model once in another process.

    Raises:
        InvalidModelError: If that fails, or ends the process.
    """
    argument = STOCK_MODULES.get(name)
    if argument is None:
        library = importlib.util.find_spec(
            "larq_compute_engine.tflite.python.interpreter_wrapper_lite"
        )
        assert library is not None
        assert library.origin is not None
        argument = library.origin
    try:
        child = subprocess.run(
            [sys.executable, str(Path(probe.__file__)), argument],
            input=content,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InvalidModelError(
            "cannot be run: one inference on zeros did not end within "
            f"{_PROBE_SECONDS} seconds."
        ) from None
    lines = child.stdout.decode("utf-8", "replace").strip().splitlines()
    answer = lines[-1] if lines else ""
    if child.returncode or not answer:
        raise InvalidModelError(
            "is corrupted: running it ends the interpreter's process (exit code "
            f"{child.returncode})."
        )
    if answer != "ok":
        raise InvalidModelError(f"cannot be run: {answer}")


def _static_batch(*groups: Sequence[tuple[int, ...]]) -> int | None:
    """The leading size that all tensors share; None if they share none."""
    sizes = {shape[0] if shape else None for group in groups for shape in group}
    return sizes.pop() if len(sizes) == 1 else None


def _only(shapes: list[tuple[int, ...]], name: str) -> tuple[int, ...]:
    if len(shapes) != 1:
        raise ValueError(
            f"Expected one tensor for `{name}`, but the file has {len(shapes)}: use "
            f"`{name}s`."
        )
    return shapes[0]


def _as_list(x: Any, names: list[str], source: str) -> list[Any]:
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise ValueError(
                f"Expected the inputs {names} of {source}, received: {sorted(x)}."
            )
        return [x[name] for name in names]
    values = list(x) if isinstance(x, list | tuple) else [x]
    if len(names) == 1 and len(values) != 1:
        values = [x]  # Nested lists of numbers.
    if len(values) != len(names):
        raise ValueError(
            f"Expected {len(names)} inputs, {names}, of {source}, received: "
            f"{len(values)}."
        )
    return values


def _filled(array: np.ndarray, batch: int) -> np.ndarray:
    """Fills the last batch up with its last sample."""
    missing = batch - len(array)
    return (
        np.concatenate([array, np.repeat(array[-1:], missing, 0)]) if missing else array
    )
