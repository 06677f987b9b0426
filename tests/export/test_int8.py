"""Files whose real layers compute in int8."""

import numpy as np
import pytest
from random_networks import randomize
from unused_tensors import unused_tensors

from keras_rbcn import (
    ExportError,
    RBCNModel,
    TFLiteModel,
    export_tflite,
    quantize_real_layers,
)
from keras_rbcn._backend import keras
from keras_rbcn.export import converter
from keras_rbcn.export.int8 import roundings
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite.editing import Editor

layers = keras.layers
REAL = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def data(*shape, samples=64):
    return np.random.default_rng(0).normal(size=(samples, *shape)).astype("float32")


@pytest.fixture
def images():
    return data(8, 8, 3)


@pytest.fixture
def network():
    """A first convolution, a 1-bit one beside a pooled real shortcut, a softmax."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="first")(inputs)
    x = entry = layers.BatchNormalization(name="first_bn")(x)
    x = RectifiedConv2D(64, 3, strides=2, padding="same", name="one")(x)
    x = layers.BatchNormalization(name="one_bn")(x)
    y = layers.AveragePooling2D(name="pool")(entry)
    y = layers.Conv2D(64, 1, use_bias=False, name="shortcut")(y)
    x = layers.Add()([x, layers.BatchNormalization(name="shortcut_bn")(y)])
    # Reads the signs of what an average pooling in front of int8 reads too.
    y = layers.AveragePooling2D(name="pool_2")(x)
    y = layers.Conv2D(64, 1, name="shortcut_2")(y)
    x = RectifiedConv2D(64, 3, strides=2, padding="same", name="two")(x)
    x = layers.Add()([layers.BatchNormalization(name="two_bn")(x), y])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(10, activation="softmax", name="last")(x)
    model = keras.Model(inputs, x)
    randomize(model, seed=0)
    return model


def kinds(report):
    """How the real convolutions and dense layers of a file compute."""
    return {row.kind for row in report.layers if row.operator in REAL}


def scores(path, x):
    """What a file gives, as real numbers."""
    file = TFLiteModel(path)
    (given,), (read,) = file.input_quantizations, file.output_quantizations
    x = x if given is None else given.to_integers(x, np.dtype(np.int8))
    received = file.predict(x)
    return received if read is None else read.to_numbers(received)


@pytest.mark.parametrize("runtime", ["lce", "litert"])
@pytest.mark.parametrize("ends", [(0, 0), (1, 1)], ids=["float32", "int8"])
def test_real_layers_are_int8_and_the_rest_is_not(
    network, images, tmp_path, runtime, ends
):
    path = tmp_path / "model.tflite"
    inputs, outputs = ("int8" if end else "float32" for end in ends)
    report = export_tflite(
        network,
        path,
        images,
        runtime=runtime,
        real_layers="int8",
        calibration_data=images,
        input_type=inputs,
        output_type=outputs,
    )
    assert report.agreement.passed
    assert len(report.binary_convolutions) == 2
    real = [row.kind for row in report.layers if row.operator in REAL]
    assert real.count("int8") == 4
    assert {"float32", "1-bit in float32"} >= {*real} - {"int8"}
    for name in ("AVERAGE_POOL_2D", "SOFTMAX", "MEAN", "ADD"):
        assert {row.kind for row in report.layers if row.operator == name} == {
            "float32"
        }
    assert (report.inputs[0].dtype, report.outputs[0].dtype) == (inputs, outputs)
    rounded = quantize_real_layers(network, images, int8_outputs=bool(ends[1]))
    difference = np.abs(scores(path, images) - rounded.predict(images, verbose=0))
    # By another judgement than the export's: few samples, in which a sign differs.
    assert np.mean(difference.max(1) > 0.01) < 0.1


def test_a_dense_layer_against_integers(tmp_path):
    model = keras.Sequential([keras.Input((20,)), layers.Dense(8, name="last")])
    randomize(model, seed=1)
    x, path = data(20, samples=300), tmp_path / "model.tflite"
    types = {"input_type": "int8", "output_type": "int8"}
    export_tflite(model, path, x, real_layers="int8", calibration_data=x, **types)
    file = TFLiteModel(path)
    (given,), (read,) = file.input_quantizations, file.output_quantizations
    integers = given.to_integers(x, np.dtype(np.int8))
    kernel, bias = model.layers[0].get_weights()
    step = np.abs(kernel).max() / 127
    sums = (integers.astype(int) - given.zero_point) @ np.rint(kernel / step).astype(
        int
    )
    exact = sums * (step * given.scale) + bias
    expected = np.clip(np.rint(exact / read.scale) + read.zero_point, -128, 127)
    difference = np.abs(file.predict(integers) - expected)
    assert difference.max() <= 1
    assert np.mean(difference == 0) > 0.99


def test_it_takes_a_quarter_of_the_bytes(tmp_path):
    inputs = keras.Input((8, 8, 16))
    x = RectifiedConv2D(64, 3, padding="same")(inputs)
    x = layers.Conv2D(256, 3, padding="same")(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    x = data(8, 8, 16)
    real = export_tflite(model, tmp_path / "a.tflite", x).bytes
    int8 = {"real_layers": "int8", "calibration_data": x}
    assert export_tflite(model, tmp_path / "b.tflite", x, **int8).bytes < 0.3 * real


@pytest.mark.parametrize("runtime", ["lce", "litert"])
def test_nothing_unused_is_in_the_file(network, images, tmp_path, runtime):
    path = tmp_path / "m.tflite"
    int8 = {"real_layers": "int8", "calibration_data": images}
    export_tflite(network, path, images, runtime=runtime, **int8)
    assert not unused_tensors(path.read_bytes())


def test_the_report_says_what_it_costs(network, images, tmp_path):
    report = export_tflite(
        network,
        tmp_path / "model.tflite",
        images,
        real_layers="int8",
        calibration_data=images,
    )
    int8 = report.int8
    assert set(int8.layers) == {"first", "shortcut", "shortcut_2", "last"}
    expected = network.predict(images, verbose=0).argmax(1)
    received = quantize_real_layers(network, images).predict(images, verbose=0)
    assert int8.class_agreement == np.mean(expected == received.argmax(1))
    assert "same class as in float32" in str(report)
    (first,) = [one for one in int8.ranges if one.layer == "first"]
    assert (first.lowest, first.highest) == (images.min(), images.max())
    assert first.clipped == 0
    # As the file has it.
    graph = TFLiteModel(tmp_path / "model.tflite").graph
    told = {
        ((-128 - zero_point) * scale, (127 - zero_point) * scale)
        for scale, zero_point in (
            tensor.quantization
            for tensor in graph.tensors
            if tensor.dtype == np.int8 and tensor.quantization is not None
        )
    }
    for one in int8.ranges:
        np.testing.assert_allclose(
            min(abs(np.subtract((one.low, one.high), ends)).max() for ends in told),
            0,
            atol=1e-5 * (one.high - one.low),
        )
    assert report.to_dict()["int8"]["layers"] == list(int8.layers)


def test_layers_of_other_kinds_stay_real_and_are_named(images, tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = RectifiedConv2D(4, 3)(layers.SeparableConv2D(6, 3, name="two_in_one")(inputs))
    model = keras.Model(inputs, layers.Dense(3, name="last")(layers.Flatten()(x)))
    path = tmp_path / "model.tflite"
    for runtime in ("lce", "litert"):
        report = export_tflite(
            model,
            path,
            images,
            runtime=runtime,
            real_layers="int8",
            calibration_data=images,
        )
        assert report.int8.layers == ("last",)
        assert report.int8.missing == ("two_in_one",)
        assert "last; not two_in_one" in str(report)


def test_a_student_that_was_trained_on(network, images, tmp_path):
    model = RBCNModel(quantize_real_layers(network, images))
    model.compile("adam", "sparse_categorical_crossentropy", adversarial_weight=0.0)
    labels = np.random.default_rng(0).integers(0, 10, 64)
    model.fit(images, labels, batch_size=16, epochs=2, verbose=0)
    path = tmp_path / "model.tflite"
    report = export_tflite(model, path, images, real_layers="int8")
    assert kinds(report) == {"int8"}
    assert report.int8.class_agreement is None
    printed = " ".join(str(report).split())
    assert "same class as in float32: not known" in printed
    page = report.to_html()
    assert "how often its classes, are those of a student in float32 is not known" in (
        page
    )
    with pytest.raises(ValueError, match=r"Export it with real_layers='int8'\."):
        export_tflite(model, path, images)
    with pytest.raises(ValueError, match="has its ranges"):
        export_tflite(model, path, images, real_layers="int8", calibration_data=images)


# --- traps of the converter, each of which the export finds or avoids ----------------


def without_repair(monkeypatch):
    """Takes out what keeps the converter from its traps."""
    monkeypatch.setattr(roundings, "kept_apart", lambda values: values)
    monkeypatch.setattr(converter, "with_float_operators", lambda content, _: content)


TRAPS = {
    "a pooling is cut off at the range of its outputs": lambda x: layers.Conv2D(8, 1)(
        layers.AveragePooling2D()(x)
    ),
    "one of two ranges with a resizing between is lost": lambda x: layers.Conv2D(8, 1)(
        layers.UpSampling2D(interpolation="bilinear")(
            layers.Conv2D(8, 1, activation="relu")(x)
        )
    ),
    "probabilities are told to 1/256": lambda x: layers.Dense(200, "softmax")(
        layers.GlobalAveragePooling2D()(x)
    ),
}


@pytest.mark.parametrize("trap", TRAPS)
def test_what_the_converter_does_by_itself_is_found(
    trap, images, tmp_path, monkeypatch
):
    inputs = keras.Input((8, 8, 3))
    x = RectifiedConv2D(3, 3, padding="same")(inputs)
    x = layers.Add()([inputs, layers.BatchNormalization()(x)])
    model = keras.Model(inputs, TRAPS[trap](x))
    randomize(model, seed=0)
    path = tmp_path / "model.tflite"
    int8 = {"real_layers": "int8", "calibration_data": images}
    assert export_tflite(model, path, images, **int8).agreement.passed
    path.unlink()
    without_repair(monkeypatch)
    with pytest.raises(ExportError, match="does not compute what model"):
        export_tflite(model, path, images, **int8)
    assert not path.exists()


def test_signs_of_rounded_values_are_found(network, images, tmp_path, monkeypatch):
    """The stock converter takes the signs beside an int8 layer in int8 as well."""
    without_repair(monkeypatch)
    path = tmp_path / "model.tflite"
    with pytest.raises(ExportError) as error:
        export_tflite(
            network,
            path,
            images,
            runtime="litert",
            real_layers="int8",
            calibration_data=images,
        )
    assert "two" in error.value.report.agreement.contradicting_layers


def changed(monkeypatch, change):
    """Lets the export convert as it does, and changes what comes of it."""
    convert = converter.with_int8_ends

    def wrong(*arguments):
        editor = Editor(convert(*arguments))
        change(editor)
        return editor.content()

    monkeypatch.setattr(converter, "with_int8_ends", wrong)


def shift_kernel(editor):
    for tensor in editor.graph.tensors:
        buffer = editor._model.buffers[tensor.buffer]
        if list(tensor.shape) == [10, 64] and buffer.data is not None:
            buffer.data = np.array(buffer.data) ^ 0x10


def shift_zero_point(editor):
    for one in editor.graph.operators:
        tensor = editor.graph.tensors[one.outputs[0]]
        if editor.is_int8(one.outputs[0]) and list(tensor.shape) == [1, 4, 4, 64]:
            tensor.quantization.zeroPoint = [int(tensor.quantization.zeroPoint[0]) + 3]
            return


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shift_kernel, "1 layer.s. that are to compute in int8 do not do so"),
        (shift_zero_point, "does not compute what model"),
    ],
)
def test_wrong_integers_are_found(
    network, images, tmp_path, monkeypatch, change, message
):
    changed(monkeypatch, change)
    with pytest.raises(ExportError, match=message):
        export_tflite(
            network,
            tmp_path / "model.tflite",
            images,
            real_layers="int8",
            calibration_data=images,
        )


def test_layers_that_stay_real_are_found(network, images, tmp_path, monkeypatch):
    note = converter.RoundingNotes.note

    def unrounded(self, layer, place, values):
        note(self, layer, place, values)
        return values

    monkeypatch.setattr(converter.RoundingNotes, "note", unrounded)
    with pytest.raises(ExportError, match="that are to compute in int8") as error:
        export_tflite(
            network,
            tmp_path / "model.tflite",
            images,
            real_layers="int8",
            calibration_data=images,
        )
    assert {*error.value.layers} == {"first", "shortcut", "shortcut_2", "last"}


@pytest.mark.parametrize(
    ("gamma", "layer", "message"),
    [
        (0.0, "first", r"gamma of 'first_bn' behind it is zero for channel\(s\) 2, 5"),
        (1e-9, "first_bn", r"bias of its channel\(s\) 2, 5 does not fit into 32 bits"),
    ],
)
def test_channels_whose_gamma_leaves_no_scale(
    network, images, tmp_path, gamma, layer, message
):
    def export():
        return export_tflite(
            network,
            tmp_path / "m.tflite",
            verify_data=images,
            real_layers="int8",
            calibration_data=images,
        )

    normalization = network.get_layer("first_bn")
    values = normalization.gamma.numpy()
    values[[2, 5]] = gamma
    normalization.gamma.assign(values)
    with pytest.raises(ExportError, match=message) as caught:
        export()
    assert layer in caught.value.layers
    # What the message tells to do.
    values[[2, 5]] = 0.001
    normalization.gamma.assign(values)
    export()


def test_zeros_padded_where_a_1_bit_convolution_gives_int8(images, tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1, name="real")(inputs)
    x = RectifiedConv2D(32, 3, padding="same", pad_values=0.0, name="one")(x)
    model = keras.Model(inputs, layers.BatchNormalization()(x))
    path = tmp_path / "model.tflite"
    int8 = {"real_layers": "int8", "calibration_data": images}
    assert export_tflite(model, path, images, **int8).agreement.passed
    int8["output_type"] = "int8"
    with pytest.raises(ExportError, match=r"cannot pad with zeros.*: one") as error:
        export_tflite(model, path, images, **int8)
    assert error.value.layers == ("one",)
    report = export_tflite(model, path, images, runtime="litert", **int8)
    assert report.agreement.passed


@pytest.mark.parametrize("activation", [None, "relu", "tanh"])
@pytest.mark.parametrize("runtime", ["lce", "litert"])
def test_transposed_convolutions(images, tmp_path, activation, runtime):
    inputs = keras.Input((8, 8, 3))
    x = RectifiedConv2D(8, 3)(inputs)
    x = layers.Conv2DTranspose(4, 3, strides=2, activation=activation)(x)
    model = keras.Model(inputs, layers.BatchNormalization()(x))
    randomize(model, seed=0)
    report = export_tflite(
        model,
        tmp_path / "model.tflite",
        images,
        runtime=runtime,
        real_layers="int8",
        calibration_data=images,
    )
    kinds = {row.operator: row.kind for row in report.layers}
    assert kinds["TRANSPOSE_CONV"] == "int8"
    assert report.agreement.beyond_rounding_with_file_signs == 0


@pytest.mark.parametrize(
    ("factor", "complaint"), [(100.0, "too coarse"), (0.01, "are cut off")]
)
def test_calibration_data_unlike_the_others(
    network, images, tmp_path, factor, complaint
):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"before")
    with pytest.raises(ExportError, match="are not those of `verify_data`") as error:
        export_tflite(
            network,
            path,
            images,
            real_layers="int8",
            calibration_data=factor * images,
        )
    assert f"inputs of layer 'first' take values from {images.min():.4g}" in str(
        error.value
    )
    assert complaint in str(error.value)
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"real_layers": "int4"}, "`real_layers` to be one of"),
        ({"input_type": "uint8"}, "`input_type` to be one of"),
        ({"input_type": "int8"}, "nothing in the model has a range"),
        ({"output_type": "int8"}, "nothing in the model has a range"),
        ({"calibration_data": data(8, 8, 3)}, "Expected no `calibration_data`"),
        ({"real_layers": "int8"}, "`calibration_data` for real layers in int8"),
        (
            {"real_layers": "int8", "calibration_data": data(8, 8, 3)[:0]},
            "`calibration_data` to hold samples; it is empty",
        ),
        (
            {
                "real_layers": "int8",
                "calibration_data": data(8, 8, 3),
                "calibration_samples": 0,
            },
            "`samples` to be a positive integer",
        ),
    ],
)
def test_what_cannot_be_asked_for(network, images, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_tflite(network, tmp_path / "model.tflite", images, **arguments)


def test_ranges_that_no_data_gave(network, images, tmp_path):
    rounded = quantize_real_layers(network, images)
    rounded.get_layer("first").set_range("inputs", -6.0, 6.0)
    with pytest.raises(ValueError, match="'first' are as they were made"):
        export_tflite(rounded, tmp_path / "model.tflite", images, real_layers="int8")


@pytest.mark.parametrize(
    ("name", "factor", "message"),
    [
        ("first/inputs_max:0", np.inf, "range of the inputs of layer 'first'"),
        ("first_bn/gamma:0", np.nan, "NaN in first_bn/gamma:0"),
    ],
)
def test_students_whose_training_went_astray(
    network, images, tmp_path, name, factor, message
):
    small = quantize_real_layers(network, images)
    (weight,) = (one for one in small.weights if one.name == name)
    weight.assign(weight * factor)
    with pytest.raises(ValueError, match=message):
        export_tflite(
            small, tmp_path / "m.tflite", verify_data=images, real_layers="int8"
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("end", ["input_type", "output_type"])
def test_ends_that_the_student_does_not_round(images, tmp_path, end):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="real")(layers.BatchNormalization()(inputs))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(x))
    rounded = quantize_real_layers(model, images)
    with pytest.raises(ExportError, match="cannot be given int8, or give it"):
        export_tflite(
            rounded,
            tmp_path / "model.tflite",
            images,
            real_layers="int8",
            **{end: "int8"},
        )


def test_probabilities_are_as_fine_as_in_keras(images, tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, name="real")(inputs)
    x = layers.Dense(100, activation="softmax")(layers.Flatten()(x))
    model, path = keras.Model(inputs, x), tmp_path / "model.tflite"
    export_tflite(model, path, images, real_layers="int8", calibration_data=images)
    received = TFLiteModel(path).predict(images)
    np.testing.assert_allclose(received.sum(1), 1, rtol=1e-5)
    assert np.mean(received * 256 % 1 < 1e-3) < 0.1


def test_stock_interpreters_agree_on_integers(network, images, tmp_path):
    path = tmp_path / "model.tflite"
    types = {"input_type": "int8", "output_type": "int8"}
    export_tflite(
        network,
        path,
        images,
        runtime="litert",
        real_layers="int8",
        calibration_data=images,
        **types,
    )
    received = []
    for name in ("litert", "tensorflow"):
        file = TFLiteModel(path, interpreter=name)
        (given,) = file.input_quantizations
        integers = given.to_integers(images, np.dtype(np.int8))
        assert file.predict(integers).dtype == np.int8
        received.append(file.predict(integers).astype(int))
    assert np.mean(np.abs(received[0] - received[1]).max(1) > 1) < 0.1
