"""The networks and trainings that the study compares."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

TEACHER = "full precision"


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train a student.

    Attributes:
        network: Of `keras_rbcn.applications`: "bcnn", "xnornet", "birealnet", "rbcn" or
            "reactnet"; "full_precision" for the teacher.
        settings: Arguments of `RBCNModel.compile`.
        taps: Argument of `RBCNModel`; [] without feature maps.
        optimizers: Learning rates of the optimizers besides the main one, by their
            argument of `compile`, as multiples of the main one's.
        from_teacher: Whether the student starts from the teacher's kernels.
        discriminator: Arguments of `build_discriminator`.
    """

    network: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    taps: Any = dataclasses.field(default_factory=list)
    optimizers: dict[str, float] = dataclasses.field(default_factory=dict)
    from_teacher: bool = True
    discriminator: dict[str, Any] = dataclasses.field(default_factory=dict)

    def with_settings(self, **changes: Any) -> Contender:
        """The same with other arguments of `compile`."""
        return dataclasses.replace(self, settings={**self.settings, **changes})


_OFF = {"kernel_weight": 0.0, "adversarial_weight": 0.0}
_PLAIN = Contender("birealnet", _OFF)
_RECTIFIED = Contender("rbcn", {"adversarial_weight": 0.0})
_ADVERSARIAL = Contender("rbcn", taps="convolution")
_DISTILLED = {"distillation": 0.9, "temperature": 4.0}

# The conclusion is drawn from these, with at least three seeds each.
CONTENDERS: dict[str, Contender] = {
    TEACHER: Contender("full_precision"),
    "BCNN": dataclasses.replace(_PLAIN, network="bcnn"),
    "XNOR-Net": dataclasses.replace(_PLAIN, network="xnornet"),
    "Bi-Real Net": _PLAIN,
    "Bi-Real Net, distillation": _PLAIN.with_settings(**_DISTILLED),
    "Bi-Real Net, distillation and attention": dataclasses.replace(
        _PLAIN, taps="stage"
    ).with_settings(**_DISTILLED, attention_weight=1.0),
    "R": _RECTIFIED,
    "R+G": _ADVERSARIAL,
    "R+G+B": dataclasses.replace(
        _ADVERSARIAL, optimizers={"strategy_b_optimizer": 0.1}
    ),
    "R+G, distillation": _ADVERSARIAL.with_settings(**_DISTILLED),
    "ReActNet": dataclasses.replace(_PLAIN, network="reactnet"),
    "ReActNet, R+G, distillation": dataclasses.replace(
        _ADVERSARIAL, network="reactnet"
    ).with_settings(**_DISTILLED),
}


def _adversarial(**changes: Any) -> Contender:
    return _ADVERSARIAL.with_settings(**changes)


def _question(base: Contender, **changes: Any) -> Contender:
    return dataclasses.replace(base, **changes)


# What the validation data decide: each differs from R+G, or from R, in one thing.
QUESTIONS: dict[str, Callable[[], Contender]] = {
    "R, kernel weight 1e-3": lambda: _RECTIFIED.with_settings(kernel_weight=1e-3),
    "R, kernel weight 1e-5": lambda: _RECTIFIED.with_settings(kernel_weight=1e-5),
    "R, kernel weight 0": lambda: _RECTIFIED.with_settings(kernel_weight=0.0),
    "R, full gradient": lambda: _RECTIFIED.with_settings(kernel_loss_gradient="full"),
    "R, scale optimizer": lambda: _question(
        _RECTIFIED, optimizers={"scale_optimizer": 0.1}
    ),
    "R, fresh start": lambda: _question(_RECTIFIED, from_teacher=False),
    "R+G, stages": lambda: _question(_ADVERSARIAL, taps="stage"),
    "R+G, weight 0.1": lambda: _adversarial(adversarial_weight=0.1),
    "R+G, weight 0.001": lambda: _adversarial(adversarial_weight=0.001),
    "R+G, log": lambda: _adversarial(adversarial_loss="log"),
    "R+G, no limit": lambda: _adversarial(discriminator_accuracy_limit=1.0),
    "R+G, grid 1": lambda: _question(_ADVERSARIAL, discriminator={"grid": 1}),
    "R+G, units 16": lambda: _question(_ADVERSARIAL, discriminator={"units": 16}),
}


def contender(name: str) -> Contender:
    """A contender or a question by its name."""
    return CONTENDERS[name] if name in CONTENDERS else QUESTIONS[name]()


def names() -> list[str]:
    return [*CONTENDERS, *QUESTIONS]
