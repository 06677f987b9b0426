"""`cache_teacher` of `RBCNModel.fit`: what the teacher makes of data, computed once."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn.training.cache_folder import CacheFolder, UnusableError
from keras_rbcn.training.description import weights_digest

_OTHER_DATA = "keras_rbcn: other data than the cache was written for"
_FIX_THE_ORDER = (
    "The cache needs the same batches in the same order in each epoch: without random "
    "augmentation, and shuffled at most by shuffle(..., seed=..., "
    "reshuffle_each_iteration=False)."
)


class WithTeacher(NamedTuple):
    """Inputs of a batch, and what the teacher made of them."""

    x: Any
    outputs: tuple[Any, ...]
    features: tuple[Any, ...]


@contextlib.contextmanager
def cached_teacher(model: Any, arguments: dict[str, Any], path: Any) -> Iterator[None]:
    """Has `fit` draw what the teacher makes of each batch from a folder.

    Within it, errors that come of other data, or of a damaged cache, are clear ones,
    and the cache is given up. If the folder cannot hold it, `fit` runs without.

    Args:
        model: Compiled RBCNModel.
        arguments: Those of `fit`, by name; changed.
        path: The folder.
    """
    _check(model, arguments)
    folder = CacheFolder(path)
    if not (model._uses_features or model.settings.uses("distillation")):
        warnings.warn(
            "cache_teacher has no effect: no loss uses the teacher.", stacklevel=4
        )
        yield
        return
    batches = _batches(arguments)
    writer = _Writer(model, batches, folder, arguments.get("verbose", "auto"))
    if not writer.make_usable():
        yield
        return
    arrays = not isinstance(arguments["x"], tf.data.Dataset)
    if arrays:
        for name in ("y", "sample_weight", "batch_size", "shuffle"):
            arguments.pop(name, None)
    arguments["x"] = _joined(batches, folder, writer.signature)
    if arrays and arguments.get("steps_per_epoch"):
        # So does Keras: an epoch goes on where the one before ended.
        arguments["x"] = arguments["x"].repeat(arguments.get("epochs", 1))
    try:
        yield
    except tf.errors.NotFoundError as error:
        if str(folder.path) not in str(error):
            raise
        raise ValueError(
            f"Expected the teacher's cache to stay in '{path}' while the student is "
            "trained, but its file is gone: the folder was removed, or another program "
            "has written the cache of another teacher, other taps or other data. Give "
            "each such program a folder of its own."
        ) from error
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        damaged = isinstance(error, tf.errors.DataLossError)
        if not damaged and _OTHER_DATA not in str(error):
            raise
        folder.give_up()
        raise ValueError(
            "Expected the data that the teacher's cache was written for, but "
            + ("its file is damaged" if damaged else "a batch holds other data")
            + f". The cache in '{path}' was removed, and will be written anew by the "
            f"next call. {'' if damaged else _FIX_THE_ORDER}".rstrip()
        ) from error


def _check(model: Any, arguments: dict[str, Any]) -> None:
    """Raises ValueError if the data of a call of `fit` cannot be cached."""
    if model.teacher is None:
        raise ValueError("cache_teacher needs a teacher, but teacher=None.")
    if model.distribute_strategy.extended._in_multi_worker_mode():
        raise ValueError(
            "cache_teacher works on one machine: with several workers each would need "
            "another part of the cache. Leave it out."
        )
    if arguments.get("validation_split"):
        raise ValueError(
            "Expected no `validation_split` with cache_teacher; pass validation_data."
        )
    x = arguments.get("x")
    if isinstance(x, tf.data.Dataset):
        if int(x.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise ValueError(
                "Expected data that end, to cache what the teacher makes of them, "
                "received a dataset that repeats for ever. Leave `repeat()` out."
            )
    elif x is None or isinstance(x, keras.utils.Sequence) or hasattr(x, "__next__"):
        raise ValueError(
            "Expected arrays or a tf.data.Dataset with cache_teacher, received: "
            f"x of type {type(x).__name__}, whose order cannot be relied on."
        )
    elif arguments.get("shuffle", True):
        raise ValueError(
            "Expected shuffle=False with cache_teacher, received: shuffle="
            f"{arguments.get('shuffle', True)!r}. {_FIX_THE_ORDER}"
        )


def _batches(arguments: dict[str, Any]) -> Any:
    """The data of a call of `fit` as a dataset of batches."""
    x = arguments["x"]
    if isinstance(x, tf.data.Dataset):
        return x
    parts = (x, arguments.get("y"), arguments.get("sample_weight"))
    given = tuple(_as_arrays(part) for part in parts if part is not None)
    # In memory there is nothing to tune, and tuned pipelines end late.
    options = tf.data.Options()
    options.autotune.enabled = False
    samples = tf.data.Dataset.from_tensor_slices(given)
    batches = samples.batch(arguments.get("batch_size") or 32).prefetch(2)
    return batches.with_options(options)


def _as_arrays(part: Any) -> Any:
    """Arrays in the structure that they were given in, with tuples in place of lists.

    tf.data takes a list for one array.
    """
    if isinstance(part, dict):
        return {name: _as_arrays(one) for name, one in part.items()}
    if isinstance(part, tuple) or (
        isinstance(part, list) and any(hasattr(one, "shape") for one in part)
    ):
        return tuple(_as_arrays(one) for one in part)
    return np.asarray(part)


def _key(x: Any) -> Any:
    """Fingerprints of a batch's samples, uint8 of shape `(batch, inputs, 8)`."""
    parts = tf.nest.flatten(x)
    for part in parts:
        if not tf.is_tensor(part) or isinstance(
            part, tf.RaggedTensor | tf.SparseTensor
        ):
            raise ValueError(
                "Expected dense tensors as inputs with cache_teacher, received: "
                f"{type(part).__name__}."
            )
    return tf.stack([tf.fingerprint(tf.convert_to_tensor(part)) for part in parts], 1)


