"""The kernel loss, against values computed by hand and NumPy's float64."""

import larq
import numpy as np
import pytest

from keras_rbcn._backend import tf
from keras_rbcn.losses import kernel_loss, optimal_scale


def _gradients(kernel, scale, gradient):
    """Value, and gradients to W and C through larq's approx_sign."""
    kernel, scale = tf.constant(kernel), tf.constant(scale)
    with tf.GradientTape() as tape:
        tape.watch([kernel, scale])
        binary = larq.quantizers.ApproxSign(dtype=kernel.dtype)(kernel)
        loss = kernel_loss(kernel, binary, scale, gradient)
    return [value.numpy() for value in (loss, *tape.gradient(loss, [kernel, scale]))]


@pytest.mark.parametrize(
    ("gradient", "to_kernel"),
    [
        # Residuals W - C sign(W): 0.5 - 0.4 = 0.1 and -0.25 + 0.4 = 0.15.
        # To sign(W): -0.1 * 0.4 = -0.04 and -0.15 * 0.4 = -0.06; the derivative of
        # approx_sign is 2 - 2 * 0.5 = 1 and 2 - 2 * 0.25 = 1.5.
        ("straight_through", [-0.04, -0.09]),
        # The residuals themselves are added: 0.1 - 0.04 and 0.15 - 0.09.
        ("full", [0.06, 0.06]),
    ],
)
def test_two_weights_by_hand(gradient, to_kernel):
    kernel = np.array([0.5, -0.25]).reshape(1, 1, 2, 1)
    loss, dkernel, dscale = _gradients(kernel, np.array([0.4]), gradient)
    np.testing.assert_allclose(loss, 0.01625)  # (0.1**2 + 0.15**2) / 2
    np.testing.assert_allclose(dkernel.ravel(), to_kernel)
    np.testing.assert_allclose(dscale, [0.05])  # -(0.1 * 1 + 0.15 * -1)


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("gradient", ["straight_through", "full"])
def test_gradients_follow_the_formulas(gradient, per_channel):
    random = np.random.default_rng(1)
    kernel = random.uniform(-1.5, 1.5, (3, 2, 4, 5))  # Some outside of [-1, 1].
    scale = random.uniform(0.1, 1.0, (5,) if per_channel else ())
    loss, dkernel, dscale = _gradients(kernel, scale, gradient)

    sign = np.where(kernel >= 0, 1.0, -1.0)
    residual = kernel - scale * sign
    through_sign = np.where(abs(kernel) <= 1, 2 - 2 * abs(kernel), 0.0)
    expected = -residual * scale * through_sign
    if gradient == "full":
        expected += residual
    np.testing.assert_allclose(loss, 0.5 * np.sum(residual**2))
    np.testing.assert_allclose(dkernel, expected)
    axes = (0, 1, 2) if per_channel else None
    np.testing.assert_allclose(dscale, -np.sum(residual * sign, axis=axes))


@pytest.mark.parametrize("per_channel", [True, False])
def test_optimal_scale_minimises_the_loss(per_channel):
    kernel = np.random.default_rng(2).uniform(-1, 1, (3, 3, 2, 4))
    best = optimal_scale(tf.constant(kernel), per_channel)
    axes = (0, 1, 2) if per_channel else None
    np.testing.assert_allclose(best, abs(kernel).mean(axes))
    # To C the loss is a parabola: no gradient at mean |W|, more loss on both sides.
    at_best, _, dscale = _gradients(kernel, best.numpy(), "full")
    np.testing.assert_allclose(dscale, np.zeros_like(dscale), atol=1e-12)
    for factor in (0.9, 1.1):
        assert _gradients(kernel, factor * best.numpy(), "full")[0] > at_best


def test_unknown_gradient_is_refused():
    with pytest.raises(ValueError, match=r"straight_through.*received.*'autodiff'"):
        kernel_loss(tf.ones((1, 1, 1, 1)), tf.ones((1, 1, 1, 1)), 1.0, "autodiff")
