"""The student takes over its teacher's weights."""

from __future__ import annotations

from typing import Any

from keras_rbcn.conversion.cloning import copy_weights_of
from keras_rbcn.conversion.plan import Plan
from keras_rbcn.conversion.student import Made


def transfer(made: list[Made], plan: Plan) -> None:
    """Copies kernels, biases and the state of all other layers.

    A bias in front of a batch normalisation becomes part of its moving mean, or of the
    offset of a normalisation that the teacher has not. Scales are set to mean |W|.
    """
    for item in made:
        if item.source is None:
            continue
        if item.role == "copy":
            copy_weights_of(item.source, item.layer)
        elif item.role == "depthwise":
            item.layer.depthwise_kernel.assign(item.source.depthwise_kernel)
        elif item.role == "rectified":
            _copy_kernel(item.source, item.layer)
        elif item.role == "normalization" and item.source.use_bias:
            item.layer.beta.assign(item.source.bias)
    norms = {item.source: item.layer for item in made if item.role == "copy"}
    for convolution, norm in plan.absorbed.items():
        if convolution.use_bias:
            norms[norm].moving_mean.assign_sub(convolution.bias)


def _copy_kernel(source: Any, target: Any) -> None:
    separable = hasattr(source, "pointwise_kernel")
    kernel = source.pointwise_kernel if separable else source.kernel
    target.latent_kernel.assign(kernel)
    if target.use_bias:
        target.bias.assign(source.bias)
    target.reset_scale()