def _joined(batches: Any, folder: CacheFolder, signature: Any) -> Any:
    """The batches, each with what the teacher made of it."""

    def join(batch: Any, record: Any) -> Any:
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        key, outputs, features = tf.nest.pack_sequence_as(signature, record)
        ours = _key(x)
        same = tf.reduce_all(tf.equal(tf.shape(key), tf.shape(ours)))
        same = tf.cond(same, lambda: tf.reduce_all(key == ours), lambda: False)
        with tf.control_dependencies([tf.debugging.Assert(same, [_OTHER_DATA])]):
            x = tf.nest.map_structure(tf.identity, x)
        return keras.utils.pack_x_y_sample_weight(
            # Tuples: tf.data takes a list for one tensor.
            WithTeacher(x, tuple(tf.nest.flatten(outputs)), tuple(features)),
            y,
            sample_weight,
        )

    records = folder.records(tf.nest.flatten(signature))
    # Behind the last one, for data that have become longer: zip would cut them short.
    last = records.take(1).map(lambda key, *rest: (key[:0], *rest))
    both = tf.data.Dataset.zip((batches, records.concatenate(last)))
    both = both.map(join).prefetch(2)
    count = int(batches.cardinality())
    if count < 0:
        return both
    return both.apply(tf.data.experimental.assert_cardinality(count))


