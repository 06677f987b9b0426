"""The whole model goes to a `.keras` file and comes back."""

import numpy as np
import pytest
from tiny import KERNEL_LOSS, RBCN, crossentropy, network, plain_larq, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn.discriminators import build_discriminator


def full_model(teacher):
    """With every optimizer, every loss, and discriminators of another size."""
    model = rbcn.RBCNModel(
        student(),
        teacher,
        discriminators=lambda shape: build_discriminator(shape, units=8, grid=2),
    )
    adam = keras.optimizers.Adam
    model.compile(
        adam(keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.5)),
        crossentropy(),
        metrics=["accuracy"],
        kernel_weight=1e-3,
        adversarial_weight=0.1,
        distillation=0.2,
        temperature=3.0,
        attention_weight=0.1,
        adversarial_loss="log",
        kernel_loss_gradient="straight_through",
        discriminator_accuracy_limit=0.9,
        scale_optimizer=adam(0.02),
        discriminator_optimizer=adam(0.003),
        strategy_b_optimizer=adam(0.004),
        strategy_b_every=2,
    )
    return model


def states(model):
    """Every number that training goes on from."""
    optimizers = [
        model.optimizer,
        model.scale_optimizer,
        model.discriminator_optimizer,
        model.strategy_b_optimizer,
    ]
    parts = [model.student, model.teacher, *model.discriminators]
    return [np.array(w) for part in parts for w in part.get_weights()] + [
        np.array(v) for optimizer in optimizers for v in optimizer.variables
    ]


def assert_same_states(got, expected):
    got, expected = states(got), states(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_reloaded_model_continues_where_it_was(data, teacher, tmp_path):
    model = full_model(teacher)
    model.fit(*data, batch_size=16, shuffle=False, verbose=0)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    assert type(loaded) is rbcn.RBCNModel
    assert loaded.settings == model.settings
    assert loaded.taps == model.taps
    assert_same_states(loaded, model)
    # Two steps: strategy B's turn comes with every second one. Not more, because a
    # sign that flips by rounding sends the two on different ways.
    for _ in range(2):
        logs = [m.train_on_batch(*data, return_dict=True) for m in (model, loaded)]
        assert logs[1] == pytest.approx(logs[0], rel=1e-4)
    for a, b in zip(states(model), states(loaded), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("epochs", [0, 1])
def test_older_optimizers_are_saved_too(data, teacher, tmp_path, epochs):
    """Keras leaves them out of a file, and the discriminators' default is one."""
    model = rbcn.RBCNModel(student(), teacher)
    legacy = keras.optimizers.legacy
    model.compile(
        legacy.SGD(0.01, momentum=0.9),
        crossentropy(),
        scale_optimizer=legacy.RMSprop(0.001),
        strategy_b_optimizer=legacy.Adam(0.001),
        **RBCN | {"adversarial_weight": 0.1},
    )
    for _ in range(epochs):
        model.fit(*data, batch_size=16, shuffle=False, verbose=0)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    for name in ("optimizer", "scale_optimizer", "discriminator_optimizer"):
        kept, found = (getattr(one, name).get_weights() for one in (model, loaded))
        assert len(kept) == len(found)
        # The steps come first; before the first one there is nothing.
        assert kept[:1] == [-(-len(data[0]) // 16)] * epochs
        for a, b in zip(kept, found, strict=True):
            np.testing.assert_array_equal(a, b)
    for _ in range(2):
        logs = [m.train_on_batch(*data, return_dict=True) for m in (model, loaded)]
        assert logs[1] == pytest.approx(logs[0], rel=1e-4)


def test_without_teacher_or_compilation(data, tmp_path):
    path = str(tmp_path / "model.keras")
    model = rbcn.RBCNModel(student(), name="pupil")
    model.save(path)
    loaded = keras.models.load_model(path)
    assert loaded.teacher is None
    assert loaded.name == "pupil"
    np.testing.assert_array_equal(loaded(data[0]), model(data[0]))
    loaded.compile("sgd", crossentropy(), **KERNEL_LOSS)
    loaded.fit(*data, verbose=0)
    loaded.save(path)
    again = keras.models.load_model(path)
    np.testing.assert_array_equal(again(data[0]), loaded(data[0]))


def test_a_plain_larq_student_reloads(data, teacher, tmp_path):
    model = rbcn.RBCNModel(
        network(plain_larq, "student"), teacher, taps=["norm1", "norm2"]
    )
    model.compile("sgd", crossentropy(), **RBCN)
    model.fit(*data, verbose=0)
    path = str(tmp_path / "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(data[0]), model(data[0]))


def test_the_student_alone_is_an_ordinary_keras_model(data, tmp_path):
    path = str(tmp_path / "student.keras")
    model = rbcn.RBCNModel(student())
    model.student.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(loaded(data[0]), model(data[0]))


@pytest.mark.parametrize("how", [("saved_model", None), ("model.h5", None)])
def test_formats_that_would_lose_the_teacher_are_refused(how, teacher, tmp_path):
    name, save_format = how
    model = rbcn.RBCNModel(student(), teacher)
    with pytest.raises(ValueError, match=r"ends in '.keras'"):
        model.save(str(tmp_path / name), save_format=save_format)
    assert not list(tmp_path.iterdir())
