"""binarize: a 1-bit student out of any functional Keras model, in one call."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import keras, require_model
from keras_rbcn.conversion.graph import (
    check_no_models_within,
    is_functional,
    own_activation,
    read_graph,
)
from keras_rbcn.conversion.plan import Plan, make_plan
from keras_rbcn.conversion.report import make_report
from keras_rbcn.conversion.selection import Choice, choose
from keras_rbcn.conversion.shortcuts import Shortcuts, plan_shortcuts
from keras_rbcn.conversion.student import StudentBuilder
from keras_rbcn.conversion.transfer import transfer
from keras_rbcn.conversion.trial import blind_layers

STYLES = ("birealnet", "reactnet", "plain")
_BLIND = "in a trial on random inputs the sign of its inputs was the same everywhere"


def binarize(
    model: Any,
    style: str = "birealnet",
    binary: Any = (),
    real: Any = (),
    name: str | None = None,
    return_report: bool = False,
    kernel_quantizer: Any = "ste_sign",
) -> Any:
    """Makes a 1-bit student of a full-precision model, weights included.

    Convolutions become `RectifiedConv2D` under their old names. Real stay the first
    convolution, 1x1 shortcut convolutions, a last convolution that makes the model's
    outputs, depthwise and transposed convolutions, dense layers, and what has no 1-bit
    form; of a separable convolution the 1x1 part becomes 1-bit. Kernels, biases and
    batch normalisations are copied, and scales are set to mean |W|. The result is an
    ordinary Keras model that shares nothing with the given one, and
    `RBCNModel(student, model)` takes the two as they are.

    Behind a ReLU the sign is +1 everywhere. So an activation is left out on the ways
    that lead to the sign of a 1-bit convolution, through pooling, additions and the
    like too (whatever reads these sees the map without it), and stays on the ways to
    other layers. What takes its place is the style:

    - `"birealnet"`: nothing; instead a shortcut around every 1-bit convolution that
      keeps height and width. Channels are repeated, or summed in groups, where one
      number of them is a multiple of the other. In a residual block the model's own
      shortcut joins as early as shapes allow.
    - `"reactnet"`: the same shortcuts, a learnable threshold (`RSign`) in front of
      every 1-bit convolution, and an `RPReLU` in an activation's place wherever more
      than its signs is used.
    - `"plain"`: nothing.

    A convolution stays real as well if what it reads is never negative for other
    reasons than activations, as far as that is known: of operations that are not
    (layers of your own, products, functions of TensorFlow) a trial of the student on
    random inputs tells.

    All layers of the student are trainable, whatever was frozen in the model, and
    regularizers of 1-bit kernels are dropped: what bounds them is their clip at +-1.

    Args:
        model: Built functional or Sequential Keras 2 model; it is not changed.
        style: `"birealnet"`, `"reactnet"` or `"plain"`.
        binary: Layers that are to be 1-bit although they would stay real: a name, a
            layer class, a function from a layer to a truth value, or a sequence of
            these. Functions are asked about layers with a kernel.
        real: Layers that are to stay real, in the same way.
        name: Name of the student; `"<name of the model>_student"` if None.
        return_report: Whether to return a report as well.
        kernel_quantizer: That of each `RectifiedConv2D`.

    Returns:
        The student; with `return_report=True` a pair of it and a `BinarizationReport`.

    Raises:
        TypeError: If `model` is no Keras 2 model, or a wish is none.
        ValueError: If the model cannot be converted (subclassed, unbuilt, nested,
            without a convolution that can be 1-bit, with undefined sizes, with Lambda
            layers, binarised already, with channels first, under float16), a wish
            cannot be granted, or `kernel_quantizer` is another than
            `RectifiedConv2D` takes.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = keras.layers.Conv2D(8, 3, padding="same", name="first")(inputs)
        >>> x = keras.layers.BatchNormalization()(x)
        >>> x = keras.layers.ReLU()(x)
        >>> x = keras.layers.Conv2D(8, 3, padding="same", name="second")(x)
        >>> x = keras.layers.BatchNormalization()(x)
        >>> x = keras.layers.ReLU()(x)
        >>> x = keras.layers.GlobalAveragePooling2D()(x)
        >>> teacher = keras.Model(inputs, keras.layers.Dense(10)(x))
        >>> student = binarize(teacher)
        >>> type(student.get_layer("second")).__name__
        'RectifiedConv2D'
        >>> student.output_shape
        (None, 10)

    Reference:
        Bi-Real Net, arXiv 1808.00278; ReActNet, arXiv 2003.03488; XNOR-Net's scale,
        arXiv 1603.05279.
    """
    _check_model(model)
    if style not in STYLES:
        raise ValueError(
            f"Expected `style` to be one of {STYLES}, received: style={style!r}."
        )
    graph = read_graph(model)
    choices = choose(graph, binary, real)
    name = name or f"{model.name}_student"
    while True:
        plan = make_plan(graph, choices)
        _check_plan(model, plan)
        shortcuts = Shortcuts() if style == "plain" else plan_shortcuts(plan)
        builder = StudentBuilder(plan, shortcuts, style, kernel_quantizer)
        student = builder.build(model, name)
        transfer(builder.made, plan)
        blind = blind_layers(student, plan)
        if not blind:
            break
        choices |= dict.fromkeys(blind, Choice(False, _BLIND))
    if not return_report:
        return student
    return student, make_report(model, student, style, plan, shortcuts, builder.made)


def _check_model(model: Any) -> None:
    require_model(model, "model")
    name = model.name
    if not model.built:
        raise ValueError(
            f"Expected model '{name}' to be built; give it an input shape, such as "
            "keras.Input((224, 224, 3)) as the first layer."
        )
    if not is_functional(model):
        raise ValueError(
            f"Expected model '{name}' to be functional or Sequential with a defined "
            f"input shape, received: {type(model).__name__}. The layers of a "
            "subclassed model cannot be followed: rebuild it with the functional API, "
            "or write the student with RectifiedConv2D layers yourself and copy the "
            "weights with copy_weights."
        )
    _check_layers(model)


def _check_layers(model: Any) -> None:
    """Raises for layers that no student can have; names them all."""
    layers = model.layers
    check_no_models_within(model, "and use it as the teacher as well.")
    for problem, found in (
        (
            "no Lambda layers, whose functions cannot be followed or saved: write a "
            "keras.layers.Layer instead",
            [la for la in layers if isinstance(la, keras.layers.Lambda)],
        ),
        (
            "no binarised layers: it is binarised already, or the full-precision "
            "counterpart of a student, which starts from it by copy_weights",
            [la for la in layers if _is_quantized(la)],
        ),
        (
            "channels last in all layers, as the 1-bit operators need: build it with "
            "data_format='channels_last'",
            [
                la
                for la in layers
                if getattr(la, "data_format", None) == "channels_first"
            ],
        ),
        (
            "no layers under float16, which 1-bit kernels do not train in: build it "
            "under the policy 'float32' and copy the weights with "
            "`set_weights(model.get_weights())`",
            [la for la in layers if la.compute_dtype == "float16"],
        ),
        (
            "no symbolic `add_loss` or `add_metric`: use a layer that adds its own "
            "loss, or a loss in `compile`",
            [la for la in layers if type(la).__name__ in ("AddLoss", "AddMetric")],
        ),
        (
            "no layers as activations of other layers: put them behind",
            [la for la in layers if isinstance(own_activation(la), keras.layers.Layer)],
        ),
    ):
        if found:
            raise ValueError(
                f"Expected model '{model.name}' to have {problem}. Found: "
                f"{[layer.name for layer in found]}."
            )


def _is_quantized(layer: Any) -> bool:
    names = ("input", "kernel", "depthwise", "pointwise")
    return any(getattr(layer, f"{n}_quantizer", None) is not None for n in names)


def _check_plan(model: Any, plan: Plan) -> None:
    calls = plan.binary_calls()
    if not calls:
        found = {
            layer.name: choice.reason
            for layer, choice in plan.choices.items()
            if not isinstance(layer, keras.layers.Dense)
        }
        listed = "; ".join(f"'{name}': {why}" for name, why in found.items())
        raise ValueError(
            f"Expected model '{model.name}' to have a convolution that can be 1-bit, "
            f"found {listed or 'no convolutions'}. Force one by its name with `binary`."
        )
    for call in calls:
        shape = call.inputs[0].shape
        if None in shape[1:]:
            raise ValueError(
                "Expected the inputs of every convolution to have a defined height and "
                f"width, without which it is no 1-bit convolution on the device. Layer "
                f"'{call.name}' of model '{model.name}' reads shape {shape}: build the "
                "model with a fixed input shape, such as keras.Input((224, 224, 3)), "
                "and copy the weights with `set_weights(model.get_weights())`."
            )
