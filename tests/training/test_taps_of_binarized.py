"""The automatic taps of students that `binarize` made."""

import numpy as np
import pytest
from tiny import RBCN

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf
from keras_rbcn.training.taps import missing_activation, resolve_taps

layers = keras.layers


def teacher_of(*parts):
    x = inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", name="first")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="first_norm")(x))
    for part in parts:
        x = part(x)
    x = layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D()(x))
    teacher = keras.Model(inputs, x, name="teacher")
    teacher.get_layer("first").bias.assign([0.1, -0.2, 0.3, 0])
    return teacher


def convolution(name="a", **kwargs):
    return layers.Conv2D(4, 3, padding="same", name=name, **kwargs)


def norm(name="a_norm"):
    return layers.BatchNormalization(name=name)


def taps(teacher, style="birealnet", kind="convolution"):
    student = rbcn.binarize(teacher, style)
    return [tuple(tap) for tap in resolve_taps(student, teacher, kind)]


@pytest.mark.parametrize("style", ["birealnet", "reactnet", "plain"])
def test_normalised_outputs_pair_by_name(style):
    parts = convolution(), norm(), layers.ReLU(), convolution("b"), norm("b_norm")
    found = taps(teacher_of(*parts), style)
    assert found == [("a_norm", "a_norm"), ("b_norm", "b_norm")]


def test_inserted_normalisations_pair_with_the_convolution():
    found = taps(teacher_of(convolution(), layers.ReLU(), convolution("b")))
    # Behind a normalisation, "a" needs none of its own.
    assert found == [("a", "a"), ("b_bn", "b")]


def test_a_normalisation_that_became_superfluous_pairs_with_none():
    """Pre-activation: the student's convolutions have no normalisation behind."""
    parts = norm("n"), layers.ReLU(), convolution(), norm("m"), layers.ReLU()
    found = taps(teacher_of(*parts, convolution("b")))
    assert found[-1] == ("b", "b")


def test_pooled_maps_pair_where_pooling_changed_places():
    found = taps(
        teacher_of(convolution(), layers.MaxPooling2D(name="pool"), norm()), "plain"
    )
    assert found == [("pool", "a_norm")]


def test_layers_called_twice_are_left_out():
    shared = convolution("twice")
    parts = shared, layers.ReLU(), shared, layers.ReLU(), convolution(), norm()
    assert taps(teacher_of(*parts)) == [("a_norm", "a_norm")]


def test_stages_end_where_shapes_change():
    parts = (
        *(convolution(), norm(), convolution("b"), norm("b_norm")),
        *(convolution("c", strides=2), norm("c_norm")),
    )
    found = taps(teacher_of(*parts), kind="stage")
    assert found == [("b_norm", "b_norm"), ("c_norm", "c_norm")]


def test_the_teachers_own_activation_is_applied_to_the_students_map():
    teacher = teacher_of(convolution(activation="relu"), convolution("b"))
    student = rbcn.binarize(teacher)
    activations = {
        tap.teacher: missing_activation(tap, student, teacher)
        for tap in resolve_taps(student, teacher, "convolution")
    }
    assert activations["a"] is keras.activations.relu
    assert activations["b"] is None


@pytest.mark.parametrize("activation", ["relu", None])
def test_discriminators_see_the_same_kind_of_map(activation):
    teacher = teacher_of(convolution(activation=activation))
    model = rbcn.RBCNModel(rbcn.binarize(teacher), teacher)
    seen = []

    class Watching(keras.layers.Layer):
        def call(self, inputs):
            if tf.is_symbolic_tensor(inputs):
                return tf.reduce_mean(inputs, [1, 2, 3])[:, None]
            seen.append(inputs.numpy())
            return tf.reduce_mean(inputs, [1, 2, 3])[:, None]

    (discriminator,) = model.discriminators
    inputs = keras.Input(discriminator.input_shape[1:])
    model = rbcn.RBCNModel(
        model.student,
        teacher,
        discriminators=[
            keras.Sequential([inputs, Watching(), layers.Dense(1)], name="watching")
        ],
    )
    seen.clear()
    model.compile("adam", "mse", run_eagerly=True, **RBCN)
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
    model.train_on_batch(images, np.zeros((8, 3)))
    assert len(seen) >= 2  # The student's and the teacher's.
    assert all((found < 0).any() == (activation is None) for found in seen)


@pytest.mark.parametrize("classes", [2, 4])
def test_another_number_of_classes_is_refused(classes):
    teacher = teacher_of(convolution(), norm())
    student = rbcn.binarize(teacher)
    x = layers.Dense(classes, name="new")(student.layers[-2].output)
    other = keras.Model(student.input, x, name="other")
    with pytest.raises(
        ValueError, match=f"'other' with {classes} outputs, teacher 'teacher' with 3"
    ):
        rbcn.RBCNModel(other, teacher)
    rbcn.RBCNModel(other, teacher, check_teacher=False)


def test_a_normalisation_of_two_convolutions_is_passed_over():
    shared = norm("shared")
    parts = convolution(), shared, convolution("b"), shared, convolution("c"), norm("n")
    assert taps(teacher_of(*parts)) == [("n", "n")]


def test_a_normalisation_that_was_called_elsewhere_is_passed_over():
    outside = norm("outside")
    parts = convolution(), outside, convolution("b"), norm("n")
    teacher = teacher_of(*parts)
    outside(keras.Input((8, 8, 4)))
    assert taps(teacher) == [("n", "n")]
