"""1-bit convolutional networks for Keras, trained with a teacher, shipped by LCE."""

# First, before anything imports TensorFlow: it settles which Keras is used.
from keras_rbcn import _backend  # isort: skip  # noqa: F401
from importlib.metadata import version as _version

from keras_rbcn import (
    applications,
    callbacks,
    datasets,
    device,
    discriminators,
    layers,
    losses,
    recipes,
    signing,
)
from keras_rbcn.bundle import Bundle, ImagePreprocessing, Prediction, export_bundle
from keras_rbcn.conversion import (
    BinarizationReport,
    BinaryInputsReport,
    binarize,
    check_binary_inputs,
    copy_weights,
    flatten,
    full_precision_counterpart,
)
from keras_rbcn.export import ExportError, ExportReport, export_tflite
from keras_rbcn.profiling import Profile, profile
from keras_rbcn.quantization import quantize_real_layers
from keras_rbcn.tflite import TFLiteModel
from keras_rbcn.training import RBCNModel, Tap

__version__ = _version("keras-rbcn")

__all__ = [
    "BinarizationReport",
    "BinaryInputsReport",
    "Bundle",
    "ExportError",
    "ExportReport",
    "ImagePreprocessing",
    "Prediction",
    "Profile",
    "RBCNModel",
    "TFLiteModel",
    "Tap",
    "__version__",
    "applications",
    "binarize",
    "callbacks",
    "check_binary_inputs",
    "copy_weights",
    "datasets",
    "device",
    "discriminators",
    "export_bundle",
    "export_tflite",
    "flatten",
    "full_precision_counterpart",
    "layers",
    "losses",
    "profile",
    "quantize_real_layers",
    "recipes",
    "signing",
]
