"""What students compute, against the same computed by hand from the teacher."""

import json

import numpy as np
import pytest
from conversion_networks import (
    SHAPE,
    block,
    block_of,
    convolution_of,
    head,
    head_of,
    normalized_of,
    output_of,
    randomize,
    relu,
    samples,
    signed_convolution,
)
from kernels import kernel_quantizers

import keras_rbcn as rbcn
from keras_rbcn import applications
from keras_rbcn._backend import keras
from keras_rbcn.conversion.binarize import STYLES
from keras_rbcn.conversion.channels import match_channels
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign
from keras_rbcn.training.taps import rectified_layers

layers = keras.layers


def assert_computes(student, data, expected):
    np.testing.assert_allclose(student(data), expected, rtol=1e-4, atol=1e-4)


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


@pytest.fixture
def chain():
    """A first convolution and two 1-bit ones, the last of other shape."""
    inputs = keras.Input(SHAPE)
    x = block(block(inputs, "first"), "second")
    x = block(x, "third", filters=6, strides=2)
    return randomize(keras.Model(inputs, head(x), name="chain"))


def test_plain_chain(chain):
    data = samples(chain)
    x = block_of(chain, "second", output_of(chain, "first_norm", data))
    x = block_of(chain, "third", x, strides=2)
    assert_computes(rbcn.binarize(chain, "plain"), data, head_of(chain, relu(x)))


def test_birealnet_chain_adds_what_a_convolution_reads(chain):
    data = samples(chain)
    x = output_of(chain, "first_norm", data)
    x = x + block_of(chain, "second", x)
    x = block_of(chain, "third", x, strides=2)
    assert_computes(rbcn.binarize(chain), data, head_of(chain, relu(x)))


@pytest.mark.parametrize("style", STYLES)
def test_the_gradient_of_kernels_is_as_wished(chain, style):
    student = rbcn.binarize(chain, style)
    assert len(rectified_layers(student)) == 2
    assert kernel_quantizers(student) == {"SteSign"}
    student = rbcn.binarize(chain, style, kernel_quantizer="approx_sign")
    assert len(rectified_layers(student)) == 2
    assert kernel_quantizers(student) == {"ApproxSign"}
    with pytest.raises(ValueError, match=r"`kernel_quantizer`.*ste_sign.*'ste_tern'"):
        rbcn.binarize(chain, style, kernel_quantizer="ste_tern")


def test_reactnet_chain_has_thresholds_and_shifted_prelus(chain):
    student = rbcn.binarize(chain, "reactnet")
    rng = np.random.default_rng(5)
    for layer in student.layers:
        if isinstance(layer, RSign | RPReLU):
            layer.set_weights([rng.normal(0, 0.3, w.shape) for w in layer.weights])
    assert kinds(student).count("RSign") == 2

    def threshold(name, x):
        (found,) = student.get_layer(f"{name}_sign").get_weights()
        return x - found

    (after_first,) = (
        la for la in student.layers if isinstance(la, RPReLU) and "first" in la.name
    )
    data = samples(chain)
    # More than the signs of the first feature map is used: the shortcut adds it.
    x = np.asarray(after_first(output_of(chain, "first_norm", data).astype("float32")))
    x = x + block_of(chain, "second", threshold("second", x))
    replaced = [
        la for la in student.layers if isinstance(la, RPReLU) and "second" in la.name
    ]
    assert not replaced  # Nothing but the signs is used behind the second one.
    x = block_of(chain, "third", threshold("third", x), strides=2)
    assert_computes(student, data, head_of(chain, relu(x)))


