"""The 1-bit networks that the literature compares, on any of the architectures."""
# The functions have names like those of `keras.applications`.
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_rbcn.applications.architectures import (
    CifarResNet18,
    ResNet18,
    WideResNet22,
    WideResNet40,
)

ARCHITECTURES: dict[str, Callable[..., Any]] = {
    "resnet18": ResNet18,
    "cifar_resnet18": CifarResNet18,
    "wide_resnet22": WideResNet22,
    "wide_resnet40": WideResNet40,
}


def BCNN(architecture: str = "resnet18", **kwargs: Any) -> Any:
    """Plain binary convolutional network: neither a scale nor extra shortcuts.

    Weights and activations of the 3x3 convolutions in the blocks are signs, with the
    straight-through gradient: that of the identity between -1 and 1. One shortcut lies
    around a block of two convolutions, as in ResNet; the ReLUs of the blocks are left
    out, since behind one every sign would be +1. The ReLU in front of the last pooling
    stays.

    The first convolution, the 1x1 convolutions of shortcuts and the dense layer are
    real. This is the convention of the networks that came later; the paper's own
    networks have binary weights in every layer.

    With ResNet-18 it has 11,689,512 parameters, 10,985,472 of them binary.

    Args:
        architecture: "resnet18", "cifar_resnet18", "wide_resnet22" or "wide_resnet40".
        **kwargs: Arguments of `ResNet18`, `CifarResNet18`, `WideResNet22` or
            `WideResNet40`: `include_top`, `weights`, `input_shape`, `pooling`,
            `classes`, `classifier_activation`, `name`, and `stages` where there is one.

    Returns:
        A Keras model.

    Raises:
        ValueError: For another architecture, or for what its function does not accept.

    Example:
        >>> BCNN("wide_resnet22", classes=10).get_layer("stage1_block1_conv1").name
        'stage1_block1_conv1'

    Reference:
        Binarized Neural Networks, arXiv 1602.02830.
    """
    return _build("bcnn", architecture, kwargs)


def XNORNet(architecture: str = "resnet18", **kwargs: Any) -> Any:
    """XNOR-Net: each filter of signs is scaled by the mean of its latent |W|.

    The scale is recomputed from the kernel in every forward pass and not learned. As in
    `BCNN`, one shortcut lies around two convolutions, and the blocks have no ReLUs. The
    first convolution, the 1x1 convolutions of shortcuts and the dense layer are real.

    What differs from the paper:

    - Its second scale K, the mean |input| below each position of the kernel, is left
      out. It depends on the input: a device would have to compute it in floating point
      for every pixel, and no converter folds it into a 1-bit convolution.
    - Batch normalisation follows the convolution, where it is one operator with it on
      the device. The paper puts it in front of the sign, one convolution later.
    - Gradients do not pass through the scale (larq's `magnitude_aware_sign`).

    With ResNet-18 it has 11,689,512 parameters, 10,985,472 of them binary.

    Args:
        architecture: As in `BCNN`.
        **kwargs: As in `BCNN`.

    Returns:
        A Keras model.

    Raises:
        ValueError: For another architecture, or for what its function does not accept.

    Example:
        >>> model = XNORNet("cifar_resnet18", stages=(8, 8, 16, 16))
        >>> layer = model.get_layer("stage1_block1_conv1")
        >>> kernel = layer.kernel_quantizer(tf.ones((3, 3, 8, 8)) * 0.5)
        >>> float(tf.reduce_max(kernel))
        0.5

    Reference:
        XNOR-Net, arXiv 1603.05279, sections 3.1 and 3.2.
    """
    return _build("xnornet", architecture, kwargs)


