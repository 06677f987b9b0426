"""What a benchmark says: the table, the picture, JSON."""

import json

import pytest
from matplotlib.image import imread

from keras_rbcn.device import BenchmarkReport, FileTimings

FILES = (
    FileTimings("1-bit", "a.tflite", 29168, (4.5, 4.2, 4.4), 1.25, 9.0, 2.5),
    FileTimings("float32", "b.tflite", 312400, (22.0, 23.5, 21.0), 1.0, 40.0, 8.0),
    FileTimings("int8", "[c].tflite", 80000, (8.8, 8.8, 8.8), 1.0, 12.0, None),
)


def _report(architecture="aarch64", files=FILES, **changes):
    settings = {"threads": 1, "runs": 50, "repeats": 3, "cpu_mask": "f0"} | changes
    return BenchmarkReport("Pixel 6", architecture, files=files, **settings)


def _row(report, name):
    return next(line for line in str(report).splitlines() if line.split()[:1] == [name])


def test_the_table():
    report = _report()
    cells = " ".join(_row(report, "1-bit").split())
    assert cells == "1-bit 29,168 4.400 4.200 - 4.500 9.000 1.250 2.5 5.00"
    assert _row(report, "float32").split()[-2:] == ["8.0", "1.00"]
    assert _row(report, "int8").split()[-2:] == ["1.000", "2.50"]
    text = str(report)
    assert "Pixel 6 (aarch64), 1 thread(s)" in text
    assert "0xf0" in text
    assert "CAUTION" not in text
    assert max(map(len, text.splitlines())) <= 88


def test_devices_without_fast_kernels_are_told_apart():
    report = _report("x86_64", cpu_mask=None)
    text = " ".join(str(report).split())
    assert "CAUTION x86_64: not what 1 bit is worth." in text
    assert "aarch64 only" in text
    assert "faster" not in text
    assert "chosen by the device" in text
    assert not report.has_fast_kernels
    assert all(report.ratio(row.name) is None for row in FILES)


def test_nothing_to_compare_with():
    report = _report(files=FILES[:1])
    assert report.ratio("1-bit") is None
    assert "faster" not in str(report)
    assert _report(files=(FILES[0], FILES[2])).ratio("int8") is None


def test_a_name_that_is_not_there():
    with pytest.raises(KeyError):
        _report().ratio("int4")


def test_json(tmp_path):
    text = _report().to_json(tmp_path / "report.json")
    values = json.loads(text)
    assert values == json.loads((tmp_path / "report.json").read_text())
    assert values["has_fast_kernels"] is True
    assert values["files"][0]["latencies"] == [4.5, 4.2, 4.4]
    assert [row["ratio"] for row in values["files"]] == pytest.approx([5, 1, 2.5])
    assert [row["median"] for row in values["files"]] == [4.4, 22.0, 8.8]
    assert json.loads(_report("armv7l").to_json())["files"][0]["ratio"] is None


def test_json_has_no_numbers_that_are_not_finite():
    nan = float("nan")
    odd = FileTimings("1-bit", "a.tflite", 29168, (nan, nan, nan), 1.25, nan, None)
    report = _report(files=(odd, FILES[1]))
    row = json.loads(report.to_json())["files"][0]
    assert row["latencies"] == [None] * 3
    assert [row[name] for name in ("median", "ratio", "first_inference")] == [None] * 3
    assert report.plot() is not None


def test_the_picture(tmp_path):
    figure = _report().plot(tmp_path / "latency.png")
    assert imread(tmp_path / "latency.png").shape[2] == 4
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [4.4, 22.0, 8.8]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        row.name for row in FILES
    ]
    (spread,) = axes.collections
    low, high = spread.get_segments()[0][:, 0]
    assert (low, high) == pytest.approx((4.2, 4.5))
    assert not axes.get_title()


def test_the_picture_of_a_device_without_fast_kernels_says_so():
    (axes,) = _report("x86_64").plot().axes
    assert "not what 1 bit is worth" in axes.get_title()


def test_a_picture_of_no_format(tmp_path):
    with pytest.raises(ValueError, match="Expected `path` to end in a format"):
        _report().plot(tmp_path / "latency")
    assert not list(tmp_path.iterdir())