@pytest.mark.parametrize("style", ["birealnet", "plain"])
def test_residual_block(style):
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    y = block(block(x, "a"), "b", activation=None)
    x = layers.ReLU(name="out_a")(layers.Add(name="sum_a")([x, y]))
    y = block(block(x, "c", filters=6, strides=2), "d", filters=6, activation=None)
    shortcut = block(x, "projection", 6, 1, activation=None, strides=2)
    x = layers.ReLU(name="out_b")(layers.Add(name="sum_b")([y, shortcut]))
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    student, report = rbcn.binarize(teacher, style, return_report=True)
    assert report.binary_convolutions == ("a", "b", "c", "d")
    x = output_of(teacher, "first_norm", data)
    if style == "plain":
        x = x + block_of(teacher, "b", block_of(teacher, "a", x))
    else:
        x = x + block_of(teacher, "a", x)
        x = x + block_of(teacher, "b", x)
    kernel, bias = teacher.get_layer("projection").get_weights()
    projected = x[:, ::2, ::2] @ kernel[0, 0].astype("float64") + bias
    projected = normalized_of(teacher, "projection_norm", projected)
    y = block_of(teacher, "c", x, strides=2)
    if style == "plain":
        x = projected + block_of(teacher, "d", y)
    else:
        y = y + projected
        x = y + block_of(teacher, "d", y)
    assert_computes(student, data, head_of(teacher, relu(x)))


def test_bottleneck_keeps_its_shortcut_at_the_end():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    y = block(block(x, "a", 4, 1), "b", 4)
    y = block(y, "c", 8, 1, activation=None)
    x = layers.ReLU()(layers.Add()([x, y]))
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    x = output_of(teacher, "first_norm", data)
    # 8 channels become 4: each is summed with the fourth behind it.
    y = block_of(teacher, "a", x) + (x[..., :4] + x[..., 4:]) / np.sqrt(2)
    y = y + block_of(teacher, "b", y)
    x = x + block_of(teacher, "c", y)
    assert_computes(rbcn.binarize(teacher), data, head_of(teacher, relu(x)))


@pytest.mark.parametrize("style", ["birealnet", "reactnet"])
def test_shortcuts_repeat_and_sum_channels(style):
    """An inverted bottleneck without a shortcut of its own, as in MobileNetV2."""
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first", activation=None)
    x = block(x, "expand", 24, 1, activation=None)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = block(layers.BatchNormalization(name="norm")(x), "project", 12, 1, None)
    x = block(x, "strided", 24, activation=None, strides=2)
    x = block(x, "odd", 16, activation=None)
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    student = rbcn.binarize(teacher, style)
    x = output_of(teacher, "first_norm", data)
    x = block_of(teacher, "expand", x) + np.concatenate([x, x, x], -1)
    x = teacher.get_layer("depthwise")(x.astype("float32")).numpy().astype("float64")
    x = normalized_of(teacher, "norm", x)
    x = block_of(teacher, "project", x) + (x[..., :12] + x[..., 12:]) / np.sqrt(2)
    x = block_of(teacher, "strided", x, strides=2)  # The map changes: no shortcut.
    x = block_of(teacher, "odd", x)  # 24 channels become 16: no shortcut either.
    assert_computes(student, data, head_of(teacher, x))


def test_no_shortcut_across_a_change_of_channels_behind_a_max_pooling():
    """As in VGG16: in the end all signs would be +1."""
    inputs = keras.Input(SHAPE)
    x = layers.MaxPooling2D()(block(inputs, "first"))
    x = block(block(x, "wider", 16), "wide", 16)
    teacher = randomize(keras.Model(inputs, head(x)))
    _, report = rbcn.binarize(teacher, return_report=True)
    added = [row.name for row in report.layers if row.reason == "added: shortcut"]
    assert added == ["wide_shortcut"]


def test_summed_channels_are_the_way_back_from_repeated_ones():
    x = keras.Input((4, 6, 3))
    made = []

    def new(make, name, **arguments):
        made.append(make)
        return make(name=name, **arguments)

    y = match_channels(match_channels(x, 12, new), 3, new)
    data = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype("float32")
    np.testing.assert_allclose(keras.Model(x, y)(data), 2 * data, rtol=1e-6)
    assert len(made) == len(set(made)) + 1  # Two of them reshape.


