"""Writes docs/evidence.md and its plots from the lines that the study left.

    python benchmarks/accuracy/report.py

Nothing in that document is typed by hand but the words; run it again after more lines.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from ablation import Found, ablation_table
from conclusion import in_short
from contenders import CONCLUSIVE, CONTENDERS, PLAIN, SEEDS, TEACHER
from described import contender_table
from findings import findings, verdict
from lines import Rows, figure_that_counts, finals, read_study
from places import RESULTS, Places
from plots import plot_accuracies, plot_discriminators
from sizes import SIZES
from tables import (
    budget_table,
    full_precision_table,
    images_of,
    question_table,
    rate_table,
    result_table,
    times_of,
)
from texts import (
    ABLATION_TEXT,
    BUDGETS_TEXT,
    CONTENDERS_TEXT,
    FINDINGS_TEXT,
    FULL_PRECISION_TEXT,
    IN_SHORT_TEXT,
    INTRODUCTION,
    LARGE_TEXT,
    LIMITS,
    QUESTIONS_TEXT,
    RATES_TEXT,
)

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from result_files import described, markdown_table  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "evidence.md"
# Those with other budgets than these share a table.
HEADINGS = {
    "large": "The large networks",
    "small": "The small networks",
    "cifar100": "The paper's network",
    "cifar10": "The paper's network, ten classes",
    "digits": "The short version",
}
DATA = {
    "fashion_mnist": "Fashion-MNIST (60,000 + 10,000 real images)",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "digits": "Handwritten digits of 8x8 pixels, which come with scikit-learn",
}
# arXiv 1908.07748, tables of CIFAR-100 (stages 64-64-128-256) and of ImageNet.
PUBLISHED = (
    ("CIFAR-100, ResNet-18", "Bi-Real Net", "63.81"),
    ("CIFAR-100, ResNet-18", "R", "64.13"),
    ("CIFAR-100, ResNet-18", "R+G", "65.02"),
    ("CIFAR-100, ResNet-18", "R+G+B", "66.27"),
    ("ImageNet, ResNet-18", "full precision", "69.3"),
    ("ImageNet, ResNet-18", "XNOR-Net", "51.2"),
    ("ImageNet, ResNet-18", "Bi-Real Net", "56.4"),
    ("ImageNet, ResNet-18", "RBCN", "59.5"),
)

_FILES = " Files of the same layers differ by the length of the names in them."


def state(rows: Rows) -> str:
    """What the study still lacks, in words; nothing if it lacks nothing."""
    lacking = {}
    for size, contenders in CONCLUSIVE.items():
        title, found = HEADINGS[size], finals(rows, size)
        names = [name for name in contenders if name != TEACHER]
        few = [name for name in names if len(found.get(name, ())) < SEEDS]
        if PLAIN in found and few:
            lacking[title] = few
    if not lacking:
        return ""
    return "\n".join(
        [
            "## Not finished\n",
            f"Fewer than {SEEDS} seeds so far, or none at all:\n",
            *(f"- {title}: {'; '.join(names)}" for title, names in lacking.items()),
            "",
        ]
    )


def judged_sizes(rows: Rows) -> dict[str, Found]:
    """The sizes that have a plain student and a teacher to compare others with.

    Those of the conclusion by test accuracy, once all of them have one.
    """
    judged = {}
    for size, title in HEADINGS.items():
        found = finals(rows, size)
        if PLAIN in found and TEACHER in found:
            judged[size] = Found(title, found, figure_that_counts(found.values()))
    return judged


def size_section(size: str, found: Found, folder: Path, places: Places) -> str:
    """All that one size has to say."""
    budget = SIZES[size]
    folder.mkdir(parents=True, exist_ok=True)
    accuracies, judges = f"accuracy-{size}.png", f"discriminators-{size}.png"
    plot_accuracies(found.rows, found.figure, TEACHER, folder / accuracies)
    parts = [
        f"## {found.title}: {'-'.join(map(str, budget.stages))}\n",
        f"{DATA[budget.data]}: {budget.epochs} epochs of {images_of(budget)} images in "
        f"batches of {budget.batch}; the teacher {budget.teacher_epochs}. Accuracy on "
        f"the {found.figure.partition('_')[0]} images; ± is the standard deviation "
        "over seeds. Times are to that of the plain student, measured apart from the "
        'runs, whose machines were busy: benchmarks/accuracy/epoch_time.py. "Of the '
        f"gap closed\": (accuracy - {PLAIN}'s) / (teacher's - {PLAIN}'s)."
        + (_FILES if found.file_size(PLAIN) else "")
        + "\n",
        result_table(found, times_of(size, places)),
        f"![Accuracy of each contender]({folder.name}/{accuracies})\n",
    ]
    if plot_discriminators(found.rows, folder / judges):
        parts.append(f"![Discriminators' accuracy]({folder.name}/{judges})\n")
    return "\n".join(parts)


def document(rows: Rows, folder: Path, places: Places) -> str:
    """The whole of docs/evidence.md."""
    sizes = judged_sizes(rows)
    short = "\n".join(filter(None, [verdict(rows), IN_SHORT_TEXT, in_short(sizes)]))
    return "\n".join(
        [
            INTRODUCTION,
            *filter(None, [state(rows)]),
            *_section("In short", "", short),
            *([LIMITS] if CONCLUSIVE.keys() & sizes.keys() else []),
            *_section(
                "The contenders", CONTENDERS_TEXT, contender_table(present(sizes))
            ),
            *(
                size_section(size, found, folder, places)
                for size, found in sizes.items()
            ),
            *_section(
                "What each part adds", ABLATION_TEXT, ablation_table(sizes.values())
            ),
            *_section("What was found, and why", FINDINGS_TEXT, findings(rows)),
            *_section("Other budgets", BUDGETS_TEXT, budget_table(rows)),
            *_section(
                "Networks in full precision",
                FULL_PRECISION_TEXT,
                full_precision_table(rows),
            ),
            *_section(
                "Questions to the small networks",
                QUESTIONS_TEXT,
                question_table(rows, "small"),
            ),
            *_section(
                "Questions to the large networks",
                "In the same way.\n",
                question_table(rows, "large"),
            ),
            *_section(
                "Rates of the small networks", RATES_TEXT, rate_table(rows, "small")
            ),
            *_section(
                "Rates of the large networks", LARGE_TEXT, rate_table(rows, "large")
            ),
            *published(),
            "## Machines\n",
            *(f"- {one}" for one in sorted({described(r["machine"]) for r in rows})),
            "",
        ]
    )


def present(sizes: dict[str, Found]) -> list[str]:
    """The contenders that there are figures of."""
    return [n for n in CONTENDERS if any(n in found.rows for found in sizes.values())]


def published() -> list[str]:
    """The section of figures that are not ours."""
    lines = [("published", "network", "top-1, %"), ("---", "---", "---:"), *PUBLISHED]
    return [
        "## Published figures\n",
        "Of arXiv 1908.07748, on other data and with longer training; not ours.\n",
        markdown_table(lines),
    ]


def _section(title: str, text: str, content: str) -> list[str]:
    """Content with its heading and explanation; nothing if a table has no lines."""
    parts = filter(None, [f"## {title}\n", text, content])
    return list(parts) if content.count("\n") > 2 else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    places = Places(arguments.results)
    rows = read_study(places)
    folder = arguments.document.with_suffix("")
    arguments.document.parent.mkdir(parents=True, exist_ok=True)
    arguments.document.write_text(document(rows, folder, places), encoding="utf-8")
    for size, found in judged_sizes(rows).items():
        chosen_by = found._replace(figure="validation_accuracy")
        print(result_table(chosen_by, times_of(size, places)))


if __name__ == "__main__":
    main()
