"""The architectures of the literature, each as teacher and as 1-bit student."""
# The functions have names like those of `keras.applications`.
# ruff: noqa: N802

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from keras_rbcn.applications.arguments import check_stages
from keras_rbcn.applications.networks import Architecture, Top, build_network


def ResNet18(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_shape: Sequence[int] | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: Any = "softmax",
    network: str = "full_precision",
    name: str | None = None,
) -> Any:
    """ResNet-18 for ImageNet, in full precision or with 1-bit convolutions.

    A 7x7 convolution with strides of 2, a 3x3 max pooling with strides of 2, and four
    stages of two residual blocks with 64, 128, 256 and 512 kernels. Where a stage
    halves the feature map, a 1x1 convolution with strides of 2 and a batch
    normalisation project the shortcut.

    In full precision it has 11,689,512 parameters. In the 1-bit networks 10,985,472 of
    them are binary, those of the 16 3x3 convolutions of the blocks; the first
    convolution, the shortcuts' and the dense layer are real.

    A network and its teacher are built by one call each, which differ in `network`
    only. Convolutions and batch normalisations have the same names in both, so that
    `keras_rbcn.copy_weights` and the taps of `keras_rbcn.RBCNModel` find them.

    Args:
        include_top: Whether pooling over the whole map and the dense layer, called
            "predictions", follow. Otherwise the output is the last feature map.
        weights: None for random values, or the path of a file with weights of the same
            network: .weights.h5 or .h5 of `save_weights`, or a whole .keras model.
            Nothing is downloaded.
        input_shape: `(height, width, channels)`, all known, at least 32 high and wide.
            `(224, 224, 3)` by default.
        pooling: With `include_top=False`: None for the feature map, "avg" or "max" for
            a vector.
        classes: Number of classes.
        classifier_activation: Activation of the dense layer; None for logits.
        network: "full_precision", or a 1-bit network: "bcnn", "xnornet", "birealnet",
            "rbcn" or "reactnet", described at the functions of these names.
        name: Name of the model; by default "resnet18", for 1-bit networks followed by
            `network`.

    Returns:
        A Keras model from `(batch, *input_shape)` to probabilities `(batch, classes)`.

    Raises:
        ValueError: For an argument other than described, or a file that does not fit.

    Example:
        >>> teacher = ResNet18(input_shape=(32, 32, 3), classes=10)
        >>> student = ResNet18(input_shape=(32, 32, 3), classes=10, network="rbcn")
        >>> len(copy_weights(teacher, student))  # 20 convolutions, as many norms, dense
        41

    Reference:
        Deep Residual Learning for Image Recognition, arXiv 1512.03385, table 1.
    """
    return build_network(
        Architecture("resnet18", 224, 64, (64, 128, 256, 512), 2, large_images=True),
        network,
        Top(include_top, pooling, classes, classifier_activation),
        input_shape,
        weights,
        name,
    )


def CifarResNet18(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_shape: Sequence[int] | None = None,
    pooling: str | None = None,
    classes: int = 100,
    classifier_activation: Any = "softmax",
    network: str = "full_precision",
    stages: Sequence[int] = (32, 32, 64, 128),
    name: str | None = None,
) -> Any:
    """ResNet-18 for small images, in full precision or with 1-bit convolutions.

    A 3x3 convolution without pooling, and four stages of two residual blocks. RBCN's
    tables call them by their kernel stages, such as 32-32-64-128.

    With stages of 32-32-64-128 and 100 classes it has 746,436 parameters in full
    precision, of which 718,848 are binary in the 1-bit networks.

    Args:
        include_top: As in `ResNet18`.
        weights: As in `ResNet18`.
        input_shape: `(height, width, channels)`, all known, at least 8 high and wide.
            `(32, 32, 3)` by default.
        pooling: As in `ResNet18`.
        classes: Number of classes.
        classifier_activation: As in `ResNet18`.
        network: As in `ResNet18`.
        stages: Number of kernels of the four stages; the first convolution has as
            many as the first stage.
        name: Name of the model; by default "cifar_resnet18", for 1-bit networks
            followed by `network`.

    Returns:
        A Keras model from `(batch, *input_shape)` to probabilities `(batch, classes)`.

    Raises:
        ValueError: For an argument other than described, or a file that does not fit.

    Example:
        >>> CifarResNet18(stages=(8, 8, 16, 16), network="rbcn").name
        'cifar_resnet18_rbcn'

    Reference:
        Deep Residual Learning for Image Recognition, arXiv 1512.03385; kernel stages:
        RBCN, arXiv 1908.07748, section 4.
    """
    sizes = check_stages(stages, 4)
    return build_network(
        Architecture("cifar_resnet18", 32, sizes[0], sizes, 2),
        network,
        Top(include_top, pooling, classes, classifier_activation),
        input_shape,
        weights,
        name,
    )


