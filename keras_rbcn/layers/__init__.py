"""Layers of 1-bit networks."""

from keras_rbcn.layers.activations import RPReLU, RSign
from keras_rbcn.layers.rectified_conv2d import RectifiedConv2D

__all__ = ["RPReLU", "RSign", "RectifiedConv2D"]
