"""The feature matching loss, against values computed by hand."""

import numpy as np
import pytest

from keras_rbcn._backend import tf
from keras_rbcn.losses import feature_matching_loss


def test_value_by_hand():
    # Layers count the same, whatever their size: (0.5 + (1 + 2 + 3) / 3) / 2.
    teacher = [tf.constant([[1.0], [2.0]]), tf.constant([[1.0, 2.0, 3.0]])]
    student = [tf.constant([[1.0], [1.0]]), tf.constant([[0.0, 4.0, 0.0]])]
    np.testing.assert_allclose(feature_matching_loss(teacher, student), 1.25)


def test_gradients_are_those_of_central_differences(assert_gradients):
    random = np.random.default_rng(3)
    real, fake = random.normal(size=(2, 3)), random.normal(size=(2, 3))
    assert_gradients(lambda r, f: feature_matching_loss([r], [f]), real, fake)


@pytest.mark.parametrize(("teacher", "student"), [(0, 0), (1, 2)])
def test_features_of_other_layers_are_refused(teacher, student):
    one = tf.zeros((1, 1))
    with pytest.raises(ValueError, match=f"{teacher} of the teacher, {student} of the"):
        feature_matching_loss([one] * teacher, [one] * student)
