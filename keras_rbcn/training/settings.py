"""The settings of `RBCNModel.compile` that belong to the method."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

from keras_rbcn._backend import keras
from keras_rbcn.losses.adversarial import ADVERSARIAL_LOSSES
from keras_rbcn.losses.kernel import KERNEL_LOSS_GRADIENTS

# A number, or a value of the step: what Keras offers for learning rates.
Weight = Any
_TAPS_WEIGHTS = ("adversarial_weight", "feature_matching_weight", "attention_weight")
# What a teacher is needed for.
_TEACHERS_WEIGHTS = (*_TAPS_WEIGHTS, "distillation")
_WEIGHTS = ("kernel_weight", *_TEACHERS_WEIGHTS)


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Weights and choices of the method; see `RBCNModel.compile` for each.

    As they stand here, they are what this project's study speaks for, with a teacher:
    see `keras_rbcn.recipes.default`.
    """

    kernel_weight: Weight = 0.0
    adversarial_weight: Weight = 0.0
    feature_matching_weight: Weight = 0.0
    distillation: Weight = 0.9
    temperature: float = 4.0
    attention_weight: Weight = 0.0
    label_smoothing: float = 0.0
    gradient_penalty: float = 0.0
    adversarial_loss: str = "least_squares"
    kernel_loss_gradient: str = "full"
    discriminator_accuracy_limit: float = 0.8
    distillation_from_logits: bool | None = None
    strategy_b_every: int = 1

    def check(self, has_taps: bool, has_teacher: bool) -> None:
        """Raises ValueError if a setting is out of range, or lacks what it needs."""
        for name in (*_WEIGHTS, "gradient_penalty"):
            value = getattr(self, name)
            schedule = name in _WEIGHTS and _is_schedule(value)
            if not schedule and not (_is_number(value) and 0 <= value < float("inf")):
                raise ValueError(
                    f"Expected `{name}` to be a finite number of at least 0"
                    f"{' or a schedule of Keras' if name in _WEIGHTS else ''}, "
                    f"received: {name}={value!r}."
                )
        if not (_is_number(self.label_smoothing) and 0 <= self.label_smoothing < 1):
            raise ValueError(
                "Expected `label_smoothing` to be a number from 0 to below 1, "
                f"received: label_smoothing={self.label_smoothing!r}."
            )
        for name, choices in (
            ("adversarial_loss", ADVERSARIAL_LOSSES),
            ("kernel_loss_gradient", KERNEL_LOSS_GRADIENTS),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"Expected `{name}` to be one of {choices}, received: "
                    f"{name}={getattr(self, name)!r}."
                )
        if self.strategy_b_every != int(self.strategy_b_every) or (
            self.strategy_b_every < 1
        ):
            raise ValueError(
                "Expected `strategy_b_every` to be a whole number of steps of at least "
                f"1, received: strategy_b_every={self.strategy_b_every!r}."
            )
        if not 0.5 <= self.discriminator_accuracy_limit <= 1:
            raise ValueError(
                "Expected `discriminator_accuracy_limit` to lie between 0.5 (guessing) "
                "and 1.0 (no limit), received: discriminator_accuracy_limit="
                f"{self.discriminator_accuracy_limit!r}."
            )
        if not 0 < self.temperature < float("inf"):
            raise ValueError(
                "Expected `temperature` to be positive and finite, received: "
                f"temperature={self.temperature!r}."
            )
        if self.uses("distillation") and not has_teacher:
            raise ValueError(
                f"distillation={self.distillation} needs a teacher, but the model was "
                "built with teacher=None."
            )
        for name in _TAPS_WEIGHTS:
            if self.uses(name) and not has_taps:
                raise ValueError(
                    f"{name}={getattr(self, name)} needs feature taps, but the model "
                    "was built without a teacher or with taps=[]."
                )

    def uses(self, name: str) -> bool:
        """Whether a weight is ever more than 0."""
        value = getattr(self, name)
        return _is_schedule(value) or value > 0

    @property
    def uses_discriminators(self) -> bool:
        return self.uses("adversarial_weight") or self.uses("feature_matching_weight")

    def weight(self, name: str, step: Any) -> Any:
        """A weight at a step, counted from 0: a number, or a tensor by a schedule."""
        value = getattr(self, name)
        return value(step) if _is_schedule(value) else value

    def without_teacher(self) -> TrainingSettings:
        """The same, with all off that a teacher is needed for."""
        return self._without(_TEACHERS_WEIGHTS)

    def without_taps(self) -> TrainingSettings:
        """The same, with all off that feature taps are needed for."""
        return self._without(_TAPS_WEIGHTS)

    def _without(self, weights: tuple[str, ...]) -> TrainingSettings:
        off: dict[str, Any] = dict.fromkeys(weights, 0.0)
        return dataclasses.replace(self, **off)

    def to_arguments(self) -> dict[str, Any]:
        """The settings as arguments of `RBCNModel.compile`."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def to_dict(self) -> dict[str, Any]:
        """The settings as arguments of `RBCNModel.compile`, schedules serialized."""
        serialize = keras.saving.serialize_keras_object
        return {
            name: serialize(value) if _is_schedule(value) else value
            for name, value in self.to_arguments().items()
        }


def _is_schedule(value: Any) -> bool:
    return isinstance(value, keras.optimizers.schedules.LearningRateSchedule)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real)
