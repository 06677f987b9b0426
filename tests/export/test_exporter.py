"""What an export writes, what it tells, and what it refuses before it starts."""

import hashlib
import json
import logging
import subprocess
import sys
from types import SimpleNamespace

import larq
import numpy as np
import pytest
from random_networks import randomize

from keras_rbcn._backend import keras, tf
from keras_rbcn.export import ExportError, export_tflite
from keras_rbcn.layers import RectifiedConv2D, RSign
from keras_rbcn.tflite import TFLiteModel
from keras_rbcn.tflite.flatbuffer import parse


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.tflite"


# ------------------------------------------------------------------------- the file


def test_writes_a_file_of_a_batch_of_one(student, images, path):
    report = export_tflite(student, path, verify_data=images)
    content = path.read_bytes()
    assert list(path.parent.iterdir()) == [path]
    assert report.bytes == len(content)
    assert report.sha256 == hashlib.sha256(content).hexdigest()
    assert report.inputs[0].shape == (1, 8, 8, 32)
    assert (report.outputs[0].name, report.outputs[0].shape) == ("logits", (1, 4))
    expected = student.predict(images, verbose=0)
    np.testing.assert_allclose(
        TFLiteModel(path).predict(images), expected, atol=1e-5 * np.abs(expected).max()
    )


def test_exports_the_student_of_a_training_model(student, images, path):
    training = SimpleNamespace(student=student, teacher="a teacher")
    report = export_tflite(training, path, verify_data=images)
    assert report.binary_convolutions == ("rc",)


def test_the_student_is_left_as_it_was(student, images, path):
    before = student.get_weights()
    config = student.get_config()
    export_tflite(student, path, verify_data=images)
    for one, other in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert student.get_config() == config
    assert not any("call" in vars(layer) for layer in student.layers)


def test_nothing_but_the_deployed_network_is_in_the_file(student, images, path):
    randomize(student, seed=0)
    layer = student.get_layer("rc")
    latent = layer.latent_kernel.numpy()
    report = export_tflite(student, path, verify_data=images)
    content = path.read_bytes()
    for real in (latent, latent.transpose(3, 0, 1, 2)):
        assert np.ascontiguousarray(real).tobytes()[:64] not in content
    # 3x3x32x32 bits, and a multiplier and a bias per filter; the axes of the pooling;
    # the classifier.
    constants = {row.operator: row.bytes for row in report.layers}
    assert constants == {
        "LceQuantize": 0,
        "LceBconv2d": 3 * 3 * 32 * 32 // 8 + 2 * 4 * 32,
        "MEAN": 8,
        "FULLY_CONNECTED": 4 * (32 * 4 + 4),
    }
    # The rest are names and structure: no room for the 36,864 bytes of the kernel.
    assert len(content) - sum(constants.values()) < 4096
    graph = parse(content)
    read = {index for op in graph.operators for index in op.inputs}
    stored = {i for i, tensor in enumerate(graph.tensors) if tensor.data is not None}
    assert stored <= read


@pytest.mark.parametrize("scale", ["channel", "layer"])
def test_a_plain_larq_twin_has_the_same_operators_and_bytes(tmp_path, scale):
    def build(convolution):
        inputs = keras.Input((12, 12, 3))
        x = keras.layers.Conv2D(32, 3, padding="same")(inputs)
        x = keras.layers.BatchNormalization()(x)
        for filters, strides in ((32, 1), (48, 2), (48, 1)):
            y = convolution(
                filters,
                strides=strides,
                padding="same",
                pad_values=1.0,
                input_quantizer="approx_sign",
                kernel_quantizer="approx_sign",
                kernel_constraint="weight_clip",
                use_bias=False,
            )(x)
            y = keras.layers.BatchNormalization()(y)
            x = keras.layers.Add()([x, y]) if strides == 1 else y
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(inputs, keras.layers.Dense(10)(x))

    images = np.random.default_rng(0).normal(size=(8, 12, 12, 3))
    plain = build(lambda filters, **k: larq.layers.QuantConv2D(filters, 3, **k))
    twin = build(lambda filters, **k: RectifiedConv2D(filters, 3, scale=scale, **k))
    for model in (plain, twin):
        # As trained ones: equal constants of fresh layers would be stored once.
        randomize(model, seed=0)
    reports = [
        export_tflite(model, tmp_path / f"{i}.tflite", verify_data=images)
        for i, model in enumerate((plain, twin))
    ]
    operators = [[row.operator for row in report.layers] for report in reports]
    assert operators[0] == operators[1]
    assert operators[0].count("LceBconv2d") == 3
    assert len(reports[0].binary_convolutions) == 3
    assert reports[1].bytes == pytest.approx(reports[0].bytes, rel=0.01)


