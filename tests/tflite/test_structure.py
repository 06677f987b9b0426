"""Each inconsistency that the interpreter would not survive, and its message."""

from dataclasses import replace

import numpy as np
import pytest

from keras_rbcn._backend import keras
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite.flatbuffer import InvalidModelError, Operator, parse
from keras_rbcn.tflite.structure import check


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """Quantize, convolution (bit-packed), pooling, convolution; 33 channels."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 33)),
            RectifiedConv2D(40, 3, padding="same"),
            keras.layers.MaxPooling2D(),
            RectifiedConv2D(8, 3, strides=2),
        ]
    )
    path = tmp_path_factory.mktemp("graph") / "model.tflite"
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 33))
    report = export_tflite(model, path, verify_data=images)
    assert [row.operator for row in report.layers] == [
        "LceQuantize",
        "LceBconv2d",
        "LceBMaxPool2d",
        "LceBconv2d",
    ]
    return parse(path.read_bytes())


def with_tensor(graph, index, **changes):
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, tensors=tuple(tensors))


def with_operator(graph, index, **changes):
    operators = list(graph.operators)
    operators[index] = replace(operators[index], **changes)
    return replace(graph, operators=tuple(operators))


def refused(graph):
    with pytest.raises(InvalidModelError) as caught:
        check(graph)
    return str(caught.value)


def test_a_right_graph_passes(graph):
    check(graph)


def test_constants_have_the_size_of_their_shape(graph):
    kernel = graph.operators[1].inputs[1]
    data = graph.tensors[kernel].data
    assert "its buffer holds" in refused(with_tensor(graph, kernel, data=data[:-1]))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, -8, 8, 33), "has shape"),
        ((1,) * 9, "has shape"),
        ((1, 2**15, 2**15, 33), "too large"),
    ],
)
def test_absurd_shapes(graph, shape, message):
    assert message in refused(with_tensor(graph, graph.inputs[0], shape=shape))


def test_all_tensors_together_have_a_limit(graph):
    big = replace(graph.tensors[graph.inputs[0]], shape=(2**28,))
    assert "too large" in refused(replace(graph, tensors=(*graph.tensors, *[big] * 5)))


@pytest.mark.parametrize("index", [-2, 99])
def test_operators_refer_to_tensors_that_exist(graph, index):
    wrong = with_operator(graph, 0, inputs=(index,))
    assert "operator 0 (LceQuantize) refers to tensor" in refused(wrong)
    wrong = with_operator(graph, 0, outputs=(index,))
    assert "operator 0 (LceQuantize) refers to tensor" in refused(wrong)


def test_tensors_are_written_before_they_are_read(graph):
    later = graph.operators[2].outputs
    assert "before it is written" in refused(with_operator(graph, 0, inputs=later))


def test_tensors_are_written_once(graph):
    wrong = with_operator(graph, 1, outputs=graph.operators[0].outputs)
    assert "written already" in refused(wrong)
    wrong = with_operator(graph, 0, outputs=graph.inputs)
    assert "which is an input" in refused(wrong)


def test_inputs_are_no_constants_and_differ(graph):
    kernel = graph.operators[1].inputs[1]
    assert "is a constant" in refused(replace(graph, inputs=(kernel,)))
    assert "listed twice" in refused(replace(graph, inputs=graph.inputs * 2))


def test_outputs_are_written(graph):
    wrong = replace(graph, operators=graph.operators[:-1])
    assert "never written" in refused(wrong)


def test_graphs_that_operators_call_are_checked_too(graph):
    wrong = with_operator(graph, 0, inputs=(99,))
    assert "refers to tensor 99" in refused(replace(graph, others=(wrong,)))


@pytest.mark.parametrize(
    ("index", "option", "value"),
    [
        (1, "stride_height", 0),
        (1, "stride_width", -1),
        (1, "dilation_height_factor", 0),
        (1, "dilation_width_factor", 2**20),
        (1, "channels_in", 0),
        (1, "padding", 2),
        (1, "pad_values", -1),
        (1, "fused_activation_function", 77),
        (2, "filter_height", 0),
        (2, "filter_width", -3),
        (2, "stride_height", 0),
        (2, "stride_width", None),
        (2, "padding", 5),
    ],
)
def test_options_of_binary_operators_are_in_range(graph, index, option, value):
    operator = graph.operators[index]
    options = {k: v for k, v in operator.options.items() if k != option}
    if value is not None:
        options[option] = value
    message = refused(with_operator(graph, index, options=options))
    assert f"operator {index} ({operator.name}) has the option {option}=" in message


def test_channels_fit_the_filter(graph):
    options = {**graph.operators[1].options, "channels_in": 65}
    assert "reads 65 channels" in refused(with_operator(graph, 1, options=options))


@pytest.mark.parametrize(
    ("index", "option", "value"),
    [
        (1, "stride_height", 4),
        (1, "stride_width", 2),
        (1, "padding", 1),
        (2, "stride_height", 4),
        (2, "filter_height", 5),
        (3, "stride_width", 1),
        (3, "dilation_height_factor", 3),
        (3, "padding", 0),
    ],
)
def test_outputs_have_the_size_that_the_options_say(graph, index, option, value):
    options = {**graph.operators[index].options, option: value}
    assert "writes shape" in refused(with_operator(graph, index, options=options))


def test_words_of_packed_channels(graph):
    packed = graph.operators[0].outputs[0]
    wrong = with_tensor(graph, packed, shape=(1, 8, 8, 1))
    assert "packs shape (1, 8, 8, 33)" in refused(wrong)


@pytest.mark.parametrize("index", [1, 3])
def test_constants_of_the_output_have_one_value_per_filter(graph, index):
    operator = graph.operators[index]
    constant = operator.inputs[4 if index == 1 else 2]
    size = graph.tensors[constant].shape[0]
    wrong = with_tensor(graph, constant, shape=(size - 1,), data=bytes(4 * (size - 1)))
    assert f"expected ({size},)" in refused(wrong)


def test_binary_operators_have_their_operands(graph):
    inputs = graph.operators[3].inputs
    for wrong in (inputs[:2], (*inputs[:2], -1, -1, -1), ()):
        assert "lacks operand" in refused(with_operator(graph, 3, inputs=wrong))
    assert "lacks operand" in refused(with_operator(graph, 0, inputs=(-1,)))


def test_filters_are_packed_constants(graph):
    real = replace(graph.tensors[graph.inputs[0]], shape=(8, 3, 3, 2))
    tensors = (*graph.tensors, replace(real, data=bytes(4 * 8 * 9 * 2)))
    inputs = list(graph.operators[3].inputs)
    inputs[1] = len(graph.tensors)
    wrong = with_operator(replace(graph, tensors=tensors), 3, inputs=tuple(inputs))
    assert "has a filter of shape (8, 3, 3, 2)" in refused(wrong)


def test_pooling_reads_packed_channels(graph):
    pooling = graph.operators[2]
    real = Operator("LceBMaxPool2d", graph.inputs, pooling.outputs, pooling.options)
    operators = (*graph.operators[:2], real, graph.operators[3])
    assert "reads shape" in refused(replace(graph, operators=operators))