class _Writer:
    """Sees that a folder holds what the teacher of a model makes of batches."""

    def __init__(
        self, model: Any, batches: Any, folder: CacheFolder, verbose: Any
    ) -> None:
        self._model, self._batches, self._folder = model, batches, folder
        self._verbose = verbose not in (0, "0")
        # Run as the training step is, so that it rounds as that does.
        self._run = model._run_teacher
        if not model.run_eagerly:
            self._run = tf.function(self._run, jit_compile=model._jit_compile)
        # What a record holds: specs of key, outputs and feature maps.
        self.signature: Any = None

    def make_usable(self) -> bool:
        """Writes the cache unless it is there; False if it cannot be written."""
        first = self._first_record()
        if not _same(first, self._first_record()):
            raise ValueError(
                "Expected the same first batch each time the data are read, to cache "
                f"what the teacher makes of them, received two. {_FIX_THE_ORDER}"
            )
        self.signature = tf.nest.map_structure(_spec, first)
        identity = self._identity()
        try:
            self._folder.check(
                identity, tf.nest.flatten(first), int(self._batches.cardinality())
            )
        except UnusableError as error:
            if str(error):
                warnings.warn(
                    f"cache_teacher: the cache in '{self._folder}' is not used: "
                    f"{error}. It is written anew.",
                    stacklevel=5,
                )
        else:
            return True
        self._check_space(first)
        return self._write(identity)

    def _first_record(self) -> Any:
        for batch in self._batches.take(1):
            return self._record(batch)
        raise ValueError("Expected data of at least one batch, received none.")

    def _record(self, batch: Any) -> Any:
        x, _, _ = keras.utils.unpack_x_y_sample_weight(batch)
        return _key(x), *self._run(x)

    def _check_space(self, first: Any) -> None:
        count = int(self._batches.cardinality())
        size = sum(part.numpy().nbytes for part in tf.nest.flatten(first))
        free = shutil.disk_usage(self._folder.path).free + self._folder.size()
        if count * size > free:
            raise ValueError(
                f"Expected space for the teacher's outputs and feature maps in "
                f"'{self._folder}': {count} batches of {size / 2**20:.3g} MiB take "
                f"{count * size / 2**30:.3g} GiB, {free / 2**30:.3g} GiB are free. Tap "
                "fewer layers (taps='stage'), or leave cache_teacher out."
            )

    def _write(self, identity: dict[str, Any]) -> bool:
        progress = keras.utils.Progbar(
            max(int(self._batches.cardinality()), 0) or None, verbose=self._verbose
        )
        if self._verbose:
            print(f"Writing what the teacher makes of the data to '{self._folder}'")

        def records() -> Iterator[list[Any]]:
            for number, batch in enumerate(self._batches):
                yield tf.nest.flatten(self._record(batch))
                progress.update(number + 1)

        try:
            self._folder.write(identity, records())
        except OSError as error:
            warnings.warn(
                f"cache_teacher: the cache cannot be written to '{self._folder}' "
                f"({error.strerror or error}). Training goes on without; the teacher "
                "runs in each step.",
                stacklevel=6,
            )
            return False
        return True

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a cache to hold what would be computed."""
        model = self._model
        digest = weights_digest(model.teacher)
        digest.update(_configuration(model.teacher).encode())
        names = [layer.name for layer in model.teacher.layers]
        packages = ("keras-rbcn", "tensorflow", "tf-keras")
        return {
            "teacher": digest.hexdigest(),
            # By their places: names may count what a program built before.
            "taps": [
                names.index(tap.teacher) for tap in model.taps if model._uses_features
            ],
            "way of running": [model.run_eagerly, bool(model._jit_compile)],
            "signature": [str(spec) for spec in tf.nest.flatten(self.signature)],
            "versions": {name: version(name) for name in packages},
            "processors": sorted(
                device.device_type for device in tf.config.list_logical_devices()
            ),
        }


def _configuration(teacher: Any) -> str:
    """The configuration, without the numbers that Keras gives to names."""
    try:
        config = teacher.get_config()
    except NotImplementedError:  # A subclassed model tells nothing but its weights.
        return type(teacher).__name__
    text = json.dumps(config, sort_keys=True, default=str)
    return re.sub(r"_[0-9]+(?=[/:_\"])", "", text)


def _spec(tensor: Any) -> Any:
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)


def _same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one[0], other[0]))
