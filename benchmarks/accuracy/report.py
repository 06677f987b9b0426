"""Writes docs/evidence.md and its plots from the lines that the study left.

    python benchmarks/accuracy/report.py

Nothing in that document is typed by hand but the words; run it again after more lines.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

from ablation import Found, ablation_table
from conclusion import in_short
from contenders import CONCLUSIVE, CONTENDERS, PLAIN, QUESTIONS, SEEDS, TEACHER
from findings import findings
from lines import Rows, best_rate, of, read_lines
from places import RESULTS, Places
from plots import plot_accuracies, plot_discriminators
from scores import Score, difference
from sizes import SIZES, Size

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from result_files import described, markdown_table  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "evidence.md"
HEADINGS = {
    "large": "The large networks",
    "large_triple": "The large networks, trained three times as long",
    "small": "The small networks",
    "double": "The small networks, trained twice as long",
    "triple": "The small networks, trained three times as long",
    "long": "The small networks, trained four times as long",
    "few": "The small networks with few images",
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


def finals(rows: Rows, size: str) -> dict[str, Rows]:
    """The lines of each contender of a size at its best rate, seed by seed."""
    found = {}
    for name in CONTENDERS:
        rate = best_rate(rows, name, size)
        own = of(rows, size, name, learning_rate=rate)
        if own:
            found[name] = sorted(own, key=lambda row: row["seed"])
    return found


def conclusion_table(found: Found, times: dict[str, float]) -> str:
    """Accuracies, and the share of the teacher's lead that is made up for.

    Args:
        found: The contenders of one size.
        times: How long a contender trains, to the plain student.
    """
    agreement = found.figure.replace("accuracy", "agreement")
    columns: dict[str, list[str]] = {
        "contender": list(found.rows),
        "seeds": [str(len(rows)) for rows in found.rows.values()],
        "learning rate": [f"{r[0]['learning_rate']:g}" for r in found.rows.values()],
        "accuracy, %": [str(found.score(name)) for name in found.rows],
        "of the gap closed": [f"{100 * found.share(name):.0f}%" for name in found.rows],
        "agrees with the teacher, %": [
            str(Score(rows, agreement)) if agreement in rows[0] else ""
            for rows in found.rows.values()
        ],
        "time per epoch": [
            f"{times[name]:.2f} x" if name in times else "" for name in found.rows
        ],
        ".tflite, bytes": [
            f"{size:,}" if (size := found.file_size(name)) else "" for name in found.rows
        ],
    }
    known = {title: cells for title, cells in columns.items() if any(cells)}
    lines = [("---", *["---:"] * (len(known) - 1)), *zip(*known.values(), strict=True)]
    return markdown_table([tuple(known), *lines])


def times_of(size: str, places: Places) -> dict[str, float]:
    """How long contenders train, to the plain student; none if not measured."""
    path = places.epoch_time(size)
    return dict(json.loads(path.read_text())["ratio"]) if path.exists() else {}


def question_table(rows: Rows, size: str) -> str:
    """What each change does to the contender that it changes, at the same rate."""
    figure = "validation_accuracy"
    lines = [
        (
            "contender",
            "change",
            "learning rate",
            "seeds",
            "accuracy, %",
            "difference, points",
        ),
        ("---", "---", *["---:"] * 4),
    ]
    for name, question in QUESTIONS.items():
        rates = {row["learning_rate"] for row in of(rows, size, name)}
        for rate in sorted(rates):
            own = of(rows, size, name, learning_rate=rate)
            base = of(rows, size, question.base, learning_rate=rate)
            more = difference(own, base, figure)
            score = Score(own, figure)
            told = "" if more is None else f"{more:+}"
            if more and more.seeds < score.seeds:
                told += f" ({more.seeds} of them)"
            lines.append(
                (
                    question.base,
                    question.change,
                    f"{rate:g}",
                    str(score.seeds),
                    str(score),
                    told,
                )
            )
    return markdown_table(lines)


def rate_table(rows: Rows, size: str) -> str:
    """Validation accuracy of each contender by learning rate, at the first seed."""
    rates = sorted({row["learning_rate"] for row in rows if row["size"] == size})
    lines = [("contender", *(f"{rate:g}" for rate in rates))]
    lines.append(("---", *["---:"] * len(rates)))
    for name in CONTENDERS:
        own = of(rows, size, name, seed=0)
        by_rate = {r["learning_rate"]: r["validation_accuracy"] for r in own}
        if own:
            cells = [f"{100 * by_rate[r]:.2f}" if r in by_rate else "" for r in rates]
            lines.append((name, *cells))
    return markdown_table(lines)


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


def images_of(budget: Size) -> str:
    """What an epoch goes through, in words."""
    images = f"{budget.images:,} images"
    return f"{budget.repeats} times {images}" if budget.repeats > 1 else images


def judged_sizes(rows: Rows) -> dict[str, Found]:
    """The sizes that have a plain student and a teacher to compare others with.

    Those of the conclusion by test accuracy, once all of them have one.
    """
    judged = {}
    for size, title in HEADINGS.items():
        found = finals(rows, size)
        if PLAIN in found and TEACHER in found:
            own = [row for rows in found.values() for row in rows]
            tested = all("test_accuracy" in row for row in own)
            figure = "test_accuracy" if tested else "validation_accuracy"
            judged[size] = Found(title, found, figure)
    return judged


def size_section(size: str, found: Found, folder: Path, places: Places) -> str:
    """All that one size has to say."""
    budget = SIZES[size]
    folder.mkdir(parents=True, exist_ok=True)
    accuracies, judges = f"accuracy-{size}.png", f"discriminators-{size}.png"
    plot_accuracies(found.rows, found.figure, TEACHER, folder / accuracies)
    parts = [
        f"## {found.title}: {'-'.join(map(str, budget.stages))}\n",
        f"{DATA[budget.data]}: {budget.epochs} epochs of {images_of(budget)} in "
        f"batches of {budget.batch}; the teacher {budget.teacher_epochs}. Accuracy on "
        f"the {found.figure.partition('_')[0]} images; ± is the standard deviation "
        "over seeds. Times are to that of the plain student, measured apart from the "
        "runs, whose machines were busy: benchmarks/accuracy/epoch_time.py.\n",
        conclusion_table(found, times_of(size, places)),
        f"![Accuracy of each contender]({folder.name}/{accuracies})\n",
    ]
    if plot_discriminators(found.rows, folder / judges):
        parts.append(f"![Discriminators' accuracy]({folder.name}/{judges})\n")
    return "\n".join(parts)


def document(rows: Rows, folder: Path, places: Places) -> str:
    """The whole of docs/evidence.md."""
    sizes = judged_sizes(rows)
    sections = [
        size_section(size, found, folder, places) for size, found in sizes.items()
    ]
    published = [
        ("published", "network", "top-1, %"),
        ("---", "---", "---:"),
        *PUBLISHED,
    ]
    machines = sorted({described(row["machine"]) for row in rows})
    return "\n".join(
        [
            INTRODUCTION,
            *filter(None, [state(rows)]),
            *_section("In short", IN_SHORT_TEXT, in_short(sizes)),
            *_section(
                "What each part adds", ABLATION_TEXT, ablation_table(sizes.values())
            ),
            *sections,
            *_section("What was found, and why", FINDINGS_TEXT, findings(rows)),
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
            "## Published figures\n",
            "Of arXiv 1908.07748, on other data and with longer training; not ours.\n",
            markdown_table(published),
            "## Machines\n",
            *(f"- {machine}" for machine in machines),
            "",
        ]
    )


def _section(title: str, text: str, content: str) -> list[str]:
    """Content with its heading and explanation; nothing if a table has no lines."""
    return [f"## {title}\n", text, content] if content.count("\n") > 2 else []


INTRODUCTION = """\
# Does rectification with discriminators pay?

