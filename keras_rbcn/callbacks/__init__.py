"""Callbacks for long trainings."""

from keras_rbcn.callbacks.resumable_training import ResumableTraining

__all__ = ["ResumableTraining"]
