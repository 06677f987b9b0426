"""Export for the stock runtime: 1-bit convolutions that are emulated."""

import warnings

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from larq_compute_engine.mlir.python import tflite_schema as schema
from random_networks import randomize

from keras_rbcn import ExportError, TFLiteModel, applications, export_tflite
from keras_rbcn._backend import keras, tf
from keras_rbcn.export.emulation import with_packed_kernels
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import interpreters
from keras_rbcn.tflite.flatbuffer import pack_int4, unpack_int4
from keras_rbcn.tflite.packing import pack, unpack

STOCK = ("litert", "tensorflow")


def run(content, images, delegates=True):
    """What TensorFlow's own interpreter makes of a file, one image at a time."""
    resolver = tf.lite.experimental.OpResolverType
    kind = resolver.AUTO if delegates else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(
            model_content=content, experimental_op_resolver_type=kind
        )
    interpreter.allocate_tensors()
    (source,), (target,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    outputs = []
    for image in images.astype("float32"):
        interpreter.set_tensor(source["index"], image[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target["index"])[0])
    return np.stack(outputs)


def kernels(content):
    """The kernels that are stored in 4 bits, with their scales."""
    model = unpack(content)
    tensors = model.subgraphs[0].tensors
    return {
        index: tensor
        for index, tensor in enumerate(tensors)
        if tensor.type == schema.TensorType.INT4
    }


@pytest.mark.parametrize("network", ["bcnn", "xnornet", "rbcn", "reactnet"])
def test_networks_of_the_literature(network, tmp_path):
    model = applications.CifarResNet18(network=network, classes=10)
    randomize(model, seed=1)
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3))
    path = tmp_path / "model.tflite"
    report = export_tflite(model, path, images, runtime="litert")
    assert report.agreement.passed
    assert len(report.binary_convolutions) == 16
    assert report.runtime == "litert"
    kinds = [row.kind for row in report.layers if row.operator == "CONV_2D"]
    # Stem and shortcuts are real.
    assert (kinds.count("1-bit in float32"), kinds.count("float32")) == (16, 4)


def test_what_it_costs_in_bytes(student, images, tmp_path):
    sizes = {
        runtime: export_tflite(student, tmp_path / runtime, images, runtime=runtime)
        for runtime in ("lce", "litert")
    }
    binary = np.prod(student.get_layer("rc").kernel.shape)
    # A bit each, and four.
    assert sizes["lce"].bytes < binary / 8 + 6_000
    assert binary / 2 < sizes["litert"].bytes < binary / 2 + 6_000


def without_checksum(content):
    """As another program would have written it."""
    return content.replace(b"keras_rbcn sha256:", b"another program's:")


@pytest.mark.parametrize("name", STOCK)
def test_both_stock_interpreters_run_it(name, student, images, tmp_path):
    path = tmp_path / "model.tflite"
    export_tflite(student, path, images, runtime="litert")
    model = TFLiteModel(path, interpreter=name)
    assert model.interpreter == name
    expected = student.predict(images, verbose=0)
    np.testing.assert_allclose(model.predict(images), expected, atol=1e-5)
    # It is tried in a process of its own first.
    foreign = TFLiteModel(without_checksum(path.read_bytes()), interpreter=name)
    np.testing.assert_array_equal(foreign.predict(images), model.predict(images))


def test_a_file_chooses_its_interpreter(student, images, tmp_path, monkeypatch):
    for runtime, name in (("lce", "larq"), ("litert", "litert")):
        export_tflite(student, tmp_path / runtime, images, runtime=runtime)
        assert TFLiteModel(tmp_path / runtime).interpreter == name
    with pytest.raises(ValueError, match=r"cannot be run.*Lce"):
        TFLiteModel(tmp_path / "lce", interpreter="litert")
    with pytest.raises(ValueError, match=r"`interpreter` .*\('larq', 'litert', 'tens"):
        TFLiteModel(tmp_path / "lce", interpreter="lce")
    # Without the package, TensorFlow's own.
    monkeypatch.setitem(interpreters.STOCK_MODULES, "litert", "not_installed.module")
    assert TFLiteModel(tmp_path / "litert").interpreter == "tensorflow"
    with pytest.raises(ImportError, match=r"keras-rbcn\[litert\]"):
        TFLiteModel(tmp_path / "litert", interpreter="litert")


def test_it_is_compared_in_every_interpreter(student, images, tmp_path, monkeypatch):
    """A file that one of them computes otherwise is refused, and names it."""
    wrong = interpreters._StockInterpreter.predict

    def predict(self, arrays):
        outputs = wrong(self, arrays)
        tensorflow = "tensorflow" in type(self._interpreter).__module__
        return [output + tensorflow for output in outputs]

    monkeypatch.setattr(interpreters._StockInterpreter, "predict", predict)
    path = tmp_path / "model.tflite"
    with pytest.raises(ExportError, match="the interpreter 'tensorflow'") as caught:
        export_tflite(student, path, images, runtime="litert")
    assert caught.value.report.agreement.interpreter == "tensorflow"
    assert not path.exists()


