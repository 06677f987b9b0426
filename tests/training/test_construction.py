"""What does not fit is refused at the call, with both sides named."""

import pytest
from tiny import KERNEL_LOSS, RBCN, Subclassed, crossentropy, network, student

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn.discriminators import build_discriminator
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.training.taps import rectified_layers


def refuses(match, *arguments, error=ValueError, **kwargs):
    with pytest.raises(error, match=match):
        rbcn.RBCNModel(*arguments, **kwargs)


def test_taps_are_paired_by_name(teacher):
    model = rbcn.RBCNModel(student(), teacher)
    assert model.taps == [("norm1", "norm1"), ("norm2", "norm2")]
    assert [d.input_shape for d in model.discriminators] == [
        (None, 8, 8, 4),
        (None, 4, 4, 6),
    ]


def test_stage_taps_keep_the_last_of_each_shape():
    def deep(convolution, name):
        inputs = x = keras.Input((8, 8, 4))
        for i, strides in enumerate((1, 1, 2, 1)):
            conv = convolution(4, 3, strides, padding="same", name=f"conv{i}")
            x = keras.layers.BatchNormalization(name=f"norm{i}")(conv(x))
        return keras.Model(inputs, x, name=name)

    pair = deep(RectifiedConv2D, "student"), deep(keras.layers.Conv2D, "teacher")
    model = rbcn.RBCNModel(*pair, taps="stage", check_teacher=False)
    assert [tap.student for tap in model.taps] == ["norm1", "norm3"]


def test_taps_given_as_pairs_and_names(teacher):
    model = rbcn.RBCNModel(student(), teacher, taps=[("norm1", "conv1"), "conv2"])
    assert model.taps == [rbcn.Tap("norm1", "conv1"), rbcn.Tap("conv2", "conv2")]


def test_wrong_taps(teacher):
    refuses(
        "student 'student'.*'norm3'.*did you mean.*norm",
        student(),
        teacher,
        taps=["norm3"],
    )
    refuses("teacher 'teacher'.*'nrm1'", student(), teacher, taps=[("norm1", "nrm1")])
    refuses(
        r"'norm1' of shape \(8, 8, 4\).*'norm2' of shape \(4, 4, 6\)",
        student(),
        teacher,
        taps=[("norm1", "norm2")],
    )
    refuses("one of .*received: taps='norm1'", student(), teacher, taps="norm1")
    refuses("pair", student(), teacher, taps=[("norm1", "norm1", "norm1")])
    refuses("Expected a teacher", student(), None, taps=["norm1"])


def test_no_pairs_by_name(teacher):
    renamed = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            RectifiedConv2D(4, 3, name="binary"),
            keras.layers.BatchNormalization(name="other"),
        ]
    )
    refuses(r"no layers named \['other'\]", renamed, teacher)
    refuses("has no RectifiedConv2D", network(name="real"), teacher)
    assert rbcn.RBCNModel(renamed, teacher, taps=[]).discriminators == []


def test_a_shared_layer_cannot_be_tapped(teacher):
    inputs = keras.Input((8, 8, 2))
    shared = keras.layers.Conv2D(2, 3, padding="same", name="norm1")
    twice = keras.Model(inputs, shared(shared(inputs)), name="twice")
    refuses("called once", twice, teacher, taps=["norm1"])


def test_undefined_sizes_cannot_be_tapped(teacher):
    inputs = keras.Input((None, None, 2))
    x = RectifiedConv2D(4, 3, padding="same", name="conv1")(inputs)
    free = keras.Model(inputs, keras.layers.BatchNormalization(name="norm1")(x))
    refuses("static shape", free, teacher, taps=["norm1"])


def test_untrained_teacher():
    refuses("'teacher'.*'student' to be trained", student(), network(name="teacher"))
    rbcn.RBCNModel(student(), network(name="teacher"), check_teacher=False)


def test_teacher_with_other_inputs(teacher):
    inputs = keras.Input((9, 8, 2))
    other = keras.Model(inputs, keras.layers.Dense(3)(inputs), name="pupil")
    refuses(
        r"student 'pupil' with inputs \(None, 9, 8, 2\), teacher 'teacher' with "
        r"inputs \(None, 8, 8, 2\)",
        other,
        teacher,
        taps=[],
    )


def test_student_that_shares_the_teachers_weights(teacher):
    refuses("share no weights", teacher, teacher)
    part = keras.Model(teacher.input, teacher.get_layer("norm1").output, name="part")
    refuses("'part'.*'teacher' share", part, teacher)


