"""check_binary_inputs: do the signs that 1-bit convolutions see ever change?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from keras_rbcn._backend import require_student, tf
from keras_rbcn._checks import check_positive_integer
from keras_rbcn._report import Report
from keras_rbcn._samples import first_samples, input_signature, run_in_batches
from keras_rbcn.layers.binary_inputs import binary_layers, run_watched

# A channel changes sign if each sign has at least this share.
MINORITY = 0.01
# A layer is suspicious if fewer of its channels than this share change sign.
CHANGING = 0.1
# Samples that the student runs on at a time.
_BATCH = 16


@dataclass(frozen=True)
class BinaryInput:
    """The signs that one layer sees.

    Attributes:
        name: The layer's name.
        positive: Share of +1 among the signs.
        changing: Share of the channels of which each sign has at least 1 %.
        constant: Share of the channels that have one sign only.
    """

    name: str
    positive: float
    changing: float
    constant: float

    @property
    def suspicious(self) -> bool:
        """Whether the signs never, or hardly ever, change."""
        return self.changing < CHANGING


@dataclass(frozen=True)
class BinaryInputsReport(Report):
    """What signs the layers with binary inputs see on real data.

    Attributes:
        samples: How many samples were looked at.
        layers: One entry for each layer with binary inputs.

    Example:
        >>> student = keras.Sequential([
        ...     keras.Input((8, 8, 3)), RectifiedConv2D(4, 3, name="rc"),
        ... ])
        >>> images = np.random.default_rng(0).uniform(size=(4, 8, 8, 3))
        >>> check_binary_inputs(student, images).suspicious
        ('rc',)
    """

    samples: int
    layers: tuple[BinaryInput, ...]

    @property
    def suspicious(self) -> tuple[str, ...]:
        """Names of the layers whose binary inputs hardly ever change sign."""
        return tuple(row.name for row in self.layers if row.suspicious)

    def __rich__(self) -> Table:
        table = Table(title=f"Signs of binary inputs, on {self.samples} samples")
        table.add_column("layer", overflow="fold")
        for column in ("+1", "channels that change", "constant channels"):
            table.add_column(column, justify="right")
        table.add_column("verdict")
        for row in self.layers:
            table.add_row(
                escape(row.name),
                f"{row.positive:.1%}",
                f"{row.changing:.1%}",
                f"{row.constant:.1%}",
                "suspicious" if row.suspicious else "",
            )
        return table


def check_binary_inputs(
    student: Any, data: Any, samples: int = 64
) -> BinaryInputsReport:
    """Finds layers whose binary inputs never, or hardly ever, change sign.

    Such a layer sees the same whatever the image is, and learns nothing: it stands
    behind an activation that is never negative, behind a bias that is too large, or on
    inputs that are not centred. Put an `RSign` or a batch normalisation in front.

    Args:
        student: Built Keras 2 model, or an `RBCNModel`, with binary layers.
        data: Real inputs: an array `(samples, ...)`; a list, or a dictionary by name,
            of arrays for several inputs; a tuple `(inputs, labels)`; a
            `tf.data.Dataset` or `keras.utils.Sequence` of batches.
        samples: How many samples to look at, at most; the first ones.

    Returns:
        The report. It prints as a table, and `report.suspicious` names the layers.

    Raises:
        TypeError: If `student` is no Keras 2 model.
        ValueError: If it has no binary layers, the data do not fit its inputs, or it
            cannot compute a sample, such as one with a number beyond an embedding.

    Example:
        >>> student = keras.Sequential([
        ...     keras.Input((8, 8, 3)), RectifiedConv2D(4, 3, name="rc"),
        ... ])
        >>> images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
        >>> check_binary_inputs(student, images).suspicious
        ()
    """
    student = require_student(student, "student")
    check_positive_integer("samples", samples)
    if not binary_layers(student):
        raise ValueError(
            f"Expected the student '{student.name}' to have layers with binary inputs, "
            "found none. Make one with keras_rbcn.binarize(teacher)."
        )
    signature = input_signature(student)
    arrays = first_samples(data, signature, samples, "data")
    positive: dict[Any, list[Any]] = {}

    def count(layer: Any, inputs: Any) -> Any:
        # The sign of zero is +1.
        signs = tf.cast(inputs >= 0, tf.float64)
        axes = list(range(signs.shape.rank - 1))
        total = tf.size(signs) // tf.shape(signs)[-1]
        found = positive.setdefault(layer, [np.zeros(signs.shape[-1]), 0])
        found[0] = found[0] + tf.reduce_sum(signs, axes).numpy()
        found[1] += int(total)
        return inputs

    run_in_batches(
        student,
        arrays,
        _BATCH,
        lambda part: run_watched(student, signature, part, count),
    )
    rows = [_row(layer, *found) for layer, found in positive.items()]
    return BinaryInputsReport(len(arrays[0]), tuple(rows))


def _row(layer: Any, positive: np.ndarray, total: int) -> BinaryInput:
    share = positive / total
    minority = np.minimum(share, 1 - share)
    return BinaryInput(
        name=layer.name,
        positive=float(share.mean()),
        changing=float(np.mean(minority >= MINORITY)),
        constant=float(np.mean(minority == 0)),
    )