Written by benchmarks/accuracy/report.py from the lines of
benchmarks/results/accuracy; `make evidence` runs the whole study.

Some of the training images are kept to choose by; the test set is read once for each
network of the conclusion. Residual networks of three stages; every 1-bit student has
the same kernels and, but for ReActNet, a file of the same size. All contenders see the
same batches, mirrored and shifted at random, with Adam and cosine decay, at the best of
the same learning rates. R is rectification by learnable scales, with kernels whose
gradient reaches up to their clip; the paper's kernel loss, which costs accuracy at the
best rate, is among the questions, and in "RBCN as in its paper". G are the feature
discriminators, B is the separate step for the other parameters (strategy B). "R,
distillation" is `recipes.default()`. A pretrained student starts from its own blocks in
full precision, with clips for signs, as Bi-Real Net's paper does (arXiv 1808.00278).
They are its teacher, too, with which its agreement is, and take as many epochs as the
usual teacher. For a user, who has that one already, they come on top.
"""
IN_SHORT_TEXT = """\
What a part adds is the mean over the seeds that both contenders have, ± its standard
deviation; each has its own best learning rate. The spread is the largest standard
deviation of the two and of their difference. With three seeds, more than the spread is
a sign, and no proof.
"""
ABLATION_TEXT = """\
Points of accuracy, ± the standard deviation, and the number of seeds. One seed decides
nothing.
"""
FINDINGS_TEXT = """\
Of the small networks, by validation accuracy.
"""
QUESTIONS_TEXT = """\
Each changes one thing of a contender: validation accuracy, and the difference to that
contender at the same learning rate and seeds. One seed decides nothing that is smaller
than the spread between seeds above.
"""
RATES_TEXT = """\
Learning rates: validation accuracy at seed 0. The best rate of each row is used for all
small networks.
"""
LARGE_TEXT = """\
These chose between the two that had been best for the small ones.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    places = Places(arguments.results)
    rows = read_lines(places.lines)
    tested = {row["digest"]: row for row in read_lines(places.tested)}
    rows = [{**row, **tested.get(row["digest"], {})} for row in rows]
    folder = arguments.document.with_suffix("")
    arguments.document.parent.mkdir(parents=True, exist_ok=True)
    arguments.document.write_text(document(rows, folder, places), encoding="utf-8")
    for size, found in judged_sizes(rows).items():
        chosen_by = found._replace(figure="validation_accuracy")
        print(conclusion_table(chosen_by, times_of(size, places)))


if __name__ == "__main__":
    main()
