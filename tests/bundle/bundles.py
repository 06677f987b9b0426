"""Small models and bundles for the tests."""

import hashlib
import json
import warnings

import numpy as np

from keras_rbcn import ImagePreprocessing, export_bundle
from keras_rbcn._backend import keras, tf
from keras_rbcn.bundle.labels import labels_file
from keras_rbcn.bundle.metadata import Input, Metadata, ModelFile, Output
from keras_rbcn.bundle.values import inputs_of, kinds_of_outputs, outputs_of
from keras_rbcn.layers import RectifiedConv2D
from keras_rbcn.tflite import TFLiteModel

HEIGHT, WIDTH = 8, 12
LABELS = ["cat", "dog", "red fox"]
MINUS_ONE_TO_ONE = ImagePreprocessing.from_range(-1, 1)


def small_student(channels=3, activation=None, height=HEIGHT, width=WIDTH):
    """A real and a 1-bit convolution, and three classes."""
    inputs = keras.Input((height, width, channels), name="photo")
    x = keras.layers.Conv2D(8, 3, padding="same", name="first")(inputs)
    x = RectifiedConv2D(16, 3, padding="same", name="binary")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(x)
    x = keras.layers.Dense(3, activation=activation, name="scores")(x)
    return keras.Model(inputs, x, name="pets")


def photos(count=4, channels=3, height=HEIGHT, width=WIDTH, seed=0):
    """Random pixels."""
    shape = (count, height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


def verify_data(**settings):
    """Random inputs of `small_student`, in [-1, 1]."""
    return photos(**settings).astype("float32") / 127.5 - 1


def write_pets(folder, **arguments):
    """Exports a bundle of `small_student`."""
    student = small_student()
    settings = {
        "labels": LABELS,
        "preprocessing": MINUS_ONE_TO_ONE,
        "verify_data": verify_data(),
    }
    return student, export_bundle(student, folder, **settings | arguments)


def edit_metadata(folder, change):
    """Applies a function to the object in `metadata.json`."""
    path = folder / "metadata.json"
    metadata = json.loads(path.read_text("utf-8"))
    change(metadata)
    path.write_text(json.dumps(metadata), "utf-8")


def int8_file(input_type=tf.int8, output_type=tf.int8):
    """A file of TensorFlow's own, all in integers; and its Keras model."""
    inputs = keras.Input((HEIGHT, WIDTH, 3), name="photo")
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(3)(x))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [image[np.newaxis]] for image in verify_data(count=16)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = input_type
    converter.inference_output_type = output_type
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of ranges that calibration brings.
        return converter.convert(), model


def write_by_hand(folder, content, preprocessing=MINUS_ONE_TO_ONE, labels=LABELS):
    """A bundle of any file."""
    folder.mkdir()
    file = TFLiteModel(content)
    metadata = Metadata(
        "by hand",
        "a test",
        ModelFile(
            "m.tflite", hashlib.sha256(content).hexdigest(), len(content), "litert"
        ),
        tuple(Input(**vars(v), image=preprocessing) for v in inputs_of(file)),
        tuple(
            Output(**vars(v), kind=kinds_of_outputs(file)[n], labels="names.txt")
            for n, v in enumerate(outputs_of(file))
        ),
    )
    (folder / "m.tflite").write_bytes(content)
    (folder / "metadata.json").write_text(metadata.to_json(), "utf-8")
    (folder / "names.txt").write_bytes(labels_file(labels))
    return folder
