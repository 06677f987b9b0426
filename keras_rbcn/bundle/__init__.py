"""Bundles: a .tflite file with all that an app must know to use it."""

from keras_rbcn.bundle.preprocessing import ImagePreprocessing
from keras_rbcn.bundle.reading import Bundle, Prediction
from keras_rbcn.bundle.writing import export_bundle

__all__ = ["Bundle", "ImagePreprocessing", "Prediction", "export_bundle"]
