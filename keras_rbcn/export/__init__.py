"""Verified .tflite files."""

from keras_rbcn.export.exporter import export_tflite
from keras_rbcn.export.report import ExportError, ExportReport

__all__ = ["ExportError", "ExportReport", "export_tflite"]
