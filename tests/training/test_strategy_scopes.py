"""Models, optimizers and calls in other scopes of strategies than they belong to."""

import contextlib

import numpy as np
import pytest
from tiny import RBCN, crossentropy, network, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras, tf


@pytest.fixture(scope="module")
def scopes(mirrored_strategy):
    """Functions that open a scope, by name; "b" is of another strategy than "a"."""
    other = tf.distribute.OneDeviceStrategy("/cpu:0")
    return {
        "a": mirrored_strategy.scope,
        "b": other.scope,
        "none": contextlib.nullcontext,
    }


def built(scopes, parts="a", teacher="a", model="a"):
    with scopes[parts]():
        pupil = student()
    with scopes[teacher]():
        master = network(name="teacher")
    with scopes[model]():
        return rbcn.RBCNModel(pupil, master, check_teacher=False)


IN_A = "in the scope of a MirroredStrategy of 2 replicas"
IN_B = "in the scope of a OneDeviceStrategy of 1 replica"


@pytest.mark.parametrize(
    ("where", "role", "received"),
    [
        ({"parts": "none"}, "student 'student'", ("built in no scope", IN_A)),
        ({"parts": "b"}, "student 'student'", (f"built {IN_B}", IN_A)),
        ({"model": "none"}, "student 'student'", (f"built {IN_A}", "in no scope")),
        ({"teacher": "b"}, "teacher 'teacher'", (f"built {IN_B}", IN_A)),
        (
            {"parts": "none", "model": "none"},
            "teacher 'teacher'",
            (f"built {IN_A}", "in no scope"),
        ),
    ],
    ids=str,
)
def test_parts_that_were_built_elsewhere(where, role, received, scopes):
    first, second = received
    with pytest.raises(ValueError, match=f"Expected the {role}.*{first}.*{second}"):
        built(scopes, **where)


def test_discriminators_that_were_built_elsewhere(scopes):
    ready = built(scopes, "none", "none", "none").discriminators
    with scopes["a"](), pytest.raises(ValueError, match=r"discriminator '.*no scope"):
        rbcn.RBCNModel(student(), network(), discriminators=ready, check_teacher=False)


def test_compile_in_another_scope(scopes):
    model = built(scopes)
    with scopes["b"](), pytest.raises(ValueError, match=f"`compile`.*{IN_A}.*{IN_B}"):
        model.compile("adam", crossentropy())
    plain = built(scopes, "none", "none", "none")
    with scopes["a"](), pytest.raises(ValueError, match=f"`compile`.*no scope.*{IN_A}"):
        plain.compile("adam", crossentropy())


def test_an_optimizer_of_another_scope(scopes):
    with scopes["b"]():
        optimizer = keras.optimizers.SGD()
        assert optimizer.variables  # The count of steps.
    for name in ("optimizer", "scale_optimizer"):
        optimizers = {"optimizer": "sgd", name: optimizer}
        with pytest.raises(ValueError, match=f"Expected `{name}` to be made.*{IN_B}"):
            built(scopes).compile(loss=crossentropy(), **optimizers)


@pytest.mark.parametrize(
    ("build", "fit", "received"),
    [("a", "b", (IN_A, IN_B)), ("none", "a", ("no", IN_A))],
)
def test_fit_in_another_scope(build, fit, received, scopes, data):
    model = built(scopes, build, build, build)
    model.compile("sgd", crossentropy())
    before = model.get_weights()
    first, second = received
    with scopes[fit](), pytest.raises(ValueError, match=f"`fit`.*{first}.*{second}"):
        model.fit(*data, batch_size=16, verbose=0)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_needs_no_scope(scopes, data):
    """A teacher, and all calls on a model that was built in one."""
    model = built(scopes, teacher="none")
    loss, metrics = crossentropy(), ["accuracy"]
    model.compile(keras.optimizers.SGD(), loss, metrics=metrics, **RBCN)
    model.fit(*data, batch_size=16, verbose=0)
    assert int(model.optimizer.iterations.numpy()) == 3
