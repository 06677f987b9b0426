"""Small real data sets, as NumPy arrays or as tf.data pipelines."""

from keras_rbcn.datasets.idx import read_idx
from keras_rbcn.datasets.loaders import digits, fashion_mnist
from keras_rbcn.datasets.splits import Arrays, Splits

__all__ = ["Arrays", "Splits", "digits", "fashion_mnist", "read_idx"]