def test_a_shared_layer_is_a_convolution_for_every_call(images, path):
    layer = RectifiedConv2D(32, 3, padding="same", name="shared")
    inputs = keras.Input((8, 8, 32))
    x = RSign(threshold_initializer="ones")(layer(inputs))
    report = export_tflite(keras.Model(inputs, layer(x)), path, verify_data=images)
    assert report.binary_convolutions == ("shared", "shared")
    assert report.operator_counts["LceBconv2d"] == 2


def test_layers_of_nested_models_are_found(student, images, path):
    inputs = keras.Input((8, 8, 32))
    outer = keras.Model(inputs, keras.layers.Dense(2)(student(inputs)))
    report = export_tflite(outer, path, verify_data=images)
    assert report.binary_convolutions == ("rc",)


def test_a_subclassed_model_with_a_decorated_call(images, path):
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = RectifiedConv2D(8, 3, name="inner")

        @tf.function
        def call(self, inputs):
            return {"map": self.convolution(inputs), "mean": tf.reduce_mean(inputs, 1)}

    model = Network()
    with pytest.raises(ValueError, match="to be built"):
        export_tflite(model, path, verify_data=images)
    # Traced before for a batch of one: the export must see the layers all the same.
    model(images[:1])
    report = export_tflite(model, path, verify_data=images)
    assert report.binary_convolutions == ("inner",)
    assert [output.shape for output in report.outputs] == [(1, 6, 6, 8), (1, 8, 32)]


def test_several_inputs_and_outputs_keep_order_and_names(path):
    photo, extra = keras.Input((8, 8, 4), name="photo"), keras.Input((3,), name="extra")
    x = RectifiedConv2D(8, 3, name="rc")(photo)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Concatenate()([x, extra])
    # Neither alphabetic order nor the order of computation.
    outputs = [keras.layers.Dense(n, name=name)(x) for n, name in ((2, "z"), (3, "a"))]
    model = keras.Model([photo, extra], [*outputs[::-1], x])
    generator = np.random.default_rng(0)
    data = [
        generator.normal(size=(9, *shape)).astype("float32")
        for shape in ((8, 8, 4), (3,))
    ]

    report = export_tflite(model, path, verify_data=data)

    assert [value.name for value in report.inputs] == ["photo", "extra"]
    assert [value.name for value in report.outputs] == ["a", "z", "concatenate"]
    file = TFLiteModel(path)
    by_name = {"extra": data[1], "photo": data[0]}
    for received in (file.predict(data), file.predict(by_name)):
        for one, other in zip(received, model.predict(data, verbose=0), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)
    export_tflite(model, path, verify_data=by_name)


def test_dictionaries_of_inputs_and_outputs(path):
    inputs = {"b": keras.Input((4,), name="b"), "a": keras.Input((2,), name="a")}
    dense = keras.layers.Dense(3, name="y")(inputs["b"])
    model = keras.Model(inputs, {"y": dense, "x": inputs["a"] + 1.0})
    data = {"a": np.ones((5, 2), "float32"), "b": np.ones((5, 4), "float32")}
    export_tflite(model, path, verify_data=data)
    file = TFLiteModel(path)
    outputs = dict(zip(file.output_names, file.predict(data), strict=True))
    np.testing.assert_allclose(outputs["y"], model.predict(data, verbose=0)["y"], 1e-5)


