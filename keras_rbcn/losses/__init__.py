"""Losses: pure functions of tensors."""

from keras_rbcn.losses.adversarial import (
    ADVERSARIAL_LOSSES,
    discriminator_accuracy,
    discriminator_loss,
    student_adversarial_loss,
)
from keras_rbcn.losses.attention import attention_matching_loss
from keras_rbcn.losses.distillation import distillation_loss
from keras_rbcn.losses.feature_matching import feature_matching_loss
from keras_rbcn.losses.kernel import (
    KERNEL_LOSS_GRADIENTS,
    kernel_loss,
    optimal_scale,
)

__all__ = [
    "ADVERSARIAL_LOSSES",
    "KERNEL_LOSS_GRADIENTS",
    "attention_matching_loss",
    "discriminator_accuracy",
    "discriminator_loss",
    "distillation_loss",
    "feature_matching_loss",
    "kernel_loss",
    "optimal_scale",
    "student_adversarial_loss",
]
