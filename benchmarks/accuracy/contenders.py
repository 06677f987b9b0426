"""The networks and trainings that the study compares."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

TEACHER = "full precision"

# Behind the shortcuts: the student's has an addition for each convolution, the
# teacher's for each second one. Names are completed by stage and block.
ADDITIONS = "every addition"
STAGE_ADDITIONS = "the last addition of each stage"


class Warmup(NamedTuple):
    """A weight that grows from 0 to its value in so many epochs."""

    value: float
    epochs: int


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train a student.

    Attributes:
        network: Of `keras_rbcn.applications`: "bcnn", "xnornet", "birealnet", "rbcn" or
            "reactnet"; "full_precision" for the teacher.
        settings: Arguments of `RBCNModel.compile`; a weight may be a `Warmup`.
        taps: Argument of `RBCNModel`; [] without feature maps; or `ADDITIONS` or
            `STAGE_ADDITIONS`.
        optimizers: Learning rates of the optimizers besides the main one, by their
            argument of `compile`, as multiples of the main one's.
        from_teacher: Whether the student starts from the teacher's kernels.
        discriminator: Arguments of `build_discriminator`; and "spectral_normalization",
            whether its linear layers are normalised so.
        scale: "channel" or "layer".
        two_stages: Whether the first half of the epochs trains binary inputs with
            full-precision kernels, and the second half binary kernels as well.
    """

    network: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    taps: Any = dataclasses.field(default_factory=list)
    optimizers: dict[str, float] = dataclasses.field(default_factory=dict)
    from_teacher: bool = True
    discriminator: dict[str, Any] = dataclasses.field(default_factory=dict)
    scale: str = "channel"
    two_stages: bool = False

    def with_settings(self, **changes: Any) -> Contender:
        """The same with other arguments of `compile`."""
        return _replaced(self, settings={**self.settings, **changes})


def _replaced(base: Contender, **changes: Any) -> Contender:
    return dataclasses.replace(base, **changes)


_OFF = {"kernel_weight": 0.0, "adversarial_weight": 0.0}
# Written out, whatever the package's defaults are: those may change by this study.
_KERNEL = {
    "kernel_weight": 1e-4,
    "kernel_loss_gradient": "straight_through",
    "adversarial_weight": 0.0,
}
_JUDGED = {
    **_KERNEL,
    "adversarial_weight": 0.01,
    "adversarial_loss": "least_squares",
    "discriminator_accuracy_limit": 0.8,
}
_DISTILLED = {"distillation": 0.9, "temperature": 4.0}
_PLAIN = Contender("birealnet", _OFF)
_R = Contender("rbcn", _KERNEL)
_RG = Contender("rbcn", _JUDGED, taps="convolution")

# The conclusion is drawn from these, with at least three seeds each.
CONTENDERS: dict[str, Contender] = {
    TEACHER: Contender("full_precision"),
    "BCNN": _replaced(_PLAIN, network="bcnn"),
    "XNOR-Net": _replaced(_PLAIN, network="xnornet"),
    "Bi-Real Net": _PLAIN,
    "Bi-Real Net, distillation": _PLAIN.with_settings(**_DISTILLED),
    "Bi-Real Net, distillation and attention": _replaced(
        _PLAIN, taps=STAGE_ADDITIONS
    ).with_settings(**_DISTILLED, attention_weight=1.0),
    "R": _R,
    "R+G": _RG,
    "R+G+B": _replaced(_RG, optimizers={"strategy_b_optimizer": 0.1}),
    "R+G, distillation": _RG.with_settings(**_DISTILLED),
    "ReActNet": _replaced(_PLAIN, network="reactnet"),
    "ReActNet, R+G, distillation": _replaced(_RG, network="reactnet").with_settings(
        **_DISTILLED
    ),
}

