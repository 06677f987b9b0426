"""What a .tflite file itself says of its inputs and outputs."""

from __future__ import annotations

from typing import Any

from keras_rbcn.bundle.metadata import (
    LOGITS,
    OTHER,
    PROBABILITIES,
    Value,
    is_scores,
)
from keras_rbcn.tflite.flatbuffer import Graph
from keras_rbcn.tflite.interpreter import TFLiteModel

# What changes how scores are written, and not what they are.
_PASSING = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE", "CAST"})
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


def kind_of_output(graph: Graph, number: int) -> str:
    """Whether an output holds scores of classes, and which: a value of `KINDS`.

    Args:
        graph: The file's.
        number: The place of the output among the outputs.
    """
    tensor = graph.outputs[number]
    if not is_scores(graph.tensors[tensor].shape):
        return OTHER
    return (
        LOGITS if _producer(graph, tensor) not in _TO_PROBABILITIES else (PROBABILITIES)
    )


def _producer(graph: Graph, tensor: int) -> str | None:
    """The name of the operator whose numbers a tensor holds; None for an input."""
    for operator in reversed(graph.operators):
        if tensor in operator.outputs:
            if operator.name not in _PASSING:
                return operator.name
            tensor = operator.inputs[0]
    return None
