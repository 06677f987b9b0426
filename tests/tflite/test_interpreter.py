"""Running .tflite files: ours, and any others."""

import larq_compute_engine
import numpy as np
import pytest

from keras_rbcn._backend import keras, tf
from keras_rbcn.export import export_tflite
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel


def plain_file(model, batch=1, **settings):
    """A file of TensorFlow Lite's own operators, by TensorFlow's own converter."""
    specs = [tf.TensorSpec((batch, *x.shape[1:]), x.dtype) for x in model.inputs]
    function = tf.function(
        lambda *x: model(x if len(x) > 1 else x[0])
    ).get_concrete_function(*specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    for name, value in settings.items():
        setattr(converter, name, value)
    return converter.convert()


@pytest.fixture
def dense():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.fixture
def exported(student, images, tmp_path):
    path = tmp_path / "model.tflite"
    export_tflite(student, path, verify_data=images)
    return path


@pytest.mark.parametrize("samples", [1, 2, 7])
def test_any_number_of_samples(student, images, exported, samples):
    expected = student.predict(images[:samples], verbose=0)
    received = TFLiteModel(exported).predict(images[:samples])
    assert received.shape == expected.shape
    np.testing.assert_allclose(received, expected, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 4, 7])
def test_files_of_a_larger_batch(dense, samples):
    file = TFLiteModel(plain_file(dense, batch=4))
    assert file.input_shape == (4, 4)
    x = np.random.default_rng(0).normal(size=(samples, 4)).astype("float32")
    np.testing.assert_allclose(file.predict(x), dense.predict(x, verbose=0), atol=1e-6)


def test_files_of_larq_compute_engine_itself(student, images):
    content = larq_compute_engine.convert_keras_model(student)
    received = TFLiteModel(content).predict(images)
    np.testing.assert_allclose(received, student.predict(images, verbose=0), atol=1e-4)


def test_integers(dense):
    def samples():
        for _ in range(8):
            yield [np.random.default_rng(0).normal(size=(1, 4)).astype("float32")]

    content = plain_file(
        dense,
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=samples,
        inference_input_type=tf.int8,
        inference_output_type=tf.int8,
    )
    file = TFLiteModel(content)
    assert file.input_dtypes == [np.int8]
    assert file.predict(np.zeros((2, 4), "int8")).dtype == np.int8
    with pytest.raises(ValueError, match="element type int8, received: dtype=float32"):
        file.predict(np.zeros((2, 4), "float32"))


def test_state_and_empty_constants_are_no_corruption():
    class Scalar(keras.layers.Layer):
        def call(self, inputs):
            return tf.reshape(tf.reduce_sum(inputs), []) + inputs

    model = keras.Sequential([keras.Input((4,), batch_size=1), Scalar()])
    file = TFLiteModel(plain_file(model))
    np.testing.assert_allclose(file.predict(np.ones((1, 4))), np.full((1, 4), 5.0))


def test_loops():
    class Doubling(keras.layers.Layer):
        def call(self, inputs):
            return tf.while_loop(
                lambda x: tf.reduce_sum(x) < 100.0,
                lambda x: (2.0 * x + 1.0,),
                (inputs,),
            )[0]

    model = keras.Sequential([keras.Input((2,), batch_size=1), Doubling()])
    file = TFLiteModel(plain_file(model))
    assert file.graph.others
    np.testing.assert_allclose(file.predict(np.ones((1, 2))), [[63.0, 63.0]])


def test_names_shapes_and_types(exported):
    file = TFLiteModel(str(exported), num_threads=2)
    assert file.input_shapes == [(1, 8, 8, 32)]
    assert file.output_shape == (1, 4)
    assert file.output_names == ["logits"]
    assert file.output_dtypes == [np.float32]
    assert "model.tflite" in repr(file)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((2, 8, 8, 3)),
            r"8, 8, 32\), received: shape=\(2, 8, 8, 3\)",
        ),
        (np.zeros((8, 8, 32)), r"x\[np.newaxis\]"),
        (np.zeros((0, 8, 8, 32)), "at least one"),
        ([np.zeros((1, 8, 8, 32))] * 2, "received: shape="),
        ({"photo": np.zeros((1, 8, 8, 32))}, r"received: \['photo'\]"),
        (np.zeros((1, 8, 8, 32), complex), "dtype=complex128"),
        (np.full((1, 8, 8, 32), "a"), "dtype=<U1"),
    ],
)
def test_inputs_that_do_not_fit(exported, x, message):
    with pytest.raises(ValueError, match=message):
        TFLiteModel(exported).predict(x)


