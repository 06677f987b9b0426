"""Losses: pure functions of tensors."""

from keras_rbcn.losses.kernel import kernel_loss, optimal_scale

__all__ = ["kernel_loss", "optimal_scale"]
