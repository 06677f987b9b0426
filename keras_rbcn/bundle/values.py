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
from keras_rbcn.tflite.quantization import Quantization

# What changes how scores are written, and not what they are.
_PASSING = frozenset({"QUANTIZE", "DEQUANTIZE", "RESHAPE", "CAST"})
# What ends in numbers from 0 to 1.
_TO_PROBABILITIES = frozenset({"SOFTMAX", "LOGISTIC"})


def inputs_of(model: TFLiteModel) -> list[Value]:
    """The inputs, in the order of the file."""
    return _values(
        model, model.input_names, model.input_shapes, model.input_dtypes, "inputs"
    )


def outputs_of(model: TFLiteModel) -> list[Value]:
    """The outputs, in the order of the file."""
    return _values(
        model, model.output_names, model.output_shapes, model.output_dtypes, "outputs"
    )


def _values(
    model: TFLiteModel, names: Any, shapes: Any, dtypes: Any, which: str
) -> list[Value]:
    tensors = [model.graph.tensors[index] for index in getattr(model.graph, which)]
    return [
        Value(name, shape, str(dtype), _quantization(tensor))
        for name, shape, dtype, tensor in zip(
            names, shapes, dtypes, tensors, strict=True
        )
    ]


def _quantization(tensor: Any) -> Quantization | None:
    if tensor.quantization is None or tensor.dtype.kind not in "iu":
        return None
    return Quantization(*tensor.quantization)


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
