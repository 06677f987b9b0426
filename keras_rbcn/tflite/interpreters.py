"""The interpreters that can run .tflite files, behind one interface."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from larq_compute_engine.tflite.python.interpreter import Interpreter

from keras_rbcn.tflite.flatbuffer import LCE_OPERATORS, Graph

# Larq Compute Engine's, that of the package ai-edge-litert, and TensorFlow's own.
LARQ, LITERT, TENSORFLOW = INTERPRETERS = ("larq", "litert", "tensorflow")
# Where the class `Interpreter` of those is that know no 1-bit operators.
STOCK_MODULES = {
    LITERT: "ai_edge_litert.interpreter",
    TENSORFLOW: "tensorflow.lite.python.interpreter",
}


def stock_interpreters() -> tuple[str, ...]:
    """Those that are installed and know no 1-bit operators, the best one first."""
    package = STOCK_MODULES[LITERT].partition(".")[0]
    installed = importlib.util.find_spec(package) is not None
    return (LITERT, TENSORFLOW) if installed else (TENSORFLOW,)


def interpreter_for(graph: Graph) -> str:
    """The interpreter that a file is made for."""
    return LARQ if _has_binary_operators(graph) else stock_interpreters()[0]


def opener(name: str, num_threads: int) -> Callable[[bytes], Any]:
    """What loads files into an interpreter, and raises what that raises.

    Args:
        name: One of `INTERPRETERS`.
        num_threads: Number of threads.

    Raises:
        ImportError: If the interpreter is not installed.
    """
    if name == LARQ:
        return functools.partial(_LarqInterpreter, num_threads)
    return functools.partial(_StockInterpreter, _stock_class(name), num_threads)


def _has_binary_operators(graph: Graph) -> bool:
    return any(operator.name in LCE_OPERATORS for operator in graph.operators) or any(
        map(_has_binary_operators, graph.others)
    )


def _stock_class(name: str) -> Any:
    try:
        return importlib.import_module(STOCK_MODULES[name]).Interpreter
    except ImportError as error:
        raise ImportError(
            "LiteRT's interpreter needs the package ai-edge-litert: pip install "
            "'keras-rbcn[litert]'."
        ) from error


class _LarqInterpreter:
    """Larq Compute Engine's interpreter."""

    def __init__(self, num_threads: int, content: bytes) -> None:
        self._interpreter = Interpreter(content, num_threads).interpreter

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        return [tuple(shape) for shape in self._interpreter.input_shapes]

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        return [tuple(shape) for shape in self._interpreter.output_shapes]

    @property
    def input_dtypes(self) -> list[np.dtype]:
        return [np.dtype(dtype) for dtype in self._interpreter.input_types]

    @property
    def output_dtypes(self) -> list[np.dtype]:
        return [np.dtype(dtype) for dtype in self._interpreter.output_types]

    def predict(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs the file on one batch of the size that it has."""
        return list(self._interpreter.predict(list(arrays)))


class _StockInterpreter:
    """The interpreter of TensorFlow Lite, now LiteRT, in either of its packages."""

    def __init__(self, kind: Any, num_threads: int, content: bytes) -> None:
        with warnings.catch_warnings():
            # TensorFlow's says that it will leave for the other package.
            warnings.simplefilter("ignore")
            self._interpreter = kind(model_content=content, num_threads=num_threads)
        self._interpreter.allocate_tensors()
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        return [tuple(map(int, detail["shape"])) for detail in self._inputs]

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        return [tuple(map(int, detail["shape"])) for detail in self._outputs]

    @property
    def input_dtypes(self) -> list[np.dtype]:
        return [np.dtype(detail["dtype"]) for detail in self._inputs]

    @property
    def output_dtypes(self) -> list[np.dtype]:
        return [np.dtype(detail["dtype"]) for detail in self._outputs]

    def predict(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Runs the file on one batch of the size that it has."""
        for detail, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.set_tensor(detail["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(out["index"]) for out in self._outputs]
