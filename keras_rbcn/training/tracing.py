"""Has TensorFlow trace a training step once, where Keras has it traced twice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from keras_rbcn._backend import tf


def traced_once() -> contextlib.AbstractContextManager[None]:
    """Creates at once what Keras creates in the first step.

    The optimizers' state and the metrics that were given as strings are created when a
    step is traced. TensorFlow takes such variables for ones of the step, lifts their
    initialisation out of it, and traces the step again, without them. Keras has left
    the graph to create them (`tf.init_scope`), so there is nothing to lift, and the
    first graph is the one that the second would be. Between replicas, each with a
    thread of its own, the step is still traced twice.
    """
    return tf.variable_creator_scope(_not_lifted)


def _not_lifted(next_creator: Callable[..., Any], **kwargs: Any) -> Any:
    # In the graph, as in a loss of the user's, there is: TensorFlow sees to it.
    if tf.executing_eagerly():
        kwargs["experimental_enable_variable_lifting"] = False
    return next_creator(**kwargs)