def test_pre_activation_network():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, padding="same", name="first")(inputs)
    y = layers.ReLU()(layers.BatchNormalization(name="n1")(x))
    y = layers.Conv2D(8, 3, padding="same", name="a")(y)
    y = layers.ReLU()(layers.BatchNormalization(name="n2")(y))
    y = layers.Conv2D(8, 3, padding="same", name="b")(y)
    x = layers.Add()([x, y])
    x = layers.ReLU()(layers.BatchNormalization(name="n3")(x))
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    x = output_of(teacher, "first", data)
    y = convolution_of(teacher, "a", normalized_of(teacher, "n1", x))
    y = convolution_of(teacher, "b", normalized_of(teacher, "n2", y))
    y = normalized_of(teacher, "n3", x + y)
    student = rbcn.binarize(teacher, "plain")
    assert_computes(student, data, head_of(teacher, relu(y)))


def test_activation_within_a_convolution_and_missing_normalisation():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="a")(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="b")(x)
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    kernel, bias = teacher.get_layer("first").get_weights()
    first = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(8, 3, padding="same")])
    first.set_weights([kernel, bias])

    def inserted(name, x):
        (bias,) = teacher.get_layer(name).get_weights()[1:]
        x = convolution_of(teacher, name, x) - bias
        return x / np.sqrt(1 + 1e-3) + bias

    x = inserted("a", first(data).numpy())
    x = x.reshape(len(x), 4, 2, 4, 2, 8).max((2, 4))
    x = inserted("b", x)
    student = rbcn.binarize(teacher, "plain")
    assert_computes(student, data, head_of(teacher, relu(x)))
    assert "a_bn" in [layer.name for layer in student.layers]


@pytest.mark.parametrize("positive", [True, False])
def test_max_pooling_comes_behind_the_normalisation_if_factors_are_positive(positive):
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(8, 3, padding="same", name="a")(block(inputs, "first"))
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="a_norm")(x))
    teacher = randomize(keras.Model(inputs, head(x)))
    if not positive:
        norm = teacher.get_layer("a_norm")
        norm.gamma.assign(-norm.gamma)
    data = samples(teacher)
    x = convolution_of(teacher, "a", output_of(teacher, "first_norm", data))
    x = x.reshape(len(x), 4, 2, 4, 2, 8).max((2, 4))
    x = normalized_of(teacher, "a_norm", x)
    student = rbcn.binarize(teacher, "plain")
    assert_computes(student, data, head_of(teacher, relu(x)))
    names = [layer.name for layer in student.layers]
    assert (names.index("pool") > names.index("a_norm")) == positive


# Padding, strides; whether it is that of padding="same" (8 pixels, 3x3 kernel).
PADDINGS = [(1, 1, True), (1, 2, False), (((0, 1), (0, 1)), 2, True), (2, 1, False)]


@pytest.mark.parametrize(("padding", "strides", "same"), PADDINGS)
def test_explicit_paddings(padding, strides, same):
    inputs = keras.Input(SHAPE)
    x = layers.ZeroPadding2D(padding, name="pad")(block(inputs, "first"))
    x = block(x, "a", padding="valid", strides=strides)
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    x = output_of(teacher, "first_norm", data)
    student = rbcn.binarize(teacher, "plain")
    assert ("pad" not in [layer.name for layer in student.layers]) == same
    if same:
        x = block_of(teacher, "a", x, strides=strides)
    else:
        # The sign of the zeros around is +1: valid windows of the padded signs.
        padded = np.pad(x, [(0, 0), (padding,) * 2, (padding,) * 2, (0, 0)])
        full = block_of(teacher, "a", padded)
        x = full[:, 1:-1:strides, 1:-1:strides]
    assert_computes(student, data, head_of(teacher, relu(x)))


def test_separable_convolution_keeps_its_depthwise_part():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    x = layers.SeparableConv2D(6, 3, padding="same", name="s")(x)
    x = layers.ReLU()(layers.BatchNormalization(name="s_norm")(x))
    teacher = randomize(keras.Model(inputs, head(x)))
    depthwise, pointwise, bias = teacher.get_layer("s").get_weights()
    data = samples(teacher)
    student, report = rbcn.binarize(teacher, "plain", return_report=True)
    assert report.binary_convolutions == ("s",)
    # An activation in front of the real depthwise part changes its sums: it stays.
    x = output_of(teacher, "first_act", data)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    x = sum(
        padded[:, i : i + 8, j : j + 8] * depthwise[i, j, :, 0]
        for i in range(3)
        for j in range(3)
    )
    x = normalized_of(teacher, "s_norm", signed_convolution(x, pointwise) + bias)
    assert_computes(student, data, head_of(teacher, relu(x)))


