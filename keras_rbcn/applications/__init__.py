"""Networks of the literature, as full-precision teachers and as 1-bit students."""

from keras_rbcn.applications.architectures import (
    CifarResNet18,
    ResNet18,
    WideResNet22,
    WideResNet40,
)
from keras_rbcn.applications.baselines import BCNN, RBCN, BiRealNet, ReActNet, XNORNet

__all__ = [
    "BCNN",
    "RBCN",
    "BiRealNet",
    "CifarResNet18",
    "ReActNet",
    "ResNet18",
    "WideResNet22",
    "WideResNet40",
    "XNORNet",
]
