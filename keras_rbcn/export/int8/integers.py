"""Makes a converted file compute in int8 what is to be in int8, and nothing else.

The converter brings more to int8 than it is asked to. An average pooling in front of an
int8 convolution then cuts its inputs off at the range of its outputs; a softmax behind
an int8 layer tells probabilities to 1/256; a 1-bit convolution beside an int8 one reads
the signs of rounded numbers. The Keras model rounds none of these, and so does the file
once they compute in float32 again. What only moves int8 values, or takes the largest of
them, gives the same in both and is left alone.
"""

from __future__ import annotations

from typing import Any

from keras_rbcn.tflite.editing import BUILTIN, FLOAT32, FLOAT64, Editor

# What is in int8 because it has a real kernel; and 1-bit operators, which the converter
# leaves alone.
_KERNELS = {
    BUILTIN.CONV_2D,
    BUILTIN.CUSTOM,
    BUILTIN.DEPTHWISE_CONV_2D,
    BUILTIN.FULLY_CONNECTED,
    BUILTIN.TRANSPOSE_CONV,
}
# What gives the same whether its inputs are rounded or its outputs.
_MOVERS = {
    BUILTIN.BATCH_TO_SPACE_ND,
    BUILTIN.DEPTH_TO_SPACE,
    BUILTIN.EXPAND_DIMS,
    BUILTIN.GATHER,
    BUILTIN.MAX_POOL_2D,
    BUILTIN.MIRROR_PAD,
    BUILTIN.PAD,
    BUILTIN.RELU,
    BUILTIN.RESHAPE,
    BUILTIN.RESIZE_NEAREST_NEIGHBOR,
    BUILTIN.SLICE,
    BUILTIN.SPACE_TO_BATCH_ND,
    BUILTIN.SPACE_TO_DEPTH,
    BUILTIN.SQUEEZE,
    BUILTIN.STRIDED_SLICE,
    BUILTIN.TRANSPOSE,
}


def with_float_operators(content: bytes, rounded_outputs: list[bool]) -> bytes:
    """Lets operators compute in float32 that int8 would change.

    Args:
        content: A file of the converter.
        rounded_outputs: Of each output, "output_0" and so on, whether the Keras model
            rounds it to 8 bits.
    """
    editor = Editor(content)
    _remove_casts(editor)
    rounded = {
        item.tensorIndex
        for item in editor.signature.outputs
        if rounded_outputs[int(item.name.rpartition(b"_")[2])]
    }
    real: dict[int, int] = {}
    for operator in list(editor.graph.operators):
        code = editor.code(operator)
        if code == BUILTIN.DEQUANTIZE:
            if operator.outputs[0] in rounded or not _skip_rounding(editor, operator):
                real[operator.inputs[0]] = operator.outputs[0]
        elif code == BUILTIN.QUANTIZE:
            source = _before_rounding(editor, operator.inputs[0])
            operator.inputs = operator.inputs if source is None else [source]
        elif code not in _KERNELS and not (
            code in _MOVERS and _moves_integers(editor, operator)
        ):
            _make_float(editor, operator, real)
    _remove_unread(editor)
    return editor.content()


def _remove_casts(editor: Editor) -> None:
    """Takes out what `kept_apart` has put in, which has done its work."""
    for operator in list(editor.graph.operators):
        writer = editor.writer(operator.inputs[0]) if operator.inputs else None
        if (
            editor.code(operator) == BUILTIN.CAST
            and writer is not None
            and editor.code(writer) == BUILTIN.CAST
            and editor.graph.tensors[operator.inputs[0]].type == FLOAT64
        ):
            editor.graph.operators.remove(operator)
            editor.reconnect(operator.outputs[0], writer.inputs[0])
    editor.graph.operators = [
        one
        for one in editor.graph.operators
        if editor.code(one) != BUILTIN.CAST or editor.readers(one.outputs[0])
    ]


def _moves_integers(editor: Editor, operator: Any) -> bool:
    """Whether what an operator reads is in int8 for good reason."""
    return not any(
        editor.is_int8(index) and _before_rounding(editor, index) is not None
        for index in operator.inputs
        if index >= 0
    )


def _before_rounding(editor: Editor, index: int) -> int | None:
    """The real numbers that a tensor of int8 was made of; None if it was not."""
    writer = editor.writer(index)
    if writer is None or editor.code(writer) != BUILTIN.QUANTIZE:
        return None
    source = writer.inputs[0]
    return None if editor.is_int8(source) else source


