"""What a .tflite file itself says of its inputs and outputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_rbcn.bundle.metadata import (
    LOGITS,
    OTHER,
    PROBABILITIES,
    Value,
    is_scores,
)
from keras_rbcn.tflite.flatbuffer import Graph
from keras_rbcn.tflite.interpreter import TFLiteModel
from keras_rbcn.tflite.quantization import meant_by

# What changes how scores are written, and not what they are.
_PASSING = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE", "CAST"})
# Samples that tell how far outputs go.
_NOISE = 8
# What ends in numbers from 0 to 1.
_TO_PROBABILITIES = frozenset({"SOFTMAX", "LOGISTIC"})


def inputs_of(model: TFLiteModel) -> list[Value]:
    """The inputs, in the order of the file."""
    return _values(
        model.input_names,
        model.input_shapes,
        model.input_dtypes,
        model.input_quantizations,
    )


def outputs_of(model: TFLiteModel) -> list[Value]:
    """The outputs, in the order of the file."""
    return _values(
        model.output_names,
        model.output_shapes,
        model.output_dtypes,
        model.output_quantizations,
    )


def _values(names: Any, shapes: Any, dtypes: Any, quantizations: Any) -> list[Value]:
    return [
        Value(name, shape, str(dtype), quantization)
        for name, shape, dtype, quantization in zip(
            names, shapes, dtypes, quantizations, strict=True
        )
    ]


def kinds_of_outputs(file: TFLiteModel) -> list[str]:
    """Whether each output holds scores of classes, and which: values of `KINDS`.

    Probabilities come out of a softmax or a sigmoid. Or of something else, such as the
    mean of two softmaxes: numbers from 0 to 1, whatever the file is given.
    """
    graph = file.graph
    kinds = [_kind_by_operator(graph, tensor) for tensor in graph.outputs]
    if LOGITS in kinds and (noise := _noise_for(file)) is not None:
        for number, values in enumerate(meant_by(file, file.predict(noise))):
            if kinds[number] == LOGITS and values.min() >= 0 and values.max() <= 1:
                kinds[number] = PROBABILITIES
    return kinds


def _kind_by_operator(graph: Graph, tensor: int) -> str:
    if not is_scores(graph.tensors[tensor].shape):
        return OTHER
    ends = _producer(graph, tensor) in _TO_PROBABILITIES
    return PROBABILITIES if ends else LOGITS


def _noise_for(file: TFLiteModel) -> list[np.ndarray] | None:
    """Random inputs; None where not every number makes sense, such as an index."""
    generator = np.random.default_rng(0)
    arrays = []
    for shape, dtype in zip(file.input_shapes, file.input_dtypes, strict=True):
        size, dtype = (_NOISE, *shape[1:]), np.dtype(dtype)
        if dtype.kind == "f":
            arrays.append(generator.normal(size=size).astype(dtype))
        elif dtype in (np.int8, np.uint8):
            arrays.append(generator.integers(-128, 128, size).astype(dtype))
        else:
            return None
    return arrays


def _producer(graph: Graph, tensor: int) -> str | None:
    """The name of the operator whose numbers a tensor holds; None for an input."""
    for operator in reversed(graph.operators):
        if tensor in operator.outputs:
            if operator.name not in _PASSING:
                return operator.name
            tensor = operator.inputs[0]
    return None
