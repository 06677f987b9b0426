"""What a run of the study is made of: networks, taps and discriminators."""

from __future__ import annotations

import functools
from typing import Any

import larq
from contenders import ADDITIONS, STAGE_ADDITIONS, Contender
from sizes import Size
from study_images import SOURCES

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.applications.networks import Architecture, Top, build_network


def network(size: Size, kind: str) -> Any:
    """A network of the study: its stages behind a first convolution."""
    source = SOURCES[size.data]
    architecture = Architecture(
        "study",
        size.pixels,
        size.stages[0],
        size.stages,
        size.blocks,
        stem_strides=size.stem_strides,
    )
    top = Top(True, None, source.classes, None)
    shape = (size.pixels, size.pixels, source.channels)
    return build_network(architecture, kind, top, shape, None, None)


def teacher_of(chosen: Contender, size: Size) -> Any:
    """A full-precision network, as it starts."""
    return with_real(network(size, chosen.network), chosen.real)


def student_of(chosen: Contender, size: Size, teacher: Any) -> Any:
    """A contender's student, as it starts."""
    student = network(size, chosen.network)
    student = _cloned(
        student,
        rbcn.layers.RectifiedConv2D,
        scale=chosen.scale,
        kernel_quantizer=chosen.kernel_quantizer,
    )
    if chosen.from_teacher or chosen.magnitude:
        source = teacher if chosen.from_teacher else student
        rbcn.copy_weights(source, student, chosen.magnitude or None)
    return with_real(student, chosen.real)


@keras.utils.register_keras_serializable("study")
def relu(x: Any) -> Any:
    """ReLU, in place of a 1-bit convolution's quantizer of inputs."""
    return tf.nn.relu(x)


def with_real(student: Any, part: str) -> Any:
    """The same network and weights, with full-precision "kernels", "inputs" or "both".

    Inputs are clipped to where their signs have a gradient; with "both, ReLU" they go
    through ReLUs, and are padded with zeros. "" leaves the network as it is.
    """
    if not part:
        return student
    if part == "both":
        return rbcn.full_precision_counterpart(student)

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if not isinstance(layer, rbcn.layers.RectifiedConv2D):
            return type(layer).from_config(config)
        config.pop("scale")
        if part != "inputs":
            config["kernel_quantizer"] = None
        if part == "both, ReLU":
            config.update(input_quantizer=relu, pad_values=0.0)
        elif part != "kernels":
            config["input_quantizer"] = larq.activations.hard_tanh
        return larq.layers.QuantConv2D.from_config(config)

    made = keras.models.clone_model(student, clone_function=clone)
    rbcn.copy_weights(student, made)
    return made


def _cloned(model: Any, kind: Any, **changes: Any) -> Any:
    """A network like another, with other arguments of the layers of one kind."""

    def clone(layer: Any) -> Any:
        config = layer.get_config()
        if isinstance(layer, kind):
            config.update(changes)
        return type(layer).from_config(config)

    return keras.models.clone_model(model, clone_function=clone)


def model_of(chosen: Contender, size: Size, teacher: Any, student: Any) -> Any:
    """The model that trains a student."""
    taps = taps_of(chosen, size)
    if not taps and not chosen.settings.get("distillation"):
        return rbcn.RBCNModel(student)  # Spares the teacher's inference.
    build = functools.partial(discriminator, **chosen.discriminator)
    return rbcn.RBCNModel(student, teacher, taps, build)


def taps_of(chosen: Contender, size: Size) -> Any:
    """The argument `taps` of `RBCNModel`."""
    if chosen.taps not in (ADDITIONS, STAGE_ADDITIONS):
        return chosen.taps
    last = chosen.taps == STAGE_ADDITIONS
    names = [
        f"stage{stage}_block{block}_add"
        for stage in range(1, len(size.stages) + 1)
        for block in range(size.blocks if last else 1, size.blocks + 1)
    ]
    return [(f"{name}2", name) for name in names]


def discriminator(
    shape: Any, spectral_normalization: bool = False, **kwargs: Any
) -> Any:
    """The default discriminator with some arguments, or one with normalised kernels."""
    built = rbcn.discriminators.build_discriminator(shape, **kwargs)
    if not spectral_normalization:
        return built

    def normalized(layer: Any) -> Any:
        copy = type(layer).from_config(layer.get_config())
        if isinstance(layer, keras.layers.Dense):
            return keras.layers.SpectralNormalization(copy)
        return copy

    return keras.models.clone_model(built, clone_function=normalized)
