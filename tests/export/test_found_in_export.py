"""Defects that were found by attacking the export, each with its test."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from random_networks import randomize

from keras_rbcn._backend import keras, tf
from keras_rbcn._files import replacing
from keras_rbcn.export import ExportError, export_tflite
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel

layers = keras.layers


def wrong():
    """Zero padding by more than the map: the converter's result is wrong."""
    inputs = keras.Input((2, 3, 8))
    convolved = RectifiedConv2D(8, 7, padding="same", pad_values=0.0)(inputs)
    return inputs, convolved


@pytest.fixture
def small_images():
    return np.random.default_rng(0).normal(size=(32, 2, 3, 8)).astype("float32")


def test_an_outlying_sample_does_not_hide_a_wrong_file(small_images, tmp_path):
    inputs, convolved = wrong()
    model = keras.Model(inputs, layers.Add()([inputs, convolved]))
    small_images[0] *= 1e6
    with pytest.raises(ExportError):
        export_tflite(model, tmp_path / "m.tflite", small_images)


def test_an_offset_does_not_hide_a_wrong_file(small_images, tmp_path):
    inputs, convolved = wrong()
    pooled = layers.GlobalAveragePooling2D()(convolved)
    model = keras.Model(inputs, layers.Rescaling(1.0, offset=1e4)(pooled))
    with pytest.raises(ExportError):
        export_tflite(model, tmp_path / "m.tflite", small_images)


def test_a_large_channel_does_not_hide_wrong_ones(small_images, tmp_path):
    inputs, convolved = wrong()
    pool = layers.GlobalAveragePooling2D
    large = layers.Rescaling(1e6)(pool()(inputs))
    model = keras.Model(inputs, layers.Concatenate()([pool()(convolved), large]))
    with pytest.raises(ExportError):
        export_tflite(model, tmp_path / "m.tflite", small_images)


def test_offsets_outliers_and_dead_channels_do_not_refuse_a_right_file(
    small_images, tmp_path
):
    inputs = keras.Input((2, 3, 8))
    x = RectifiedConv2D(8, 3, padding="same")(inputs)
    x = layers.BatchNormalization()(layers.Add()([x, inputs]))
    dead = layers.ReLU()(layers.Rescaling(1.0, offset=-100.0)(x))
    far = layers.Rescaling(1.0, offset=1e4)(x)
    joined = layers.Concatenate()([x, dead, far])
    outputs = [joined, layers.Softmax()(layers.GlobalAveragePooling2D()(x))]
    small_images[0] *= 1e3
    report = export_tflite(
        keras.Model(inputs, outputs), tmp_path / "m.tflite", small_images
    )
    assert report.agreement.beyond_rounding < 0.1


def test_one_sample_is_enough_to_compare(small_images, tmp_path):
    inputs, convolved = wrong()
    model = keras.Model(inputs, layers.Flatten()(convolved))
    with pytest.raises(ExportError):
        export_tflite(model, tmp_path / "m.tflite", small_images[:1])


def test_verify_data_are_not_cast_silently(tmp_path):
    model = keras.Sequential(
        [keras.Input((4,), dtype="uint8"), layers.Rescaling(1 / 255), layers.Dense(2)]
    )
    path = tmp_path / "m.tflite"
    share = np.random.default_rng(0).uniform(size=(8, 4))
    with pytest.raises(ValueError, match="numbers of type uint8"):
        export_tflite(model, path, share)
    with pytest.raises(ValueError, match="numbers of type uint8"):
        export_tflite(model, path, np.full((8, 4), "a"))
    export_tflite(model, path, np.round(255 * share))


def test_verify_data_that_are_not_finite_are_named(student, images, tmp_path):
    images[3] = np.nan
    with pytest.raises(ValueError, match="'input_1' to hold finite numbers"):
        export_tflite(student, tmp_path / "m.tflite", images)


