"""What the study concludes, in sentences that follow from its figures."""

from __future__ import annotations

from ablation import STEPS, Found, Step
from contenders import PLAIN, TEACHER

# What the two aims are about, the best of each by validation accuracy: the paper's
# method, and the full one, which may be a hybrid.
JUDGED = ("R+G", "R+G+B")
FULL = (*JUDGED, "R+G, distillation", "R+G, pretrained, distillation")


def in_short(sizes: dict[str, Found]) -> str:
    """The aims, which student is best, and which parts pay, size by size."""
    parts = []
    for found in sizes.values():
        told = [*aims(found), *best_student(found), *what_pays(found)]
        if told:
            sentences = "".join(f"- {sentence}\n" for sentence in told)
            accuracy = found.figure.replace("_", " ")
            parts.append(f"{found.title}, by {accuracy}:\n\n{sentences}")
    return "\n".join(parts)


def aims(found: Found) -> list[str]:
    """Whether the two aims of the study are met, in words.

    Args:
        found: The contenders of one size.
    """
    sentences = []
    judged = [name for name in JUDGED if name in found.rows]
    if judged:
        step = Step("discriminators", PLAIN, found.best(judged))
        gain, spread = found.gain(step), found.spread(step)
        if gain is not None and spread is not None:
            verb = "beats" if gain.mean > spread else "does not beat"
            sentences.append(
                f"{step.with_it} {verb} {PLAIN} by more than the seeds' spread: "
                f"{gain:+} points, spread {100 * spread:.2f}."
            )
    full = [name for name in FULL if name in found.rows]
    if full:
        best = found.best(full)
        share = found.share(best)
        met = "met" if share >= 0.5 else "missed"
        sentences.append(
            f"The full method, at its best as {best}, closes {100 * share:.0f}% of the "
            f"gap between {PLAIN} and the teacher: the aim of half is {met}."
        )
        sizes = [found.file_size(name) for name in (best, PLAIN)]
        if all(sizes):
            sentences.append(
                f"Its `.tflite` file has {sizes[0]:,} bytes, and {sizes[1]:,} that of "
                f"{PLAIN}."
            )
    return sentences


def best_student(found: Found) -> list[str]:
    """Which 1-bit student comes closest to the teacher, in words.

    Args:
        found: The contenders of one size; those with fewer seeds than others do not
            count, since one seed may be lucky.
    """
    seeds = {name: len(rows) for name, rows in found.rows.items() if name != TEACHER}
    most = max(seeds.values())
    students = [name for name in seeds if seeds[name] == most]
    if len(students) < 2:
        return []
    best = found.best(students)
    told = "one seed" if most == 1 else f"{most} seeds"
    return [
        f"The best 1-bit student of those with {told} is {best}, "
        f"{found.score(best)} %, which closes {100 * found.share(best):.0f}% of that "
        "gap."
    ]


def what_pays(found: Found) -> list[str]:
    """Which parts add or cost more than the spread, in words; few seeds say nothing.

    Args:
        found: The contenders of one size.
    """
    sorted_out: dict[str, list[str]] = {"adds": [], "costs": [], "neither": []}
    for step in STEPS:
        gain, spread = found.gain(step), found.spread(step)
        if gain is None or spread is None:
            continue
        told = f"{step.part} to {step.without} ({gain:+})"
        if abs(gain.mean) <= spread:
            sorted_out["neither"].append(told)
        else:
            sorted_out["adds" if gain.mean > 0 else "costs"].append(told)
    words = {
        "adds": "More than the spread is gained by adding",
        "costs": "More than the spread is lost by adding",
        "neither": "Within the spread are",
    }
    return [
        f"{words[kind]} {'; '.join(told)}." for kind, told in sorted_out.items() if told
    ]
