"""Files in the format of TensorFlow Lite: read, checked and run."""

from keras_rbcn.tflite.interpreter import TFLiteModel

__all__ = ["TFLiteModel"]