def test_sums_of_zero_stay_zero(build_student, images, tmp_path):
    """Nothing is added between the convolutions, and half of the sums are zero."""
    model = build_student(
        *(RectifiedConv2D(32, 1, name=f"rc{number}") for number in range(4))
    )
    randomize(model, seed=0)
    # Even numbers of inputs, of both signs alike: as many +1 as -1 are frequent.
    path = tmp_path / "model.tflite"
    export_tflite(model, path, images, runtime="litert")
    expected = model.predict(images, verbose=0)
    assert (model.layers[0](images).numpy() == 0).mean() > 0.05
    np.testing.assert_allclose(run(path.read_bytes(), images), expected, rtol=1e-6)


def test_a_filter_of_zeros(student, images, tmp_path):
    layer = student.get_layer("rc")
    layer.scale.assign(np.where(np.arange(32) == 3, 0.0, layer.scale))
    path = tmp_path / "model.tflite"
    export_tflite(student, path, images, runtime="litert")
    expected = student.predict(images, verbose=0)
    np.testing.assert_allclose(run(path.read_bytes(), images), expected, atol=1e-6)


def test_a_layer_that_is_called_twice(tmp_path):
    inputs = keras.Input((6, 6, 8))
    layer = RectifiedConv2D(8, 3, padding="same", name="shared")
    x = keras.layers.BatchNormalization()(layer(inputs))
    x = keras.layers.BatchNormalization()(layer(x))
    model = keras.Model(inputs, x)
    randomize(model, seed=2)
    images = np.random.default_rng(0).normal(size=(8, 6, 6, 8))
    path = tmp_path / "model.tflite"
    report = export_tflite(model, path, images, runtime="litert")
    assert report.binary_convolutions == ("shared", "shared")
    expected = model.predict(images.astype("float32"), verbose=0)
    np.testing.assert_allclose(run(path.read_bytes(), images), expected, atol=1e-5)


def test_do_not_give_the_stored_kernel_to_the_convolution(student, images, tmp_path):
    """The trap: without DEQUANTIZE the runtime rounds the signs to 8 bits."""
    path = tmp_path / "model.tflite"
    export_tflite(student, path, images, runtime="litert")
    model = unpack(path.read_bytes())
    graph = model.subgraphs[0]
    ((index, kernel),) = kernels(path.read_bytes()).items()
    signs = unpack_int4(bytes(model.buffers[kernel.buffer].data), tuple(kernel.shape))
    graph.tensors[index].type = schema.TensorType.INT8
    model.buffers[kernel.buffer].data = signs.view(np.uint8).ravel()
    (dequantize,) = (op for op in graph.operators if list(op.inputs) == [index])
    graph.operators.remove(dequantize)
    for operator in graph.operators:
        operator.inputs = [
            index if i == dequantize.outputs[0] else i for i in operator.inputs
        ]
    expected = student.predict(images, verbose=0)
    right = np.abs(run(path.read_bytes(), images) - expected).max()
    wrong = np.abs(run(pack(model, 2**16), images) - expected).max()
    assert wrong > 1000 * right


def test_real_kernels_stay_as_they_are(build_student, images, tmp_path):
    model = build_student(keras.layers.Conv2D(4, 3), keras.layers.Flatten())
    path = tmp_path / "model.tflite"
    report = export_tflite(model, path, images, runtime="litert")
    assert report.binary_convolutions == ()
    assert not kernels(path.read_bytes())
    content = path.read_bytes()
    unwanted = [np.zeros((3, 3, 32, 4), bool)]
    assert len(kernels(with_packed_kernels(content, unwanted))) == 0


def test_the_layers_are_as_before(student, images, tmp_path):
    before = student.get_layer("rc").input_quantizer
    export_tflite(student, tmp_path / "model.tflite", images, runtime="litert")
    assert student.get_layer("rc").input_quantizer is before


@pytest.mark.parametrize("runtime", ["larq", "tflite", None, 3])
def test_unknown_runtimes(runtime, student, images, tmp_path):
    with pytest.raises(ValueError, match=r"`runtime` .*\('lce', 'litert'\).*runtime="):
        export_tflite(student, tmp_path / "model.tflite", images, runtime=runtime)


@hypothesis.given(
    st.lists(st.integers(-8, 7), min_size=1, max_size=20).map(np.array),
)
def test_four_bits_come_back(values):
    packed = pack_int4(values)
    assert packed.dtype == np.uint8
    assert len(packed) == -(-len(values) // 2)
    assert packed[0] & 15 == values[0] % 16
    found = unpack_int4(packed.tobytes(), values.shape)
    np.testing.assert_array_equal(found, values)
