"""From a full-precision teacher to a 1-bit student."""

from keras_rbcn.conversion.binarize import binarize
from keras_rbcn.conversion.binary_inputs import BinaryInputsReport, check_binary_inputs
from keras_rbcn.conversion.counterpart import full_precision_counterpart
from keras_rbcn.conversion.flatten import flatten
from keras_rbcn.conversion.report import BinarizationReport
from keras_rbcn.conversion.weights import copy_weights

__all__ = [
    "BinarizationReport",
    "BinaryInputsReport",
    "binarize",
    "check_binary_inputs",
    "copy_weights",
    "flatten",
    "full_precision_counterpart",
]
