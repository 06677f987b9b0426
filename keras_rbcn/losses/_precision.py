"""Precision in which losses are computed."""

from __future__ import annotations

from typing import Any

from keras_rbcn._backend import tf


def as_same_float(teacher: Any, student: Any) -> tuple[Any, Any]:
    """Converts both to one dtype: float64 if the student's is, else float32.

    Half precision is too small for squares of squares and for logarithms of
    probabilities, and under a mixed policy the two sides need not agree.
    """
    teacher, student = tf.convert_to_tensor(teacher), tf.convert_to_tensor(student)
    dtype = tf.float64 if student.dtype == tf.float64 else tf.float32
    return tf.cast(teacher, dtype), tf.cast(student, dtype)
