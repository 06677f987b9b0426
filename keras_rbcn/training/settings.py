"""The settings of `RBCNModel.compile` that belong to the method."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn.losses.adversarial import ADVERSARIAL_LOSSES
from keras_rbcn.losses.kernel import KERNEL_LOSS_GRADIENTS


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Weights and choices of the method; see `RBCNModel.compile` for each."""

    kernel_weight: float = 1e-4
    adversarial_weight: float = 0.01
    distillation: float = 0.0
    temperature: float = 4.0
    attention_weight: float = 0.0
    adversarial_loss: str = "least_squares"
    kernel_loss_gradient: str = "straight_through"
    discriminator_accuracy_limit: float = 0.8
    strategy_b_every: int = 1

    def check(self, has_taps: bool, has_teacher: bool) -> None:
        """Raises ValueError if a setting is out of range, or lacks what it needs."""
        for name in (
            "kernel_weight",
            "adversarial_weight",
            "distillation",
            "attention_weight",
        ):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(
                    f"Expected `{name}` to be a finite number of at least 0, received: "
                    f"{name}={value!r}."
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
        if self.temperature <= 0:
            raise ValueError(
                "Expected `temperature` to be positive, received: "
                f"temperature={self.temperature!r}."
            )
        if self.distillation > 0 and not has_teacher:
            raise ValueError(
                f"distillation={self.distillation} needs a teacher, but the model was "
                "built with teacher=None."
            )
        if self.attention_weight > 0 and not has_taps:
            raise ValueError(
                f"attention_weight={self.attention_weight} needs feature taps, but the "
                "model was built without a teacher or with taps=[]."
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as arguments of `RBCNModel.compile`."""
        return dataclasses.asdict(self)


def distillation_from_logits(student: Any, teacher: Any) -> list[bool]:
    """For each output, whether both models return logits (or else probabilities).

    Raises:
        ValueError: If outputs differ in number or shape, or one model ends in a
            softmax and the other does not; both sides are named.
    """
    sides = f"student '{student.name}', teacher '{teacher.name}'"
    shapes = [
        [tuple(shape) for shape in _flat_shapes(model)] for model in (student, teacher)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Expected student and teacher to have outputs of the same shapes to "
            f"distil logits, received: {sides} with outputs {shapes[0]} and "
            f"{shapes[1]}."
        )
    ends = [
        [_is_softmax(t) for t in tf.nest.flatten(getattr(model, "output", None))]
        for model in (student, teacher)
    ]
    if ends[0] != ends[1]:
        raise ValueError(
            "Expected student and teacher to end alike, both in logits or both in a "
            f"softmax, to distil logits; of {sides} only one ends in a softmax."
        )
    return [not softmax for softmax in ends[0]]


def _flat_shapes(model: Any) -> list[Any]:
    shapes = model.output_shape
    if isinstance(shapes, dict):
        return list(shapes.values())
    return shapes if isinstance(shapes, list) else [shapes]


def _is_softmax(output: Any) -> bool:
    """Whether a symbolic output comes out of a softmax."""
    layer = getattr(getattr(output, "node", None), "layer", None)
    return isinstance(layer, keras.layers.Softmax) or (
        getattr(layer, "activation", None) is keras.activations.softmax
    )