def test_one_activation_for_signs_and_for_a_classifier():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    teacher = keras.Model(inputs, [head(x, "early"), head(block(x, "a"), "late")])
    randomize(teacher)
    data = samples(teacher)
    early, late = rbcn.binarize(teacher, "plain")(data)
    x = output_of(teacher, "first_norm", data)
    assert_computes(lambda _: early, data, head_of(teacher, relu(x), "early"))
    x = relu(block_of(teacher, "a", x))
    assert_computes(lambda _: late, data, head_of(teacher, x, "late"))


def test_shared_layers_stay_shared():
    inputs = keras.Input(SHAPE)
    x = block(inputs, "first")
    convolution = layers.Conv2D(8, 3, padding="same", name="a")
    norm, activation = layers.BatchNormalization(name="a_norm"), layers.ReLU(name="r")
    for _ in range(2):
        x = activation(norm(convolution(x)))
    teacher = randomize(keras.Model(inputs, head(x)))
    data = samples(teacher)
    student = rbcn.binarize(teacher)
    assert kinds(student).count("RectifiedConv2D") == 1
    x = output_of(teacher, "first_norm", data)
    x = block_of(teacher, "a", block_of(teacher, "a", x))
    assert_computes(student, data, head_of(teacher, relu(x)))


@pytest.mark.parametrize(
    ("make", "size"),
    [(applications.CifarResNet18, 16), (applications.ResNet18, 64)],
)
def test_residual_networks_equal_those_built_by_hand(make, size):
    arguments = {"input_shape": (size, size, 3), "classes": 5}
    teacher = randomize(make(network="full_precision", **arguments))
    expected = make(network="rbcn", **arguments)
    rbcn.copy_weights(teacher, expected)
    data = samples(teacher, 2)
    student = rbcn.binarize(teacher)
    np.testing.assert_allclose(student(data), expected(data), rtol=1e-5, atol=1e-5)
    binary = {la.name for la in expected.layers if isinstance(la, RectifiedConv2D)}
    assert binary == {
        la.name for la in student.layers if isinstance(la, RectifiedConv2D)
    }


