"""Sums and means of losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from keras_rbcn._backend import tf


def add_losses(losses: Sequence[Any]) -> Any:
    """Their sum; in float32 if, under a mixed policy, some are of half precision."""
    tensors = [tf.convert_to_tensor(loss) for loss in losses]
    dtype = tf.float64 if tensors[0].dtype == tf.float64 else tf.float32
    return tf.add_n([tf.cast(tensor, dtype) for tensor in tensors])


def mean_loss(losses: Iterable[Any]) -> Any:
    """Their mean, of the same dtype as their sum."""
    losses = list(losses)
    return add_losses(losses) / len(losses)
