"""The loop of `fit` that a callback runs in."""

from __future__ import annotations

import inspect
from typing import Any, NamedTuple


class FitLoop(NamedTuple):
    """What `fit` has made for its loop over epochs and steps.

    `data` hands out the epochs, each with its iterator; `callbacks` holds all callbacks
    of the call, Keras' own among them.
    """

    data: Any
    callbacks: list[Any]


def running_fit(model: Any) -> FitLoop:
    """The loop of the `fit` of a model that is on the stack.

    Keras hands a callback the model and no more, while the position in the data is
    known to the loop alone, whose one way out is the frame of `fit`.

    Raises:
        RuntimeError: If no `fit` of the model is running.
    """
    frame = inspect.currentframe()
    while frame is not None:
        names = frame.f_locals
        if names.get("self") is model and "data_handler" in names:
            return FitLoop(names["data_handler"], list(names["callbacks"].callbacks))
        frame = frame.f_back
    raise RuntimeError(
        "Expected ResumableTraining to be called by `fit` of its model; a training "
        "loop of one's own has no epochs and steps that it could go on with. Pass it "
        "as model.fit(..., callbacks=[ResumableTraining(directory)])."
    )
