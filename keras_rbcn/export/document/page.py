"""The report of an export as one page of HTML that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from keras_rbcn.export.document.agreement import Agreement
from keras_rbcn.export.document.explanation import (
    explain_agreement,
    explain_int8,
    explain_size,
)
from keras_rbcn.export.document.figures import bytes_by_layer, histogram
from keras_rbcn.export.document.markup import Content, Element, element, table, to_text
from keras_rbcn.export.document.promise import Promise
from keras_rbcn.export.document.report import ExportReport, ValueInfo
from keras_rbcn.export.int8.costs import Int8Report

# Of nested provenance, how many levels are in the title of a table.
_GROUPED = 3
# What a model cannot know of its training.
_NO_FINGERPRINT = (
    "Nothing was given about the training data. To have their fingerprint here, pass "
    "provenance={'data': keras_rbcn.datasets.fingerprint(data)} to the export, or "
    "--provenance summary.json of keras-rbcn train on the command line."
)
# Nothing is loaded, and nothing runs.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_CSS = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 50rem; padding: 1rem; line-height: 1.5;
  font-family: system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.2; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; }
.verdict { display: inline-block; padding: 0.3rem 0.7rem; border-radius: 0.4rem;
  font-weight: 600; color: #fff; background: #b00020; }
.verdict.good { background: #1a7f37; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 1rem 0;
  overflow-wrap: normal; }
caption { text-align: left; font-weight: 600; padding: 0.3rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 0.8rem 0.2rem 0;
  border-bottom: 1px solid rgba(128, 128, 128, 0.35); font-weight: 400; }
thead th { font-weight: 600; }
.pairs td { overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; overflow-x: auto; }
svg { display: block; width: 100%; min-width: 25rem; max-width: 44rem; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
"""


def to_page(report: ExportReport) -> str:
    """The report as the text of a page; the same report gives the same text."""
    name = Path(report.path).name
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{name}: report of the export"),
        element("style", _CSS),
    )
    sections: tuple[tuple[str, Content], ...] = (
        ("Summary", _summary(report)),
        ("Inputs and outputs", _values(report)),
        ("Layers", _layers(report)),
        ("What was promised, and the file", _promise(report)),
        (
            "Agreement with the student",
            _agreements(report.agreements, report.int8 is not None),
        ),
        *([("What int8 costs", _int8(report.int8))] if report.int8 else []),
        ("Provenance", _provenance(report.provenance)),
        ("Versions", _versions(report.versions)),
    )
    main = element(
        "main",
        element("h1", name),
        (
            element("section", element("h2", title), contents)
            for title, contents in sections
        ),
    )
    return to_text(element("html", head, element("body", main), lang="en"))


def _paragraphs(texts: Iterable[str]) -> Iterator[Element]:
    return (element("p", text) for text in texts)


def _summary(report: ExportReport) -> Iterator[Element]:
    refusal = _refusal(report)
    verdict = f"✗ {refusal}" if refusal else "✓ The file computes what its student does"
    kind = "verdict" if refusal else "verdict good"
    yield element("p", element("span", verdict, class_=kind))
    counts = ", ".join(f"{n} {name}" for name, n in report.operator_counts.items())
    rows: list[Sequence[Content]] = [
        ("bytes", f"{report.bytes:,}"),
        ("SHA-256", element("code", report.sha256)),
        ("runtime", report.runtime),
        ("1-bit convolutions", str(len(report.binary_convolutions))),
        ("operators", counts),
    ]
    if report.missing:
        rows.append(("not 1-bit", ", ".join(report.missing)))
    for one in report.agreements:
        rows.append((f"agreement in {one.interpreter}", _short_agreement(one)))
    yield table("The file", ("what", "value"), rows)


def _refusal(report: ExportReport) -> str | None:
    """Why the file was not written; None if it was."""
    if not report.agreements:
        return "The file was refused before it was compared"
    if not all(one.passed for one in report.agreements):
        return "The file does not compute what its student does"
    # As the export does: of random data, nothing follows.
    real = report.agreements[-1].data == "verify_data"
    if real and report.int8 is not None and report.int8.complaints:
        return "The ranges of values in int8 are not those of the samples"
    return None


def _short_agreement(agreement: Agreement) -> str:
    text = (
        f"{'yes' if agreement.passed else 'no'}; {agreement.beyond_rounding:.1%} of "
        f"{agreement.samples} samples beyond rounding"
    )
    if agreement.class_agreement is None:
        return text
    return f"{text}, {agreement.class_agreement:.1%} of the same class"


def _values(report: ExportReport) -> Element:
    def row(kind: str, value: ValueInfo) -> Sequence[str]:
        integers = "-" if value.quantization is None else str(value.quantization)
        return value.name, kind, _shape(value.shape), value.dtype, integers

    inputs = [row("input", value) for value in report.inputs]
    outputs = [row("output", value) for value in report.outputs]
    header = ("name", "", "shape", "type", "integers")
    caption = (
        "What goes in and what comes out; integers stand for (integer - zero point) * "
        "scale"
    )
    return table(caption, header, [*inputs, *outputs])


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _layers(report: ExportReport) -> Iterator[Content]:
    yield _figure(
        bytes_by_layer(report.promise),
        "Bytes of parameters in the file, by layer; the marks are what the student's "
        "profile promises. +1 counts a layer that is folded into the named one.",
    )
    rows = [
        (row.name, row.operator, row.kind, _shape(row.output_shape), f"{row.bytes:,}")
        for row in report.layers
    ]
    header = ("layer", "operator", "kind", "output", "bytes of constants")
    yield table("Operators, in order of execution", header, rows, numbers=(4,))


