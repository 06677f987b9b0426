"""The networks and trainings that the study compares."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, NamedTuple

TEACHER = "full precision"
# Teachers with a shortcut around each convolution, as their students have; clipped to
# where signs have a gradient in front of it, or with ReLUs there.
LIKE_STUDENT = "full precision, the student's blocks"
LIKE_STUDENT_RELU = "full precision, the student's blocks with ReLUs"
# The first of these two, started from the usual teacher, and taught by it.
LIKE_STUDENT_TAUGHT = "full precision, the student's blocks, distillation"
# The same without being taught, for as many epochs as the usual teacher.
LIKE_STUDENT_COPIED = "full precision, the student's blocks, from the usual teacher"
LIKE_REACTNET = "full precision, ReActNet's blocks"
PLAIN = "Bi-Real Net"

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
        kernel_quantizer: Of rectified convolutions. The paper's, which is the default
            here, is not that of the layer.
        real: "kernels" or "inputs" of the 1-bit convolutions that are not 1-bit after
            all, to see which of the two costs what; "both", or "both, ReLU". No file
            for a phone comes of it.
        teacher: The name of the teacher.
        start: The name of the network that the student starts from, if it is not the
            teacher.
        magnitude: Mean |W| of each latent kernel at the start; 0.0 for that of the
            network that the student starts from. Signs stay, but the smaller it is, the
            sooner they flip.
        long: Whether it trains for as many epochs as the teacher.
    """

    network: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    taps: Any = dataclasses.field(default_factory=list)
    optimizers: dict[str, float] = dataclasses.field(default_factory=dict)
    from_teacher: bool = True
    discriminator: dict[str, Any] = dataclasses.field(default_factory=dict)
    scale: str = "channel"
    two_stages: bool = False
    kernel_quantizer: str = "approx_sign"
    real: str = ""
    teacher: str = TEACHER
    start: str = ""
    magnitude: float = 0.0
    long: bool = False

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
_BIREAL = Contender("birealnet", _OFF)
# Unlike that of the paper's approx_sign, its gradient does not vanish at the clip.
_R = Contender("rbcn", _OFF, kernel_quantizer="ste_sign")
_APPROX = {"kernel_quantizer": "approx_sign"}
# Behind a scale stands a batch normalisation, and its gradient is next to nothing; but
# Adam takes steps of the same size whatever the gradient, through 0 and back.
_SLOW = {"optimizers": {"scale_optimizer": 0.01}}
_BIREAL_D = _BIREAL.with_settings(**_DISTILLED)
_RD = _R.with_settings(**_DISTILLED)
_RG = _replaced(_R, settings=_JUDGED, taps="convolution")
_RGD = _RG.with_settings(**_DISTILLED)
# From its own blocks in full precision, which are its teacher, too. Larger kernels keep
# their signs for longer.
_PRETRAINED = {"teacher": LIKE_STUDENT, "magnitude": 0.5}
_RGB = _replaced(_RG, optimizers={"strategy_b_optimizer": 0.1})
_REACTNET = _replaced(_R, network="reactnet")
_REACTNET_FULL = _replaced(_RGD, network="reactnet")
TEACHERS = {
    TEACHER: Contender("full_precision"),
    LIKE_STUDENT: Contender("rbcn", real="both"),
    LIKE_STUDENT_RELU: Contender("rbcn", real="both, ReLU"),
    LIKE_STUDENT_TAUGHT: Contender("rbcn", {**_OFF, **_DISTILLED}, real="both"),
    LIKE_STUDENT_COPIED: Contender("rbcn", _OFF, real="both", long=True),
    LIKE_REACTNET: Contender("reactnet", real="both"),
}
CONTENDERS: dict[str, Contender] = {
    TEACHER: TEACHERS[TEACHER],
    "BCNN": _replaced(_BIREAL, network="bcnn"),
    "XNOR-Net": _replaced(_BIREAL, network="xnornet"),
    PLAIN: _BIREAL,
    "Bi-Real Net, distillation": _BIREAL_D,
    "Bi-Real Net, distillation and attention": _replaced(
        _BIREAL, taps=STAGE_ADDITIONS
    ).with_settings(**_DISTILLED, attention_weight=1.0),
    "R": _R,
    "R, distillation": _RD,
    "R+G": _RG,
    "R+G+B": _RGB,
    "RBCN as in its paper": _replaced(_RGB, **_APPROX).with_settings(
        **_PAPER,
        adversarial_weight=1.0,
        discriminator_accuracy_limit=1.0,
        strategy_b_every=EACH_EPOCH,
    ),
    "R+G, distillation": _RGD,
    "Bi-Real Net, pretrained, distillation": _replaced(_BIREAL_D, **_PRETRAINED),
    "R, pretrained, distillation": _replaced(_RD, **_PRETRAINED),
    "R+G, pretrained, distillation": _replaced(_RGD, **_PRETRAINED),
    "ReActNet": _REACTNET,
    "ReActNet, R+G, distillation": _REACTNET_FULL,
}

