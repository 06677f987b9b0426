"""Defects that `make fuzz` has found, each with its test."""

import numpy as np
import pytest
from fuzzing import Case, assert_computes_the_same
from plain_files import PlainFile
from random_networks import randomize

from keras_rbcn._backend import keras, tf
from keras_rbcn.export import ExportError, converter, export_tflite
from keras_rbcn.export.verification import ROUNDING, relative_differences
from keras_rbcn.layers import RectifiedConv2D, RSign
from keras_rbcn.quantization import quantize_real_layers
from keras_rbcn.tflite import TFLiteModel

layers = keras.layers


def joined_by(join):
    """Two int8 layers of different ranges, joined in front of a 1-bit convolution."""
    inputs = keras.Input((6, 6, 3), name="image")
    one = layers.Conv2D(8, 3, padding="same")(inputs)
    other = layers.Conv2D(8, 3, padding="same")(layers.BatchNormalization()(inputs))
    x = join([one, layers.Activation("linear")(other)])
    x = RectifiedConv2D(8, 3, padding="same")(x)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    model = keras.Model(inputs, layers.Dense(5)(x))
    randomize(model, seed=0)
    other.node.layer.set_weights([4 * w for w in other.node.layer.get_weights()])
    images = np.random.default_rng(0).normal(size=(16, 6, 6, 3)).astype("float32")
    return model, {"image": images}


@pytest.mark.parametrize("runtime", ["lce", "litert"])
@pytest.mark.parametrize(
    "join",
    [
        pytest.param(lambda x: layers.Concatenate()(x), id="concatenate"),
        pytest.param(lambda x: layers.Maximum()(x), id="maximum"),
        pytest.param(lambda x: tf.concat(x, -1), id="tf.concat"),
        pytest.param(lambda x: tf.minimum(*x), id="tf.minimum"),
    ],
)
def test_do_not_cut_off_one_of_two_joined_values(join, runtime, tmp_path, monkeypatch):
    """To all inputs of one operator the converters give one range."""
    case = Case(runtime, True, (False, False), *joined_by(join))
    path = tmp_path / "model.tflite"
    case.export(path)
    assert_computes_the_same(PlainFile(path.read_bytes()), case)
    path.unlink()
    monkeypatch.setattr(converter, "_joining", lambda *_: [])
    with pytest.raises(ExportError, match="does not compute what model"):
        case.export(path)
    assert not path.exists()


def test_functions_of_tensorflow_are_as_before_the_export(tmp_path):
    """What watched them took their code away."""
    model, images = joined_by(lambda x: tf.concat(x, -1))
    case = Case("lce", True, (False, False), model, images)
    case.export(tmp_path / "model.tflite")
    rounded = case.student
    expected = rounded.predict(images, verbose=0)
    case.export(tmp_path / "again.tflite")
    np.testing.assert_array_equal(rounded.predict(images, verbose=0), expected)
    np.testing.assert_array_equal(case.student.predict(images, verbose=0), expected)


def behind_flipped_signs():
    """A model, and images of which all signs but two are others when rounded."""
    inputs = keras.Input((4, 4, 1), name="image")
    x = layers.Conv2D(1, 1, kernel_initializer="ones", name="real")(inputs)
    x = RSign(name="threshold")(x)
    x = RectifiedConv2D(1, 1, kernel_initializer="ones", name="binary")(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    # -0.003 is 0 in steps of 2/255, and no longer below the threshold.
    model.get_layer("threshold").set_weights([np.array([-0.002])])
    images = np.full((64, 4, 4, 1), -0.003, np.float32)
    images[0, 0, 0], images[0, 0, 1] = 1.0, -1.0
    return model, images


def test_measure_ranges_behind_flipped_signs(tmp_path):
    """They were those of the student in float32."""
    model, images = behind_flipped_signs()
    path = tmp_path / "model.tflite"
    small = quantize_real_layers(model, images)
    report = export_tflite(small, path, images, real_layers="int8")
    assert not any(one.clipped for one in report.int8.ranges)
    found = TFLiteModel(path).predict(images)
    step = np.ptp(small.get_layer("dense").range_of("outputs")) / 255
    np.testing.assert_allclose(found, small.predict(images), atol=1.01 * step)


def test_do_not_write_ranges_in_which_flipped_signs_do_not_fit(tmp_path):
    model, images = behind_flipped_signs()
    calibrated = np.where(images == np.float32(-0.003), np.float32(-0.1), images)
    with pytest.raises(ExportError, match="are not those of `verify_data`") as error:
        export_tflite(
            model,
            tmp_path / "model.tflite",
            images,
            real_layers="int8",
            calibration_data=calibrated,
        )
    assert "inputs of layer 'dense'" in str(error.value)


@pytest.mark.parametrize("runtime", ["lce", "litert"])
def test_give_int8_that_the_model_goes_on_with(runtime, tmp_path):
    inputs = keras.Input((6, 6, 3), name="image")
    x = RectifiedConv2D(8, 3)(layers.Conv2D(8, 1)(inputs))
    x = layers.Dense(4)(layers.Flatten()(layers.BatchNormalization()(x)))
    model = keras.Model(inputs, [x, layers.Dense(3)(layers.ReLU()(x))])
    randomize(model, seed=0)
    images = np.random.default_rng(0).normal(size=(16, 6, 6, 3)).astype("float32")
    case = Case(runtime, True, (False, True), model, {"image": images})
    path = tmp_path / "model.tflite"
    case.export(path)
    assert_computes_the_same(PlainFile(path.read_bytes()), case)


@pytest.mark.parametrize("runtime", ["lce", "litert"])
def test_do_not_refuse_integers_that_are_moved_about(runtime, tmp_path):
    """ShuffleNet: two tensors of one shape and scale held what was rounded once."""
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((6, 6, 2, 4))(x))
    x = layers.Conv2D(8, 1)(layers.Reshape((6, 6, 8))(x))
    x = layers.BatchNormalization()(RectifiedConv2D(8, 3, padding="same")(x))
    model = keras.Model(inputs, layers.Dense(5)(layers.Flatten()(x)))
    randomize(model, seed=0)
    images = np.random.default_rng(1).normal(size=(16, 6, 6, 3)).astype("float32")
    case = Case(runtime, True, (False, False), model, {"image": images})
    case.export(tmp_path / "model.tflite")
    file = PlainFile((tmp_path / "model.tflite").read_bytes())
    assert_computes_the_same(file, case)


