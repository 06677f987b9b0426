"""From a full-precision teacher to a 1-bit student."""

from keras_rbcn.conversion.weights import copy_weights

__all__ = ["copy_weights"]
