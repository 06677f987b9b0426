"""The parser, on recorded output and on all numbers that the tool can print."""

from pathlib import Path

import pytest
from devices import DATA
from hypothesis import given
from hypothesis import strategies as st

from keras_rbcn.device.benchmark_output import Statistics, parse_output

# Where each file comes from is in tests/data/benchmark/README.md.


def _read(name):
    return parse_output((DATA / name).read_text("utf-8"))


def test_output_that_larq_recorded_on_a_raspberry_pi():
    output = _read("lce_0.4_raspberry_pi_4.txt")
    assert (output.init, output.first_inference) == (1471, 41707)
    assert (output.warmup_average, output.inference_average) == (32491.4, 31420.6)
    assert output.inference == Statistics(
        50, 31929, 31278, 31138, 31929, 31420.6, 260, None
    )
    assert (output.init_memory, output.memory) == (None, None)


def test_output_that_was_recorded_on_android_with_a_profile_of_operators():
    output = _read("tensorflow_2.3_android.txt")
    assert output.inference_average == 33209.4
    assert (output.init_memory, output.memory) == (0, 12.8672)
    # Not the line of the profile, which is behind the timings.
    assert output.inference.average == 33209.4


def test_output_of_newer_versions():
    output = _read("tensorflow_2.16_aarch64.txt")
    assert output.init == 12500
    assert output.inference.count == 50
    assert output.inference.median == 42419
    assert (output.init_memory, output.memory) == (23.5625, 27.5859)


def test_times_that_are_all_the_same():
    output = _read("all_same.txt")
    assert output.inference == Statistics(50, 11, 11, 11, 11, 11, 0, None)


def test_windows_line_ends_and_a_prefix_of_logcat():
    text = (DATA / "tensorflow_2.16_aarch64.txt").read_text("utf-8")
    assert parse_output(text.replace("\n", "\r\n")) == parse_output(text)
    timings = next(line for line in text.splitlines() if "timings" in line)
    assert parse_output(f"I tflite  : {timings}").inference_average == 42394.8


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Inference timings in us: Init: 12",
        "Inference timings in us: Init: 1, First inference: 2, Warmup (avg): 3, "
        "Inference (avg): -e+",
        (DATA / "unresolved_operator.txt").read_text("utf-8"),
        Path(__file__).read_text("utf-8").split("\n\n")[0],
    ],
)
def test_text_without_timings_is_none(text):
    assert parse_output(text) is None


def test_the_text_of_a_run_that_was_cut_short_has_no_timings():
    text = (DATA / "tensorflow_2.16_aarch64.txt").read_text("utf-8")
    assert parse_output(text[: text.index("Warmup (avg)")]) is None


def _cpp(number):
    """A number as an output stream of C++ prints it, which is as %g does."""
    return str(number) if isinstance(number, int) else f"{number:g}"


_TIMES = st.integers(0, 2**63 - 1)
_MEANS = st.floats(0, 1e18)


@given(
    init=_TIMES,
    times=st.tuples(_TIMES, _TIMES, _TIMES, _TIMES),
    means=st.tuples(_MEANS, _MEANS),
    deviation=_TIMES,
    count=st.integers(2, 10**9),
    percentiles=st.booleans(),
    memory=st.none() | st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)),
    prefix=st.sampled_from(["", "INFO: "]),
)
def test_any_numbers_as_cpp_prints_them_come_back(
    init, times, means, deviation, count, percentiles, memory, prefix
):
    first, last, minimum, maximum = times
    warmup, average = (_cpp(mean) for mean in means)
    statistics = (
        f"count={count} first={first} curr={last} min={minimum} max={maximum} "
        f"avg={average} std={deviation}"
    )
    if percentiles:
        statistics += f" p5={minimum} median={last} p95={maximum}"
    lines = [
        f"{prefix}count=1 curr={first}",
        "",
        f"{prefix}{statistics}",
        "",
        f"{prefix}Inference timings in us: Init: {init}, First inference: {first}, "
        f"Warmup (avg): {warmup}, Inference (avg): {average}",
    ]
    if memory is not None:
        before, overall = (_cpp(size) for size in memory)
        lines.append(
            f"{prefix}Memory footprint delta from the start of the tool (MB): "
            f"init={before} overall={overall}"
        )
    output = parse_output("\n".join(lines) + "\n")
    assert output.init == float(init)
    assert output.first_inference == float(first)
    assert output.warmup_average == float(warmup)
    assert output.inference_average == float(average)
    assert output.inference == Statistics(
        count,
        *map(float, (first, last, minimum, maximum, average, deviation)),
        median=float(last) if percentiles else None,
    )
    expected = (None, None) if memory is None else tuple(float(_cpp(m)) for m in memory)
    assert (output.init_memory, output.memory) == expected


@given(st.text())
def test_any_text_is_read_without_an_error(text):
    parse_output(text)
    parse_output(f"Inference timings in us: {text}")
