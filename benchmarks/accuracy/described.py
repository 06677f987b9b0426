"""What sets the study's contenders apart, in words."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from contenders import (
    ADDITIONS,
    EACH_EPOCH,
    LIKE_STUDENT,
    STAGE_ADDITIONS,
    TEACHER,
    Contender,
    contender,
)

sys.path.insert(0, str(Path(__file__).parents[1]))

from result_files import markdown_table

# Functions of `keras_rbcn.applications` that make such networks.
_NETWORKS = {
    "full_precision": "ResNet, in full precision",
    "bcnn": "`BCNN`",
    "xnornet": "`XNORNet`",
    "birealnet": "`BiRealNet`",
    "rbcn": "`RBCN`",
    "reactnet": "`ReActNet`",
}
# What those functions give their kernels; the others take it as an argument.
_SIGNS = {
    "full_precision": "",
    "bcnn": "`ste_sign`",
    "xnornet": "`magnitude_aware_sign`",
    "birealnet": "`magnitude_aware_sign`",
}
_TEACHERS = {
    TEACHER: "the usual teacher",
    LIKE_STUDENT: "its own blocks in full precision",
}
_TAPS = {
    "convolution": "every 1-bit convolution's batch normalisation",
    "stage": "each stage's last batch normalisation",
    ADDITIONS: "every addition that the teacher has",
    STAGE_ADDITIONS: "each stage's last addition",
}


def contender_table(names: Iterable[str]) -> str:
    """A line for each contender: how it differs from the others."""
    lines = [
        (
            "contender",
            "network",
            "kernel's sign",
            "losses besides the task's",
            "taps",
            "starts from",
        ),
        ("---",) * 6,
    ]
    for name in names:
        chosen = contender(name)
        lines.append(
            (
                name,
                _NETWORKS[chosen.network],
                _SIGNS.get(chosen.network, f"`{chosen.kernel_quantizer}`"),
                "; ".join(_losses(chosen)),
                _TAPS[chosen.taps] if chosen.taps else "",
                "" if name == TEACHER else _start(chosen),
            )
        )
    return markdown_table(lines)


def _losses(chosen: Contender) -> Iterator[str]:
    settings = chosen.settings
    if settings.get("distillation"):
        yield (
            f"distillation {settings['distillation']:g}, temperature "
            f"{settings['temperature']:g}"
        )
    if settings.get("attention_weight"):
        yield f"attention matching {settings['attention_weight']:g}"
    if settings.get("adversarial_weight"):
        limit = settings["discriminator_accuracy_limit"]
        held = f", held back at an accuracy of {limit:g}" if limit < 1 else ""
        kind = settings["adversarial_loss"].replace("_", " ")
        yield f"discriminators {settings['adversarial_weight']:g}, {kind}{held}"
    if settings.get("kernel_weight"):
        rule = settings["kernel_loss_gradient"].replace("_", " ")
        yield f"kernel loss {settings['kernel_weight']:g}, {rule}"
    if "strategy_b_optimizer" in chosen.optimizers:
        rate = chosen.optimizers["strategy_b_optimizer"]
        every = settings.get("strategy_b_every")
        told = "each epoch" if every == EACH_EPOCH else "each step"
        yield f"strategy B {told}, at {rate:g} of the rate"


def _start(chosen: Contender) -> str:
    started = _TEACHERS[chosen.teacher]
    if chosen.magnitude:
        started += f", kernels scaled to {chosen.magnitude:g}"
    return started
