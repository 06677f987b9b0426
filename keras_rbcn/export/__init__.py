"""Verified .tflite files."""

from keras_rbcn.export.document.report import ExportError, ExportReport
from keras_rbcn.export.exporter import export_tflite

__all__ = ["ExportError", "ExportReport", "export_tflite"]