# The conclusion is drawn from those below, with at least so many seeds each.
SEEDS = 3
# Larger networks take four times as long: there, those that the study's two aims are
# about, and the steps on the way to them.
CONCLUSIVE = {
    "large": (
        TEACHER,
        PLAIN,
        "Bi-Real Net, distillation",
        "R",
        "R, distillation",
        "R+G",
        "R+G, distillation",
        "Bi-Real Net, pretrained, distillation",
        "R, pretrained, distillation",
        "R+G, pretrained, distillation",
    ),
    "small": tuple(CONTENDERS),
}

_FULL = {"kernel_weight": 1e-4, "kernel_loss_gradient": "full"}
_MATCHED = {"feature_matching_weight": 1.0}
_MATCHED_ALONE = {**_MATCHED, "adversarial_weight": 0.0}
_MATCHED_LITTLE = {"adversarial_weight": 0.0, "feature_matching_weight": 0.1}
_RG01 = _RG.with_settings(adversarial_weight=0.1)
# The first questions were asked with the paper's gradient of kernels.
_R_APPROX, _RD_APPROX = _replaced(_R, **_APPROX), _replaced(_RD, **_APPROX)
_RG_APPROX, _RG01_APPROX = _replaced(_RG, **_APPROX), _replaced(_RG01, **_APPROX)
# The maps of the usual teacher's blocks stand for something else than the student's.
_LIKE, _RELU = {"teacher": LIKE_STUDENT}, {"teacher": LIKE_STUDENT_RELU}