@pytest.mark.parametrize("join", [layers.Maximum, layers.Concatenate])
def test_give_int8_of_joined_maps(join, tmp_path):
    """LiteRT's converter gave the two maps one range."""
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    y = layers.BatchNormalization()(RectifiedConv2D(8, 3, padding="same")(x))
    model = keras.Model(inputs, join()([x, y]))
    randomize(model, seed=0)
    images = np.random.default_rng(1).normal(size=(16, 6, 6, 3)).astype("float32")
    case = Case("litert", True, (False, True), model, {"image": images})
    case.export(tmp_path / "model.tflite")
    file = PlainFile((tmp_path / "model.tflite").read_bytes())
    assert_computes_the_same(file, case)


@pytest.mark.parametrize("dead", ["one", "all"])
@pytest.mark.parametrize("runtime", ["lce", "litert"])
def test_do_not_cut_off_the_bias_of_a_dead_filter(runtime, dead, tmp_path):
    """Steps of next to nothing took it, counted in them, beyond 32 bits."""
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", name="pruned")(inputs)
    x = layers.PReLU(shared_axes=(1, 2))(layers.BatchNormalization()(x))
    y = layers.BatchNormalization()(RectifiedConv2D(8, 3, padding="same")(x))
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    model = keras.Model(inputs, layers.Dense(5)(x))
    randomize(model, seed=0)
    kernel, bias = model.get_layer("pruned").get_weights()
    kernel[..., : 3 if dead == "one" else None] = 0.0
    model.get_layer("pruned").set_weights([kernel, bias])
    images = np.random.default_rng(0).normal(size=(16, 6, 6, 3)).astype("float32")
    case = Case(runtime, True, (False, False), model, {"image": images})
    path = tmp_path / "model.tflite"
    case.export(path)
    if dead == "one":  # Else all outputs are the same, and there is no step.
        assert_computes_the_same(PlainFile(path.read_bytes()), case)
    found = TFLiteModel(path).predict(images)
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, expected, atol=0.05 * np.ptp(expected))


def test_a_dead_filter_stays_dead_in_training():
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 3, use_bias=False, name="pruned")(inputs)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    layer = model.get_layer("pruned")
    kernel = layer.kernel.numpy()
    kernel[..., 1] = 0.0
    layer.kernel.assign(kernel)
    images = np.random.default_rng(0).normal(size=(16, 6, 6, 3)).astype("float32")
    small = quantize_real_layers(model, images)
    small(images, training=True)
    integers = small.get_layer("pruned").kernel_integers()
    assert not integers[..., 1].any()
    reach = np.abs(kernel).max((0, 1, 2))
    for channel in (0, 2, 3):  # Each in its own range.
        wanted = np.rint(kernel[..., channel] / reach[channel] * 127)
        assert np.abs(integers[..., channel] - wanted).max() <= 1


def test_do_not_refuse_the_rounding_of_what_is_rarely_active():
    """Behind a slope of next to nothing, the few others had to be exact."""
    generator = np.random.default_rng(0)
    rest = 1e-4 * generator.normal(size=(64, 2))
    active = np.zeros((64, 2))
    active[::20, 0] = 1.0  # Beyond the 95th percentile.
    expected = (rest + active).astype("float32")
    rounding = 2e-5 * active
    assert relative_differences([expected], [expected + rounding]).max() < ROUNDING
    # What is wrong is seen in either kind of value.
    wrong = relative_differences([expected], [expected + 10 * rounding])
    assert (wrong[::20] > ROUNDING).all()
    wrong = relative_differences([expected], [expected + 1e-6 * (1 - active)])
    assert np.median(wrong) > ROUNDING
