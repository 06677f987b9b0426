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
    """Multiply-accumulates of one call.

    Args:
        layer: A layer of the model.
        shape: Shape of its inputs. Of one sample there may be many sequences, such as
            under `TimeDistributed`.

    Returns:
        None if they are not known.
    """
    if not isinstance(layer, keras.layers.RNN) or shape is None or len(shape) != 3:
        return None
    cells = getattr(layer.cell, "cells", [layer.cell])
    sequences, steps, _ = shape  # The other way round if time is first.
    if sequences is None or steps is None:
        return None
    # A subclass may compute anything.
    if any(type(cell) not in _CELLS for cell in cells):
        return None
    # In every step, each element of both kernels is multiplied once.
    kernels = [
        math.prod(kernel.shape)
        for cell in cells
        for kernel in (cell.kernel, cell.recurrent_kernel)
    ]
    return sequences * steps * sum(kernels)
