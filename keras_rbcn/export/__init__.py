"""Verified .tflite files: export, report, and running them."""

from keras_rbcn.export.exporter import export_tflite
from keras_rbcn.export.interpreter import TFLiteModel
from keras_rbcn.export.report import ExportError, ExportReport

__all__ = ["ExportError", "ExportReport", "TFLiteModel", "export_tflite"]
