"""A model's inputs, and samples for them out of whatever a user gives as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from keras_rbcn._backend import tf

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Signature:
    """Inputs of a model as the converter needs them: flat, with a batch of one."""

    structure: Any
    names: list[str]
    specs: list[Any]

    def call(self, model: Any, arrays: list[Any]) -> list[Any]:
        """Runs the model in inference mode, and returns its flat outputs."""
        inputs = tf.nest.pack_sequence_as(self.structure, arrays)
        return tf.nest.flatten(model(inputs, training=False))


# Why most who ask for a model's inputs need to know every size.
_REASON = (
    "1-bit convolutions of undefined height or width are no 1-bit convolutions on the "
    "device"
)


def input_signature(model: Any, reason: str = _REASON) -> Signature:
    """The model's inputs.

    Args:
        model: A Keras model.
        reason: Why every size must be defined, for the message.

    Returns:
        The inputs, with a batch of one.

    Raises:
        ValueError: If the model has not been built, or a size of an input other than
            the batch is undefined.
    """
    structure = _input_structure(model)
    flat = tf.nest.flatten(structure)
    names = list(getattr(model, "input_names", None) or ())
    if len(names) != len(flat):
        names = [f"input_{number + 1}" for number in range(len(flat))]
    specs = []
    for number, (name, tensor) in enumerate(zip(names, flat, strict=True)):
        shape = tensor.shape
        if shape.rank is None or None in shape.as_list()[1:]:
            raise ValueError(
                f"Expected every size of input '{name}' of model '{model.name}' but "
                f"the batch to be defined, because {reason}. Received: "
                f"shape={tuple(shape) if shape.rank is not None else None}. Build the "
                "model with a fixed input shape, a number in place of each None, and "
                "copy the weights with `set_weights(model.get_weights())`."
            )
        specs.append(
            tf.TensorSpec([1, *shape.as_list()[1:]], tensor.dtype, f"input_{number}")
        )
    return Signature(structure, names, specs)


def _input_structure(model: Any) -> Any:
    if getattr(model, "inputs", None):
        # A functional model takes a flat list whatever the structure of its inputs.
        return model.inputs if len(model.inputs) > 1 else model.inputs[0]
    spec = model.save_spec(dynamic_batch=True) if model.built else None
    if spec is None:
        raise ValueError(
            f"Expected model '{model.name}' to be built, so that the shape of its "
            "inputs is known. Call it on a batch of data first."
        )
    (args, _) = spec
    return args[0]


def first_samples(
    data: Any, signature: Signature, count: int, argument: str
) -> list[np.ndarray]:
    """Takes the first samples out of whatever the user gave.

    Args:
        data: An array `(samples, ...)`; a list, or a dictionary by name, of arrays for
            several inputs; a tuple `(inputs, labels)`; a `tf.data.Dataset` or
            `keras.utils.Sequence` of batches with or without labels.
        signature: The model's inputs.
        count: How many samples at most.
        argument: What the user knows the data by, for messages.

    Returns:
        One array per input.

    Raises:
        ValueError: If the data do not fit the model's inputs.
    """
    batches = []
    found = 0
    for values in _batches(data):
        arrays = _check_inputs(values, signature, argument)
        batches.append(arrays)
        found += len(arrays[0])
        if found >= count:
            break
    if not found:
        raise ValueError(f"Expected `{argument}` to hold samples; it is empty.")
    return [np.concatenate(parts)[:count] for parts in zip(*batches, strict=True)]


def run_in_batches(
    model: Any,
    arrays: list[np.ndarray],
    size: int,
    run: Callable[[list[np.ndarray]], _Result],
) -> list[_Result]:
    """Runs a model on samples, so many at a time.

    Args:
        model: The model.
        arrays: The samples, one array per input.
        size: How many it runs on at a time.
        run: What to do with these, one array per input.

    Returns:
        What `run` makes of each batch.

    Raises:
        ValueError: If the model cannot compute a sample, such as one with a number
            beyond an embedding.
    """
    results = []
    for start in range(0, len(arrays[0]), size):
        part = [array[start : start + size] for array in arrays]
        try:
            results.append(run(part))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(
                f"Expected samples that model '{model.name}' can compute, but on those "
                f"from {start} to {start + len(part[0]) - 1} TensorFlow says: "
                f"{error.message}"
            ) from error
    return results


def _batches(data: Any) -> Iterator[Any]:
    """The inputs in the data, batch by batch, without labels."""
    if isinstance(data, tf.data.Dataset):
        for batch in data:
            yield batch[0] if isinstance(batch, tuple) else batch
    elif hasattr(data, "__getitem__") and hasattr(data, "on_epoch_end"):
        for index in range(len(data)):  # A keras.utils.Sequence.
            batch = data[index]
            yield batch[0] if isinstance(batch, tuple) else batch
    elif isinstance(data, tuple) and data:
        yield data[0]  # (inputs, labels), as in `validation_data`.
    else:
        yield data


def _check_inputs(values: Any, signature: Signature, argument: str) -> list[np.ndarray]:
    names = signature.names
    if isinstance(values, Mapping):
        if set(values) != set(names):
            raise ValueError(
                f"Expected `{argument}` for the inputs {names}, received: "
                f"{sorted(values)}."
            )
        values = [values[name] for name in names]
    elif not isinstance(values, list | tuple):
        values = [values]
    if len(values) != len(names):
        raise ValueError(
            f"Expected `{argument}` for the {len(names)} inputs {names}, received "
            f"{len(values)} arrays."
        )
    arrays = []
    for value, name, spec in zip(values, names, signature.specs, strict=True):
        array = np.asarray(value)
        expected = tuple(spec.shape[1:])
        if array.ndim == 0 or array.shape[1:] != expected:
            raise ValueError(
                f"Expected `{argument}` for input '{name}' to have the shape "
                f"(samples, {', '.join(map(str, expected))}), received: "
                f"shape={array.shape}."
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(
                f"Expected `{argument}` for input '{name}' to hold finite numbers; it "
                "holds NaN or infinity."
            )
        dtype = np.dtype(spec.dtype.as_numpy_dtype)
        cast = array.astype(dtype) if array.dtype.kind in "biuf" else None
        # To integers, only what they can hold.
        if cast is None or (dtype.kind in "biu" and not np.array_equal(cast, array)):
            raise ValueError(
                f"Expected `{argument}` for input '{name}' to hold numbers of type "
                f"{dtype}, received: dtype={array.dtype}."
            )
        arrays.append(cast)
    if len({len(array) for array in arrays}) > 1:
        raise ValueError(
            f"Expected `{argument}` to hold the same number of samples for every "
            f"input, received: {[len(array) for array in arrays]}."
        )
    return arrays
