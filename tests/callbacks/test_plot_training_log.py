"""The picture of a training log: what is drawn, of how many layers, from which file."""

import itertools
import json
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import LogNorm

from keras_rbcn.callbacks import plot_training_log
from keras_rbcn.callbacks.log_file import LogFile


def record(epoch, layers, taps, validates=True):
    names = [f"stage{number // 5}/conv{number}" for number in range(layers)]
    logs = {
        "loss": 9.0,
        "task_loss": 2.0 / (epoch + 1),
        "kernel_loss": 1e5,
        "discriminator_loss": 0.25,
        "discriminator_accuracy": 0.7,
        "accuracy": 0.5 + 0.1 * epoch,
        "per_class": [0.5, 0.25],
    }
    if validates:
        logs |= {"val_loss": 3.0 / (epoch + 1), "val_accuracy": 0.4 + 0.1 * epoch}
    flips = {name: 0.1**epoch / (1 + i) for i, name in enumerate(names)}
    flips[names[0]] = 0.0 if epoch else 0.5
    mean = {name: 0.1 * (1 + i) for i, name in enumerate(names)}
    return {
        "epoch": epoch,
        "step": 10 * (epoch + 1),
        "logs": logs,
        "learning_rate": {"optimizer": 1e-3, "scale_optimizer": 1e-2},
        "sign_flips": flips,
        "scale_mean": mean,
        "scale_min": {name: value / 2 for name, value in mean.items()},
        "scale_max": {name: value * 2 for name, value in mean.items()},
        "discriminator_accuracy": {f"norm{i}": 0.5 + 0.01 * i for i in range(taps)},
    }


@pytest.fixture
def write(tmp_path):
    """Writes a log of three epochs, of which the second is not validated."""

    def write_log(name, layers, taps=2, epochs=3):
        log = LogFile(tmp_path / name)
        log.begin(0)
        for epoch in range(epochs):
            log.append(record(epoch, layers, taps, epoch != 1))
        return tmp_path / name

    return write_log


def panels(figure):
    """The axes with a title, by it; colour bars have none."""
    return {axes.get_title(): axes for axes in figure.axes if axes.get_title()}


def drawn(axes):
    """What the lines with a label show."""
    return {
        line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_lines_of_few_layers(suffix, write):
    found = panels(plot_training_log(write(f"log.{suffix}", 3)))
    assert drawn(found["Task loss"]) == {
        "task_loss": ([1, 2, 3], [2.0, 1.0, 2.0 / 3]),
        "val_loss": ([1, 3], [3.0, 1.0]),
    }
    assert set(drawn(found["Metrics"])) == {"accuracy", "val_accuracy"}
    method = found["Losses of the method, unweighted"]
    assert set(drawn(method)) == {"kernel_loss", "discriminator_loss"}
    assert method.get_yscale() == "log"
    flips = found["Sign flips in the epoch, share of the kernel"]
    assert flips.get_yscale() == "log"
    lines = drawn(flips)
    assert list(lines) == ["stage0/conv0", "stage0/conv1", "stage0/conv2"]
    # None in the other two: those lie on a line of their own, below all others.
    epochs, (first, *none) = lines["stage0/conv0"]
    assert (epochs, first) == ([1, 2, 3], 0.5)
    assert none == pytest.approx([min(lines["stage0/conv2"][1]) / 3] * 2)
    assert "0" in {text.get_text() for text in flips.texts}
    assert lines["stage0/conv1"][1] == pytest.approx([1 / 2, 0.1 / 2, 0.01 / 2])
    colours = [line.get_color() for line in flips.lines if line.get_label() in lines]
    assert len({tuple(colour) for colour in colours}) == 3
    scales = found["Scales C, mean and range of the layer"]
    assert drawn(scales)["stage0/conv1"][1] == [0.2] * 3
    bounds = scales.collections[1].get_paths()[0].vertices[:, 1]
    assert (bounds.min(), bounds.max()) == (0.1, 0.4)
    accuracies = found["Accuracy of the discriminators"]
    assert drawn(accuracies)["norm1"][1] == [0.51] * 3
    levels = {line.get_ydata()[0] for line in accuracies.lines[2:]}
    assert levels == {0.5, 1.0}
    assert set(drawn(found["Learning rate"])) == {"optimizer", "scale_optimizer"}
    for axes in found.values():
        assert axes.get_xlim() == (0.5, 3.5)


def test_map_of_many_layers(write):
    figure = plot_training_log(write("log.jsonl", 50, taps=16))
    found = panels(figure)
    flips = found["Sign flips in the epoch, share of the kernel (grey: none)"]
    (mesh,) = flips.collections
    values = mesh.get_array()
    assert values.shape == (50, 3)
    assert isinstance(mesh.norm, LogNorm)
    expected = [[0.1**epoch / (1 + i) for epoch in range(3)] for i in range(1, 50)]
    np.testing.assert_allclose(values[1:], expected)
    assert values.mask[0].tolist() == [False, True, True]
    labels = [text.get_text() for text in flips.get_yticklabels()]
    assert labels[:2] == ["stage0/conv0", "stage0/conv1"]
    assert len(labels) == 50
    bottom, top = flips.get_ylim()
    assert bottom > top  # The first is on top.
    (mesh,) = found["Scales C, mean of the layer"].collections
    np.testing.assert_allclose(mesh.get_array()[:, 0], 0.1 * np.arange(1, 51))
    accuracies = found["Accuracy of the discriminators"]
    assert len(drawn(accuracies)) == 16
    texts = [t.get_text() for axes in figure.axes for t in axes.get_yticklabels()]
    assert "norm15" in texts  # Beside the bar of colours, for want of a legend.
    # Names of the layers can be read: none lies upon the next.
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in flips.get_yticklabels()]
    assert all(low.y1 <= high.y0 + 1 for high, low in itertools.pairwise(boxes))


