"""All settings of a training, and what must hold of them before any work."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from keras_rbcn.cli.errors import UserError, user_errors
from keras_rbcn.cli.models import check_keras_file
from keras_rbcn.recipes import RECIPES, Recipe
from keras_rbcn.training.settings import TrainingSettings

DEFAULT_STYLE: Literal["birealnet"] = "birealnet"
DEFAULT_KERNEL_QUANTIZER: Literal["ste_sign"] = "ste_sign"


@dataclass(frozen=True)
class RunSettings:
    """The options of `keras-rbcn train`, what its recipe decides included.

    See `keras_rbcn.cli.train.options` for each.
    """

    teacher: Path | None
    student: Path | None
    style: str | None
    kernel_quantizer: str | None
    data: str
    rescale: tuple[float, float] | None
    validation_fraction: float | None
    epochs: int
    pretrain_epochs: int
    pretrain_learning_rate: float
    batch_size: int
    optimizer: str
    learning_rate: float
    schedule: str
    recipe: str
    kernel_weight: float
    adversarial_weight: float
    feature_matching_weight: float
    distillation: float
    temperature: float
    attention_weight: float
    label_smoothing: float
    gradient_penalty: float
    adversarial_loss: str
    kernel_loss_gradient: str
    discriminator_accuracy_limit: float
    taps: str
    strategy_b_learning_rate: float
    scale_learning_rate: float
    output: Path
    overwrite: bool
    seed: int
    deterministic: bool

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> RunSettings:
        """The options, completed by the recipe where they are None.

        Args:
            options: All of `keras-rbcn train` but `config`, by their names.
        """
        recipe = RECIPES[options["recipe"]]()
        if options["teacher"] is None and not options["pretrain_epochs"]:
            recipe = recipe.without_teacher()
        if options["taps"] == "none":
            recipe = recipe.without_taps()
        decides: dict[str, Any] = {
            **recipe.settings.to_arguments(),
            "taps": recipe.taps or "none",
            "learning_rate": recipe.learning_rate,
            "pretrain_learning_rate": recipe.pretraining_learning_rate,
            "strategy_b_learning_rate": recipe.strategy_b_learning_rate,
            "scale_learning_rate": recipe.scale_learning_rate,
        }
        values: dict[str, Any] = {
            name: decides.get(name) if value is None else value
            for name, value in options.items()
        }
        return cls(**values)

    def check(self) -> None:
        """Raises UserError if settings are out of range, or contradict each other."""
        if self.teacher is None and self.student is None:
            raise UserError("expected --teacher, or --student, or both.")
        for option, value in (
            ("--style", self.style),
            ("--kernel-quantizer", self.kernel_quantizer),
        ):
            if self.student is not None and value is not None:
                raise UserError(
                    f"{option} is for a student that is made of the teacher: leave out "
                    f"{option} or --student."
                )
        for path in (self.teacher, self.student):
            if path is not None:
                check_keras_file(path)
        for option, rate in (
            ("--learning-rate", self.learning_rate),
            ("--pretrain-learning-rate", self.pretrain_learning_rate),
        ):
            if not 0 < rate < math.inf:
                raise UserError(
                    f"expected {option} to be a positive number, received {rate}."
                )
        for option, rate in (
            ("--strategy-b-learning-rate", self.strategy_b_learning_rate),
            ("--scale-learning-rate", self.scale_learning_rate),
        ):
            if not 0 <= rate < math.inf:
                raise UserError(
                    f"expected {option} to be a number of at least 0, received {rate}."
                )
        fraction = self.validation_fraction
        if fraction is not None and not 0 < fraction < 1:
            raise UserError(
                "expected --validation-fraction to lie between 0 and 1, both "
                f"excluded, received {fraction}."
            )
        with user_errors():
            TrainingSettings(**self.method).check(
                has_taps=self.has_teacher and self.taps != "none",
                has_teacher=self.has_teacher,
            )

    @property
    def has_teacher(self) -> bool:
        """Whether the student is taught, if only by its counterpart."""
        return self.teacher is not None or self.pretrain_epochs > 0

    @property
    def method(self) -> dict[str, Any]:
        """The arguments of `RBCNModel.compile` that belong to the method."""
        names = {field.name for field in dataclasses.fields(TrainingSettings)}
        own = dataclasses.asdict(self)
        return {name: value for name, value in own.items() if name in names}

    def as_recipe(self) -> Recipe:
        """The recipe of this training."""
        recipe = RECIPES[self.recipe]()
        return dataclasses.replace(
            recipe,
            settings=TrainingSettings(**self.method),
            taps=[] if self.taps == "none" else self.taps,
            learning_rate=self.learning_rate,
            strategy_b_learning_rate=self.strategy_b_learning_rate,
            scale_learning_rate=self.scale_learning_rate,
            kernel_quantizer=self.kernel_quantizer or recipe.kernel_quantizer,
            pretraining_learning_rate=self.pretrain_learning_rate,
        )
