"""Which operator of the file came from which layer of the student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_rbcn._backend import keras
from keras_rbcn._counting import binary_weights
from keras_rbcn.export.calls import ConvolutionCall
from keras_rbcn.export.document.report import OperatorReport
from keras_rbcn.export.int8.kernels import (
    layers_without_int8,
    overflowing,
    why_without_int8,
)
from keras_rbcn.export.int8.roundings import Rounding, tensors_of
from keras_rbcn.export.wording import listed
from keras_rbcn.layers.rectified_conv2d import EXPORTABLE_QUANTIZERS
from keras_rbcn.quantization.layers import QuantizedLayer
from keras_rbcn.tflite.flatbuffer import SAME_PADDING, Graph, Operator, Tensor

# Scales of at most this size are zero to the converter.
ZERO_SCALE = 1.2e-7
# Characters of a tensor's name that the converter keeps.
_LONGEST_NAME = 50


@dataclass(frozen=True)
class Matching:
    """The 1-bit convolutions of a file and the layers they come from.

    Attributes:
        graph: The file.
        found: Index of each 1-bit convolution, and the call it belongs to: a
            LceBconv2d, or a CONV_2D that emulates one.
        missing: Calls without a 1-bit convolution, of layers that should be one.
        roundings: Where the student rounds values to 8 bits, and the tensors of the
            file that hold them.
        real: Layers that should compute in int8 and do not.
    """

    graph: Graph
    found: dict[int, ConvolutionCall]
    missing: list[ConvolutionCall]
    roundings: dict[Rounding, int] = field(default_factory=dict)
    real: list[QuantizedLayer] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of the layers that are 1-bit, in order of execution."""
        return [self.found[index].name for index in sorted(self.found)]

    def not_one_bit(self, student: Any) -> tuple[str, ...]:
        """Names of a student's layers with 1-bit kernels that are real in the file."""
        missing = [call.name for call in self.missing]
        found = set(self.names)
        others = [
            layer.name
            for layer in student.submodules
            if isinstance(layer, keras.layers.Layer)
            and layer.name not in found
            and binary_weights(layer)
        ]
        return tuple(dict.fromkeys([*missing, *others]))

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the layers that the file does not compute with as it must."""
        names = [call.name for call in self.missing if call.required]
        return tuple(dict.fromkeys([*names, *(layer.name for layer in self.real)]))

    def explain(self, student: Any) -> str:
        """What of a student must not be missing, and why it is."""
        missing = [call for call in self.missing if call.required]
        lines = [
            f"- layer '{call.name}': {_reason(call, self.graph)}" for call in missing
        ]
        parts = [
            f"{len(lines)} rectified convolution(s) did not become 1-bit "
            "convolutions in the converted file. Nothing was written.\n"
            + "\n".join(lines)
        ]
        if self.real:
            reasons = [
                f"- layer '{layer.name}': {why_without_int8(layer, student)}"
                for layer in self.real
            ]
            parts.append(
                f"{len(self.real)} layer(s) that are to compute in int8 do not do so "
                "in the converted file. Nothing was written.\n" + "\n".join(reasons)
            )
        return "\n".join(parts[0 if missing else 1 :])


def match(
    graph: Graph, calls: list[ConvolutionCall], roundings: Sequence[Rounding] = ()
) -> Matching:
    """Gives every call of a binary convolution its own 1-bit convolution of the file.

    They are matched by shape, strides and dilation, and by the signs of the kernel
    themselves, so that no name needs to survive the conversion. The converter negates
    filters of negative scale.

    Args:
        graph: The file.
        calls: The calls of binary convolutions.
        roundings: Where values are rounded to 8 bits.
    """
    free = _kernels(graph)
    found, missing = {}, []
    for call in calls:
        signs, wanted = call.signs, call.signature
        for index, (geometry, kernel) in free.items():
            fits = geometry == wanted[: len(geometry)]
            if fits and equal_up_to_scale(kernel, signs):
                found[index] = call
                del free[index]
                break
        else:
            if call.one_bit:
                missing.append(call)
    layers = list(dict.fromkeys(one.layer for one in roundings))
    real = layers_without_int8(graph, layers)
    return Matching(graph, found, missing, tensors_of(graph, roundings), real)


def _kernels(graph: Graph) -> dict[int, tuple[tuple[int, ...], np.ndarray]]:
    """Geometry and kernel, in the layout of Keras, of each 1-bit convolution.

    One of Larq Compute Engine, or an emulated one, whose geometry is its shape alone.
    """
    stored = {
        operator.outputs[0]: graph.tensors[operator.inputs[0]]
        for operator in graph.operators
        if operator.name == "DEQUANTIZE"
    }
    kernels = {}
    for index, operator in enumerate(graph.operators):
        if operator.name == "LceBconv2d":
            kernels[index] = _larq_kernel(graph, operator)
        elif operator.name == "CONV_2D":
            kernel = stored.get(operator.inputs[1])
            if kernel is not None and kernel.data is not None and kernel.bits == 4:
                signs = kernel.value.transpose(1, 2, 3, 0)
                kernels[index] = (signs.shape, signs)
    return kernels


def _larq_kernel(
    graph: Graph, operator: Operator
) -> tuple[tuple[int, ...], np.ndarray]:
    words = graph.tensors[operator.inputs[1]].value.astype("<i4")
    options = operator.options
    bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    negative = bits[..., : options["channels_in"]].astype(bool).transpose(1, 2, 3, 0)
    geometry = (
        *negative.shape,
        options["stride_height"],
        options["stride_width"],
        options["dilation_height_factor"],
        options["dilation_width_factor"],
    )
    return geometry, np.where(negative, -1, 1)


def equal_up_to_scale(kernel: np.ndarray, negative: np.ndarray) -> bool:
    """Whether each filter of a kernel is a multiple, maybe of zero, of given signs.

    Args:
        kernel: Of one size within each filter, in the layout of Keras.
        negative: Where the signs are negative; of the same layout.
    """
    if kernel.shape != negative.shape:
        return False
    axes = (0, 1, 2)
    equal = (kernel < 0) == negative
    zero = (kernel == 0).all(axes)
    return bool(np.all(equal.all(axes) | (~equal).all(axes) | zero))


def _reason(call: ConvolutionCall, graph: Graph) -> str:
    layer = call.layer
    for role in ("input", "kernel"):
        quantizer = getattr(layer, f"{role}_quantizer")
        if type(quantizer) not in EXPORTABLE_QUANTIZERS.values():
            return (
                f"its {role}_quantizer is {type(quantizer).__name__}, which the "
                f"converter does not turn into 1-bit operators; use one of "
                f"{', '.join(EXPORTABLE_QUANTIZERS)}."
            )
    scale = np.asarray(layer.scale)
    if scale.shape not in ((), (layer.filters,)):
        return (
            f"its scale has the shape {scale.shape} and varies inside a filter; only "
            "one scale per layer or per output channel folds into 1-bit kernels."
        )
    zero = np.flatnonzero(~(np.abs(np.broadcast_to(scale, layer.filters)) > ZERO_SCALE))
    if zero.size:
        return (
            f"the scale of filter(s) {listed(zero)} is zero (at most {ZERO_SCALE} in "
            "size), and one filter of zeros makes the converter keep the whole layer "
            "in float. Cut these filters out, or set their scale to a small number "
            "that is not zero."
        )
    if getattr(layer, "groups", 1) != 1:
        return "it has groups, which the converter does not carry."
    operator = _float_operator(call, graph)
    return (
        f"the converter kept it as {operator or 'float operators'}. Its input or its "
        "kernel is not binary where the converter looks: the sign must be the last "
        "thing in front of the convolution, and the kernel's values must be plus or "
        "minus one number within each filter."
    )


def _float_operator(call: ConvolutionCall, graph: Graph) -> str | None:
    for operator in graph.operators:
        name = graph.tensors[operator.outputs[0]].name if operator.outputs else ""
        if "CONV" in operator.name and f"/{call.name}/" in name:
            return f"{operator.name} (tensor '{name}')"
    return None


def zero_padded_int8(matching: Matching) -> list[str]:
    """Names of the 1-bit convolutions that cannot run: zeros around, int8 behind."""
    graph = matching.graph
    names = [
        call.name
        for index, call in matching.found.items()
        if graph.operators[index].name == "LceBconv2d"
        and graph.tensors[graph.operators[index].outputs[0]].dtype == np.int8
        and graph.operators[index].options["padding"] == SAME_PADDING
        and call.layer.pad_values == 0.0
    ]
    return list(dict.fromkeys(names))


def suspicious_layers(matching: Matching) -> dict[str, str]:
    """Layers that are known to be converted wrongly, and why, by name."""
    suspects: dict[str, str] = {}
    for index, call in matching.found.items():
        reason = _known_trap(call, matching.graph.operators[index])
        if reason is not None:
            suspects.setdefault(call.name, reason)
    names = {one.layer.name for one in matching.roundings}
    for operator in matching.graph.operators:
        reason = overflowing(matching.graph, operator)
        if reason is not None:
            name = _layer_name(matching.graph, operator, names)
            suspects.setdefault(name or operator.name, reason)
    return suspects


def _known_trap(call: ConvolutionCall, operator: Operator) -> str | None:
    if operator.name != "LceBconv2d":
        return None  # They are all of Larq Compute Engine.
    layer = call.layer
    padded_on_device = operator.options["padding"] == SAME_PADDING
    if padded_on_device and layer.padding == "valid" and max(layer.strides) > 1:
        return (
            "its signs are padded explicitly in front of a convolution with strides, "
            "where padding='same' would pad other sides. Use padding='same' with "
            "pad_values=1.0."
        )
    if type(layer.input_quantizer) not in EXPORTABLE_QUANTIZERS.values():
        return (
            f"its input_quantizer is {type(layer.input_quantizer).__name__}; the "
            f"converter carries {', '.join(EXPORTABLE_QUANTIZERS)} only."
        )
    reach = [
        (kernel - 1) * dilation + 1
        for kernel, dilation in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    ]
    zero_padded = layer.padding == "same" and layer.pad_values == 0.0
    if not zero_padded or max(reach) == 1:
        return None
    sizes = call.input_shape[1:3]
    if any(size and size < extent for size, extent in zip(sizes, reach, strict=True)):
        return (
            f"it pads with zeros, and its kernel covers {reach[0]}x{reach[1]}, more "
            f"than its inputs of {sizes[0]}x{sizes[1]}, which Larq Compute Engine "
            "computes wrongly. Use pad_values=1.0, or a smaller kernel or dilation."
        )
    return (
        "it pads with zeros, and the device rounds at the borders, so that sums of "
        "exactly zero may become negative. Use pad_values=1.0, or put a batch "
        "normalisation or a threshold (RSign) between it and the next sign."
    )


def describe_operators(
    graph: Graph, student: Any, matching: Matching
) -> tuple[OperatorReport, ...]:
    """One row for each operator; constants count where they are first read."""
    names = {
        layer.name
        for layer in student.submodules
        if isinstance(layer, keras.layers.Layer) and not isinstance(layer, keras.Model)
    }
    counted: set[int] = set()
    rows = []
    for index, operator in enumerate(graph.operators):
        constants = set(graph.constants_of(operator)) - counted
        counted |= constants
        target = graph.tensors[operator.outputs[0]]
        call = matching.found.get(index)
        rows.append(
            OperatorReport(
                name=call.name if call else _layer_name(graph, operator, names),
                operator=operator.name,
                kind=_kind(operator, target, call),
                output_shape=target.shape,
                bytes=sum(len(graph.tensors[i].data or b"") for i in constants),
            )
        )
    return tuple(rows)


def _kind(operator: Operator, target: Tensor, call: ConvolutionCall | None) -> str:
    if operator.name.startswith("Lce"):
        return "1-bit"
    return str(target.dtype) if call is None else f"1-bit in {target.dtype}"


def _layer_name(graph: Graph, operator: Operator, names: set[str]) -> str:
    """The first Keras layer in the name of the operator's output."""
    index = operator.outputs[0]
    for part in graph.tensors[index].name.replace(";", "/").split("/"):
        if part in names:
            return part
    # Outputs of the file have lost their names; in Keras they bear the layer's.
    if index in graph.outputs:
        name = graph.output_names[graph.outputs.index(index)]
        if name in names:
            return name
    # Long names are cut off by the converter, which may still tell one layer.
    beginning = graph.tensors[index].name.rpartition("/")[2]
    cut = len(graph.tensors[index].name) >= _LONGEST_NAME and beginning
    found = [name for name in names if cut and name.startswith(beginning)]
    return found[0] if len(found) == 1 else ""