def BiRealNet(architecture: str = "resnet18", **kwargs: Any) -> Any:
    """Bi-Real Net: a shortcut around every 1-bit convolution.

    The real-valued feature map in front of a sign is added behind the convolution. In
    a block's first convolution this is the block's own shortcut, identity or
    projection. Activations are signs with the paper's piecewise linear gradient
    (`approx_sign`), weights are magnitude-aware signs: signs times the mean of the
    filter's latent |W|, through which no gradient passes. There are no ReLUs but the
    one in front of the last pooling. The first convolution, the 1x1 convolutions of
    shortcuts and the dense layer are real.

    What differs from the authors' code: where a stage halves the feature map, shortcuts
    are ResNet's 1x1 convolutions with strides of 2, the teacher's layers, while theirs
    average 2x2 pixels first; theirs has no ReLU at the end; and the paper's initial
    training with clipped activations is left to the user.

    With ResNet-18 it has 11,689,512 parameters, 10,985,472 of them binary.

    Args:
        architecture: As in `BCNN`.
        **kwargs: As in `BCNN`.

    Returns:
        A Keras model.

    Raises:
        ValueError: For another architecture, or for what its function does not accept.

    Example:
        >>> model = BiRealNet("wide_resnet22", include_top=False, pooling="avg")
        >>> model.output_shape
        (None, 64)

    Reference:
        Bi-Real Net, arXiv 1808.00278, sections 3.2 and 3.3.
    """
    return _build("birealnet", architecture, kwargs)


def RBCN(architecture: str = "resnet18", **kwargs: Any) -> Any:
    """RBCN's student: Bi-Real Net's blocks with rectified convolutions.

    Shortcuts, signs and real layers are those of `BiRealNet`; the 3x3 convolutions of
    the blocks are `RectifiedConv2D` layers, whose scale is learned. Train it with its
    teacher, the full-precision network of the same architecture, in `RBCNModel`.

    With ResNet-18 it has 11,693,352 parameters, 10,985,472 of them binary and 3,840 of
    them scales, which on the device are folded into the convolutions.

    Args:
        architecture: As in `BCNN`.
        **kwargs: As in `BCNN`.

    Returns:
        A Keras model.

    Raises:
        ValueError: For another architecture, or for what its function does not accept.

    Example:
        >>> student = RBCN("wide_resnet22")
        >>> teacher = WideResNet22()
        >>> model = RBCNModel(student, teacher, check_teacher=False)  # Untrained.
        >>> len(model.taps)
        18

    Reference:
        RBCN, arXiv 1908.07748.
    """
    return _build("rbcn", architecture, kwargs)


def ReActNet(architecture: str = "resnet18", **kwargs: Any) -> Any:
    """ReActNet's activations on a residual network: the strong modern variant.

    A learned threshold (`RSign`) stands in front of every 1-bit convolution, and a
    PReLU with learned shifts (`RPReLU`) behind every addition, also behind the last, in
    place of the ReLU of the other networks. Shortcuts are those of `BiRealNet`,
    convolutions `RectifiedConv2D` layers. Nothing but batch normalisation, and pooling
    where there is one, follows the first convolution, as in the authors' code. The
    first convolution, the 1x1 convolutions of shortcuts and the dense layer are real.

    It is not ReActNet-A, which is made from MobileNetV1 and has 1-bit 1x1 convolutions
    too. The authors' scale is the mean |W|; here it is learned. Their distributional
    loss, of which the logits distillation of `RBCNModel` is the nearest kin, and their
    training in two steps belong to training and not to the network. The paper's figures
    are therefore not those of this network.

    With ResNet-18 it has 11,708,264 parameters, 10,985,472 of them binary.

    Args:
        architecture: As in `BCNN`.
        **kwargs: As in `BCNN`.

    Returns:
        A Keras model.

    Raises:
        ValueError: For another architecture, or for what its function does not accept.

    Example:
        >>> ReActNet("cifar_resnet18", stages=(8, 8, 16, 16)).name
        'cifar_resnet18_reactnet'

    Reference:
        ReActNet, arXiv 2003.03488, section 4.2.
    """
    return _build("reactnet", architecture, kwargs)


def _build(network: str, architecture: Any, kwargs: dict[str, Any]) -> Any:
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise ValueError(
            f"Expected `architecture` to be one of {tuple(ARCHITECTURES)}, received: "
            f"architecture={architecture!r}."
        )
    return ARCHITECTURES[architecture](network=network, **kwargs)
