"""TrainingLog: what a 1-bit training does, a line for each epoch."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_rbcn._backend import keras, tf
from keras_rbcn.callbacks.log_file import LogFile, Record, flattened
from keras_rbcn.callbacks.measurements import binary_kernels, learning_rates
from keras_rbcn.training import RBCNModel

# Beside the runs "train" and "validation" of Keras' own callback.
_RUN = "training_log"


class TrainingLog(keras.callbacks.Callback):
    """Logs every loss, and what the 1-bit kernels do, a line for each epoch.

    At the end of an epoch it writes one record:

    - `epoch`, from 0, and `step`, the updates by the optimizer so far;
    - `logs`: all that Keras logs, such as `loss`, `val_accuracy`;
    - `learning_rate`, by optimizer: of the last step;
    - `sign_flips`, by layer: share of the kernel's entries whose sign (+1 at zero)
      differs between the start and the end of the epoch;
    - `clipped`, by layer: share of latent entries at the clip, where |W| = 1;
    - `scale_mean`, `scale_min`, `scale_max`, by layer: of the scales C;
    - `discriminator_accuracy`, by tap.

    Layers inside nested models have the models' names in front: `"encoder/conv1"`. All
    1-bit kernels of larq layers count; any Keras model may be trained, and what it
    lacks is left out. A model that is built by its first batch has no signs at the
    start of its first epoch, and no flips in it. Put it in front of callbacks that set
    weights or learning rates at the end of an epoch, such as `ReduceLROnPlateau`: it
    sees what those in front of it have set.

    A `.jsonl` file holds an object a line, with an object for each of the names above;
    null is a number that is not finite. A `.csv` file holds a row a line, with columns
    `loss`, `sign_flips/conv1`. None of it goes into Keras' own logs, which the progress
    bar would print.

    A record is on the disk when the next epoch begins. `fit` that begins at epoch 0
    starts the file anew, and one with `initial_epoch=n` keeps the lines of the epochs
    before n. So does one that `ResumableTraining` takes up, in the same list: the log
    of a training that was killed is that of the unbroken one. With several workers the
    chief writes. If a write fails while the model trains, a warning says so, and it is
    tried again behind each epoch.

    Args:
        path: The file: its name ends in `.jsonl` or `.csv`. Its folder is created.
        log_dir: Folder for TensorBoard, or None. The run `training_log` in it has the
            same values under the same names, and histograms of the scales C.

    Raises:
        ValueError: If the path ends otherwise, or is a folder; in `fit`, if the file
            holds something else.
        ImportError: If there is a `log_dir`, and the package tensorboard is missing.
        OSError: In `fit`, if the file or the folder cannot be written.

    Example:
        >>> model = keras.Sequential(
        ...     [
        ...         keras.Input((4, 4, 2)),
        ...         RectifiedConv2D(3, 3, name="conv"),
        ...         keras.layers.Flatten(),
        ...     ]
        ... )
        >>> model.compile("adam", "mse")
        >>> x, y = np.ones((8, 4, 4, 2), "float32"), np.zeros((8, 12))
        >>> log = TrainingLog("log.jsonl")
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[log])
        >>> import json
        >>> with open("log.jsonl") as file:
        ...     first, second = [json.loads(line) for line in file]
        >>> second["epoch"], second["step"], list(second["sign_flips"])
        (1, 2, ['conv'])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        log_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self._supports_tf_logs = True
        # Keras asks what it does with several workers: each must read the metrics.
        self._chief_worker_only = False
        self._file = LogFile(path)
        self._log_dir = None if log_dir is None else os.path.join(log_dir, _RUN)
        if log_dir is not None and importlib.util.find_spec("tensorboard") is None:
            raise ImportError(
                "TrainingLog needs the package tensorboard to write for it. Install it "
                "with: python -m pip install tensorboard; or leave out `log_dir`."
            )
        self._writer: Any = None
        self._has_begun = False
        self._failed: set[str] = set()
        # By kernel: the packed signs at the start of the epoch that is running.
        self._signs: dict[str, np.ndarray] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._has_begun = False
        self._failed = set()
        self._signs = None
        if self._writes:
            self._file.check()
            self._open_writer()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self._writes:
            return
        if not self._has_begun:
            self._file.begin(epoch)
            self._has_begun = True
        # Those of an epoch that was begun by a program that was killed are known.
        if self._signs is None:
            kernels = binary_kernels(self.model)
            self._signs = {kernel.name: kernel.signs() for kernel in kernels}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        # By every worker: they sum up what they read.
        accuracies = {}
        if isinstance(self.model, RBCNModel):
            accuracies = self.model.discriminator_accuracies
        if not self._writes:
            return
        if not self._has_begun:
            raise RuntimeError(
                "Expected TrainingLog to be told of the beginning of each epoch before "
                "its end. Pass it as model.fit(..., callbacks=[TrainingLog(path)])."
            )
        record, scales = self._measure(epoch, logs or {}, accuracies)
        self._signs = None
        self._attempt(str(self._file.path), lambda: self._file.append(record))
        if self._writer is not None:
            self._attempt(str(self._log_dir), lambda: self._summarise(record, scales))

    def on_train_end(self, logs: Any = None) -> None:
        if self._writer is not None:
            self._attempt(str(self._log_dir), self._writer.close)
            self._writer = None

    def state_dict(self) -> dict[str, Any]:
        """What `ResumableTraining` saves of it: the signs at the epoch's start."""
        return {"signs": self._signs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave.

        Args:
            state: What it gave.
        """
        self._signs = state["signs"]

    @property
    def _writes(self) -> bool:
        """Whether this process writes: the only one, or the chief of several."""
        return bool(self.model.distribute_strategy.extended.should_save_summary)

    def _measure(
        self, epoch: int, logs: dict[str, Any], accuracies: dict[str, float]
    ) -> tuple[Record, dict[str, np.ndarray]]:
        """The record of an epoch, and the scales C by layer."""
        kernels = binary_kernels(self.model)
        signs = self._signs or {}
        clipped = {kernel.name: kernel.share_clipped() for kernel in kernels}
        found = {kernel.name: kernel.scale() for kernel in kernels}
        scales = {name: scale for name, scale in found.items() if scale is not None}
        rates = learning_rates(self.model)
        if isinstance(self.model, RBCNModel) and not accuracies:
            rates.pop("discriminator_optimizer", None)  # It has nothing to do.
        groups = {
            "logs": {name: np.asarray(value).tolist() for name, value in logs.items()},
            "learning_rate": rates,
            "sign_flips": {
                kernel.name: kernel.share_of_flips(signs[kernel.name])
                for kernel in kernels
                if kernel.name in signs
            },
            "clipped": {k: share for k, share in clipped.items() if share is not None},
            "scale_mean": {k: float(np.mean(one)) for k, one in scales.items()},
            "scale_min": {k: float(np.min(one)) for k, one in scales.items()},
            "scale_max": {k: float(np.max(one)) for k, one in scales.items()},
            "discriminator_accuracy": accuracies,
        }
        # A loop of one's own may do without an optimizer of the model.
        step = getattr(self.model.optimizer, "iterations", self.model._train_counter)
        counters = {"epoch": epoch, "step": int(keras.backend.get_value(step))}
        return counters | {name: one for name, one in groups.items() if one}, scales

    def _open_writer(self) -> None:
        if self._log_dir is None:
            return
        try:
            self._writer = tf.summary.create_file_writer(self._log_dir)
        except tf.errors.OpError as error:
            raise OSError(
                f"TrainingLog cannot write for TensorBoard to '{self._log_dir}': "
                f"{error.message}"
            ) from None

    def _summarise(self, record: Record, scales: dict[str, np.ndarray]) -> None:
        with self._writer.as_default(record["epoch"]), tf.summary.record_if(True):
            for name, value in flattened(record).items():
                if name != "epoch" and isinstance(value, int | float):
                    tf.summary.scalar(name, value)
            for name, scale in scales.items():
                tf.summary.histogram(f"scale/{name}", scale)
        self._writer.flush()

    def _attempt(self, name: str, write: Callable[[], Any]) -> None:
        """Writes; a training is worth more than its log, so that it may fail."""
        try:
            write()
        except (OSError, tf.errors.OpError) as error:
            if name not in self._failed:
                self._failed.add(name)
                reason = getattr(error, "strerror", None) or error
                warnings.warn(
                    f"TrainingLog cannot write to '{name}' ({reason}). The training "
                    "goes on, and it is tried again at the end of each epoch.",
                    UserWarning,
                    stacklevel=2,
                )
