"""Training of a 1-bit student with a full-precision teacher."""

from keras_rbcn.training.rbcn_model import RBCNModel
from keras_rbcn.training.taps import Tap

__all__ = ["RBCNModel", "Tap"]
