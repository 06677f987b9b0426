"""A light record of each call of `RBCNModel.fit`, for the report of an export."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from keras_rbcn._backend import installed_versions, keras, tf


@dataclass(frozen=True)
class FitRecord:
    """One call of `RBCNModel.fit`.

    Attributes:
        started: Date and time of its start, in UTC, as ISO 8601 writes them.
        ended: The same of its end.
        epochs: Number of epochs that were completed.
        steps: Steps of the optimizer at the end, of all calls together, and of the
            training that `ResumableTraining` took up.
        data: Kind, types and shapes of the training data, and the number of batches of
            a dataset if it is known. Not what is in them: for that there is
            `keras_rbcn.datasets.fingerprint`.
        batch_size: Samples in a batch; None if the data come in batches.
        error: The class of the error that ended it; None if it ended by itself.
        versions: Versions of Python and of the packages.

    Example:
        >>> model = RBCNModel(keras.Sequential([keras.Input((2,)),
        ...                                     keras.layers.Dense(1)]))
        >>> model.compile("sgd", "mse")
        >>> x = np.ones((8, 2), "float32")
        >>> history = model.fit(x, x[:, :1], batch_size=4, epochs=3, verbose=0)
        >>> (record,) = model.training_record
        >>> record.epochs, record.steps, record.data["x"]
        (3, 6, 'float32 (8, 2)')
    """

    started: str
    ended: str
    epochs: int
    steps: int
    data: dict[str, Any]
    batch_size: int | None
    error: str | None
    versions: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The record as dictionaries, strings and numbers."""
        return asdict(self)


@contextlib.contextmanager
def recorded_fit(
    model: Any, arguments: Mapping[str, Any], records: list[FitRecord]
) -> Iterator[None]:
    """Adds a record of what is done within it: a call of `fit`.

    Args:
        model: Compiled Keras model.
        arguments: Those of `fit`, by name.
        records: Where the record is added.
    """
    history, started = getattr(model, "history", None), _now()
    steps = _steps_made(model)
    data, batch_size = _described(arguments)
    error: str | None = None
    try:
        yield
    except BaseException as raised:  # One that is interrupted has trained as well.
        error = type(raised).__name__
        raise
    finally:
        made, now = _steps_made(model), getattr(model, "history", None)
        epochs = 0 if now is None or now is history else len(now.epoch)
        if error is None or made != steps:
            versions = installed_versions()
            records.append(
                FitRecord(
                    started, _now(), epochs, made, data, batch_size, error, versions
                )
            )


def steps_of(optimizer: Any) -> int:
    """How many steps an optimizer has made."""
    return int(optimizer.iterations.numpy())


def _steps_made(model: Any) -> int:
    optimizer = getattr(model, "optimizer", None)  # None before it is compiled.
    return 0 if optimizer is None else steps_of(optimizer)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _described(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], int | None]:
    """What the training data are like, and the size of a batch that Keras makes."""
    x: Any = arguments.get("x")
    if isinstance(x, list | tuple | dict) or hasattr(x, "shape"):
        parts = {name: arguments.get(name) for name in ("x", "y", "sample_weight")}
        arrays = {
            name: _arrays(part) for name, part in parts.items() if part is not None
        }
        # 32 is Keras' own.
        return {"kind": "arrays", **arrays}, int(arguments.get("batch_size") or 32)
    found: dict[str, Any] = {"kind": type(x).__name__}
    if hasattr(x, "element_spec"):
        found["batches"] = str(x.element_spec)
    if isinstance(x, tf.data.Dataset) and int(x.cardinality()) >= 0:
        found["cardinality"] = int(x.cardinality())
    elif isinstance(x, keras.utils.Sequence):
        found["cardinality"] = len(x)
    return found, None


def _arrays(part: Any) -> Any:
    """Types and shapes of arrays, in the structure that they were given in."""
    if isinstance(part, dict):
        return {str(name): _arrays(one) for name, one in part.items()}
    if isinstance(part, list | tuple) and any(hasattr(one, "shape") for one in part):
        return [_arrays(one) for one in part]
    if not hasattr(part, "shape") or not hasattr(part, "dtype"):
        return type(part).__name__
    return f"{getattr(part.dtype, 'name', part.dtype)} {tuple(part.shape)}"
