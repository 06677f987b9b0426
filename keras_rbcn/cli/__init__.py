"""The `keras-rbcn` command, a thin skin over the public names of the package."""

from keras_rbcn.cli.app import main

__all__ = ["main"]
