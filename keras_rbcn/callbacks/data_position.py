"""Where a training stands in its data, and how to get there again."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.callbacks.random_state import global_seed

_SEED_IT = "call keras.utils.set_random_seed at the top of the program"


class DataPosition:
    """The iterator that `fit` draws batches from.

    Where TensorFlow can save an iterator, that is what is saved. Where it cannot
    (Python code or random operations in the pipeline, arrays, several replicas),
    batches that were used are drawn again and passed over.

    Args:
        data: The handler of the data, made by `fit`.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self.iterator: Any = None
        self.is_saved = False
        self._renews = bool(data._adapter.should_recreate_iterator())
        # Stays in front of the first batch. An iterator that has come to the end of its
        # inputs forgets how often these have been shuffled; this one does not.
        self._epoch_start: Any = None

    @property
    def has_arrays(self) -> bool:
        """Whether the data are arrays, whose order Keras has drawn."""
        return hasattr(self._data._adapter, "slice_inputs") or hasattr(
            self._data._adapter, "_internal_adapter"
        )

    @property
    def runs_python(self) -> bool:
        """Whether drawing a batch may use Python's and numpy's random numbers."""
        if self.is_saved or self.has_arrays:
            return False
        return not self._is_distributed or self._outside_state() is not None

    @property
    def seed(self) -> int | None:
        """The global seed if the order of the data hangs on it alone."""
        return global_seed() if self._order_of_arrays_is_random() else None

    def start(self, iterator: Any) -> None:
        """Begins at the first batch of a training; warns of what cannot be saved."""
        self.iterator = iterator
        reason = self._why_not_saved(iterator)
        self.is_saved = reason is None
        self._keep_epoch_start()
        warning = self._warning(reason)
        if warning:
            warnings.warn(warning, stacklevel=2)

    def next_epoch(self, iterator: Any = None) -> None:
        """Goes on with the iterator that Keras has for the next epoch, or may have."""
        if self._renews:
            self.iterator = iter(self._data._dataset) if iterator is None else iterator
            self._keep_epoch_start()

    def saved_objects(self) -> dict[str, Any]:
        """What TensorFlow saves of the position, by name."""
        found = {"iterator": self.iterator, "epoch_start": self._epoch_start}
        return {name: one for name, one in found.items() if one is not None}

    def prepare(self, iterator: Any) -> None:
        """Gets ready for `finish`: these objects get what `saved_objects` gave."""
        self.iterator = iterator
        self._epoch_start = iter(self._data._dataset)

    def finish(self, path: str) -> None:
        """Goes to the position in a checkpoint, whose objects have been restored."""
        # Once more, behind the other one, whose restoring may have begun to shuffle its
        # inputs: this one tells how often they had been.
        last = tf.train.Checkpoint(epoch_start=self._epoch_start)
        last.read(path).expect_partial()

    def replay(self, iterator: Any, epochs: list[int], step: int) -> None:
        """Draws again what was drawn, and passes over it.

        Args:
            iterator: The first one of this call of `fit`.
            epochs: How many batches each epoch before this one has used.
            step: How many this one has used.
        """
        data = self._data
        self.iterator = iterator
        logging.getLogger(__name__).info(
            "Drawing %d batches again that were used before.", sum(epochs) + step
        )
        for used in epochs:
            self._pass_over(used)
            if self._renews:
                data._adapter.on_epoch_end()
                self.iterator = iter(data._dataset)
        self._pass_over(step)

    def is_used_up(self) -> bool:
        """Whether no batch is left in an epoch whose number of steps is not known."""
        return next(self._copy(self.iterator, self._epoch_start), None) is None

    def _keep_epoch_start(self) -> None:
        if self.is_saved:
            self._epoch_start = self._copy(self.iterator, self.iterator)

    def _copy(self, iterator: Any, epoch_start: Any) -> Any:
        """Another iterator at the same place.

        That it was begun, which a shuffled dataset counts, is undone.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "iterator")
            saved = tf.train.Checkpoint(iterator=iterator, epoch_start=epoch_start)
            saved.write(path)
            copy = iter(self._data._dataset)
            tf.train.Checkpoint(iterator=copy).read(path).expect_partial()
            last = tf.train.Checkpoint(epoch_start=epoch_start)
            last.read(path).expect_partial()
            return copy

    def _pass_over(self, batches: int) -> None:
        for number in range(batches):
            try:
                next(self.iterator)
            except (StopIteration, tf.errors.OutOfRangeError):
                raise ValueError(
                    f"Expected data of at least {batches} batches, which the training "
                    f"has already used, but they ended after {number}. Start it with "
                    "the data that it was started with, or in another folder."
                ) from None

    def _order_of_arrays_is_random(self) -> bool:
        adapter = getattr(self._data._adapter, "_internal_adapter", self._data._adapter)
        return self.has_arrays and bool(adapter._shuffle)

    @property
    def _is_distributed(self) -> bool:
        return not isinstance(self._data._dataset, tf.data.Dataset)

    @property
    def _dataset(self) -> Any:
        """What is drawn from, as it was before it was distributed."""
        return self._data._adapter.get_dataset()

    def _outside_state(self) -> str | None:
        """Why batches that are drawn again may be other ones; None if they are not.

        Of Python code and random operations in a pipeline TensorFlow knows no state.
        """
        dataset = self._dataset
        if not isinstance(dataset, tf.data.Dataset):
            return "they were distributed before `fit`"
        try:
            fail = tf.data.experimental.ExternalStatePolicy.FAIL
            dataset._as_serialized_graph(external_state_policy=fail)
        except (tf.errors.FailedPreconditionError, tf.errors.UnimplementedError) as e:
            return _reason(e)
        return None

    def _why_not_saved(self, iterator: Any) -> str | None:
        """Why TensorFlow cannot save the iterator; None if it can."""
        if self.has_arrays:
            return "arrays"
        if self._is_distributed:
            return "they are distributed over several replicas"
        policy = self._data._dataset.options().experimental_external_state_policy
        if policy not in (None, tf.data.experimental.ExternalStatePolicy.FAIL):
            return f"its options set experimental_external_state_policy to {policy}"
        if _has_late_shuffle(self._data._dataset):
            # It counts its shuffles in an iterator that is made only when it is drawn
            # from, and is not saved in front of an epoch.
            return "one shuffled dataset lies under or behind another"
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = str(Path(folder) / "iterator")
                tf.train.Checkpoint(iterator=iterator).write(path)
            except (
                tf.errors.FailedPreconditionError,
                tf.errors.UnimplementedError,
            ) as e:
                return _reason(e)
        return None

    def _warning(self, reason: str | None) -> str | None:
        if self.has_arrays:
            if not self._order_of_arrays_is_random() or global_seed() is not None:
                return None
            return (
                "ResumableTraining: a resumed training will go through the arrays in "
                "another order than an unbroken one, since no seed has been set. To "
                f"resume exactly, {_SEED_IT}, or pass shuffle=False."
            )
        at_once = " at once and"
        if reason is not None and self._is_distributed:
            # Drawing again is exact then, where the data themselves are.
            reason, at_once = self._outside_state(), ""
        if reason is not None:
            return (
                "ResumableTraining: TensorFlow cannot save the position in these data "
                f"({reason}). A resumed training will draw the batches that were used "
                "again, and pass over them; it is exact only if the data come in the "
                f"same order whenever the program starts. To resume{at_once} "
                "exactly, use a tf.data.Dataset without Python code, with seeds, and "
                "with tf.random.stateless_* in place of other random operations."
            )
        if _has_unseeded_shuffle(self._dataset):
            when = "" if self._is_distributed else "after the epoch in which it is "
            return (
                f"ResumableTraining: {when}resumed, a training "
                "will go through the data in another order than an unbroken one, since "
                "the dataset is shuffled without a seed. To resume exactly, pass "
                f"shuffle(..., seed=...), or {_SEED_IT}."
            )
        return None


def _reason(error: Any) -> str:
    text = str(error.message).partition("}}")[2] or str(error.message)
    return text.partition("[Op:")[0].strip().rstrip(".")


def _is_shuffled(dataset: Any) -> bool:
    return type(dataset).__name__ == "_ShuffleDataset"


def _has_late_shuffle(dataset: Any, late: bool = False) -> bool:
    """Whether a dataset that is shuffled in each epoch is begun later than the epoch.

    That is one under a shuffle, or one behind another.
    """
    inputs = dataset._inputs()
    if type(dataset).__name__ == "_ConcatenateDataset":
        first, *others = inputs
        return _has_late_shuffle(first, late) or any(
            _has_late_shuffle(one, True) for one in others
        )
    if _is_shuffled(dataset):
        if late and dataset._reshuffle_each_iteration:
            return True
        late = True
    return any(_has_late_shuffle(one, late) for one in inputs)


def _has_unseeded_shuffle(dataset: Any) -> bool:
    seeds: list[Any] = [getattr(dataset, name, None) for name in ("_seed", "_seed2")]
    if _is_shuffled(dataset) and None not in seeds and not any(map(int, seeds)):
        return True
    return any(_has_unseeded_shuffle(one) for one in dataset._inputs())
