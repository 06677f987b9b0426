"""`keras-rbcn train`: a 1-bit student, from a teacher and data that a user has."""

from keras_rbcn.cli.train import options
from keras_rbcn.cli.train.run import run_training
from keras_rbcn.cli.train.settings import RunSettings

__all__ = ["RunSettings", "options", "run_training"]
