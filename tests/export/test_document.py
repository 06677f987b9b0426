"""The page of a report: it needs nothing, runs nothing, and says what is so."""

import dataclasses
import json
import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from reports import NASTY, exported, images, residual_network, with_nasty_names

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn.export import ExportError, ExportReport, export_tflite
from keras_rbcn.export.document.figures import Bins
from keras_rbcn.export.document.markup import clean
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel

DOCUMENT = Path(__file__).parents[2] / "docs" / "export.md"
_VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """What a browser makes of a page: elements, texts, and what was left open."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.tables = [], [], []
        self.texts = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)
        if {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def count(self, tag):
        return sum(1 for name, _ in self.elements if name == tag)

    def table(self, *header):
        (found,) = [table for table in self.tables if table[0] == list(header)]
        return found[1:]

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return exported(
        residual_network(), tmp_path_factory.mktemp("export"), provenance={"seed": 7}
    )


@pytest.fixture(scope="module")
def page(report):
    return Page(report.to_html())


# --- what is in it ----------------------------------------------------------------


def test_the_summary(report, page):
    assert "8 bits" not in page.text
    assert "✓ The file computes what its student does" in page.text
    values = {}
    for header, *rows in page.tables:
        if header == ["what", "value"]:
            values |= dict(rows)
    assert values["SHA-256"] == report.sha256
    assert values["bytes"] == f"{report.bytes:,}"
    assert values["1-bit convolutions"] == "1"
    assert values["seed"] == "7"
    assert values["weights_sha256"] == report.provenance["student"]["weights_sha256"]


def test_it_says_if_no_data_are_known(report, page):
    assert "Nothing was given about the training data" not in page.text
    silent = dataclasses.replace(report, provenance={**report.provenance, "given": {}})
    text = Page(silent.to_html()).text
    assert "Nothing was given about the training data" in text
    unknown = Page(dataclasses.replace(report, provenance={}).to_html())
    assert "Nothing was given about the training data" in unknown.text


def test_every_operator_and_every_layer_has_its_row(report, page):
    rows = page.table("layer", "operator", "kind", "output", "bytes of constants")
    assert [row[:3] for row in rows] == [
        [one.name, one.operator, one.kind] for one in report.layers
    ]
    promised = page.table(
        *("layers", "kind", "promised", "in the file", "of it padding", "more")
    )
    assert promised[2] == ["conv + norm", "1-bit", "840", "1,760", "1,080", "+920"]


def test_the_parts_of_the_file_add_up(report, page):
    rows = page.table("", "bytes", "share of the file")
    values = [int(row[1].replace(",", "")) for row in rows]
    assert values[0] == report.promise.promised_bits // 8
    assert sum(values[1:-1]) == values[-1] == report.bytes


def test_versions(report, page):
    assert dict(page.table("package", "version")) == report.versions


def test_one_histogram_for_each_interpreter(tmp_path):
    report = exported(residual_network(), tmp_path, runtime="litert")
    assert len(report.agreements) == len({a.interpreter for a in report.agreements})
    assert report.agreement == report.agreements[-1]
    page = Page(report.to_html())
    assert page.count("svg") == 1 + len(report.agreements)
    for agreement in report.agreements:
        assert f"In the interpreter {agreement.interpreter}" in page.text


def test_a_refused_file_is_told_as_such(tmp_path):
    # A kernel that covers more than its zero-padded inputs is converted wrongly.
    layer = RectifiedConv2D(
        8, 3, dilation_rate=2, padding="same", pad_values=0.0, name="conv"
    )
    student = keras.Sequential([keras.Input((4, 5, 16)), layer])
    data = np.random.default_rng(0).normal(size=(8, 4, 5, 16))
    with pytest.raises(ExportError) as caught:
        export_tflite(student, tmp_path / "a.tflite", verify_data=data)
    page = Page(caught.value.report.to_html())
    assert "✗ The file does not compute what its student does" in page.text
    assert "✓" not in page.text


def test_a_file_that_was_never_compared(report):
    page = Page(dataclasses.replace(report, agreements=()).to_html())
    assert "refused before it was compared" in page.text
    assert page.count("svg") == 1


def test_what_int8_costs(tmp_path):
    report = exported(
        residual_network(), tmp_path, real_layers="int8", calibration_data=images(32)
    )
    assert ExportReport.from_json(report.to_json()) == report
    page = Page(report.to_html())
    assert "✓" in page.text
    rows = page.table(
        *("layer", "values", "range of 8 bits", "values there were", "cut off")
    )
    assert [row[0] for row in rows] == [one.layer for one in report.int8.ranges]
    assert "takes a few of them to the neighbour of the student's integer" in page.text
    assert "is not known" not in page.text
    share = f"{report.int8.class_agreement:.1%}"
    assert f"The class is the same for {share} of the samples" in page.text
    # As if the ranges were those of other data, for which the export fails.
    narrow = tuple(dataclasses.replace(one, clipped=0.5) for one in report.int8.ranges)
    int8 = dataclasses.replace(report.int8, ranges=narrow)
    page = Page(dataclasses.replace(report, int8=int8).to_html())
    assert "✗ The ranges of values in int8" in page.text
    assert "50% of them are cut off" in page.text


def test_what_integers_stand_for(tmp_path):
    report = exported(
        residual_network(),
        tmp_path,
        real_layers="int8",
        calibration_data=images(32),
        input_type="int8",
        output_type="int8",
    )
    file = TFLiteModel(tmp_path / "model.tflite")
    told = {
        value.name: (str(np.float32(meaning.scale)), meaning)
        for value, meaning in zip(
            (*report.inputs, *report.outputs),
            (*file.input_quantizations, *file.output_quantizations),
            strict=True,
        )
    }
    in_json = json.loads(report.to_json())
    for value in (*in_json["inputs"], *in_json["outputs"]):
        _, meaning = told[value["name"]]
        assert value["quantization"] == {
            "scale": meaning.scale,
            "zero_point": meaning.zero_point,
        }
    rows = Page(report.to_html()).table("name", "", "shape", "type", "integers")
    assert len(rows) == 2
    printed = " ".join(str(report).split())
    for name, _, _, dtype, integers in rows:
        scale, meaning = told[name]
        assert (dtype, integers) == (
            "int8",
            f"scale {scale}, zero point {meaning.zero_point}",
        )
        assert f"{name}: int8, {integers}" in printed
    assert ExportReport.from_json(report.to_json()) == report
    # As a release wrote it that did not tell.
    for value in (*in_json["inputs"], *in_json["outputs"]):
        del value["quantization"]
    older = ExportReport.from_json(json.dumps(in_json))
    assert [value.quantization for value in (*older.inputs, *older.outputs)] == [
        None
    ] * 2
    assert "integer input" not in str(older)
    assert Page(older.to_html()).table("name", "", "shape", "type", "integers")


def test_a_model_without_parameters_has_no_plot_of_them(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    page = Page(exported(model, tmp_path).to_html())
    assert page.count("svg") == 1
    assert "There are no 1-bit layers" in page.text


# --- it needs nothing, and nothing in it runs ------------------------------------


def test_the_page_is_whole_and_refers_to_nothing_outside(page):
    assert page.open == []
    tags = Counter(tag for tag, _ in page.elements)
    assert not {"script", "img", "link", "iframe", "object", "a"} & set(tags)
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith("#"), tag
        for value in attributes.values():
            assert "url(" not in (value or "").replace("url(#", ""), tag


def test_ids_are_unique_and_what_refers_to_them_finds_them(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = []
    for _, attributes in page.elements:
        wanted += attributes.get("aria-labelledby", "").split()
        for name, value in attributes.items():
            wanted += re.findall(r"url\(#([^)]*)\)", value or "")
            wanted += [value[1:]] if name == "href" else []
    assert wanted
    assert set(wanted) <= set(ids)


def test_names_are_text_wherever_they_come_from(report):
    text = with_nasty_names(report).to_html()
    page = Page(text)
    assert page.open == []
    plain = Page(report.to_html())
    new = {tag for tag, _ in page.elements} - {tag for tag, _ in plain.elements}
    assert not new
    for name in NASTY:
        shown = " ".join(clean(name).split())
        assert shown in page.text, name
    # Neither a formula in a plot, nor a character that no page may hold.
    assert not re.search("[\x00-\x08\x0b-\x1f]", text)
    assert page.count("svg") == plain.count("svg")


def test_it_can_be_read_without_seeing_it(page):
    for tag, attributes in page.elements:
        if tag == "svg":
            assert attributes["role"] == "img"
    assert page.count("title") == 1 + page.count("svg")
    assert page.count("caption") == page.count("table")
    scopes = Counter(a.get("scope") for tag, a in page.elements if tag == "th")
    assert scopes[None] == 0
    assert ("html", {"lang": "en"}) in page.elements


def test_it_fits_a_phone_and_a_dark_screen(report, page):
    meta = [attributes for tag, attributes in page.elements if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in (
        meta
    )
    text = report.to_html()
    assert "color-scheme: light dark" in text
    # Texts and lines of plots have the page's colour.
    assert "currentColor" in text
    assert "#000000" not in text


def test_the_same_report_is_the_same_page(report, tmp_path, monkeypatch):
    import matplotlib

    text = report.to_html(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text("utf-8") == text
    # As a user's own style would have it.
    with matplotlib.rc_context({"font.size": 30.0, "axes.facecolor": "black"}):
        assert report.to_html() == text
    assert ExportReport.from_json(report.to_json()).to_html() == text
    # Seconds since 1970, which matplotlib takes for the date.
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert report.to_html() == text


# --- the histogram ----------------------------------------------------------------


def test_bins_hold_every_value():
    values = np.array([0.0, 2e-7, 2.1e-7, 1.2e-4, 0.5, math.nan, math.inf])
    bins = Bins(values, 1e-4)
    counts = bins.counts(values)
    assert counts.sum() == len(values)
    assert (counts[0], counts[-1]) == (1, 2)
    found = dict(zip(bins.centres[1:-1], counts[1:-1], strict=True))
    for value, number in ((2e-7, 2), (1.2e-4, 1), (0.5, 1)):
        near = min(found, key=lambda centre, v=value: abs(centre - math.log10(v)))
        assert abs(near - math.log10(value)) <= bins.width / 2 + 1e-9
        assert found[near] == number
    _, texts = bins.ticks()
    assert (texts[0], texts[-1]) == ("0", "not finite")


@pytest.mark.parametrize("values", [[0.0], [math.nan], [1e-12, 1e30], [1e-4]])
def test_bins_of_odd_values(values):
    bins = Bins(np.array(values), 1e-4)
    assert bins.counts(np.array(values)).sum() == len(values)
    low, high = bins.limits()
    assert low < math.log10(1e-4) < high


# --- read back --------------------------------------------------------------------


def test_a_report_is_read_back(report, tmp_path):
    report.to_json(tmp_path / "report.json")
    for source in (tmp_path / "report.json", str(tmp_path / "report.json")):
        assert ExportReport.from_json(source) == report
    assert ExportReport.from_json(report.to_json()) == report
    assert rbcn.ExportReport.from_json(report.to_json()).to_dict() == report.to_dict()


def test_what_is_not_finite_is_read_back_as_nan(report):
    bad = dataclasses.replace(
        report.agreement,
        max_difference=math.nan,
        relative_differences=(math.inf, *report.agreement.relative_differences[1:]),
    )
    text = dataclasses.replace(report, agreements=(bad,)).to_json()
    agreement = ExportReport.from_json(text).agreement
    assert math.isnan(agreement.max_difference)
    assert math.isnan(agreement.relative_differences[0])
    assert "not finite" in ExportReport.from_json(text).to_html()


def _with_agreement(**changes):
    def changed(values):
        return values | {"agreements": [values["agreements"][0] | changes]}

    return changed


def _with_nameless_layer(values):
    first = values["promise"]["layers"][0] | {"layers": []}
    return values | {"promise": values["promise"] | {"layers": [first]}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: [values], "an object with a format_version"),
        (lambda values: {}, "received: format_version=None"),
        (lambda values: values | {"format_version": "1"}, "format_version='1'"),
        (lambda values: values | {"format_version": True}, "format_version=True"),
        (lambda values: values | {"format_version": 2}, "Update keras_rbcn"),
        (lambda values: values | {"bytes": "many"}, "'bytes'.*received: 'many'"),
        (lambda values: values | {"layers": [{}]}, r"'layers\.0\.name'"),
        (lambda values: {k: v for k, v in values.items() if k != "sha256"}, "'sha256'"),
        (lambda values: values | {"agreements": 3}, "'agreements'"),
        (lambda values: values | {"bytes": 0}, "'bytes'.*received: 0"),
        (_with_agreement(beyond_rounding=1e308), "beyond_rounding'.*1e\\+308"),
        (_with_agreement(relative_differences=[0.0]), "1 entries for 16 samples"),
        (_with_nameless_layer, r"'promise\.layers\.0\.layers'"),
    ],
)
def test_other_json_is_refused(report, change, message):
    text = json.dumps(change(report.to_dict()))
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        ExportReport.from_json(text)


@pytest.mark.parametrize("content", [b"no json", b"{", b"\xff\xfe", b"[" * 10**5])
def test_files_of_something_else_are_refused(tmp_path, content):
    path = tmp_path / "report.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected file '.*report\.json'"):
        ExportReport.from_json(path)


@pytest.mark.parametrize("name", ["none.json", "", "no json at all", "x" * 10**5])
def test_files_that_are_not_there(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="existing file, or the JSON"):
        ExportReport.from_json(name)


def test_the_example_of_the_document_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = DOCUMENT.read_text("utf-8").partition("## The report")[2]
    (block, *_) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names = {"rbcn": rbcn, "model": residual_network(), "images": images()}
    exec(compile(block, str(DOCUMENT), "exec"), names)
    first = (tmp_path / "report.html").read_bytes()
    assert (tmp_path / "again.html").read_bytes() == first
    assert rbcn.datasets.fingerprint(images()).encode() in first
