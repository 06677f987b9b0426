"""The kernel loss of RBCN: how far latent kernels are from their scaled signs."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import tf

KERNEL_LOSS_GRADIENTS = ("straight_through", "full")


def optimal_scale(kernel: Any, per_channel: bool = True) -> Any:
    """The scale C that minimises the kernel loss for a given kernel: mean |W|.

    Args:
        kernel: Latent kernel, shape `(height, width, in_channels, filters)`.
        per_channel: One scale for each filter if true, else one for the layer.

    Returns:
        Tensor of shape `(filters,)` or `()`.

    Example:
        >>> kernel = tf.constant([[[[0.5, -0.25]], [[-0.25, 0.125]]]])
        >>> optimal_scale(kernel).numpy().tolist()
        [0.375, 0.1875]

    Reference:
        XNOR-Net, arXiv 1603.05279, equation 6.
    """
    axis = [0, 1, 2] if per_channel else None
    return tf.reduce_mean(tf.abs(kernel), axis=axis)


def kernel_loss(
    kernel: Any,
    binary_kernel: Any,
    scale: Any,
    gradient: str = "full",
) -> Any:
    """Half the squared distance of a latent kernel from its scaled sign.

    The value is `1/2 * sum((W - C * sign(W))**2)`. Its gradient to C is
    `-sum((W - C * sign(W)) * sign(W))`, summed over all that shares one C. Its
    gradient to W depends on `gradient`:

    - `"straight_through"`, the rule of the paper: `-(W - C * sign(W)) * C` reaches W
      through the sign only, by the quantizer's straight-through estimator. It moves
      weights that are larger than C away from 0.
    - `"full"`, plain differentiation of the norm: the direct term
      `W - C * sign(W)` is added to the above. It costs less accuracy, and is what
      `RBCNModel` takes if not told otherwise; see `docs/training.md`.

    Args:
        kernel: Latent kernel W, float, shape `(height, width, in_channels, filters)`.
        binary_kernel: sign(W) of the same shape, computed by a quantizer with a
            straight-through gradient, e.g. `larq.quantizers.approx_sign`.
        scale: C, of shape `()` or `(filters,)`.
        gradient: `"straight_through"` or `"full"`.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: If `gradient` is neither of the two.

    Example:
        >>> kernel = tf.constant([[[[0.5]], [[-0.1]]]])
        >>> round(float(kernel_loss(kernel, tf.sign(kernel), tf.constant([0.3]))), 3)
        0.04

    Reference:
        RBCN, arXiv 1908.07748; "Binary Neural Networks: Algorithms, Architectures,
        and Applications", equations 3.64, 3.71 and 3.75.
    """
    if gradient not in KERNEL_LOSS_GRADIENTS:
        raise ValueError(
            f"Expected `gradient` to be one of {KERNEL_LOSS_GRADIENTS}, received: "
            f"gradient={gradient!r}."
        )
    if gradient == "straight_through":
        kernel = tf.stop_gradient(kernel)
    return 0.5 * tf.reduce_sum(tf.square(kernel - scale * binary_kernel))
