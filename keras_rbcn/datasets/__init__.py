"""Small real data sets and readers of a user's own, as arrays or tf.data pipelines."""

from keras_rbcn.datasets.fingerprint import fingerprint
from keras_rbcn.datasets.idx import read_idx
from keras_rbcn.datasets.image_folder import image_folder
from keras_rbcn.datasets.loaders import digits, fashion_mnist
from keras_rbcn.datasets.npz import npz_file
from keras_rbcn.datasets.splits import Arrays, Splits
from keras_rbcn.datasets.tfrecord_writer import write_tfrecords
from keras_rbcn.datasets.tfrecords import tfrecords

__all__ = [
    "Arrays",
    "Splits",
    "digits",
    "fashion_mnist",
    "fingerprint",
    "image_folder",
    "npz_file",
    "read_idx",
    "tfrecords",
    "write_tfrecords",
]