# ---------------------------------------------------------------------- verify_data


@pytest.mark.parametrize("kind", ["array", "tuple", "pairs", "inputs", "sequence"])
def test_forms_of_verify_data(student, images, path, kind):
    class Batches(keras.utils.Sequence):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return images[4 * index : 4 * index + 4], np.zeros(4)

    labels = np.zeros(len(images))
    data = {
        "array": lambda: images.astype("float64"),
        "tuple": lambda: (images, labels),
        "pairs": lambda: tf.data.Dataset.from_tensor_slices((images, labels)).batch(5),
        "inputs": lambda: tf.data.Dataset.from_tensor_slices(images).batch(5),
        "sequence": Batches,
    }[kind]()
    report = export_tflite(student, path, verify_data=data, verify_samples=12)
    assert report.agreement.samples == 12
    assert report.agreement.data == "verify_data"


def test_only_as_many_batches_are_read_as_needed(student, images, path):
    read = []

    def batches():
        for start in range(0, len(images), 4):
            read.append(start)
            yield images[start : start + 4]

    spec = tf.TensorSpec((None, 8, 8, 32), tf.float32)
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    export_tflite(student, path, verify_data=data, verify_samples=4)
    assert len(read) < 4


def test_random_data_with_a_warning(student, path):
    with pytest.warns(UserWarning, match="no `verify_data`") as caught:
        report = export_tflite(student, path)
    assert caught[0].filename == __file__
    assert report.agreement.data == "random"
    assert report.agreement.samples == 64
    assert "64 samples of random data" in str(report)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            np.zeros((4, 8, 8, 3)),
            r"8, 8, 32\), received: shape=\(4, 8, 8, 3\)",
        ),
        (np.zeros((8, 8, 32)), r"received: shape=\(8, 8, 32\)"),
        (np.zeros((0, 8, 8, 32)), "it is empty"),
        ([np.zeros((4, 8, 8, 32))] * 2, "received 2 arrays"),
        ({"other": np.zeros((4, 8, 8, 32))}, r"received: \['other'\]"),
    ],
)
def test_verify_data_that_do_not_fit(student, path, data, message):
    with pytest.raises(ValueError, match=message):
        export_tflite(student, path, verify_data=data)
    assert not path.exists()


def test_inputs_of_integers_need_verify_data(path):
    inputs = keras.Input((3,), dtype="int32", name="tokens")
    model = keras.Model(inputs, keras.layers.Embedding(5, 2)(inputs))
    with pytest.raises(ValueError, match=r"'tokens' \(int32\)"):
        export_tflite(model, path)
    export_tflite(model, path, verify_data=np.array([[0, 1, 4], [2, 2, 3]]))
    expected = model.predict(np.array([[4, 3, 2]]), verbose=0)
    received = TFLiteModel(path).predict(np.array([[4, 3, 2]], "int32"))
    np.testing.assert_array_equal(received, expected)


def test_verify_data_that_the_student_cannot_compute(path):
    inputs = keras.Input((3,), dtype="int32")
    model = keras.Model(inputs, keras.layers.Embedding(5, 2)(inputs), name="words")
    tokens = np.zeros((20, 3), "int32")
    tokens[17, 1] = 9
    message = r"(?s)model 'words' can compute.*from 16 to 19.*= 9 is not in \[0, 5\)"
    with pytest.raises(ValueError, match=message):
        export_tflite(model, path, verify_data=tokens)
    assert not path.exists()


@pytest.mark.parametrize("samples", [0, -1, 2.5, None])
def test_verify_samples_must_be_a_positive_integer(student, images, path, samples):
    with pytest.raises(ValueError, match="`verify_samples`"):
        export_tflite(student, path, verify_data=images, verify_samples=samples)


# ------------------------------------------------------------------ paths and models


