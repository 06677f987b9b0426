"""Writes the files of a release that every later one must read.

    python tests/data/releases/write.py

writes the folder of the installed version, once, from that release's own code; it is
committed, and `tests/test_releases.py` reads it from then on. An older folder is never
written again: the promise is about what that release wrote.
"""

import dataclasses
import json
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

import keras_rbcn as rbcn
from keras_rbcn._backend import keras
from keras_rbcn._files import file_digest
from keras_rbcn.layers import RectifiedConv2D, RPReLU, RSign

HERE = Path(__file__).parent
SAMPLES = 6
# How far the inputs of 1-bit layers are from zero in the kept samples, as a share of
# their spread: another processor must not decide a sign otherwise.
MARGIN = 1e-3
PACKAGES = ("keras-rbcn", "tensorflow", "tf-keras", "larq", "larq-compute-engine")

layers = keras.layers


def block(x, number):
    """A 1-bit convolution with ReActNet's activations and a shortcut."""
    y = RSign(name=f"threshold{number}")(x)
    y = RectifiedConv2D(8, 3, padding="same", name=f"binary{number}")(y)
    y = layers.BatchNormalization(name=f"binary_norm{number}")(y)
    return RPReLU(name=f"activation{number}")(layers.Add()([x, y]))


def entry(name, channels):
    """An input of 6x6 and a real convolution."""
    inputs = keras.Input((6, 6, channels), name=name)
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name=f"{name}_first")(
        inputs
    )
    return inputs, layers.BatchNormalization(name=f"{name}_norm")(x)


def one_input():
    """One input, a 1-bit convolution, one output."""
    inputs, x = entry("image", 3)
    x = layers.GlobalAveragePooling2D(name="pool")(block(x, 1))
    scores = layers.Dense(4, name="scores")(x)
    return randomized(keras.Model(inputs, scores, name="one"), seed=0)


def two_inputs():
    """Two inputs and two outputs, not in the order of their names."""
    inputs, x = entry("image", 3)
    others, y = entry("depth", 1)
    x = block(layers.Add(name="joined")([x, y]), 1)
    mask = layers.Conv2D(2, 1, name="mask")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(block(x, 2))
    scores = layers.Dense(4, activation="softmax", name="scores")(x)
    return randomized(keras.Model([inputs, others], [scores, mask], name="two"), seed=1)


def randomized(model, seed):
    """Gives every weight a value that training might have given it."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" in weight.name or "gamma" in weight.name:
            values = generator.uniform(0.5, 2, weight.shape)
        elif "scale" in weight.name:
            values = generator.uniform(0.05, 0.3, weight.shape)
        else:
            values = generator.normal(0, 0.3, weight.shape)
        weight.assign(values)
    return model


def noise(model, count, seed):
    """Random inputs of a model, an array for each."""
    generator = np.random.default_rng(seed)
    return [
        generator.normal(size=(count, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    ]


def clear_samples(model):
    """Samples in which no sign is close to flipping."""
    arrays = noise(model, 400, seed=2)
    read = [one.input for one in model.layers if isinstance(one, RectifiedConv2D)]
    signed = as_list(keras.Model(model.inputs, read).predict(arrays, verbose=0))
    nearest = np.min(
        [np.abs(one).reshape(len(one), -1).min(1) / one.std() for one in signed], axis=0
    )
    best = np.sort(np.argsort(-nearest)[:SAMPLES])
    assert nearest[best].min() > MARGIN, nearest[best].min()
    return [array[best] for array in arrays]


def as_list(values):
    """A model's outputs."""
    return values if isinstance(values, list) else [values]


def named(kind, names, arrays):
    """Arrays with the names that they have in a kept .npz file."""
    return {f"{kind}/{one}": array for one, array in zip(names, arrays, strict=True)}


def write_student(folder, model, inputs):
    """A student as a Keras model, and what it computes."""
    folder.mkdir(exist_ok=True)
    model.save(folder / f"{model.name}.keras")
    outputs = as_list(model.predict(inputs, verbose=0))
    np.savez_compressed(
        folder / f"{model.name}.npz",
        **named("input", model.input_names, inputs),
        **named("output", model.output_names, outputs),
    )


