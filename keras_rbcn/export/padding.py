"""Keeps the converter from a padding that it would get wrong.

Larq Compute Engine merges zeros that are padded evenly in front of a real convolution
into the convolution, as `padding="same"`, if the output's shape is the same. In front
of strides the sides need not be: a 3x3 convolution with stride 2 on maps of even size,
padded by one on each side, as in Keras' ResNet50, becomes one that is padded below and
on the right only. Two paddings in a row, of rows and of columns, are left alone.
"""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn._geometry import Axis


def strided_convolutions(model: Any) -> list[Any]:
    """The real convolutions of a model that the converter may pad wrongly."""
    return [
        layer
        for layer in model.submodules
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D)
        and getattr(layer, "input_quantizer", None) is None
        and layer.padding == "valid"
        and max(layer.strides) > 1
    ]


def split_padding(layer: Any, inputs: Any) -> Any:
    """The inputs of a convolution, padded in two steps if one would be misread."""
    pad = inputs.op
    if pad.type not in ("Pad", "PadV2"):
        return inputs
    source = pad.inputs[0]
    paddings = tf.get_static_value(pad.inputs[1])
    if paddings is None or len(paddings) != 4 or None in source.shape[1:3]:
        return inputs
    misread = any(
        _is_misread(source.shape[axis], paddings[axis], layer, axis - 1)
        for axis in (1, 2)
    )
    if not misread or (paddings[[0, 3]] != 0).any():
        return inputs
    for axis in (1, 2):
        step = [[0, 0]] * 4
        step[axis] = [int(size) for size in paddings[axis]]
        if pad.type == "Pad":
            source = tf.pad(source, step)
        else:
            source = tf.pad(source, step, constant_values=pad.inputs[2])
    return source


def _is_misread(size: int, padding: Any, layer: Any, number: int) -> bool:
    """Whether zeros are as many as those of `padding="same"`, on other sides."""
    before, after = (int(count) for count in padding)
    kernel, stride, dilation = (
        sizes[number]
        for sizes in (layer.kernel_size, layer.strides, layer.dilation_rate)
    )
    axis = Axis(size, kernel, stride, dilation)
    evenly = before == (before + after) // 2
    return (
        evenly
        and axis.has_windows_of_same(before, after)
        and before != axis.same_before
    )