def WideResNet22(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_shape: Sequence[int] | None = None,
    pooling: str | None = None,
    classes: int = 100,
    classifier_activation: Any = "softmax",
    network: str = "full_precision",
    stages: Sequence[int] = (16, 16, 32, 64),
    name: str | None = None,
) -> Any:
    """WideResNet-22, in full precision or with 1-bit convolutions.

    A 3x3 convolution, and three stages of three residual blocks.

    The paper's blocks are pre-activated: batch normalisation and ReLU stand in front of
    each convolution. Here batch normalisation follows the convolution, as in
    `ResNet18`: so the two are one operator on the device, and the batch-normalised
    output of each convolution is there to be compared with the teacher's.

    With stages of 16-16-32-64 and 100 classes it has 278,324 parameters in full
    precision, of which 267,264 are binary in the 1-bit networks.

    Args:
        include_top: As in `ResNet18`.
        weights: As in `ResNet18`.
        input_shape: `(height, width, channels)`, all known, at least 4 high and wide.
            `(32, 32, 3)` by default.
        pooling: As in `ResNet18`.
        classes: Number of classes.
        classifier_activation: As in `ResNet18`.
        network: As in `ResNet18`.
        stages: Number of kernels of the first convolution and of the three stages.
        name: Name of the model; by default "wide_resnet22", for 1-bit networks
            followed by `network`.

    Returns:
        A Keras model from `(batch, *input_shape)` to probabilities `(batch, classes)`.

    Raises:
        ValueError: For an argument other than described, or a file that does not fit.

    Example:
        >>> WideResNet22(classes=10).output_shape
        (None, 10)

    Reference:
        Wide Residual Networks, arXiv 1605.07146; kernel stages: RBCN,
        arXiv 1908.07748, section 4.
    """
    stem, *sizes = check_stages(stages, 4)
    return build_network(
        Architecture("wide_resnet22", 32, stem, tuple(sizes), 3),
        network,
        Top(include_top, pooling, classes, classifier_activation),
        input_shape,
        weights,
        name,
    )


def WideResNet40(
    include_top: bool = True,
    weights: str | os.PathLike[str] | None = None,
    input_shape: Sequence[int] | None = None,
    pooling: str | None = None,
    classes: int = 100,
    classifier_activation: Any = "softmax",
    network: str = "full_precision",
    stages: Sequence[int] = (16, 16, 32, 64),
    name: str | None = None,
) -> Any:
    """WideResNet-40, in full precision or with 1-bit convolutions.

    A 3x3 convolution, and three stages of six residual blocks; otherwise as
    `WideResNet22`.

    With stages of 16-16-32-64 and 100 classes it has 569,972 parameters in full
    precision, of which 557,568 are binary in the 1-bit networks.

    Args:
        include_top: As in `ResNet18`.
        weights: As in `ResNet18`.
        input_shape: As in `WideResNet22`.
        pooling: As in `ResNet18`.
        classes: Number of classes.
        classifier_activation: As in `ResNet18`.
        network: As in `ResNet18`.
        stages: Number of kernels of the first convolution and of the three stages.
        name: Name of the model; by default "wide_resnet40", for 1-bit networks
            followed by `network`.

    Returns:
        A Keras model from `(batch, *input_shape)` to probabilities `(batch, classes)`.

    Raises:
        ValueError: For an argument other than described, or a file that does not fit.

    Example:
        >>> WideResNet40(include_top=False, input_shape=(16, 16, 1)).output_shape
        (None, 4, 4, 64)

    Reference:
        Wide Residual Networks, arXiv 1605.07146; kernel stages: RBCN,
        arXiv 1908.07748, section 4.
    """
    stem, *sizes = check_stages(stages, 4)
    return build_network(
        Architecture("wide_resnet40", 32, stem, tuple(sizes), 6),
        network,
        Top(include_top, pooling, classes, classifier_activation),
        input_shape,
        weights,
        name,
    )