def test_empty_tuples_and_booleans_are_refused(student, images, tmp_path):
    with pytest.raises(ValueError, match="verify_data"):
        export_tflite(student, tmp_path / "m.tflite", ())
    with pytest.raises(ValueError, match="verify_samples"):
        export_tflite(student, tmp_path / "m.tflite", images, verify_samples=True)
    export_tflite(student, tmp_path / "m.tflite", images, np.int64(2))
    with pytest.raises(ValueError, match="num_threads"):
        TFLiteModel(tmp_path / "m.tflite", num_threads=2**40)


def test_devices_are_not_replaced(student, images):
    with pytest.raises(ValueError, match="ordinary file"):
        export_tflite(student, "/dev/full", images)


def test_links_are_followed(tmp_path):
    target, link = tmp_path / "target.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as beside:
        beside.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.txt", "target.txt"]


def test_recurrent_layers_start_anew_with_each_sample(tmp_path):
    model = keras.Sequential([keras.Input((5, 3), batch_size=1), layers.LSTM(4)])
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    content = converter.convert()
    x = np.random.default_rng(0).normal(size=(1, 5, 3)).astype("float32")
    one, again = TFLiteModel(content).predict(np.repeat(x, 2, axis=0))
    np.testing.assert_array_equal(one, again)


def test_markup_in_a_file_name_is_text(student, images, tmp_path):
    report = export_tflite(student, tmp_path / "[red]x[bold].tflite", images)
    assert "[red]x[bold].tflite" in str(report)


def test_one_model_is_exported_by_several_threads(student, images, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        paths = [tmp_path / f"{number}.tflite" for number in range(4)]
        reports = list(pool.map(lambda p: export_tflite(student, p, images), paths))
    assert len({report.sha256 for report in reports}) == 1


def test_rounding_of_large_logits_does_not_refuse_a_right_file(tmp_path):
    # Most probabilities are next to nothing, and move with the rounding of others.
    keras.utils.set_random_seed(1)
    images = np.random.default_rng(1).normal(size=(24, 8, 8, 16)).astype("float32")
    inputs = keras.Input((8, 8, 16))
    x = RectifiedConv2D(8, 3, padding="same")(layers.Conv2D(32, 3)(inputs))
    x = layers.Dense(10)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Softmax()(layers.Rescaling(100.0)(x)))
    report = export_tflite(model, tmp_path / "m.tflite", images)
    assert report.agreement.passed


def test_a_model_may_branch_on_its_inputs(tmp_path):
    class Branching(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = RectifiedConv2D(8, 3)
            self.scores = layers.Dense(3)

        def call(self, inputs):
            x = self.convolution(inputs)
            if tf.reduce_mean(inputs) > 0.0:
                x = x + 1.0
            return self.scores(tf.reduce_mean(x, [1, 2]))

    model = Branching()
    images = np.random.default_rng(0).normal(size=(8, 8, 8, 4)).astype("float32")
    model(images)
    report = export_tflite(model, tmp_path / "m.tflite", images[:1])
    assert report.operator_counts["LceBconv2d"] == 1


@pytest.mark.parametrize("offset", [1.0, 1e6])
def test_a_large_channel_does_not_hide_the_others(offset, tmp_path):
    """Whether a sign is close to zero was judged by the largest value of a layer."""
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    # Zeros are padded, and the kernel is larger than the map: the file is wrong.
    x = RectifiedConv2D(8, 3, dilation_rate=3, padding="same", pad_values=0.0)(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.BatchNormalization()(RectifiedConv2D(8, 3)(x))
    model = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(x)))
    randomize(model, seed=0)
    beta = model.get_layer("bn").beta
    beta.assign(np.append(offset, beta.numpy()[1:]))
    data = np.random.default_rng(0).normal(size=(32, 4, 4, 3)).astype("float32")
    with pytest.raises(ExportError, match="does not compute"):
        export_tflite(model, tmp_path / "m.tflite", data)


def test_a_student_that_gives_no_numbers_is_refused(student, images, tmp_path):
    """On the signs of the file, the student was right."""
    variance = student.layers[1].moving_variance
    variance.assign(np.full(variance.shape, np.nan))
    with pytest.raises(ExportError, match="Look for NaN in the weights"):
        export_tflite(student, tmp_path / "m.tflite", images)
    assert not (tmp_path / "m.tflite").exists()