def _skip_rounding(editor: Editor, dequantize: Any) -> bool:
    """Takes out what rounds real numbers and makes them real again, if it does."""
    source, target = dequantize.inputs[0], dequantize.outputs[0]
    source = _before_rounding(editor, source)
    if source is None:
        return False
    if target not in editor.graph.outputs:
        editor.graph.operators.remove(dequantize)
        editor.reconnect(target, source)
        return True
    # An output keeps its tensor, and with it its name.
    writer = editor.writer(source)
    if writer is None or source in editor.graph.outputs:
        return False
    editor.graph.operators.remove(dequantize)
    writer.outputs = [target if index == source else index for index in writer.outputs]
    editor.reconnect(source, target)
    return True


def _make_float(editor: Editor, operator: Any, real: dict[int, int]) -> None:
    before, after = [], []
    for position, index in enumerate(operator.inputs):
        if index < 0 or not editor.is_int8(index):
            continue
        source = _before_rounding(editor, index)
        if source is None and index not in real:
            if editor.is_constant(index):
                real[index] = editor.real_constant(index)
            else:
                real[index] = _real_tensor(editor, index)
                new = editor.operator("DEQUANTIZE", [index], real[index])
                before.append(new)
        operator.inputs[position] = real[index] if source is None else source
    for position, index in enumerate(operator.outputs):
        if not editor.is_int8(index):
            continue
        operator.outputs[position] = _real_tensor(editor, index)
        new = editor.operator("QUANTIZE", [operator.outputs[position]], index)
        after.append(new)
    editor.insert({id(operator): before}, {id(operator): after})


def _real_tensor(editor: Editor, index: int) -> int:
    """A tensor of the real numbers that another one's integers stand for."""
    return editor.like(index, type=FLOAT32, quantization=None)


def _remove_unread(editor: Editor) -> None:
    """Removes conversions whose results nothing reads."""
    while unread := [
        one
        for one in editor.graph.operators
        if editor.code(one) in (BUILTIN.DEQUANTIZE, BUILTIN.QUANTIZE)
        and one.outputs[0] not in editor.graph.outputs
        and not editor.readers(one.outputs[0])
    ]:
        for one in unread:
            editor.graph.operators.remove(one)


def with_int8_ends(content: bytes, inputs: bool, outputs: bool) -> bytes:
    """Lets the model be given int8, or give it, in place of float32.

    Args:
        content: A file whose inputs are all brought to int8 at once, and whose outputs
            are all made of int8, as far as asked for.
        inputs: Whether it is to be given int8.
        outputs: Whether it is to give int8.

    Raises:
        ValueError: If an input or output is not; completes a sentence.
    """
    editor = Editor(content)
    graph, signature = editor.graph, editor.signature
    for index in list(graph.inputs) if inputs else ():
        _replace_end(editor, index, _integers_of_input(editor, index), signature.inputs)
    for index in list(graph.outputs) if outputs else ():
        writer = editor.writer(index)
        if writer is None or editor.code(writer) != BUILTIN.DEQUANTIZE:
            raise ValueError("its outputs are not made of int8.")
        if not editor.readers(index):  # Else the model goes on with it.
            graph.operators.remove(writer)
        _replace_end(editor, index, writer.inputs[0], signature.outputs)
    return editor.content()


def _integers_of_input(editor: Editor, index: int) -> int:
    readers = editor.readers(index)
    targets = [one.outputs[0] for one in readers]
    if not readers or any(editor.code(one) != BUILTIN.QUANTIZE for one in readers):
        raise ValueError("its inputs are not brought to int8 at once.")
    if len({editor.quantization(target) for target in targets}) > 1:
        raise ValueError("its inputs are brought to int8 in several ways.")
    for reader, target in zip(readers, targets, strict=True):
        editor.graph.operators.remove(reader)
        editor.reconnect(target, targets[0])
    return int(targets[0])


def _replace_end(editor: Editor, old: int, new: int, named: list[Any]) -> None:
    graph = editor.graph
    graph.inputs = [new if index == old else index for index in graph.inputs]
    graph.outputs = [new if index == old else index for index in graph.outputs]
    for item in named:
        item.tensorIndex = new if item.tensorIndex == old else item.tensorIndex
