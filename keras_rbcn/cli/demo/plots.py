"""The two pictures of the demo."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator, PercentFormatter

from keras_rbcn.cli.demo.results import DemoResult

# Grey for the references, then colours that differ for colour-blind eyes too.
_COLOURS = (
    "#555555",
    "#AAAAAA",
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
)
_MARKERS = ("s", "P", "o", "^", "D", "v", "X")
_DPI = 120


def plot_curves(result: DemoResult) -> Figure:
    """Task loss on the training images and accuracy on the test images, by epoch."""
    figure, (loss, accuracy) = _figure(columns=2, width=10.0)
    for network, colour in zip(result.networks, _COLOURS, strict=True):
        # An RBCNModel's `loss` holds the method's own terms as well.
        history = network.history
        epochs = range(1, result.epochs + 1)
        task = history.get("task_loss", history["loss"])
        loss.plot(epochs, task, color=colour, label=network.name)
        accuracy.plot(epochs, history["val_accuracy"], color=colour)
    loss.set(title="Task loss, training images", xlabel="epoch", ylabel="loss")
    accuracy.set(title="Accuracy, test images", xlabel="epoch", ylabel="accuracy")
    # What happens near the top is what tells the networks apart.
    accuracy.set_ylim(0.8, 1.005)
    accuracy.yaxis.set_major_locator(MultipleLocator(0.05))
    accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def plot_accuracy_and_size(result: DemoResult) -> Figure:
    """Accuracy of each network against the size of its .tflite file."""
    figure, (axes,) = _figure(columns=1, width=6.5)
    styles = zip(result.networks, _COLOURS, _MARKERS, strict=True)
    for network, colour, marker in styles:
        axes.plot(
            network.bytes,
            network.accuracy,
            marker=marker,
            color=colour,
            markersize=9,
            markerfacecolor="none",
            markeredgewidth=2,
            linestyle="none",
            label=network.name,
        )
    axes.set(
        title="Accuracy and size", xlabel="bytes of the .tflite file", ylabel="accuracy"
    )
    lowest = min(network.accuracy for network in result.networks)
    axes.set_xlim(0, 1.1 * max(network.bytes for network in result.networks))
    axes.set_ylim(min(0.95, lowest - 0.02), 1.003)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(loc="lower center", frameon=False)
    return figure


def _figure(columns: int, width: float) -> tuple[Figure, Any]:
    # Not by pyplot, which would open a window or touch the user's own figures.
    figure = Figure(figsize=(width, 4.5), dpi=_DPI, layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for panel in axes:
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes
