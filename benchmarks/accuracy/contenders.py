"""The networks and trainings that the study compares."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

TEACHER = "full precision"

# Behind the shortcuts: the student's has an addition for each convolution, the
# teacher's for each second one. Names are completed by stage and block.
ADDITIONS = "every addition"
STAGE_ADDITIONS = "the last addition of each stage"
# As many steps as an epoch has.
EACH_EPOCH = "each epoch"


class Ramp(NamedTuple):
    """A weight that goes from one value to another in so many epochs, and stays."""

    first: float
    last: float
    epochs: int


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way to train a student.

    Attributes:
        network: Of `keras_rbcn.applications`: "bcnn", "xnornet", "birealnet", "rbcn" or
            "reactnet"; "full_precision" for the teacher.
        settings: Arguments of `RBCNModel.compile`; a weight may be a `Ramp`.
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
        kernel_quantizer: Of rectified convolutions; their own default if empty.
        real: "kernels" or "inputs" of the 1-bit convolutions that are not 1-bit after
            all, to see which of the two costs what. No file for a phone comes of it.
    """

    network: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    taps: Any = dataclasses.field(default_factory=list)
    optimizers: dict[str, float] = dataclasses.field(default_factory=dict)
    from_teacher: bool = True
    discriminator: dict[str, Any] = dataclasses.field(default_factory=dict)
    scale: str = "channel"
    two_stages: bool = False
    kernel_quantizer: str = ""
    real: str = ""

    def with_settings(self, **changes: Any) -> Contender:
        """The same with other arguments of `compile`."""
        return _replaced(self, settings={**self.settings, **changes})


def _replaced(base: Contender, **changes: Any) -> Contender:
    return dataclasses.replace(base, **changes)


_OFF = {"kernel_weight": 0.0, "adversarial_weight": 0.0}
_JUDGED = {
    **_OFF,
    "adversarial_weight": 0.01,
    "adversarial_loss": "least_squares",
    "discriminator_accuracy_limit": 0.8,
}
# The loss and the rule of the paper's equations 3.64 and 3.71.
_PAPER = {"kernel_weight": 1e-4, "kernel_loss_gradient": "straight_through"}
_DISTILLED = {"distillation": 0.9, "temperature": 4.0}
_PLAIN = Contender("birealnet", _OFF)
_R = Contender("rbcn", _OFF)
_RD = _R.with_settings(**_DISTILLED)
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
    "R, distillation": _RD,
    "R+G": _RG,
    "R+G+B": _replaced(_RG, optimizers={"strategy_b_optimizer": 0.1}),
    "RBCN as in its paper": _replaced(
        _RG, optimizers={"strategy_b_optimizer": 0.1}
    ).with_settings(
        **_PAPER,
        adversarial_weight=1.0,
        discriminator_accuracy_limit=1.0,
        strategy_b_every=EACH_EPOCH,
    ),
    "R+G, distillation": _RG.with_settings(**_DISTILLED),
    "ReActNet": _replaced(_PLAIN, network="reactnet"),
    "ReActNet, R+G, distillation": _replaced(_RG, network="reactnet").with_settings(
        **_DISTILLED
    ),
}

_RG01 = _RG.with_settings(adversarial_weight=0.1)
_FULL = {"kernel_weight": 1e-4, "kernel_loss_gradient": "full"}
_MATCHED = {"feature_matching_weight": 1.0}

# What the validation data decide: changes to a contender, one at a time.
_CHANGES: dict[str, dict[str, Contender]] = {
    "R": {
        "kernel loss as in the paper": _R.with_settings(**_PAPER),
        "kernel loss as in the paper, weight 1e-5": _R.with_settings(
            **{**_PAPER, "kernel_weight": 1e-5}
        ),
        "kernel loss with its full gradient": _R.with_settings(**_FULL),
        "kernel loss with its full gradient, weight 1e-5": _R.with_settings(
            **{**_FULL, "kernel_weight": 1e-5}
        ),
        "kernel loss with its full gradient, warmed up": _R.with_settings(
            **{**_FULL, "kernel_weight": Ramp(0.0, 1e-4, epochs=10)}
        ),
        "scale per layer": _replaced(_R, scale="layer"),
        "scale optimizer": _replaced(_R, optimizers={"scale_optimizer": 0.1}),
        "scale optimizer 0.01": _replaced(_R, optimizers={"scale_optimizer": 0.01}),
        "fresh start": _replaced(_R, from_teacher=False),
        "two stages": _replaced(_R, two_stages=True),
        "full-precision kernels": _replaced(_R, real="kernels"),
        "full-precision inputs": _replaced(_R, real="inputs"),
    },
    "R, distillation": {
        "scale optimizer": _replaced(_RD, optimizers={"scale_optimizer": 0.1}),
        "scale optimizer 0.01": _replaced(_RD, optimizers={"scale_optimizer": 0.01}),
        # Unlike that of approx_sign, its gradient does not vanish at the clip.
        "straight-through kernels": _replaced(_RD, kernel_quantizer="ste_sign"),
        "straight-through kernels, scale optimizer 0.01": _replaced(
            _RD, kernel_quantizer="ste_sign", optimizers={"scale_optimizer": 0.01}
        ),
        "weight 0.3": _RD.with_settings(distillation=0.3),
        "weight 3": _RD.with_settings(distillation=3.0),
        "temperature 2": _RD.with_settings(temperature=2.0),
        "temperature 8": _RD.with_settings(temperature=8.0),
        "two stages": _replaced(_RD, two_stages=True),
        "attention": _replaced(_RD, taps=STAGE_ADDITIONS).with_settings(
            attention_weight=1.0
        ),
    },
    "R+G": {
        "feature matching 0.1 alone": _RG.with_settings(
            adversarial_weight=0.0, feature_matching_weight=0.1
        ),
        "feature matching 1 alone": _RG.with_settings(
            adversarial_weight=0.0, feature_matching_weight=1.0
        ),
        "feature matching 0.1 alone, taps at additions": _replaced(
            _RG, taps=ADDITIONS
        ).with_settings(adversarial_weight=0.0, feature_matching_weight=0.1),
        "feature matching 0.1 alone, fading": _RG.with_settings(
            adversarial_weight=0.0, feature_matching_weight=Ramp(0.1, 0.0, epochs=5)
        ),
        "fading": _RG.with_settings(adversarial_weight=Ramp(0.01, 0.0, epochs=5)),
        "weight 0.1": _RG01,
        "weight 1": _RG.with_settings(adversarial_weight=1.0),
        "kernel loss as in the paper": _RG.with_settings(**_PAPER),
    },
    "R+G, weight 0.1": {
        "taps at stages": _replaced(_RG01, taps="stage"),
        "taps at additions": _replaced(_RG01, taps=ADDITIONS),
        "taps at stages' additions": _replaced(_RG01, taps=STAGE_ADDITIONS),
        "warmed up": _RG01.with_settings(adversarial_weight=Ramp(0.0, 0.1, epochs=2)),
        "fading": _RG01.with_settings(adversarial_weight=Ramp(0.1, 0.0, epochs=5)),
        "log": _RG01.with_settings(adversarial_loss="log"),
        "relativistic": _RG01.with_settings(adversarial_loss="relativistic"),
        "no limit": _RG01.with_settings(discriminator_accuracy_limit=1.0),
        "label smoothing": _RG01.with_settings(label_smoothing=0.1),
        "gradient penalty": _RG01.with_settings(gradient_penalty=1.0),
        "spectral normalization": _replaced(
            _RG01, discriminator={"spectral_normalization": True}
        ),
        "pooled to 1x1": _replaced(_RG01, discriminator={"grid": 1}),
        "16 units": _replaced(_RG01, discriminator={"units": 16}),
        "faster discriminators": _replaced(
            _RG01, optimizers={"discriminator_optimizer": 0.3}
        ),
        "feature matching 0.1": _RG01.with_settings(feature_matching_weight=0.1),
        "feature matching 1": _RG01.with_settings(**_MATCHED),
        "feature matching 10": _RG01.with_settings(feature_matching_weight=10.0),
    },
    "R+G, weight 0.1, feature matching 1": {
        "taps at additions": _replaced(_RG01, taps=ADDITIONS).with_settings(**_MATCHED),
        "untrained discriminators": _replaced(
            _RG01, optimizers={"discriminator_optimizer": 0.0}
        ).with_settings(**_MATCHED, adversarial_weight=0.0),
        "distillation": _RG01.with_settings(**_DISTILLED, **_MATCHED),
    },
}


class Question(NamedTuple):
    """A change to a contender."""

    base: str
    change: str
    contender: Contender


QUESTIONS: dict[str, Question] = {
    f"{base}, {change}": Question(base, change, changed)
    for base, changes in _CHANGES.items()
    for change, changed in changes.items()
}


def contender(name: str) -> Contender:
    """A contender or a question by its name."""
    return CONTENDERS[name] if name in CONTENDERS else QUESTIONS[name].contender


def settings_of(name: str) -> dict[str, Any]:
    """What sets a contender apart, as its lines have it.

    Not all fields, whose number may grow; and not its name, since a change to one
    contender may be another.
    """
    chosen = contender(name)
    fields = {
        field: value
        for field, value in dataclasses.asdict(chosen).items()
        if value != getattr(Contender(""), field)
    }
    # As they are read back from a line.
    return dict(json.loads(json.dumps(fields)))


def names() -> list[str]:
    return [*CONTENDERS, *QUESTIONS]