# What the validation data decide: each differs from R, R+G or R+G with distillation in
# one thing.
QUESTIONS: dict[str, Contender] = {
    "R, kernel weight 1e-3": _R.with_settings(kernel_weight=1e-3),
    "R, kernel weight 1e-5": _R.with_settings(kernel_weight=1e-5),
    "R, kernel weight 0": _R.with_settings(kernel_weight=0.0),
    "R, full gradient": _R.with_settings(kernel_loss_gradient="full"),
    "R, scale per layer": _replaced(_R, scale="layer"),
    "R, scale optimizer": _replaced(_R, optimizers={"scale_optimizer": 0.1}),
    "R, fresh start": _replaced(_R, from_teacher=False),
    "R, two stages": _replaced(_R, two_stages=True),
    "R+G, stages": _replaced(_RG, taps="stage"),
    "R+G, additions": _replaced(_RG, taps=ADDITIONS),
    "R+G, stages' additions": _replaced(_RG, taps=STAGE_ADDITIONS),
    "R+G, weight 1": _RG.with_settings(adversarial_weight=1.0),
    "R+G, weight 0.1": _RG.with_settings(adversarial_weight=0.1),
    "R+G, weight 0.1, warmed up": _RG.with_settings(
        adversarial_weight=Warmup(0.1, epochs=2)
    ),
    "R+G, weight 0.1, log": _RG.with_settings(
        adversarial_weight=0.1, adversarial_loss="log"
    ),
    "R+G, weight 0.1, relativistic": _RG.with_settings(
        adversarial_weight=0.1, adversarial_loss="relativistic"
    ),
    "R+G, weight 0.1, no limit": _RG.with_settings(
        adversarial_weight=0.1, discriminator_accuracy_limit=1.0
    ),
    "R+G, weight 0.1, label smoothing": _RG.with_settings(
        adversarial_weight=0.1, label_smoothing=0.1
    ),
    "R+G, weight 0.1, gradient penalty": _RG.with_settings(
        adversarial_weight=0.1, gradient_penalty=1.0
    ),
    "R+G, weight 0.1, spectral normalization": _replaced(
        _RG, discriminator={"spectral_normalization": True}
    ).with_settings(adversarial_weight=0.1),
    "R+G, weight 0.1, pooled to 1x1": _replaced(
        _RG, discriminator={"grid": 1}
    ).with_settings(adversarial_weight=0.1),
    "R+G, weight 0.1, 16 units": _replaced(
        _RG, discriminator={"units": 16}
    ).with_settings(adversarial_weight=0.1),
    "R+G, weight 0.1, faster discriminators": _replaced(
        _RG, optimizers={"discriminator_optimizer": 0.3}
    ).with_settings(adversarial_weight=0.1),
    "R+G, feature matching 0.1": _RG.with_settings(feature_matching_weight=0.1),
    "R+G, feature matching 1": _RG.with_settings(feature_matching_weight=1.0),
    "R+G, feature matching 10": _RG.with_settings(feature_matching_weight=10.0),
    "R+G, feature matching 1, additions": _replaced(_RG, taps=ADDITIONS).with_settings(
        feature_matching_weight=1.0
    ),
    "R+G, feature matching 1, untrained discriminators": _replaced(
        _RG, optimizers={"discriminator_optimizer": 0.0}
    ).with_settings(feature_matching_weight=1.0, adversarial_weight=0.0),
    "R, distillation": _R.with_settings(**_DISTILLED),
    "R, distillation 0.3": _R.with_settings(distillation=0.3, temperature=4.0),
    "R, distillation 3": _R.with_settings(distillation=3.0, temperature=4.0),
    "R, distillation, two stages": _replaced(_R, two_stages=True).with_settings(
        **_DISTILLED
    ),
    "R+G, distillation, feature matching 1": _RG.with_settings(
        **_DISTILLED, feature_matching_weight=1.0
    ),
}


def contender(name: str) -> Contender:
    """A contender or a question by its name."""
    return {**CONTENDERS, **QUESTIONS}[name]


def names() -> list[str]:
    return [*CONTENDERS, *QUESTIONS]