def test_models_that_are_none():
    refuses("tf_keras.Model", "student.keras", error=TypeError)
    refuses("tf_keras.Model", student(), "teacher.keras", error=TypeError)
    refuses("to be built", keras.Sequential([keras.layers.Dense(1)]))
    unbuilt = keras.Sequential([keras.layers.Dense(1)], name="new")
    refuses("teacher 'new' to be built", student(), unbuilt)


def test_subclassed_models_train_without_taps(data, teacher):
    pupil = Subclassed(student())
    pupil(data[0])
    refuses("student 'subclassed'.*functional", pupil, teacher)
    model = rbcn.RBCNModel(pupil, teacher, taps=[])
    model.compile("adam", crossentropy(), distillation=0.0, **KERNEL_LOSS)
    assert model.fit(*data, verbose=0).history["kernel_loss"][0] > 0
    assert len(rectified_layers(pupil)) == 2


def test_symbolic_losses_would_be_lost(teacher):
    pupil = student()
    pupil.add_loss(keras.backend.mean(pupil.get_layer("conv1").output))
    refuses("symbolic `add_loss`", pupil, teacher)


def test_discriminators(data, teacher):
    one = build_discriminator((8, 8, 4))
    refuses("each of the 2 taps, received 1", student(), teacher, discriminators=[one])
    refuses(
        r"shape \(4, 4, 6\), it takes \(8, 8, 4\)",
        student(),
        teacher,
        discriminators=[one, one],
    )

    def spatial(shape):
        """A judge of each position, as in PatchGAN, not built before its use."""
        return keras.Sequential(
            [keras.layers.Conv2D(8, 1), keras.layers.ReLU(), keras.layers.Conv2D(1, 1)]
        )

    model = rbcn.RBCNModel(student(), teacher, discriminators=spatial)
    model.compile("adam", crossentropy(), **RBCN)
    before = [d.get_weights() for d in model.discriminators]
    model.fit(*data, verbose=0)
    for judge, old in zip(model.discriminators, before, strict=True):
        assert any(
            (a != b).any() for a, b in zip(judge.get_weights(), old, strict=True)
        )


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("kernel_weight", -1),
        ("adversarial_weight", float("nan")),
        ("attention_weight", float("inf")),
        ("adversarial_loss", "hinge"),
        ("kernel_loss_gradient", "autodiff"),
        ("discriminator_accuracy_limit", 0.3),
        ("strategy_b_every", 0),
        ("strategy_b_every", 1.5),
        ("temperature", 0),
        ("distillation", -0.1),
    ],
)
def test_wrong_settings(argument, value, teacher):
    model = rbcn.RBCNModel(student(), teacher)
    with pytest.raises(ValueError, match=argument):
        model.compile("adam", crossentropy(), **{argument: value})


def test_settings_that_lack_a_teacher():
    model = rbcn.RBCNModel(student())
    with pytest.raises(ValueError, match="needs a teacher"):
        model.compile("adam", crossentropy(), distillation=1.0)


@pytest.mark.parametrize("taught", [False, True])
@pytest.mark.parametrize("weight", ["adversarial_weight", "attention_weight"])
def test_settings_that_lack_taps(weight, taught, teacher):
    model = rbcn.RBCNModel(student(), teacher if taught else None, taps=[])
    with pytest.raises(ValueError, match=rf"{weight}=0\.5 needs feature taps"):
        model.compile("adam", crossentropy(), **{weight: 0.5})


def test_distillation_between_different_outputs(teacher):
    soft = network(name="soft", softmax=True)
    model = rbcn.RBCNModel(student(), soft, taps=[], check_teacher=False)
    with pytest.raises(ValueError, match="'student', teacher 'soft' only one"):
        model.compile("adam", crossentropy(), distillation=1.0)
    inputs = keras.Input((8, 8, 2))
    x = keras.layers.GlobalAveragePooling2D()(inputs)
    wide = keras.Model(inputs, keras.layers.Dense(5)(x), name="wide")
    model = rbcn.RBCNModel(student(), wide, taps=[], check_teacher=False)
    with pytest.raises(ValueError, match=r"\(None, 3\).*\(None, 5\)"):
        model.compile("adam", crossentropy(), distillation=1.0)


def test_one_optimizer_in_two_places(teacher):
    model = rbcn.RBCNModel(student(), teacher)
    optimizer = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="`optimizer` and `scale_optimizer` to be two"):
        model.compile(optimizer, crossentropy(), scale_optimizer=optimizer)
