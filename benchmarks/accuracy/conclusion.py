"""What the study concludes, in sentences that follow from its figures."""

from __future__ import annotations

from ablation import STEPS, Found, Step
from contenders import PLAIN, TEACHER

# What the two aims are about, the best of each by validation accuracy: the paper's
# method, and the full one, which may be a hybrid.
JUDGED = ("R+G", "R+G+B")
FULL = (*JUDGED, "R+G, distillation", "R+G, pretrained, distillation")
# The same without discriminators, and without rectification too.
WITHOUT = {
    "R+G": ("R",),
    "R+G+B": ("R",),
    "R+G, distillation": ("R, distillation", "Bi-Real Net, distillation"),
    "R+G, pretrained, distillation": (
        "R, pretrained, distillation",
        "Bi-Real Net, pretrained, distillation",
    ),
}


def in_short(sizes: dict[str, Found]) -> str:
    """The aims, which student is best, and which parts pay, size by size.

    Args:
        sizes: The contenders of each.
    """
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
    judged = [name for name in JUDGED if name in found.rows]
    full = [name for name in FULL if name in found.rows]
    return [
        *(_over_plain(found, judged) if judged else []),
        *(_half_of_the_gap(found, found.best(full)) if full else []),
    ]


def _over_plain(found: Found, judged: list[str]) -> list[str]:
    best = found.best(judged)
    step = Step("discriminators", PLAIN, best)
    gain, spread = found.gain(step), found.spread(step)
    if gain is None or spread is None:
        return []
    over = "over" if gain.mean > 0 else "below"
    met = "met" if gain.mean > spread else "missed"
    chosen = f"at its best as {best}" if len(judged) > 1 else f"as {best}"
    return [
        f"The paper's method, tuned here, {chosen}, is {abs(100 * gain.mean):.2f} ± "
        f"{100 * (gain.spread or 0):.2f} points {over} {PLAIN}: the aim of more than "
        f"the seeds' spread ({100 * spread:.2f}) over it is {met}."
    ]


def _half_of_the_gap(found: Found, best: str) -> list[str]:
    share = found.share(best)
    met = "met" if share >= 0.5 else "missed"
    told = (
        f"The full method, at its best as {best}, closes {100 * share:.0f}% of the gap "
        f"between {PLAIN} and the teacher"
    )
    if found.score(best).seeds > 1:
        told += f" ({found.shares(best)} seed by seed)"
    told += f": the aim of half is {met}."
    others = [
        f"{name}, closes {100 * found.share(name):.0f}%"
        for name in WITHOUT[best]
        if name in found.rows
    ]
    if others:
        told += f" The same without discriminators, {', and '.join(others)}."
    sizes = [found.file_size(name) for name in (best, PLAIN)]
    if all(sizes):
        told += (
            f" Its `.tflite` file has {sizes[0]:,} bytes, and {sizes[1]:,} that of "
            f"{PLAIN}."
        )
    return [told]


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
    seeds_told = "one seed" if most == 1 else f"{most} seeds"
    told = (
        f"The best 1-bit student of those with {seeds_told}, chosen by validation "
        f"accuracy, is {best}, with "
        f"{found.score(best)} %, which closes {100 * found.share(best):.0f}% of that "
        "gap."
    )
    near = [name for name in students if name != best and _is_near(found, name, best)]
    if near:
        told += f" Within the spread of it: {'; '.join(near)}."
    return [told]


def _is_near(found: Found, name: str, best: str) -> bool:
    step = Step("all that they differ by", name, best)
    gain, spread = found.gain(step), found.spread(step)
    return gain is not None and spread is not None and abs(gain.mean) <= spread


def what_pays(found: Found) -> list[str]:
    """Which parts add or cost more than the spread, in words; few seeds say nothing.

    Args:
        found: The contenders of one size.
    """
    sorted_out: dict[str, list[str]] = {kind: [] for kind in _KINDS}
    for step in STEPS:
        gain, spread = found.gain(step), found.spread(step)
        if gain is None or spread is None:
            continue
        told = f"{step.part} to {step.without} ({gain:+})"
        if abs(gain.mean) <= spread:
            kind = "neither"
        else:
            kind = "gained" if gain.mean > 0 else "lost"
            kind = f"clearly {kind}" if found.is_clear(step) else kind
        sorted_out[kind].append(told)
    return [
        f"{_KINDS[kind]} {'; '.join(told)}."
        for kind, told in sorted_out.items()
        if told
    ]


_KINDS = {
    "clearly gained": "Clearly gained by adding",
    "gained": "More than the spread, but not clearly, is gained by adding",
    "clearly lost": "Clearly lost by adding",
    "lost": "More than the spread, but not clearly, is lost by adding",
    "neither": "Within the spread are",
}
