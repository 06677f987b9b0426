"""Callbacks for long trainings."""

from keras_rbcn.callbacks.log_plot import plot_training_log
from keras_rbcn.callbacks.resumable_training import ResumableTraining
from keras_rbcn.callbacks.training_log import TrainingLog

__all__ = ["ResumableTraining", "TrainingLog", "plot_training_log"]