# What the validation data decide: changes to a contender, one at a time.
_CHANGES: dict[str, dict[str, Contender]] = {
    "R": {
        "approx_sign kernels": _R_APPROX,
        "kernel loss as in the paper": _R.with_settings(**_PAPER),
        "kernel loss with its full gradient": _R.with_settings(**_FULL),
        "kernel loss with its full gradient, weight 1e-5": _R.with_settings(
            **{**_FULL, "kernel_weight": 1e-5}
        ),
        "kernel loss with its full gradient, warmed up": _R.with_settings(
            **{**_FULL, "kernel_weight": Ramp(0.0, 1e-4, epochs=10)}
        ),
        "scale per layer": _replaced(_R, scale="layer"),
        "slow scales": _replaced(_R, **_SLOW),
        "teacher and start: its blocks": _replaced(_R, **_LIKE),
    },
    "R, approx_sign kernels": {
        "kernel loss as in the paper": _R_APPROX.with_settings(**_PAPER),
        "kernel loss as in the paper, weight 1e-5": _R_APPROX.with_settings(
            **{**_PAPER, "kernel_weight": 1e-5}
        ),
        "kernel loss with its full gradient": _R_APPROX.with_settings(**_FULL),
        "fresh start": _replaced(_R_APPROX, from_teacher=False),
        "two stages": _replaced(_R_APPROX, two_stages=True),
        "full-precision kernels": _replaced(_R_APPROX, real="kernels"),
        "full-precision inputs": _replaced(_R_APPROX, real="inputs"),
    },
    "R, distillation": {
        "approx_sign kernels": _RD_APPROX,
        "slow scales": _replaced(_RD, **_SLOW),
        "distillation 0.3": _RD.with_settings(distillation=0.3),
        "distillation 3": _RD.with_settings(distillation=3.0),
        "temperature 1": _RD.with_settings(temperature=1.0),
        "temperature 2": _RD.with_settings(temperature=2.0),
        "temperature 8": _RD.with_settings(temperature=8.0),
        "teacher and start: its blocks": _replaced(_RD, **_LIKE),
        "teacher and start: its blocks, 10 epochs": _replaced(
            _RD, teacher=LIKE_STUDENT_TAUGHT
        ),
        "start: its blocks": _replaced(_RD, start=LIKE_STUDENT),
        "kernels of 0.3 at the start": _replaced(_RD, magnitude=0.3),
        "kernels of 0.5 at the start": _replaced(_RD, magnitude=0.5),
        "start: its blocks, from the usual teacher": _replaced(
            _RD, start=LIKE_STUDENT_COPIED
        ),
        "teacher and start: its blocks with ReLUs": _replaced(_RD, **_RELU),
    },
    "R, distillation, approx_sign kernels": {
        "slow scales": _replaced(_RD_APPROX, **_SLOW),
        "distillation 3": _RD_APPROX.with_settings(distillation=3.0),
        "kernel loss as in the paper": _RD_APPROX.with_settings(**_PAPER),
    },
    "R+G": {
        "approx_sign kernels": _RG_APPROX,
        "feature matching 0.1 alone": _RG.with_settings(**_MATCHED_LITTLE),
        "pooled to 1x1": _replaced(_RG, discriminator={"grid": 1}),
        "faster discriminators": _replaced(
            _RG, optimizers={"discriminator_optimizer": 0.3}
        ),
        "weight 0.1": _RG01,
        "weight 1": _RG.with_settings(adversarial_weight=1.0),
    },
    "R+G, approx_sign kernels": {
        "feature matching 0.1 alone": _RG_APPROX.with_settings(**_MATCHED_LITTLE),
        "feature matching 1 alone": _RG_APPROX.with_settings(**_MATCHED_ALONE),
        "weight 0.1": _RG01_APPROX,
    },
    "R+G, approx_sign kernels, weight 0.1": {
        "taps at stages' additions": _replaced(_RG01_APPROX, taps=STAGE_ADDITIONS),
        "feature matching 1": _RG01_APPROX.with_settings(**_MATCHED),
    },
    "R+G+B": {"approx_sign kernels": _replaced(_RGB, **_APPROX)},
    "ReActNet": {"approx_sign kernels": _replaced(_REACTNET, **_APPROX)},
    "ReActNet, R+G, distillation": {
        "approx_sign kernels": _replaced(_REACTNET_FULL, **_APPROX),
    },
    "R+G, distillation": {
        "approx_sign kernels": _replaced(_RGD, **_APPROX),
        "slow scales": _replaced(_RGD, **_SLOW),
        "weight 0.001": _RGD.with_settings(adversarial_weight=0.001),
        "feature matching 0.1 alone": _RGD.with_settings(**_MATCHED_LITTLE),
        "teacher and start: its blocks": _replaced(_RGD, **_LIKE),
        "teacher and start: its blocks with ReLUs": _replaced(_RGD, **_RELU),
    },
    "R+G, weight 0.1": {
        "taps at stages": _replaced(_RG01, taps="stage"),
        "taps at additions": _replaced(_RG01, taps=ADDITIONS),
        "warmed up": _RG01.with_settings(adversarial_weight=Ramp(0.0, 0.1, epochs=2)),
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
    """A contender, a question or a teacher by its name."""
    if name in QUESTIONS:
        return QUESTIONS[name].contender
    return CONTENDERS[name] if name in CONTENDERS else TEACHERS[name]


def is_taught(name: str) -> bool:
    """Whether it has a teacher, or a start; some teachers have one too."""
    return name not in TEACHERS or bool(TEACHERS[name].settings)


def contenders_at(size: str) -> tuple[str, ...]:
    """The contenders that run at a size."""
    return CONCLUSIVE.get(size, tuple(CONTENDERS))


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
