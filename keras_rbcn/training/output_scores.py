"""What the outputs of student and teacher hold: logits, probabilities or others."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras, tf
from keras_rbcn.quantization.layers import OUTPUTS, QuantizedLayer


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
            f"{dict(zip(names[1], shapes[1], strict=True))}. Pass distillation=0.0 to "
            "train without it."
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
            "in one. If that is wrong, pass distillation_from_logits: False if both "
            "end in one, True if neither does. Pass distillation=0.0 to train without "
            "it."
        )
    return ours


def check_not_rounded(*models: Any) -> None:
    """Checks that models can be distilled from, or to, if they end in int8.

    Of probabilities that are rounded to 8 bits those below 1/512 are 0, and the loss is
    of their logarithms.

    Args:
        *models: Built functional or Sequential Keras models.

    Raises:
        ValueError: If a model's probabilities are rounded to 8 bits.
    """
    for model in models:
        for name, output in _outputs(model):
            if _is_rounded(output.node.layer) and _holds_probabilities(output):
                raise ValueError(
                    f"Expected outputs whose logarithms can be compared to distil "
                    f"logits, received: '{model.name}' rounds the probabilities of "
                    f"output '{name}' to 8 bits. Call "
                    "quantize_real_layers without int8_outputs=True, or train without "
                    "distillation: distillation=0.0."
                )


def _is_rounded(layer: Any) -> bool:
    return isinstance(layer, QuantizedLayer) and (
        OUTPUTS in layer.quantize_config.places
    )


def _outputs(model: Any) -> list[tuple[str, Any]]:
    """Names and symbolic outputs, in the order in which tf.nest flattens them."""
    try:
        outputs = tf.nest.flatten(model.output)
    except AttributeError:
        raise ValueError(
            "Expected functional or Sequential models to distil logits; "
            f"'{model.name}' is a subclassed one. Pass distillation=0.0 to train "
            "without it."
        ) from None
    if isinstance(model.output, dict):
        return list(zip(sorted(model.output), outputs, strict=True))
    return list(zip(model.output_names, outputs, strict=True))


def _holds_probabilities(output: Any) -> bool:
    """Whether a symbolic output comes out of a softmax or a sigmoid.

    Perhaps reshaped behind it.
    """
    layer = output.node.layer
    if isinstance(layer, QuantizedLayer):
        layer = layer.layer
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