def test_paths_are_checked_before_the_work(student, images, tmp_path, monkeypatch):
    def convert(*args, **kwargs):
        pytest.fail("converted before the path was checked")

    monkeypatch.setattr("larq_compute_engine.convert_saved_model", convert)
    with pytest.raises(FileNotFoundError, match="Create the folder"):
        export_tflite(student, tmp_path / "none" / "a.tflite", verify_data=images)
    with pytest.raises(ValueError, match="received a folder"):
        export_tflite(student, tmp_path, verify_data=images)
    monkeypatch.setattr("os.access", lambda *args: False)
    with pytest.raises(ValueError, match="writable"):
        export_tflite(student, tmp_path / "a.tflite", verify_data=images)


def test_other_objects_are_no_models(path):
    with pytest.raises(TypeError, match=r"tf_keras\.Model"):
        export_tflite("student.keras", path)


def test_an_older_file_stays_if_the_export_fails(build_student, images, path):
    good = build_student(RectifiedConv2D(4, 3))
    export_tflite(good, path, verify_data=images)
    before = path.read_bytes()
    layer = RectifiedConv2D(4, 3)
    layer.input_quantizer = larq.quantizers.SteTern()
    with pytest.raises(ExportError):
        export_tflite(build_student(layer), path, verify_data=images)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_no_file_is_left_if_writing_fails(student, images, path, monkeypatch):
    def replace(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(OSError, match="no space left"):
        export_tflite(student, path, verify_data=images)
    assert list(path.parent.iterdir()) == []


def test_an_older_file_is_replaced(student, images, path):
    path.write_bytes(b"older")
    report = export_tflite(student, str(path), verify_data=images)
    assert path.stat().st_size == report.bytes


# ------------------------------------------------------------------------ the report


def test_the_report_is_a_table(student, images, path):
    text = str(export_tflite(student, path, verify_data=images))
    row = next(line for line in text.splitlines() if "LceBconv2d" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "rc",
        "LceBconv2d",
        "1-bit",
        "8x8x32",
        "1,408",
    ]
    assert "yes, on 16 samples of verify_data" in text
    assert max(map(len, text.splitlines())) <= 88


def test_the_report_in_a_notebook(student, images, path):
    report = export_tflite(student, path, verify_data=images)
    assert report._repr_html_().startswith("<pre>")


def test_the_report_survives_json(student, images, path, tmp_path):
    report = export_tflite(student, path, verify_data=images)
    text = report.to_json(tmp_path / "report.json")
    values = json.loads(text)
    assert values == report.to_dict()
    assert values == json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert values["layers"][1]["name"] == "rc"
    assert values["layers"][1]["output_shape"] == [1, 8, 8, 32]
    assert values["agreements"][0]["class_agreement"] == 1.0
    assert values["versions"]["larq-compute-engine"].startswith("0.16")
    assert set(values["versions"]) == {
        "python",
        "keras-rbcn",
        "tensorflow",
        "tf-keras",
        "larq",
        "larq-compute-engine",
        "numpy",
    }


def test_progress_is_logged(student, images, path, caplog):
    with caplog.at_level(logging.INFO, "keras_rbcn.export"):
        export_tflite(student, path, verify_data=images)
    assert [record.getMessage() for record in caplog.records] == [
        "Converting model 'sequential' for the runtime 'lce'",
        "Comparing file and student on 16 samples",
    ]


CHATTER = """
import sys
from keras_rbcn._backend import keras
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D
import numpy as np
model = keras.Sequential([keras.Input((4, 4, 3)), RectifiedConv2D(4, 3)])
print("start", file=sys.stderr, flush=True)
export_tflite(model, sys.argv[1], verify_data=np.ones((2, 4, 4, 3)))
"""


def test_the_chatter_of_converter_and_interpreter_is_kept_back(path):
    run = subprocess.run(
        [sys.executable, "-c", CHATTER, str(path)],
        capture_output=True,
        text=True,
        check=True,
        # Without the settings of the tests.
        env={"PATH": ""},
    )
    assert run.stdout == ""
    assert run.stderr.partition("start\n")[2] == ""
