"""What the benchmark tool of TensorFlow Lite, and so of Larq Compute Engine, prints."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The tool is tensorflow/lite/tools/benchmark/benchmark_model.cc; its statistics come
# from `Stat::OutputToStream` in stats_calculator.h. Newer versions begin lines with
# "INFO: ".
_NUMBER = r"([-+.\deE]+|nan|inf)"
_TIMINGS = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, "
    rf"Warmup \(avg\): {_NUMBER}, Inference \(avg\): {_NUMBER}\s*$",
    re.MULTILINE,
)
# Not those of the profile of operators, which have a title in front.
_STATISTICS = re.compile(r"^(?:INFO: )?(count=\d+.*)$", re.MULTILINE)
_FIELD = re.compile(rf"(\w+)={_NUMBER}")
# "Peak" until TensorFlow 2.5.
_MEMORY = re.compile(
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) "
    rf"\(MB\): init={_NUMBER} overall={_NUMBER}"
)


@dataclass(frozen=True)
class Statistics:
    """The times of several inferences, in microseconds.

    Attributes:
        count: How many there were.
        first: The first one.
        last: The last one.
        minimum: The shortest.
        maximum: The longest.
        average: Their mean.
        deviation: Their standard deviation.
        median: Their median; None if the tool is too old to tell.
    """

    count: int
    first: float
    last: float
    minimum: float
    maximum: float
    average: float
    deviation: float
    median: float | None = None


@dataclass(frozen=True)
class BenchmarkOutput:
    """What one run of the benchmark tool measured; times in microseconds.

    Attributes:
        init: The time until the model was loaded and ready.
        first_inference: The time of the first inference.
        warmup_average: Mean time of the inferences for warming up.
        inference_average: Mean time of the inferences that count.
        inference: More of these; None if the tool did not print it.
        init_memory: Memory that loading took, in MiB, roughly; None if not printed.
        memory: Memory that all took, likewise.
    """

    init: float
    first_inference: float
    warmup_average: float
    inference_average: float
    inference: Statistics | None = None
    init_memory: float | None = None
    memory: float | None = None


def parse_output(text: str) -> BenchmarkOutput | None:
    """Reads what the tool printed.

    Args:
        text: All that it printed, on either stream.

    Returns:
        What it measured; None if there are no timings in it.

    Example:
        >>> parse_output(
        ...     "Inference timings in us: Init: 1471, First inference: 41707, "
        ...     "Warmup (avg): 32491.4, Inference (avg): 31420.6"
        ... ).inference_average
        31420.6
    """
    timings = list(_TIMINGS.finditer(text))
    if not timings:
        return None
    found = timings[-1]
    numbers = [_number(group) for group in found.groups()]
    if any(number is None for number in numbers):
        return None
    init, first, warmup, average = (number or 0.0 for number in numbers)
    memory = _MEMORY.search(text, found.end())
    return BenchmarkOutput(
        init=init,
        first_inference=first,
        warmup_average=warmup,
        inference_average=average,
        inference=_last_statistics(text[: found.start()]),
        init_memory=_number(memory[1]) if memory else None,
        memory=_number(memory[2]) if memory else None,
    )


def _last_statistics(text: str) -> Statistics | None:
    """The last line of statistics: those for warming up come before."""
    lines = _STATISTICS.findall(text)
    if not lines:
        return None
    fields = {name: _number(value) for name, value in _FIELD.findall(lines[-1])}
    count, last = fields.get("count"), fields.get("curr")
    if not count or last is None:
        return None

    def value(name: str, default: float) -> float:
        found = fields.get(name)
        return default if found is None else found

    # Where all are the same, only one is printed.
    return Statistics(
        count=int(count),
        first=value("first", last),
        last=last,
        minimum=value("min", last),
        maximum=value("max", last),
        average=value("avg", last),
        deviation=value("std", 0.0),
        median=fields.get("median"),
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
