"""Values that each replica has for itself, which TensorFlow saves as one.

Statistics of batch normalisation and sums of metrics differ from replica to replica; a
checkpoint holds their mean or sum. For a training to go on as it was, each replica must
get back its own.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from keras_rbcn._backend import tf


def of_each_replica(variables: Sequence[Any]) -> list[Any]:
    """Those of the variables that hold one value for each replica."""
    on_read = tf.VariableSynchronization.ON_READ
    return [
        variable
        for variable in variables
        if getattr(variable, "synchronization", None) == on_read
    ]


def local_values(strategy: Any, variables: Sequence[Any]) -> list[list[Any]]:
    """The values of the replicas of this process, of each variable.

    Unlike reading such a variable it waits for no other worker.
    """
    return [
        [one.numpy() for one in strategy.experimental_local_results(variable)]
        for variable in variables
    ]


def assign_local_values(
    strategy: Any, variables: Sequence[Any], values: Sequence[Sequence[Any]]
) -> None:
    """Gives the replicas of this process what `local_values` gave."""
    for variable, own in zip(variables, values, strict=True):
        replicas = strategy.experimental_local_results(variable)
        for replica, value in zip(replicas, own, strict=True):
            replica.assign(value)


def to_json(values: Sequence[Sequence[Any]]) -> list[list[list[str]]]:
    """Values as plain ones, exactly."""
    return [
        [
            [
                base64.b64encode(tf.io.serialize_tensor(one).numpy()).decode("ascii"),
                one.dtype.name,
            ]
            for one in own
        ]
        for own in values
    ]


def from_json(plain: Sequence[Sequence[Sequence[str]]]) -> list[list[Any]]:
    """What `to_json` was given."""
    return [
        [tf.io.parse_tensor(base64.b64decode(text), kind).numpy() for text, kind in own]
        for own in plain
    ]