@pytest.mark.parametrize("layers", [3, 50])
def test_no_flips_at_all(layers, tmp_path):
    log = LogFile(tmp_path / "log.csv")
    log.begin(0)
    one = record(0, layers, 1)
    log.append(one | {"sign_flips": dict.fromkeys(one["sign_flips"], 0.0)})
    figure = plot_training_log(tmp_path / "log.csv")
    figure.draw_without_rendering()
    assert len(panels(figure)) == 7


def test_what_a_log_lacks_is_left_out(tmp_path):
    log = LogFile(tmp_path / "log.jsonl")
    log.begin(0)
    nan = float("nan")
    log.append({"epoch": 0, "step": 1, "logs": {"loss": 1.0, "val_loss": nan}})
    figure = plot_training_log(tmp_path / "log.jsonl")
    figure.draw_without_rendering()
    assert drawn(panels(figure)["Task loss"]) == {
        "loss": ([1], [1.0]),
        "val_loss": ([], []),
    }
    assert list(panels(figure)) == ["Task loss"]


def test_losses_of_several_outputs_and_metrics_of_any_size(tmp_path):
    log = LogFile(tmp_path / "log.jsonl")
    log.begin(0)
    logs = {"loss": 3.0, "a_loss": 1.0, "b_loss": 2.0, "a_mae": 70.0, "lr": 0.1}
    log.append({"epoch": 4, "step": 1, "logs": logs})
    found = panels(plot_training_log(tmp_path / "log.jsonl"))
    assert set(drawn(found["Task loss"])) == {"loss", "a_loss", "b_loss"}
    assert drawn(found["Metrics"]) == {"a_mae": ([5], [70.0])}


def test_figure_is_shown_saved_and_none_of_pyplots(write, tmp_path):
    figure = plot_training_log(write("log.csv", 3), tmp_path / "log.pdf")
    assert (tmp_path / "log.pdf").read_bytes().startswith(b"%PDF")
    assert figure._repr_png_().startswith(b"\x89PNG")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()
    assert matplotlib.is_interactive() is False


def test_what_cannot_be_drawn(write, tmp_path):
    with pytest.raises(ValueError, match=r"to be a \.jsonl or \.csv file"):
        plot_training_log(tmp_path / "log.png")
    with pytest.raises(FileNotFoundError):
        plot_training_log(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(ValueError, match="to hold an epoch at least"):
        plot_training_log(tmp_path / "empty.csv")
    (tmp_path / "other.jsonl").write_text(json.dumps({"loss": 1}) + "\n")
    with pytest.raises(ValueError, match="holds something else"):
        plot_training_log(tmp_path / "other.jsonl")
    before = set(tmp_path.iterdir()) | {tmp_path / "log.csv"}
    with pytest.raises(ValueError, match="xyz"):
        plot_training_log(write("log.csv", 3), tmp_path / "log.xyz")
    assert set(tmp_path.iterdir()) == before
