"""What a profile prints, writes and draws."""

import csv
import itertools
import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from keras_rbcn._backend import keras
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.profiling import LayerProfile, Profile, profile
from keras_rbcn.profiling.report import FullPrecision

layers = keras.layers


@pytest.fixture
def result():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(16, 3, name="first"),
            layers.ReLU(name="activation"),
            RectifiedConv2D(32, 3, name="one_bit"),
            layers.Flatten(name="flat"),
            layers.Dense(2, name="last"),
        ],
        name="network",
    )
    return profile(model)


def row(number, **values):
    return LayerProfile(f"layer{number}", "Kind", (1, 2, 3), **values)


def test_totals_are_sums(result):
    assert [layer.name for layer in result.layers] == [
        "first",
        "activation",
        "one_bit",
        "flat",
        "last",
    ]
    total = result.total
    assert total.binary_parameters == 32 * 9 * 16
    assert total.real_parameters == 16 * 28 + 32 + 2 * (16 * 32 + 1)
    assert result.memory_bits == total.binary_parameters + 32 * total.real_parameters
    assert result.memory_mbit == result.memory_bits / 1_000_000
    assert result.memory_mib == result.memory_bits / (8 * 1024 * 1024)
    assert total.binary_macs == 16 * 32 * 9 * 16
    assert total.real_macs == 36 * 16 * 27 + 2 * 512
    assert result.operations == total.real_macs + total.binary_macs / 64


def test_int8_products_count_as_whole_operations():
    full = FullPrecision("full", 320, 1000.0)
    result = Profile("p", (row(1, int8_macs=100, binary_macs=64, real_macs=7),), full)
    assert result.operations == 108
    assert result.operations_ratio == 1000 / 108


def test_json(result, tmp_path):
    path = tmp_path / "profile.json"
    text = result.to_json(path)
    values = json.loads(path.read_text("utf-8"))
    assert values == json.loads(text)
    assert values["name"] == "network"
    assert values["memory_mbit"] == result.memory_mbit
    assert values["memory_ratio"] == result.memory_ratio
    assert values["total"]["binary_macs"] == result.total.binary_macs
    assert values["total"]["operations"] == result.operations
    assert values["full_precision"]["memory_bits"] == result.full_precision.memory_bits
    assert values["layers"][2]["output_shape"] == [1, 4, 4, 32]
    assert values["layers"][2]["operations"] == result.layers[2].operations


def test_csv(result, tmp_path):
    path = tmp_path / "profile.csv"
    assert result.to_csv(path) is None
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [line["name"] for line in rows] == [
        *(layer.name for layer in result.layers),
        "total",
    ]
    assert rows[2]["output_shape"] == "1x4x4x32"
    for column in ("real_parameters", "memory_bits", "binary_macs", "operations"):
        numbers = [float(line[column]) for line in rows]
        assert sum(numbers[:-1]) == numbers[-1] > 0


def test_names_with_commas_and_markup_come_through(tmp_path):
    name = 'a,"b" [red]c[/red] é'
    full = FullPrecision("[bold]full[/bold]", 32, 1.0)
    layer = LayerProfile(name, "Kind", None, real_parameters=1, not_counted="[x]")
    result = Profile("[i]p[/i]", (layer,), full, file_bytes=10)
    result.to_csv(tmp_path / "profile.csv")
    with (tmp_path / "profile.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file))[1][0] == name
    text = str(result)
    for part in ("[i]p[/i]", "[red]c[/red]", "[bold]full[/bold]", "[x]", "10 bytes"):
        assert part in text
    assert "&quot;b&quot;" in result._repr_html_()


def test_table(result):
    text = str(result)
    assert max(map(len, text.splitlines())) <= 104
    words = [line.split() for line in text.splitlines() if line.strip()]
    lines = {line[0]: line for line in words}
    # Only what has parameters or products is shown.
    assert "activation" not in text
    assert lines["first"][1:4] == ["Conv2D", "6x6x16", "448"]
    assert lines["one_bit"][2:] == ["4x4x32", "4.61k", "32", "5.63k", "73.7k", "1.15k"]
    assert "4,608 1-bit, 0 int8, 1,506 real" in text
    assert "0.0528 Mbit" in text
    assert "0.195 Mbit (3.69 times), 90,304 operations (5.09 times)" in text
    assert "int8\n" not in text  # No column of zeros.


def test_products_that_are_missing_are_marked():
    full = FullPrecision("full", 32, 1.0)
    layer = row(1, real_parameters=5, not_counted="it runs in a loop")
    result = Profile("p", (layer, row(2, real_macs=3)), full)
    marked = [line for line in str(result).splitlines() if line.endswith("?")]
    assert [line.split()[0] for line in marked] == ["layer1"]
    assert result.not_counted == {"layer1": "it runs in a loop"}
    assert result.total.not_counted == "1 layer(s) are not counted"


# --- Figures ---------------------------------------------------------------------


def bars(axes):
    return [patch.get_width() for patch in axes.patches]


def test_figure(result, tmp_path):
    figure = result.plot(tmp_path / "profile.png")
    assert isinstance(figure, Figure)
    memory, operations = figure.axes
    shown = [layer for layer in result.layers if layer.parameters]
    assert bars(memory) == [layer.memory_bits for layer in shown]
    assert bars(operations) == [layer.operations for layer in shown]
    names = [label.get_text() for label in memory.get_yticklabels()]
    assert names == ["first", "one_bit", "last"]
    # Differing in kind, they differ in colour.
    assert len({patch.get_facecolor() for patch in memory.patches}) == 2
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1-bit", "real"]
    assert imread(tmp_path / "profile.png").ndim == 3
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_legends_name_only_what_is_there():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(2), layers.BatchNormalization()]
    )
    (legend,) = profile(model).plot().legends
    assert [text.get_text() for text in legend.get_texts()] == ["real"]


@pytest.mark.parametrize(("largest", "scale"), [(90, "linear"), (1000, "log")])
def test_scale(largest, scale):
    rows = (row(1, memory_bits=1, real_macs=largest), row(2, memory_bits=largest))
    result = Profile("p", (*rows, row(3, real_macs=1)), FullPrecision("f", 1, 1.0))
    figure = result.plot()
    assert [axes.get_xscale() for axes in figure.axes] == [scale, scale]
    assert all(axes.get_xlim()[0] <= 0.5 for axes in figure.axes)


def test_many_layers_stay_legible():
    rng = np.random.default_rng(0)
    rows = tuple(
        row(f"{number:03}" * 20, memory_bits=int(size), real_macs=int(size))
        for number, size in enumerate(rng.integers(1, 10**6, 60))
    )
    figure = Profile("p", rows, FullPrecision("f", 1, 1.0)).plot()
    figure.draw_without_rendering()
    labels = figure.axes[0].get_yticklabels()
    boxes = [label.get_window_extent() for label in labels]
    assert len(boxes) == 60
    for upper, lower in itertools.pairwise(boxes):
        assert upper.y0 >= lower.y1  # No label lies on another,
    assert min(box.x0 for box in boxes) >= 0  # and none is cut off.
    assert labels[0].get_text().startswith("...")


def test_networks_without_anything_to_show():
    result = profile(keras.Sequential([keras.Input((4,)), layers.ReLU()]))
    assert "0 Mbit" in str(result)
    assert json.loads(result.to_json())["memory_ratio"] is None
    assert not bars(result.plot().axes[0])