def _figure(drawn: Element | None, caption: str) -> Element | None:
    if drawn is None:
        return None
    return element("figure", drawn, element("figcaption", caption))


def _promise(report: ExportReport) -> Iterator[Content]:
    promise = report.promise
    yield from _paragraphs(explain_size(promise, report.runtime, report.bytes))
    yield _size_table(promise, report.bytes)
    rows = [
        (
            " + ".join(row.layers),
            row.kind,
            _bytes(row.promised_bits),
            _bytes(row.stored_bits),
            _bytes(row.padding_bits),
            _bytes(row.stored_bits - row.promised_bits, "+"),
        )
        for row in promise.layers
    ]
    header = ("layers", "kind", "promised", "in the file", "of it padding", "more")
    yield table("Bytes of parameters", header, rows, numbers=(2, 3, 4, 5))


def _size_table(promise: Promise, size: int) -> Element:
    parts = (
        ("parameters", (promise.stored_bits - promise.padding_bits) / 8),
        ("padding of 1-bit kernels to words", promise.padding_bits / 8),
        ("other constants, such as shapes", float(promise.other_bytes)),
        ("structure of the file", float(promise.structure_bytes)),
        ("the file", float(size)),
    )
    rows = [("promised by the profile", _bytes(promise.promised_bits), "")]
    rows += [(name, f"{part:,.0f}", f"{part / size:.1%}") for name, part in parts]
    header = ("", "bytes", "share of the file")
    return table("Where the bytes are", header, rows, numbers=(1, 2))


def _bytes(bits: int, sign: str = "") -> str:
    return f"{bits / 8:{sign},.0f}" if bits else "0"


def _agreements(agreements: Sequence[Agreement], int8: bool) -> Iterator[Content]:
    if not agreements:
        yield element("p", "The file was not compared.")
    for number, agreement in enumerate(agreements, start=1):
        yield element("h3", f"In the interpreter {agreement.interpreter}")
        yield _figure(
            histogram(agreement, f"agreement-{number}"),
            "Of each sample, the largest difference between file and student, as a "
            "share of how far the channel of that output spreads.",
        )
        yield from _paragraphs(explain_agreement(agreement, int8))
        if agreement.signs:
            yield _sign_table(agreement)


def _sign_table(agreement: Agreement) -> Element:
    rows = [
        (
            row.layer,
            f"{row.inputs:,}",
            f"{row.close_to_zero:,}",
            f"{row.compared:,}" if row.compared else "-",
            f"{row.differing:,}" if row.compared else "-",
            "-" if row.furthest is None else f"{row.furthest:.2g}",
        )
        for row in agreement.signs
    ]
    header = ("layer", "inputs", "close to zero", "signs read", "differ", "furthest")
    caption = (
        "Signs of the inputs of 1-bit layers; furthest is the largest input whose sign "
        "differs, as a share of the layer's largest"
    )
    return table(caption, header, rows, numbers=(1, 2, 3, 4, 5))


def _int8(int8: Int8Report) -> Iterator[Content]:
    yield from _paragraphs(explain_int8(int8))
    rows = [
        (
            row.layer,
            row.place,
            f"{row.low:.4g} to {row.high:.4g}",
            f"{row.lowest:.4g} to {row.highest:.4g}",
            f"{row.clipped:.2%}",
        )
        for row in int8.ranges
    ]
    header = ("layer", "values", "range of 8 bits", "values there were", "cut off")
    caption = "Ranges of values in int8, as they are in the file"
    yield table(caption, header, rows, numbers=(4,))


def _provenance(provenance: dict[str, Any]) -> Iterator[Content]:
    if not provenance.get("given"):
        yield element("p", _NO_FINGERPRINT)
    groups: dict[str, list[Sequence[Content]]] = {}
    for path, text in _flattened(provenance, ()):
        depth = min(len(path) - 1, _GROUPED)
        group, name = path[:depth], path[depth:]
        groups.setdefault(" / ".join(group), []).append((" / ".join(name), text))
    for title, rows in groups.items():
        yield table(title or "The model", ("what", "value"), rows)


def _flattened(
    value: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is in nested dictionaries and lists, and the way to it."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from _flattened(one, (*path, str(name)))
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for number, one in enumerate(value, start=1):
            yield from _flattened(one, (*path, str(number)))
    elif path:
        yield path, _inline(value)


def _inline(value: Any) -> str:
    if isinstance(value, list):
        between = "; " if any(isinstance(one, list) for one in value) else ", "
        return between.join(map(_inline, value)) or "none"
    if isinstance(value, float):
        return f"{value:.7g}"  # As much as a float32 tells.
    return "none" if value in (None, {}) else str(value)


def _versions(versions: dict[str, str]) -> Element:
    return table("What made the file", ("package", "version"), list(versions.items()))
