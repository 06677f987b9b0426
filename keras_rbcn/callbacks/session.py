"""One call of `fit` that can be resumed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from keras_rbcn._backend import tf
from keras_rbcn.callbacks.callback_state import callback_states, restore_callbacks
from keras_rbcn.callbacks.checkpoints import RefusedError
from keras_rbcn.callbacks.data_position import DataPosition
from keras_rbcn.callbacks.fingerprint import (
    create_variables,
    fingerprint,
    first_difference,
    metric_variables,
)
from keras_rbcn.callbacks.fit_loop import FitLoop
from keras_rbcn.callbacks.random_state import (
    generators,
    python_and_numpy,
    restore_python_and_numpy,
)
from keras_rbcn.callbacks.replica_values import (
    assign_local_values,
    from_json,
    local_values,
    of_each_replica,
    to_json,
)
from keras_rbcn.callbacks.shared_folder import SharedFolder
from keras_rbcn.callbacks.workers import Workers


class Session:
    """Takes a training up where a checkpoint left it, and saves as it goes on.

    It stands between the loop of `fit` and the handler that hands out the epochs. So it
    takes up behind every callback's `on_train_begin`, and saves behind every callback's
    `on_epoch_end`. Several workers do the same at the same steps; what is said to be
    called by all of them waits for the others.

    Args:
        model: Compiled Keras model in `fit`.
        loop: The loop of `fit`.
        folder: Where the checkpoints are.
        workers: The processes that train the model.
        save_every: Steps between two checkpoints within an epoch, or None.
    """

    def __init__(
        self,
        model: Any,
        loop: FitLoop,
        folder: SharedFolder,
        workers: Workers,
        save_every: int | None,
    ) -> None:
        self._model = model
        self._data, self._callbacks = loop
        self._folder = folder
        self._workers = workers
        self._strategy = model.distribute_strategy
        self._save_every = save_every
        self._position = DataPosition(self._data)
        self._checkpoint: Any = None
        self._fingerprint: Any = None
        self._epoch = 0
        # Steps of the epochs that are over, and of the training at the last save.
        self._used: list[int] = []
        self._saved_at = 0
        # Number of the checkpoint that was taken up.
        self._taken_up: int | None = None
        self._is_open = False
        self._metrics: list[Any] = []
        self._is_finished = False
        self._hand_out = self._data.enumerate_epochs
        self._data.enumerate_epochs = self._epochs

    # --- called by the callback ----------------------------------------------------

    def begin_epoch(self) -> None:
        """Puts back the metrics of an epoch that was begun, behind Keras' reset."""
        values, self._metrics = self._metrics, []
        if values:
            variables = metric_variables(self._model)
            assign_local_values(self._strategy, variables, values)

    def before_step(self, step: int) -> None:
        """Saves if it is time to."""
        done = sum(self._used) + step
        every = self._save_every
        if not every or done // every == self._saved_at // every:
            return
        # Behind the last step of an epoch `fit` cannot be taken up.
        if self._data.inferred_steps is None and (
            not self._position.is_saved or self._position.is_used_up()
        ):
            return
        self._save(self._epoch, step)

    def end(self) -> None:
        """Saves where a callback has stopped the training."""
        if not self._is_finished and self._model.stop_training:
            self._count_steps()
            self._save_the_end()

    # --- the epochs ----------------------------------------------------------------

    def _epochs(self) -> Iterator[tuple[int, Any]]:
        """The epochs and their iterators, as the handler of the data gives them."""
        state = self._choose()
        if state is not None:
            self._aim(state)
        first = True
        for epoch, iterator in self._hand_out():
            self._epoch = epoch
            if not first:
                self._position.next_epoch(iterator)
                self._save(epoch, 0)
            elif state is None:
                self._position.start(iterator)
            else:
                self._take_up(state, iterator)
            first = False
            yield epoch, self._position.iterator
            self._count_steps()
        if not first:
            self._save_the_end()
        elif state is not None:
            self._restore(state)  # Nothing is left to do.
        self._is_finished = True

    def _count_steps(self) -> None:
        self._used.append(int(self._model._train_counter.numpy()) - sum(self._used))

    def _save_the_end(self) -> None:
        # As if another epoch came, which is what more `epochs` bring.
        self._position.next_epoch()
        stopped = self._model.stop_training or self._data._insufficient_data
        self._save(self._epoch + 1, 0, stopped)

    # --- saving --------------------------------------------------------------------

    def _saved_objects(self) -> Any:
        """What TensorFlow saves; all of it exists once a step has been run."""
        if self._checkpoint is None:
            model = self._model
            self._checkpoint = tf.train.Checkpoint(
                model=model,
                counters=[model._train_counter, model._test_counter],
                metrics=metric_variables(model),
                generators=generators(model),
            )
        if self._position.is_saved:
            for name, value in self._position.saved_objects().items():
                setattr(self._checkpoint, name, value)
        return self._checkpoint

    def _save(self, epoch: int, step: int, stopped: bool = False) -> None:
        if self._fingerprint is None:
            self._fingerprint = fingerprint(self._model, self._data)
        own = {
            "random": python_and_numpy(),
            "values": to_json(local_values(self._strategy, self._of_replicas())),
        }
        done = int(self._model._train_counter.numpy())
        state = {
            "epoch": epoch,
            "step": step,
            "used": self._used,
            "steps_per_epoch": self._data.inferred_steps,
            "epochs": self._data._epochs,
            "stopped": stopped,
            "position_is_saved": self._position.is_saved,
            "seed": self._position.seed,
            "fingerprint": self._fingerprint,
            "callbacks": callback_states(self._callbacks),
            "workers": self._workers.gather(own),
        }
        objects = self._saved_objects()
        if not self._is_open:
            self._folder.open(objects, self._taken_up)
            self._is_open = True
        self._folder.write(done, state)
        self._saved_at = done

    def _of_replicas(self) -> list[Any]:
        """Variables of which each replica has a value of its own."""
        if self._strategy.num_replicas_in_sync == 1:
            return []
        variables = [*self._model.weights, *metric_variables(self._model)]
        # Of those in no strategy's scope each worker has its own too.
        states = [one.state for one in generators(self._model)]
        return [*of_each_replica(variables), *states]

    # --- taking up -----------------------------------------------------------------

    def _choose(self) -> Any:
        """The state in the newest checkpoint that is whole and of this training.

        Returns:
            None if there are no checkpoints, or all of them are damaged.

        Raises:
            ValueError: If there are checkpoints, and none of this training.
        """
        numbers = self._folder.numbers()
        if numbers:
            create_variables(self._model, self._data._dataset)
            self._fingerprint = fingerprint(self._model, self._data)
        refused = []
        for number in numbers:
            try:
                state = self._folder.read(number, self._check)
            except RefusedError as error:
                refused.append(error)
                warnings.warn(
                    f"ResumableTraining does not use a checkpoint: {error}. The one "
                    "before it is tried.",
                    stacklevel=2,
                )
            else:
                self._taken_up = number
                return state
        others = [str(error) for error in refused if not error.damaged]
        if others:
            raise ValueError(
                f"Expected the checkpoints in '{self._folder}' to be of this training, "
                f"but {others[0]}. Start the training that they are of, or pass "
                "another directory."
            )
        if refused:
            warnings.warn(
                f"ResumableTraining starts anew: no checkpoint in '{self._folder}' is "
                "whole.",
                stacklevel=2,
            )
        return None

    def _check(self, number: int, state: dict[str, Any]) -> None:
        found = first_difference(state["fingerprint"], self._fingerprint)
        steps = (state["steps_per_epoch"], self._data.inferred_steps)
        if found is None and None not in steps and steps[0] != steps[1]:
            found = f"steps per epoch: {steps[0]} there, {steps[1]} here"
        if found is None and state["seed"] != self._position.seed:
            found = (
                f"seed of the order of the arrays: {state['seed']} there, "
                f"{self._position.seed} here"
            )
        if found is not None:
            raise RefusedError(
                f"'{self._folder.prefix(number)}' is of another training ({found})",
                False,
            )

    def _aim(self, state: dict[str, Any]) -> None:
        """Has the handler begin at the epoch and step of a checkpoint."""
        data = self._data
        data._initial_epoch, data._initial_step = state["epoch"], state["step"]
        if data._inferred_steps is None:
            data._inferred_steps = state["steps_per_epoch"]
        if state["stopped"] and data._epochs <= state["epochs"]:
            data._initial_epoch = data._epochs
        self._position.is_saved = state["position_is_saved"]

    def _take_up(self, state: dict[str, Any], iterator: Any) -> None:
        position = self._position
        if position.is_saved:
            position.prepare(iterator)
            self._restore(state)
            return
        position.replay(iterator, state["used"], state["step"])
        self._restore(state)

    def _restore(self, state: dict[str, Any]) -> None:
        assert self._taken_up is not None
        path = self._folder.prefix(self._taken_up)
        error = self._load(path)
        for problem in self._workers.gather(error and str(error)):
            if problem:
                # Its variables have been compared, so that this is left.
                raise ValueError(
                    f"Expected '{path}' to be of a training on the same data pipeline "
                    "with the same TensorFlow, but it cannot be restored: "
                    f"{problem}"
                ) from error
        own = state["workers"][self._workers.index]
        assign_local_values(
            self._strategy, self._of_replicas(), from_json(own["values"])
        )
        if state["step"]:
            self._metrics = local_values(self._strategy, metric_variables(self._model))
        restore_callbacks(self._callbacks, state["callbacks"])
        if not self._position.runs_python:
            restore_python_and_numpy(own["random"])
        self._used = list(state["used"])
        self._saved_at = self._taken_up

    def _load(self, path: str) -> Exception | None:
        """Gives all variables their values; what went wrong, if anything did."""
        try:
            status = self._saved_objects().restore(path)
            status.assert_existing_objects_matched()
            status.expect_partial()  # A position that nothing is left to do from.
            if self._position.iterator is not None and self._position.is_saved:
                self._position.finish(path)
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            return error
        return None
