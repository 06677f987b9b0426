"""The settings of `RBCNModel.compile` that belong to the method."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn.losses.adversarial import ADVERSARIAL_LOSSES
from keras_rbcn.losses.kernel import KERNEL_LOSS_GRADIENTS

# A number, or a value of the step: what Keras offers for learning rates.
Weight = Any
# What a teacher is needed for.
_TEACHERS_WEIGHTS = (
    "adversarial_weight",
    "feature_matching_weight",
    "distillation",
    "attention_weight",
)
_WEIGHTS = ("kernel_weight", *_TEACHERS_WEIGHTS)


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """Weights and choices of the method; see `RBCNModel.compile` for each."""

    kernel_weight: Weight = 1e-4
    adversarial_weight: Weight = 0.01
    feature_matching_weight: Weight = 0.0
    distillation: Weight = 0.0
    temperature: float = 4.0
    attention_weight: Weight = 0.0
    label_smoothing: float = 0.0
    gradient_penalty: float = 0.0
    adversarial_loss: str = "least_squares"
    kernel_loss_gradient: str = "straight_through"
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
        for name in ("attention_weight", "feature_matching_weight"):
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
        off: dict[str, Any] = dict.fromkeys(_TEACHERS_WEIGHTS, 0.0)
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


def outputs_from_logits(
    student: Any, teacher: Any, given: bool | None
) -> list[bool | None]:
    """For each output, whether both models return logits (or else probabilities).

    Log-probabilities count as logits, since softmax(log_softmax(z)) is softmax(z).
    None for an output of a single number, which has no classes to distil.

    Args:
        student: Built Keras model.
        teacher: Built Keras model.
        given: What the user said; None to look at how the models end.

    Raises:
        ValueError: If outputs differ in number, name or shape, none has scores, or one
            model ends in a softmax or sigmoid and the other does not; both sides are
            named.
    """
    sides = f"student '{student.name}', teacher '{teacher.name}'"
    outputs = [_outputs(model) for model in (student, teacher)]
    names = [[name for name, _ in pairs] for pairs in outputs]
    shapes = [[tuple(tensor.shape) for _, tensor in pairs] for pairs in outputs]
    if shapes[0] != shapes[1] or (len(names[0]) > 1 and names[0] != names[1]):
        raise ValueError(
            "Expected student and teacher to have outputs of the same names and shapes "
            f"to distil logits, received: {sides} with outputs "
            f"{dict(zip(names[0], shapes[0], strict=True))} and "
            f"{dict(zip(names[1], shapes[1], strict=True))}."
        )
    scores = [shape[-1] != 1 for shape in shapes[0]]
    if not any(scores):
        raise ValueError(
            f"Expected outputs with one score per class to distil logits, received: "
            f"{sides} with outputs of shapes {shapes[0]}. Use distillation=0."
        )
    if given is not None:
        return [bool(given) if several else None for several in scores]
    ours, theirs = (
        [
            not _holds_probabilities(tensor) if several else None
            for (_, tensor), several in zip(pairs, scores, strict=True)
        ]
        for pairs in outputs
    )
    if ours != theirs:
        raise ValueError(
            "Expected student and teacher to end alike, both in logits or both in a "
            f"softmax (or sigmoid), to distil logits; of {sides} only one seems to end "
            "in one. If both do, or neither does, pass distillation_from_logits."
        )
    return ours


def _outputs(model: Any) -> list[tuple[str, Any]]:
    """Names and symbolic outputs, in the order in which tf.nest flattens them."""
    try:
        outputs = tf.nest.flatten(model.output)
    except AttributeError:
        raise ValueError(
            "Expected functional or Sequential models to distil logits; "
            f"'{model.name}' is a subclassed one."
        ) from None
    if isinstance(model.output, dict):
        return list(zip(sorted(model.output), outputs, strict=True))
    return list(zip(model.output_names, outputs, strict=True))


def _holds_probabilities(output: Any) -> bool:
    """Whether a symbolic output comes out of a softmax or a sigmoid.

    Perhaps reshaped behind it.
    """
    layer = output.node.layer
    if isinstance(layer, keras.Model):
        inner = tf.nest.flatten(layer.output)
        outer = tf.nest.flatten(output.node.outputs)
        return _holds_probabilities(
            next(i for i, o in zip(inner, outer, strict=True) if o is output)
        )
    activation = getattr(layer, "activation", None)
    function = getattr(layer, "function", None)  # Of a TensorFlow function's layer.
    names = [getattr(one, "__name__", "") for one in (activation, function)]
    if isinstance(layer, keras.layers.Softmax) or any(map(_is_probability, names)):
        return True
    passes = isinstance(layer, keras.layers.Reshape | keras.layers.Dropout) or (
        isinstance(layer, keras.layers.Activation) and names[0] == "linear"
    )
    return passes and _holds_probabilities(output.node.keras_inputs[0])


def _is_probability(name: str) -> bool:
    """Whether a function of this name returns probabilities, not their logarithms."""
    logarithm = "log_" in name or "logs" in name
    return ("softmax" in name or "sigmoid" in name) and not logarithm
