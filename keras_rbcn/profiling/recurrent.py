"""Multiply-accumulates of recurrent layers, whose loops no graph shows unrolled."""

from __future__ import annotations

import math
from typing import Any

from keras_rbcn._backend import keras

_CELLS = (
    keras.layers.SimpleRNNCell,
    keras.layers.GRUCell,
    keras.layers.LSTMCell,
)


def recurrent_macs(layer: Any, shape: tuple[int | None, ...] | None) -> int | None:
    """Multiply-accumulates of one call on one sample.

    Args:
        layer: A layer of the model.
        shape: Shape of its inputs.

    Returns:
        None if they are not known.
    """
    if not isinstance(layer, keras.layers.RNN) or shape is None or len(shape) != 3:
        return None
    cells = getattr(layer.cell, "cells", [layer.cell])
    steps = shape[0 if layer.time_major else 1]
    # A subclass may compute anything.
    if steps is None or any(type(cell) not in _CELLS for cell in cells):
        return None
    # In every step, each element of both kernels is multiplied once.
    return steps * sum(
        math.prod(kernel.shape)
        for cell in cells
        for kernel in (cell.kernel, cell.recurrent_kernel)
    )