def write_export(folder, name, model, inputs, **arguments):
    """A file, its report, and what the file computes of what it is given."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.tflite"
    report = rbcn.export_tflite(model, path, verify_data=inputs, **arguments)
    # As in a bundle: where it was written says nothing.
    dataclasses.replace(report, path=path.name).to_json(folder / f"{name}.json")
    file = rbcn.TFLiteModel(path)
    given = [
        array if one is None else one.to_integers(array, np.dtype(np.int8))
        for array, one in zip(inputs, file.input_quantizations, strict=True)
    ]
    np.savez_compressed(
        folder / f"{name}.npz",
        **named("input", file.input_names, given),
        **named("output", file.output_names, as_list(file.predict(given))),
    )


def write_exports(folder, one, two):
    """Files for both runtimes, in float32, in int8, and of int8 at both ends."""
    ends = {"input_type": "int8", "output_type": "int8"}
    for runtime in ("lce", "litert"):
        for model, name, types in (
            (one, "float32", None),
            (two, "float32", None),
            (two, "int8", {}),
            (one, "int8_ends", ends),
        ):
            arguments = {} if types is None else {**types, **in_int8(model)}
            write_export(
                folder,
                f"{runtime}_{model.name}_{name}",
                model,
                clear_samples(model),
                runtime=runtime,
                **arguments,
            )


def write_trained_on(folder, model):
    """A student that was trained with its rounding, and a report that tells of it."""
    keras.utils.set_random_seed(0)
    inputs = noise(model, 64, seed=3)
    small = rbcn.quantize_real_layers(model, inputs, name="int8_trained")
    training = rbcn.RBCNModel(small, model, check_teacher=False)
    training.compile(
        keras.optimizers.Adam(1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    training.fit(inputs[0], np.arange(64) % 4, batch_size=32, verbose=0)
    samples = clear_samples(small)
    write_student(folder / "students", small, samples)
    write_export(
        folder / "exports",
        "lce_one_int8_trained",
        training,
        samples,
        real_layers="int8",
        provenance={"data": rbcn.datasets.fingerprint(inputs[0])},
    )


def in_int8(model):
    """What makes an export bring real layers to int8."""
    return {"real_layers": "int8", "calibration_data": noise(model, 64, seed=3)}


def write_bundles(folder, model):
    """A signed bundle, the same encrypted, the keys to read them, and its answers.

    The private key is thrown away, and the key of the encryption guards nothing.
    """
    bundle = folder / "bundle"
    rbcn.export_bundle(
        model,
        bundle,
        labels=["cat", "dog", "bird", "Löwe"],
        preprocessing=rbcn.ImagePreprocessing.from_range(-1, 1),
        verify_data=noise(model, 8, seed=4)[0],
    )
    with tempfile.TemporaryDirectory() as secret:
        private = Path(secret, "private.pem")
        rbcn.signing.generate_key(private, folder / "public.pem")
        rbcn.signing.sign(bundle, private)
    key = folder / "TEST_DATA_ONLY.key"
    rbcn.signing.generate_encryption_key(key)
    rbcn.signing.encrypt(bundle, folder / "bundle.rbcn", key)
    photo = np.random.default_rng(5).integers(0, 256, (9, 12, 3)).astype("uint8")
    found = rbcn.Bundle(bundle).classify(photo)
    np.savez_compressed(folder / "photo.npz", photo=photo)
    answers = [{"label": one.label, "score": one.score} for one in found]
    (folder / "classes.json").write_text(json.dumps(answers, indent=1), "utf-8")


def small_classifier(name, convolution):
    """A network of a real convolution and of another one, "second"."""
    inputs = keras.Input((6, 6, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", name="first")(inputs)
    x = convolution(8, 3, padding="same", name="second")(x)
    scores = layers.Dense(4, name="scores")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, scores, name=name)


def write_training(folder):
    """A model in training with all its settings, and both forms of its log."""
    folder.mkdir()
    keras.utils.set_random_seed(0)
    teacher = small_classifier("teacher", layers.Conv2D)
    student = small_classifier("student", RectifiedConv2D)
    model = rbcn.RBCNModel(
        student, teacher, taps=[("second", "second")], check_teacher=False
    )
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(1e-3, 100, name="decay")
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        kernel_weight=1e-3,
        kernel_loss_gradient="straight_through",
        adversarial_weight=keras.optimizers.schedules.PolynomialDecay(1e-3, 10, 1e-2),
        distillation=0.5,
        temperature=3.0,
        label_smoothing=0.1,
        scale_optimizer=keras.optimizers.SGD(1e-3, momentum=0.9),
        discriminator_optimizer=keras.optimizers.Adam(1e-4, beta_1=0.5),
    )
    x, y = noise(student, 16, seed=6)[0], np.arange(16) % 4
    logs = [
        rbcn.callbacks.TrainingLog(folder / f"log{kind}") for kind in (".jsonl", ".csv")
    ]
    model.fit(
        x, y, batch_size=8, epochs=2, verbose=0, callbacks=logs, validation_data=(x, y)
    )
    model.save(folder / "model.keras")
    values = model.evaluate(x, y, batch_size=16, verbose=0, return_dict=True)
    np.savez_compressed(
        folder / "model.npz",
        **{"input/image": x, "labels": y, "output/scores": model.predict(x, verbose=0)},
        **{f"evaluate/{name}": value for name, value in values.items()},
    )
    counts = {
        name: int(getattr(model, name).iterations)
        for name in ("optimizer", "scale_optimizer", "discriminator_optimizer")
    }
    (folder / "steps.json").write_text(json.dumps(counts, indent=1), "utf-8")
    settings = json.dumps(model.get_compile_config(), indent=1, sort_keys=True)
    (folder / "settings.json").write_text(settings, "utf-8")


def write_manifest(folder):
    """Lists every file with its SHA-256, so that none can be lost or changed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {
        "release": folder.name,
        "versions": {name: version(name) for name in PACKAGES},
        "files": {str(one.relative_to(folder)): file_digest(one) for one in files},
    }
    text = json.dumps(manifest, indent=1) + "\n"
    (folder / "manifest.json").write_text(text, "utf-8")


def main() -> None:
    folder = HERE / version("keras-rbcn")
    if folder.exists():
        sys.exit(f"'{folder}' is there already: what a release wrote stays as it is.")
    with tempfile.TemporaryDirectory(dir=HERE) as beside:
        new = Path(beside, folder.name)
        new.mkdir()
        one, two = one_input(), two_inputs()
        rounded = rbcn.quantize_real_layers(
            one,
            noise(one, 64, seed=3),
            int8_inputs=True,
            int8_outputs=True,
            name="int8",
        )
        for model in (one, rounded):
            write_student(new / "students", model, clear_samples(one))
        write_exports(new / "exports", one, two)
        write_trained_on(new, one)
        write_bundles(new, one)
        write_training(new / "training")
        write_manifest(new)
        shutil.move(new, folder)


if __name__ == "__main__":
    main()