def test_the_teacher_stays_as_it_is_and_the_student_shares_nothing(chain, tmp_path):
    chain.trainable = False
    weights = chain.get_weights()
    nodes = [
        (len(la.inbound_nodes), len(la.outbound_nodes), la.trainable)
        for la in chain.layers
    ]
    student = rbcn.binarize(chain, "reactnet")
    assert all(layer.trainable for layer in student.layers)
    assert not {id(w) for w in student.weights} & {id(w) for w in chain.weights}
    for weight in student.weights:
        weight.assign_add(tf_ones(weight))
    for a, b in zip(chain.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert nodes == [
        (len(la.inbound_nodes), len(la.outbound_nodes), la.trainable)
        for la in chain.layers
    ]
    chain.save(tmp_path / "teacher.keras")


def tf_ones(weight):
    return np.ones(weight.shape)


def test_a_model_cut_out_of_another_one(chain):
    cut = keras.Model(chain.input, chain.get_layer("third_norm").output)
    data = samples(cut)
    x = block_of(cut, "second", output_of(cut, "first_norm", data))
    student = rbcn.binarize(cut, "plain")
    assert_computes(student, data, block_of(cut, "third", x, strides=2))


def test_calls_outside_the_model_are_left_alone(chain):
    expected = rbcn.binarize(chain)(samples(chain))
    chain.get_layer("second")(keras.Input((6, 6, 8)))
    chain.get_layer("second_act")(chain.get_layer("third").output)
    chain.get_layer("first_norm")(keras.Input((4, 4, 8)))
    student = rbcn.binarize(chain)
    np.testing.assert_array_equal(student(samples(chain)), expected)


def test_taken_names_are_not_used_twice():
    inputs = keras.Input(SHAPE, name="c_sign")
    x = block(inputs, "first")
    x = layers.Conv2D(8, 3, padding="same", name="c")(x)
    x = layers.ReLU(name="c_bn")(x)
    x = layers.Conv2D(8, 3, padding="same", name="c_shortcut")(x)
    teacher = randomize(keras.Model(inputs, head(x)))
    student = rbcn.binarize(teacher, "reactnet")
    names = [layer.name for layer in student.layers]
    assert len(set(names)) == len(names)
    assert student.input_names == ["c_sign"]
    assert type(student.get_layer("c_shortcut")).__name__ == "RectifiedConv2D"
    rbcn.RBCNModel(student, teacher)


def test_deep_models_need_no_recursion():
    inputs = keras.Input((4, 4, 3))
    x = block(inputs, "first", 2)
    for number in range(120):
        x = block(x, f"c{number}", 2, 1)
    teacher = keras.Model(inputs, head(x))
    assert len(teacher.layers) > 300
    _, report = rbcn.binarize(teacher, return_report=True)
    assert len(report.binary_convolutions) == 120


class TestReport:
    @pytest.fixture
    def report(self, chain):
        return rbcn.binarize(chain, return_report=True)[1]

    def test_rows(self, report):
        rows = {row.name: row for row in report.layers}
        assert report.binary_convolutions == ("second", "third")
        assert rows["first"].reason == "first convolution"
        assert (rows["second"].kind_before, rows["second"].kind_after) == (
            "Conv2D",
            "RectifiedConv2D",
        )
        # 8 filters of 3x3x8, one scale each; before with a bias each.
        assert rows["second"].bits == 576 + 32 * 8
        assert rows["second"].bits_before == 32 * (576 + 8)
        assert rows["second"].parameters == 576 + 8
        assert rows["second_act"].kind_after == ""
        assert rows["second_shortcut"].kind_before == ""

    def test_totals(self, chain, report):
        count = sum(int(np.prod(w.shape)) for w in chain.trainable_weights)
        assert report.bits_before == 32 * count
        binary = 576 + 8 * 9 * 6
        # The biases of the two are in moving means; each has a scale for each channel.
        assert report.bits == 32 * (count - binary) + binary

    def test_table_and_json(self, report):
        text = str(report)
        for row in report.layers:
            if row.parameters:
                assert row.name in text
        assert "Conv2D > RectifiedConv2D" in text
        content = json.loads(report.to_json())
        assert content["style"] == "birealnet"
        assert [row["name"] for row in content["layers"]] == [
            row.name for row in report.layers
        ]


class TestWishes:
    @pytest.mark.parametrize(
        "wish",
        [
            "second",
            ["second"],
            lambda layer: layer.name == "second",
            [lambda layer: layer.name == "second", "second"],
        ],
    )
    def test_real(self, chain, wish):
        student, report = rbcn.binarize(chain, real=wish, return_report=True)
        assert report.binary_convolutions == ("third",)
        assert type(student.get_layer("second")) is layers.Conv2D
        (row,) = (row for row in report.layers if row.name == "second")
        assert row.reason == "kept real as asked for (`real`)"

    def test_binary(self, chain):
        _, report = rbcn.binarize(chain, binary="first", return_report=True)
        assert report.binary_convolutions == ("first", "second", "third")

    def test_by_class(self, chain):
        _, report = rbcn.binarize(chain, binary=layers.Conv2D, return_report=True)
        assert len(report.binary_convolutions) == 3

    def test_a_real_layer_keeps_the_activation_in_front(self, chain):
        data = samples(chain)
        student = rbcn.binarize(chain, "plain", real="second")
        x = output_of(chain, "second_norm", data)
        x = block_of(chain, "third", x, strides=2)
        assert_computes(student, data, head_of(chain, relu(x)))