@pytest.mark.parametrize("interpreter", ["larq", "litert", "tensorflow"])
def test_indices_beyond_their_table(interpreter):
    table = keras.layers.Embedding(10, 4, input_length=3)
    model = keras.Sequential([keras.Input((3,), dtype="int32"), table])
    file = TFLiteModel(plain_file(model), interpreter=interpreter)
    inside = np.array([[1, 2, 9]], "int32")
    for index in (10, -1):
        with pytest.raises(ValueError, match=f"'{interpreter}', fails on these: .*Ind"):
            file.predict(np.array([[1, 2, index]], "int32"))
        # And is as it was.
        np.testing.assert_array_equal(file.predict(inside), model(inside))


def test_several_inputs_that_do_not_fit():
    inputs = [keras.Input((2,), name="a"), keras.Input((2,), name="b")]
    file = TFLiteModel(plain_file(keras.Model(inputs, keras.layers.Add()(inputs))))
    with pytest.raises(ValueError, match=r"same number of samples.*3.*2"):
        file.predict([np.zeros((3, 2)), np.zeros((2, 2))])
    with pytest.raises(ValueError, match="Expected 2 inputs"):
        file.predict(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="use `input_shapes`"):
        _ = file.input_shape


@pytest.mark.parametrize("structure", ["list", "dictionary"])
def test_several_outputs_are_in_the_order_of_keras(structure, tmp_path):
    inputs = keras.Input((4,))
    heat, label = (
        keras.layers.Dense(3, name=name)(inputs) for name in ("first", "second")
    )
    outputs = [heat, label] if structure == "list" else {"z": heat, "a": label}
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    export_tflite(model, tmp_path / "model.tflite", verify_data=x)
    file = TFLiteModel(tmp_path / "model.tflite")
    expected = model.predict(x, verbose=0)
    if structure == "dictionary":
        expected = [expected["a"], expected["z"]]
    received = file.predict(x)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    by_name = dict(zip(file.output_names, received, strict=True))
    layer = keras.Model(inputs, heat)
    np.testing.assert_allclose(by_name["first"], layer.predict(x, verbose=0), atol=1e-5)


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*none\.tflite'"):
        TFLiteModel(tmp_path / "none.tflite")
    with pytest.raises(ValueError, match="received a folder"):
        TFLiteModel(tmp_path)


@pytest.mark.parametrize("threads", [0, -1, 1.5, None])
def test_threads(exported, threads):
    with pytest.raises(ValueError, match="`num_threads`"):
        TFLiteModel(exported, num_threads=threads)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_files_of_another_kind(tmp_path, content):
    path = tmp_path / "picture.tflite"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"file '.*picture\.tflite' is not one"):
        TFLiteModel(path)


def test_unknown_custom_operators():
    class Betainc(keras.layers.Layer):
        def call(self, inputs):
            ones = tf.ones_like(inputs)
            return tf.raw_ops.Betainc(a=ones, b=ones, x=tf.sigmoid(inputs))

    model = keras.Sequential([keras.Input((4,)), Betainc()])
    content = plain_file(model, allow_custom_ops=True)
    with pytest.raises(ValueError, match="holds the custom operator 'Betainc'"):
        TFLiteModel(content)


def test_one_flipped_bit_anywhere_in_a_file_of_ours_is_noticed(exported):
    content = exported.read_bytes()
    TFLiteModel(content)
    for place in np.random.default_rng(0).integers(8, len(content), 50):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        if b"keras_rbcn sha256:" not in damaged:
            continue  # The bit was in the mark itself.
        with pytest.raises(ValueError, match="truncated or corrupted"):
            TFLiteModel(bytes(damaged))


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_truncated_files(exported, keep):
    content = exported.read_bytes()
    with pytest.raises(ValueError, match="truncated or corrupted"):
        TFLiteModel(content[: int(keep * len(content))])
    foreign = larq_compute_engine.convert_keras_model(
        keras.Sequential([keras.Input((4, 4, 3)), RectifiedConv2D(4, 3)])
    )
    with pytest.raises(ValueError, match="truncated or corrupted"):
        TFLiteModel(foreign[: int(keep * len(foreign))])
