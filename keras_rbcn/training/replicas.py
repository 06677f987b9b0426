"""What a training needs to know of the replicas, and of the scope it is built in.

Everything here works without a distribution strategy too, in its one replica.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from keras_rbcn._backend import keras, tf

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


def check_scopes(**models: Any) -> None:
    """Raises if models were built in other scopes than the one that is open now.

    Args:
        **models: What was passed, by the argument's name. A teacher may be built in no
            scope at all: it is read by all replicas.
    """
    here = tf.distribute.get_strategy()
    place = _described(here if tf.distribute.has_strategy() else None)
    for role, model in models.items():
        if not getattr(model, "built", False) or not isinstance(model, keras.Model):
            continue  # None, or what is refused for another reason.
        other = [w for w in model.weights if not _is_in_scope(w, here)]
        if role == "teacher":
            other = [w for w in other if _strategy(w) is not None]
        if other:
            raise ValueError(
                f"Expected the {role} '{model.name}' to be built in the scope of the "
                "strategy that RBCNModel is built in, received: a "
                f"{role} that was built {_described(_strategy(other[0]))}, and an "
                f"RBCNModel {place}. Build or load the models, and RBCNModel, within "
                "one `with strategy.scope():`."
            )


def check_called_in_scope(model: Any, method: str) -> None:
    """Raises if a method of a model is called in the scope of another strategy.

    Args:
        model: The RBCNModel; in no scope at all Keras enters its own.
        method: Name of the method, for the message.
    """
    here = tf.distribute.get_strategy()
    if not tf.distribute.has_strategy():
        return
    for weight in model.student.weights:
        if not _is_in_scope(weight, here):
            raise ValueError(
                f"Expected `{method}` to be called in the scope that RBCNModel was "
                f"built in, or in none, received: a model that was built "
                f"{_described(_strategy(weight))}, and a call {_described(here)}. "
                "Build the models, RBCNModel and optimizers within `with "
                f"strategy.scope():` of the strategy that is to train them, and call "
                f"`{method}` there or behind it."
            )


def check_optimizer_scopes(model: Any, **optimizers: Any) -> None:
    """Raises if an optimizer was made in the scope of another strategy."""
    for name, optimizer in optimizers.items():
        found = getattr(optimizer, "variables", ())
        for variable in found() if callable(found) else found:
            its = _strategy(variable)
            if its is not None and its is not model.distribute_strategy:
                raise ValueError(
                    f"Expected `{name}` to be made in the scope that RBCNModel was "
                    f"built in, received: an optimizer that was made {_described(its)}"
                    ". Make it within the same `with strategy.scope():`."
                )


def _is_in_scope(variable: Any, strategy: Any) -> bool:
    return bool(strategy.extended.variable_created_in_scope(variable))


def _strategy(variable: Any) -> Any:
    # OneDeviceStrategy marks its variables by this name alone.
    return getattr(variable, "_distribute_strategy", None)


def _described(strategy: Any) -> str:
    if strategy is None:
        return "in no scope"
    count = strategy.num_replicas_in_sync
    kind = type(strategy).__name__
    return f"in the scope of a {kind} of {count} replica{'s' * (count != 1)}"


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
