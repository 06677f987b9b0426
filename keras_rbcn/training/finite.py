"""Stops training at a loss that is not finite, before a weight has been touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_rbcn._backend import tf


class LossGuard:
    """Remembers the first step at which a loss was not finite.

    From then on no step counts as finite, so that the state in front of that step
    stays, however late it is looked at: looking makes a device wait.

    Args:
        names: Names of the losses.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._record = tf.Variable(
            tf.zeros(1 + len(self._names)),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="first_step_that_was_not_finite",
        )

    def vector(self, losses: dict[str, Any]) -> Any:
        """The losses as one tensor, 0 for those that are not in use."""
        return tf.stack(
            [tf.cast(losses.get(name, 0.0), tf.float32) for name in self._names]
        )

    def is_finite(self, vector: Any, step: Any) -> Any:
        """Whether all losses are finite, and were at all steps before.

        Args:
            vector: Losses as `vector` gives them, the same in all replicas.
            step: Number of the step, from 1.

        Returns:
            Boolean scalar tensor.
        """
        good = tf.equal(self._record[0], 0.0)
        finite = tf.reduce_all(tf.math.is_finite(vector))
        found = tf.concat([[tf.cast(step, tf.float32)], vector], 0)
        self._record.assign(tf.where(good & ~finite, found, self._record))
        return good & finite

    def reset(self) -> None:
        """Forgets what was found."""
        self._record.assign(tf.zeros_like(self._record))

    def check(self) -> None:
        """Raises FloatingPointError if a loss was not finite, naming it and the step.

        The model trains on afterwards, if it is asked to.
        """
        step, *values = np.asarray(self._record)
        if not step:
            return
        self.reset()
        losses = dict(zip(self._names, map(float, values), strict=True))
        wrong = {n: value for n, value in losses.items() if not np.isfinite(value)}
        parts = {n: value for n, value in wrong.items() if n != "total_loss"}
        listed = ", ".join(f"{n} is {value}" for n, value in (parts or wrong).items())
        raise FloatingPointError(
            f"Expected finite losses, but in step {int(step)} {listed}. Nothing was "
            f"changed in that step: the model is as it was after step {int(step) - 1}. "
            "Look for values that are not finite in the data, and use a smaller "
            "learning rate, a smaller weight of that loss, or `clipnorm` in the "
            "optimizer."
        )
