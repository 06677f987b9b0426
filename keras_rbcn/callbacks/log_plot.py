"""plot_training_log: the picture of a TrainingLog."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keras_rbcn._files import replacing
from keras_rbcn.callbacks.log_file import read_records

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_training_log(
    path: str | os.PathLike[str], output: str | os.PathLike[str] | None = None
) -> Figure:
    """Draws a log of `TrainingLog`, also of a training that is still running.

    It shows, by epoch, the task loss and the metrics in training and validation, the
    losses of the method, the sign flips and the scales C of each layer, the accuracy of
    each discriminator and the learning rates; what the log lacks is left out. Few
    layers are lines, and many are the rows of a map, the first layer on top.

    Args:
        path: The `.jsonl` or `.csv` file.
        output: A file to save the figure in as well, such as `"log.png"` or
            `"log.pdf"`. How its name ends tells the format.

    Returns:
        A `matplotlib.figure.Figure`. It needs no display, and a notebook shows it.

    Raises:
        ValueError: If the file is no such log or holds no epoch yet, or matplotlib
            writes no such format.
        OSError: If the file cannot be read, or the output cannot be written.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.ones((8, 2), "float32"), np.zeros(8)
        >>> log = TrainingLog("log.csv")
        >>> history = model.fit(x, y, epochs=2, verbose=0, callbacks=[log])
        >>> figure = plot_training_log("log.csv", "log.png")
        >>> [axes.get_title() for axes in figure.axes]
        ['Task loss', 'Learning rate']
    """
    # Here, since matplotlib takes its time to start.
    from keras_rbcn.callbacks.log_panels import draw

    log = Path(path)
    if log.suffix not in (".jsonl", ".csv"):
        raise ValueError(
            "Expected `path` to be a .jsonl or .csv file of TrainingLog, received: "
            f"path='{path}'."
        )
    records = read_records(log)
    if not records:
        raise ValueError(f"Expected '{path}' to hold an epoch at least; it is empty.")
    figure = draw(log.stem, records)
    if output is not None:
        with replacing(Path(output)) as beside:
            figure.savefig(beside)
    return figure
