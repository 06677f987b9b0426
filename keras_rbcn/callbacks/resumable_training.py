"""ResumableTraining: a training that is killed goes on where it was."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.callbacks.fit_loop import running_fit
from keras_rbcn.callbacks.random_state import unsaveable_layers
from keras_rbcn.callbacks.session import Session
from keras_rbcn.callbacks.shared_folder import SharedFolder
from keras_rbcn.callbacks.workers import Workers


class ResumableTraining(keras.callbacks.Callback):
    """Lets a training that was killed go on when the program is started again.

    `fit` saves checkpoints as it runs. Started again with the same program, it takes up
    at the step of the newest one, and ends, bit for bit on one device with
    deterministic operations, where the unbroken training would have ended: weights,
    scales C, discriminators, the state of every optimizer, step counters, metrics of
    the epoch, learning rate, random state, position in the data, `History`, and the
    state of Keras' own callbacks (`EarlyStopping`, `ReduceLROnPlateau`,
    `ModelCheckpoint`) and of any callback that has `state_dict()` and
    `load_state_dict(state)`, such as `TrainingLog`. A training that has ended is not
    continued, unless `epochs` is raised; its weights and history are loaded.

    What a program must do for it: build the same model with the same settings and the
    same data, and set a seed (`keras.utils.set_random_seed`) before that. Each training
    has a folder of its own. `CSVLogger` needs `append=True`.

    Data: of a `tf.data.Dataset` TensorFlow saves the position in it, with the contents
    of its shuffle buffers. Of arrays, `keras.utils.Sequence`, Python generators and
    datasets with Python code in them, batches that were used are drawn again and passed
    over. A warning at the start tells what cannot be exact. Layers such as `Dropout`
    keep their random state where it cannot be saved, unless the program calls
    `keras.backend.experimental.enable_tf_random_generator()` before it builds the
    model; a warning tells of this too.

    Under `MirroredStrategy` and `MultiWorkerMirroredStrategy` each replica gets back
    what is its own, such as statistics of batch normalisation, and each worker its
    random state; batches that were used are drawn again. All workers pass the same
    `directory`, on a file system that they share: worker 0 writes the checkpoints, and
    decides which one all take up. If one worker is killed, the others end with an
    error; start all of them again.

    Checkpoints are those of `tf.train.CheckpointManager`, each with a manifest of
    SHA-256 sums. One that is damaged or half written is refused with a warning, and the
    one before is used.

    Args:
        directory: Folder for the checkpoints; it is created.
        save_every: Save after every so many training steps, counted over all epochs,
            besides the end of each epoch; None for the ends alone.
        keep: How many checkpoints stay, at least 2, so that one can be damaged.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a number is too small, the directory is a file, or, in `fit`, the
            checkpoints are of another model, other settings, other data, another
            number of replicas or another version of keras_rbcn, or a worker does not
            see what worker 0 writes.
        OSError: In `fit`, if the folder cannot be written, by any worker.

    Example:
        >>> keras.utils.set_random_seed(0)
        >>> x, y = np.ones((8, 4), "float32"), np.zeros(8)
        >>> def train(epochs):
        ...     model = keras.Sequential([keras.layers.Dense(1, input_shape=(4,))])
        ...     model.compile("adam", "mse")
        ...     callback = ResumableTraining("checkpoints", save_every=100)
        ...     history = model.fit(
        ...         x, y, epochs=epochs, verbose=0, callbacks=[callback]
        ...     )
        ...     return history.epoch, int(model.optimizer.iterations)
        >>> train(epochs=2)
        ([0, 1], 2)
        >>> train(epochs=3)
        ([0, 1, 2], 3)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        save_every: int | None = None,
        keep: int = 2,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        # Keras asks what it does with several workers: every one of them must save.
        self._chief_worker_only = False
        self._directory = Path(directory)
        if self._directory.exists() and not self._directory.is_dir():
            raise ValueError(
                "Expected `directory` to be a folder, received the path of a file: "
                f"directory='{directory}'."
            )
        if save_every is not None:
            _check_count("save_every", save_every, 1)
        _check_count("keep", keep, 2)
        self._save_every = save_every
        self._keep = keep
        self._session: Session | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        loop = running_fit(self.model)
        if sum(isinstance(one, ResumableTraining) for one in loop.callbacks) > 1:
            raise ValueError("Expected one ResumableTraining among the callbacks.")
        workers = Workers(self.model.distribute_strategy)
        folder = SharedFolder(self._directory, self._keep, workers)
        self._warn_of_random_layers()
        self._session = Session(self.model, loop, folder, workers, self._save_every)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._session is not None:
            self._session.begin_epoch()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._session is not None:
            self._session.before_step(batch)

    def on_train_end(self, logs: Any = None) -> None:
        if self._session is not None:
            self._session.end()
        self._session = None

    def _implements_train_batch_hooks(self) -> bool:
        return self._save_every is not None

    def _warn_of_random_layers(self) -> None:
        names = unsaveable_layers(self.model)
        if names:
            warnings.warn(
                f"ResumableTraining: the random state of the layers {names} cannot be "
                "saved, so that a resumed training will draw other random numbers than "
                "an unbroken one. To resume exactly, call "
                "keras.backend.experimental.enable_tf_random_generator() before the "
                "model is built.",
                stacklevel=2,
            )


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(
            f"Expected `{name}` to be a whole number, received: {name}={value!r}."
        )
    if value < least:
        raise ValueError(
            f"Expected `{name}` to be at least {least}, received: {name}={value}."
        )
