"""The demo: the whole road once, on handwritten digits."""

from keras_rbcn.cli.demo.experiment import run_demo
from keras_rbcn.cli.demo.results import DemoResult, NetworkResult, result_table

__all__ = ["DemoResult", "NetworkResult", "result_table", "run_demo"]
