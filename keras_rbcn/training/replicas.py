"""What a training step needs to know of the replicas it is one of.

Everything here works without a distribution strategy too, in its one replica.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from keras_rbcn._backend import tf

_EMPTY = "keras_rbcn: a replica got an empty part of a batch"


def replica_count() -> int:
    """Between how many replicas the global batch is divided."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def not_empty(data: Any) -> Any:
    """The data of this replica; an error in `clear_error` if there are none."""
    if replica_count() == 1:
        return data
    size = tf.shape(tf.nest.flatten(data)[0])[0]
    with tf.control_dependencies([tf.debugging.assert_positive(size, _EMPTY)]):
        return tf.nest.map_structure(tf.identity, data)


@contextlib.contextmanager
def clear_error() -> Iterator[None]:
    """Turns the graph's error about an empty part of a batch into a clear one."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if _EMPTY not in str(error):
            raise
    else:
        return
    raise ValueError(
        "Expected a batch of at least one sample for each replica, but one got none: a "
        "batch, perhaps the last of an epoch, is smaller than the number of replicas. "
        "Use a larger `batch_size`, or `batch(..., drop_remainder=True)`."
    )


def mean_over_replicas(tensor: Any) -> Any:
    """The mean of a tensor of one shape in all replicas."""
    return _reduce(tf.distribute.ReduceOp.MEAN, tensor)


def sum_over_replicas(tensors: list[Any]) -> list[Any]:
    """The sums of tensors over all replicas; what is None stays None."""
    known = [tensor for tensor in tensors if tensor is not None]
    sums = iter(_reduce(tf.distribute.ReduceOp.SUM, known) if known else ())
    return [None if tensor is None else next(sums) for tensor in tensors]


def conditionally(
    flag: Any, function: Callable[..., Any], *args: Any, otherwise: Any = None
) -> None:
    """Calls `function(*args)` in each replica if the flag holds, else `otherwise`.

    Optimizers leave the replicas' context, which no branch of a `tf.cond` within it may
    do. So the condition is set from outside of the replicas.

    Args:
        flag: Boolean tensor, which must be the same in all replicas.
        function: What is called; it may apply gradients.
        *args: Its arguments, in this replica.
        otherwise: What is called, with the same arguments, if the flag does not hold.
    """

    def across_replicas(strategy: Any, flag: Any, args: Any) -> None:
        def call(chosen: Any) -> Any:
            def branch() -> Any:
                if chosen is not None:
                    strategy.extended.call_for_each_replica(
                        tf.autograph.experimental.do_not_convert(chosen), args=args
                    )
                return tf.constant(True)

            return branch

        (flag, *_) = strategy.experimental_local_results(flag)
        tf.cond(flag, call(function), call(otherwise))

    context = tf.distribute.get_replica_context()
    context.merge_call(across_replicas, args=(flag, args))


def _reduce(operation: Any, value: Any) -> Any:
    if replica_count() == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(operation, value)
