"""Bundles written, read back and run."""

import json
import os
from pathlib import Path

import bundles
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRTInterpreter
from bundles import (
    LABELS,
    MINUS_ONE_TO_ONE,
    edit_metadata,
    int8_file,
    photos,
    small_student,
    verify_data,
    write_by_hand,
    write_pets,
)

from keras_rbcn import (
    Bundle,
    ExportError,
    ImagePreprocessing,
    RBCNModel,
    TFLiteModel,
    export_bundle,
    export_tflite,
    signing,
)
from keras_rbcn._backend import keras, tf
from keras_rbcn.bundle import writing
from keras_rbcn.layers import RectifiedConv2D

FILES = {
    "labels.txt",
    "metadata.json",
    "model.tflite",
    "report.html",
    "report.json",
}


def _softmax(logits):
    return keras.activations.softmax(tf.constant(logits)).numpy()


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    """A student, its bundle's folder, and the report."""
    folder = tmp_path_factory.mktemp("written") / "pets"
    student, report = write_pets(folder)
    return student, folder, report


def test_what_is_written(pets):
    _, folder, report = pets
    assert {path.name for path in folder.iterdir()} == FILES
    assert (folder / "labels.txt").read_text("utf-8") == "cat\ndog\nred fox\n"
    assert report.path == str(folder / "model.tflite")
    assert report.agreement.passed
    written = json.loads((folder / "report.json").read_text("utf-8"))
    assert written["sha256"] == report.sha256
    for path in folder.iterdir():
        # Nothing of the machine that wrote it.
        assert str(folder.parent).encode() not in path.read_bytes(), path
    assert list(folder.parent.iterdir()) == [folder]


def test_the_same_model_gives_the_same_bytes(pets, tmp_path):
    student, folder, _ = pets
    export_bundle(
        student,
        tmp_path / "again",
        labels=LABELS,
        preprocessing=MINUS_ONE_TO_ONE,
        verify_data=verify_data(),
    )
    for name in ("labels.txt", "metadata.json", "model.tflite"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_it_classifies_as_the_student_does(pets):
    student, folder, _ = pets
    bundle = Bundle(folder)
    assert bundle.labels == LABELS
    images = photos(seed=1)
    np.testing.assert_allclose(bundle.preprocess(images), images / 127.5 - 1, atol=1e-6)
    for image in images:
        logits = student.predict(image[np.newaxis] / 127.5 - 1, verbose=0)[0]
        expected = _softmax(logits[np.newaxis])[0]
        received = bundle.classify(image)
        assert [p.label for p in received] == [LABELS[n] for n in np.argsort(-expected)]
        np.testing.assert_allclose(
            [p.score for p in received], np.sort(expected)[::-1], atol=1e-4
        )
        assert bundle.classify(image, top=1) == received[:1]


def test_images_of_any_size(pets):
    bundle = Bundle(pets[1])
    several = [photos(1, height=5, width=9)[0], photos(1, height=50, width=20)[0]]
    prepared = bundle.preprocess(several)
    assert prepared.shape == (2, 8, 12, 3)
    for image, expected in zip(several, prepared, strict=True):
        np.testing.assert_array_equal(bundle.preprocess(image)[0], expected)
    grey = photos(1, channels=1)[0]
    assert bundle.preprocess(grey[..., 0]).shape == (1, 8, 12, 3)
    with pytest.raises(ValueError, match="Expected one image, received 2"):
        bundle.classify(several)


def test_the_metadata(pets):
    student, folder, report = pets
    told = Bundle(folder).metadata
    assert told.name == student.name == "pets"
    assert told.model.sha256 == report.sha256
    assert (told.model.file, told.model.runtime) == ("model.tflite", "lce")
    (value,), (output,) = told.inputs, told.outputs
    assert (value.name, value.shape) == ("photo", (1, 8, 12, 3))
    assert (value.dtype, value.quantization) == ("float32", None)
    # One number for each channel once it was in a file.
    assert value.image == ImagePreprocessing([127.5] * 3, [127.5] * 3)
    assert (output.kind, output.labels) == ("logits", "labels.txt")


@pytest.mark.parametrize(
    ("activation", "kind"),
    [(None, "logits"), ("softmax", "probabilities"), ("sigmoid", "probabilities")],
)
def test_kinds_of_scores(tmp_path, activation, kind):
    student = small_student(activation=activation)
    export_bundle(
        student,
        tmp_path / "b",
        labels=LABELS,
        preprocessing=MINUS_ONE_TO_ONE,
        verify_data=verify_data(),
        runtime="litert",
    )
    bundle = Bundle(tmp_path / "b")
    assert bundle.metadata.outputs[0].kind == kind
    assert bundle.metadata.model.runtime == "litert"
    image = photos(seed=3)[0]
    expected = student.predict(image[np.newaxis] / 127.5 - 1, verbose=0)[0]
    if activation is None:
        expected = _softmax(expected[np.newaxis])[0]
    received = {p.label: p.score for p in bundle.classify(image)}
    np.testing.assert_allclose(
        [received[label] for label in LABELS], expected, atol=1e-4
    )


def test_grey_images(tmp_path):
    student = small_student(channels=1)
    export_bundle(
        student,
        tmp_path / "b",
        preprocessing=ImagePreprocessing.from_range(0, 1, crop_fraction=0.875),
        verify_data=photos(channels=1) / 255,
        name="grey pets",
    )
    bundle = Bundle(tmp_path / "b")
    assert bundle.metadata.name == "grey pets"
    assert bundle.metadata.inputs[0].image.crop_fraction == 0.875
    assert bundle.labels is None
    assert bundle.metadata.outputs[0].labels is None
    image = photos(1, height=30, width=40)[0]
    scores = bundle.classify(image)
    assert sorted(p.label for p in scores) == ["0", "1", "2"]
    assert sum(p.score for p in scores) == pytest.approx(1)


def test_a_whole_rbcn_model(tmp_path):
    student = small_student()
    model = RBCNModel(student)
    model.compile("adam", "mse")
    export_bundle(model, tmp_path / "b", labels=LABELS, verify_data=verify_data())
    bundle = Bundle(tmp_path / "b")
    assert bundle.metadata.name == student.name
    with pytest.raises(ValueError, match="does not say how an image becomes"):
        bundle.classify(photos()[0])
    np.testing.assert_allclose(
        bundle.model.predict(verify_data()),
        student.predict(verify_data(), verbose=0),
        atol=1e-4,
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
def test_models_in_integers(tmp_path, dtype):
    kind = tf.as_dtype(dtype)
    content, model = int8_file(kind, kind)
    bundle = Bundle(write_by_hand(tmp_path / "b", content))
    value = bundle.metadata.inputs[0]
    assert value.dtype == dtype
    assert (value.quantization is None) == (dtype == "float32")
    images = photos(seed=5)
    prepared = bundle.preprocess(images)
    assert str(prepared.dtype) == dtype
    interpreter = LiteRTInterpreter(model_content=content)
    detail = interpreter.get_input_details()[0]
    scale, zero_point = detail["quantization"]
    if scale:
        assert bundle.metadata.inputs[0].quantization.scale == pytest.approx(scale)
        real = (prepared.astype(np.float64) - zero_point) * scale
        np.testing.assert_allclose(real, images / 127.5 - 1, atol=scale / 2 + 1e-6)
    for image in images:
        expected = _softmax(model.predict(image[None] / 127.5 - 1, verbose=0))[0]
        received = {p.label: p.score for p in bundle.classify(image)}
        np.testing.assert_allclose(
            [received[label] for label in LABELS], expected, atol=0.02
        )


def test_several_outputs(tmp_path):
    inputs = keras.Input((4, 4, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    outputs = [keras.layers.Dense(n, name=f"d{n}")(pooled) for n in (2, 3)]
    model = keras.Model(inputs, [*outputs, inputs * 2.0])
    data = verify_data(height=4, width=4)
    settings = {"preprocessing": MINUS_ONE_TO_ONE, "verify_data": data}
    export_bundle(model, tmp_path / "b", labels=LABELS, **settings)
    bundle = Bundle(tmp_path / "b")
    told = [(value.kind, value.labels) for value in bundle.metadata.outputs]
    assert told == [("logits", None), ("logits", "labels.txt"), ("other", None)]
    with pytest.raises(ValueError, match=r"one output of scores, .* has 2"):
        bundle.classify(photos(height=4, width=4)[0])
    with pytest.raises(ValueError, match="4 labels for outputs of shape"):
        export_bundle(model, tmp_path / "c", labels=[*LABELS, "x"], **settings)
    twice = keras.Model(inputs, [outputs[0], outputs[0] * 2.0])
    with pytest.raises(ValueError, match="the scores of one output"):
        export_bundle(twice, tmp_path / "c", labels=LABELS[:2], **settings)


# --- signed and encrypted ---------------------------------------------------------


@pytest.fixture
def keys(tmp_path):
    """A pair of keys, and one to encrypt with."""
    paths = [tmp_path / name for name in ("private.pem", "public.pem", "secret.key")]
    signing.generate_key(*paths[:2])
    signing.generate_encryption_key(paths[2])
    return paths


def test_signed_and_encrypted(pets, tmp_path, keys):
    private, public, secret = keys
    folder = tmp_path / "pets"
    write_pets(folder)
    with pytest.raises(signing.SignatureError, match="not signed"):
        Bundle(folder, verify_key=public)
    signing.sign(folder, private)
    signing.encrypt(folder, tmp_path / "pets.rbcn", secret)
    image = photos()[0]
    expected = Bundle(folder).classify(image)
    assert Bundle(folder, verify_key=public).classify(image) == expected
    for key in (None, public):
        bundle = Bundle(tmp_path / "pets.rbcn", verify_key=key, decryption_key=secret)
        assert bundle.classify(image) == expected
        assert bundle.files["labels.txt"] == b"cat\ndog\nred fox\n"
    (folder / "labels.txt").write_text("dog\ncat\nred fox\n")
    with pytest.raises(signing.SignatureError, match=r"changed: labels\.txt"):
        Bundle(folder, verify_key=public)
    with pytest.raises(ValueError, match="is encrypted"):
        Bundle(tmp_path / "pets.rbcn")


def test_nothing_is_looked_at_before_it_is_verified(tmp_path, keys, monkeypatch):
    folder = tmp_path / "pets"
    write_pets(folder)
    signing.sign(folder, keys[0])
    edit_metadata(folder, lambda told: told.update(name="another"))

    def fail(*_):
        raise AssertionError("the metadata were looked at")

    monkeypatch.setattr("keras_rbcn.bundle.reading.Metadata.from_json", fail)
    with pytest.raises(signing.SignatureError, match=r"changed: metadata\.json"):
        Bundle(folder, verify_key=keys[1])


# --- bundles that contradict themselves -------------------------------------------


@pytest.fixture
def copied(pets, tmp_path):
    """The folder of a bundle that may be changed."""
    folder = tmp_path / "copied"
    folder.mkdir()
    for path in pets[1].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("name", ["metadata.json", "model.tflite", "labels.txt"])
def test_a_file_is_missing(copied, name):
    (copied / name).unlink()
    with pytest.raises(ValueError, match=f"to hold '{name}'.*incomplete"):
        Bundle(copied)


def test_another_model(copied):
    other = copied.parent / "other.tflite"
    export_tflite(small_student(activation="softmax"), other, verify_data())
    (copied / "model.tflite").write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match="was altered or exchanged"):
        Bundle(copied)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"cat\ndog\n", "received: 2 labels"),
        (b"cat\ndog\nred fox", "does not end in a line break"),
        (b"cat\n\nred fox\n", r"labels\[1\]=''"),
        (b"cat\r\ndog\r\nred fox\r\n", r"labels\[0\]='cat\\r'"),
        (b"cat\ndog\nfox\xff\n", "utf-8"),
        (b"", "line break"),
    ],
)
def test_other_labels(copied, content, fragment):
    (copied / "labels.txt").write_bytes(content)
    with pytest.raises(ValueError, match=f"'labels.txt' of bundle.*{fragment}"):
        Bundle(copied)


@pytest.mark.parametrize(
    ("place", "field", "value"),
    [
        ("inputs", "name", "image"),
        ("inputs", "shape", [1, 12, 8, 3]),
        ("inputs", "quantization", {"scale": 0.1, "zero_point": 0}),
        ("outputs", "dtype", "int8"),
        ("outputs", "name", "logits"),
    ],
)
def test_metadata_of_another_model(copied, place, field, value):
    def change(told):
        told[place][0][field] = value
        told["inputs"][0]["image"] = None

    edit_metadata(copied, change)
    with pytest.raises(ValueError, match=f"Expected the {place} in the metadata"):
        Bundle(copied)


def test_what_is_no_bundle(tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"")
    with pytest.raises(ValueError, match="not written by export_bundle"):
        Bundle(tmp_path)
    with pytest.raises(FileNotFoundError, match="none"):
        Bundle(tmp_path / "none")


@pytest.mark.parametrize("top", [0, -1, 1.5, True, None])
def test_wrong_top(pets, top):
    with pytest.raises(ValueError, match="`top` to be a positive integer"):
        Bundle(pets[1]).classify(photos()[0], top=top)


# --- folders and arguments --------------------------------------------------------


def _contents(folder):
    return {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def test_an_older_bundle_is_replaced_if_that_is_said(copied):
    before = _contents(copied)
    with pytest.raises(ValueError, match="overwrite=True"):
        write_pets(copied, labels=["a", "b", "c"])
    assert _contents(copied) == before
    write_pets(copied, labels=["a", "b", "c"], overwrite=True)
    assert Bundle(copied).labels == ["a", "b", "c"]
    assert [p.name for p in copied.parent.iterdir()] == [copied.name]


def test_a_signature_of_the_older_bundle_goes_with_it(copied):
    (copied / "model.sig").write_bytes(b"of the older one")
    write_pets(copied, overwrite=True)
    assert not (copied / "model.sig").exists()


def test_an_empty_folder_and_a_link_to_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_pets(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert {p.name for p in (tmp_path / "real").iterdir()} >= FILES


@pytest.mark.parametrize(
    ("spoil", "fragment"),
    [
        (lambda folder: (folder / "thesis.tex").write_text("x"), "thesis.tex"),
        (lambda folder: (folder / "sub").mkdir(), "'sub'"),
        (lambda folder: (folder / "metadata.json").write_text("{}"), "metadata.json"),
        (lambda folder: (folder / "metadata.json").write_text("[" * 9999), "metadata"),
        (lambda folder: (folder / "metadata.json").unlink(), "metadata.json"),
        (
            lambda folder: (
                os.replace(folder / "labels.txt", folder.parent / "elsewhere.txt")
                or (folder / "labels.txt").symlink_to("../elsewhere.txt")
            ),
            "labels.txt",
        ),
    ],
)
def test_what_is_no_older_bundle_is_never_replaced(copied, spoil, fragment):
    spoil(copied)
    before = _contents(copied)
    with pytest.raises(ValueError, match=f"(?s)older bundle.*{fragment}"):
        write_pets(copied, overwrite=True)
    assert _contents(copied) == before


def test_labels_of_any_script(tmp_path):
    # With joiners, which are no control characters.
    labels = ["Käfer", "\u0645\u06cc\u200c\u062e\u0648", "👩\u200d🔬"]
    write_pets(tmp_path / "b", labels=labels)
    assert Bundle(tmp_path / "b").labels == labels


def test_labels_that_are_the_same_in_a_bundle_of_another(copied):
    (copied / "labels.txt").write_text("crane\ndog\ncrane\n", "utf-8")
    assert Bundle(copied).labels == ["crane", "dog", "crane"]


@pytest.mark.parametrize("failing", ["rename", "mkdir", "write_text", "write_bytes"])
def test_a_folder_is_there_whole_or_not_at_all(copied, monkeypatch, failing):
    before = _contents(copied)
    original = getattr(Path, failing)
    calls = []

    def fail(path, *arguments, **settings):
        # The second rename puts the new folder into its place.
        calls.append(path)
        if failing != "rename" or len(calls) == 2:
            raise OSError(28, os.strerror(28))
        return original(path, *arguments, **settings)

    monkeypatch.setattr(Path, failing, fail)
    with pytest.raises(OSError, match=os.strerror(28)) as raised:
        write_pets(copied, overwrite=True)
    monkeypatch.undo()
    if failing == "write_text":
        assert raised.value.filename == str(copied)
    if failing == "write_bytes":
        assert raised.value.filename == str(copied / "model.tflite")
    assert _contents(copied) == before
    assert list(copied.parent.iterdir()) == [copied]


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    student = small_student()

    def refuse(model, path, **_):
        report = export_tflite(model, path, verify_data=verify_data())
        raise ExportError("refused", report)

    monkeypatch.setattr(writing, "export_tflite", refuse)
    with pytest.raises(ExportError, match="refused") as raised:
        export_bundle(student, tmp_path / "b", verify_data=verify_data())
    assert raised.value.report.path == str(tmp_path / "b" / "model.tflite")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "error", "fragment"),
    [
        ({"labels": "abc"}, ValueError, "list of strings"),
        ({"labels": {"cat": 0}}, ValueError, "list of strings"),
        ({"labels": ["cat", "dog"]}, ValueError, "2 labels for outputs"),
        ({"labels": ["cat", "dog", ""]}, ValueError, r"labels\[2\]=''"),
        ({"labels": ["cat", "dog", 3]}, ValueError, r"labels\[2\]=3"),
        ({"labels": ["cat", " dog", "x"]}, ValueError, r"labels\[1\]=' dog'"),
        ({"labels": ["a\nb", "dog", "x"]}, ValueError, r"labels\[0\]="),
        ({"labels": ["a\u2028b", "dog", "x"]}, ValueError, r"labels\[0\]="),
        ({"labels": ["cat", "d\0g", "x"]}, ValueError, r"labels\[1\]='d\\x00g'"),
        ({"labels": ["cat", "dog", "a\x1b[1m"]}, ValueError, r"labels\[2\]="),
        ({"labels": ["\ufeffcat", "dog", "x"]}, ValueError, r"labels\[0\]="),
        ({"labels": ["cat", "dog", "\ud800"]}, ValueError, r"labels\[2\]="),
        ({"preprocessing": (-1, 1)}, TypeError, "to be an ImagePreprocessing"),
        (
            {"preprocessing": ImagePreprocessing([1, 2], 1)},
            ValueError,
            "3 for the channels",
        ),
        ({"name": ""}, ValueError, "`name`"),
        ({"name": 5}, ValueError, "`name`"),
        ({"runtime": "coffee"}, ValueError, "`runtime`"),
        ({"no_such_argument": 1}, TypeError, "no_such_argument"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, error, fragment):
    with pytest.raises(error, match=fragment):
        write_pets(tmp_path / "b", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_equal_labels(tmp_path):
    labels = ["crane", "dog", "crane"]
    with pytest.warns(UserWarning, match=r"are the same: 'crane'\.") as caught:
        write_pets(tmp_path / "b", labels=labels)
    assert caught[0].filename == bundles.__file__  # Where it is called from.
    assert Bundle(tmp_path / "b").labels == labels


def test_preprocessing_of_what_is_no_image(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"images of 1 or 3 channels.*\(1, 4\)"):
        export_bundle(model, tmp_path / "b", preprocessing=MINUS_ONE_TO_ONE)
    first, second = keras.Input((4, 4, 3)), keras.Input((4, 4, 3))
    model = keras.Model([first, second], keras.layers.Add()([first, second]))
    with pytest.raises(ValueError, match="a model of one input"):
        export_bundle(model, tmp_path / "b", preprocessing=MINUS_ONE_TO_ONE)


def test_preprocessing_for_a_model_of_pixels(tmp_path, monkeypatch):
    monkeypatch.delattr(writing, "export_tflite")  # It is told before.
    pixels = keras.Input((4, 4, 3), dtype="uint8")
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(pixels))
    model = keras.Model(pixels, x)
    with pytest.raises(ValueError, match=r"float32 inputs .* takes uint8"):
        export_bundle(model, tmp_path / "b", preprocessing=MINUS_ONE_TO_ONE)


def test_wrong_folders(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="received a file"):
        write_pets(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="Create"):
        write_pets(tmp_path / "none" / "b")
    with pytest.raises(TypeError, match=r"tf_keras\.Model"):
        export_bundle("student.keras", tmp_path / "b")


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_current_folder_is_not_replaced(tmp_path, monkeypatch, overwrite):
    monkeypatch.delattr(writing, "export_tflite")  # It is told before.
    monkeypatch.chdir(tmp_path)
    for folder in (".", tmp_path, f"../{tmp_path.name}"):
        with pytest.raises(ValueError, match="another than the current one"):
            write_pets(folder, overwrite=overwrite)


def test_tflite_model_reads_it_too(pets):
    file = TFLiteModel(pets[1] / "model.tflite")
    assert file.predict(verify_data()).shape == (4, 3)
    # Real inputs, which came to the binary layer with both signs.
    assert any(isinstance(layer, RectifiedConv2D) for layer in pets[0].layers)


def test_a_1_bit_model_with_real_layers_in_integers(tmp_path):
    student, report = write_pets(
        tmp_path / "b",
        real_layers="int8",
        calibration_data=verify_data(count=32, seed=7),
        input_type="int8",
        output_type="int8",
    )
    assert report.operator_counts["LceBconv2d"] == 1
    bundle = Bundle(tmp_path / "b")
    (value,), (output,) = bundle.metadata.inputs, bundle.metadata.outputs
    assert (value.dtype, output.dtype) == ("int8", "int8")
    image = photos(seed=11)[0]
    step = value.quantization.scale
    real = value.quantization.to_numbers(bundle.preprocess(image))[0]
    np.testing.assert_allclose(real, image / 127.5 - 1, atol=step / 2 + 1e-6)
    expected = _softmax(student.predict(image[None] / 127.5 - 1, verbose=0))[0]
    received = {p.label: p.score for p in bundle.classify(image)}
    np.testing.assert_allclose([received[name] for name in LABELS], expected, atol=0.1)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_comes_into_the_folder_meanwhile_is_not_lost(
    student, images, overwrite, tmp_path
):
    folder = tmp_path / "bundle"

    class Data(keras.utils.Sequence):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            folder.mkdir(exist_ok=True)
            (folder / "notes.txt").write_text("mine")
            return images

    with pytest.raises(ValueError, match=r"notes\.txt|to be new or empty"):
        export_bundle(student, folder, verify_data=Data(), overwrite=overwrite)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (lambda scores: scores, "logits"),
        (lambda scores: tf.nn.relu(scores), "logits"),
        (lambda scores: tf.nn.softmax(scores), "probabilities"),
        (lambda scores: tf.clip_by_value(tf.nn.softmax(scores), 0, 1), "probabilities"),
        (lambda scores: tf.exp(tf.nn.log_softmax(scores)), "probabilities"),
        (
            lambda scores: (tf.nn.softmax(scores) + tf.nn.softmax(2 * scores)) / 2,
            "probabilities",
        ),
    ],
)
def test_probabilities_are_known_however_they_are_made(end, kind, tmp_path):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4, 4, 3))
    scores = keras.layers.Dense(3)(
        keras.layers.Flatten()(RectifiedConv2D(4, 3)(inputs))
    )
    images = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype("float32")
    model = keras.Model(inputs, end(scores))
    export_bundle(
        model, tmp_path / "bundle", labels=["a", "b", "c"], verify_data=images
    )
    (output,) = Bundle(tmp_path / "bundle").metadata.outputs
    assert output.kind == kind


def test_labels_of_a_subclassed_model(tmp_path):
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.convolution = RectifiedConv2D(4, 3)
            self.scores = keras.layers.Dense(3)

        def call(self, inputs):
            return self.scores(keras.layers.Flatten()(self.convolution(inputs)))

    model = Subclassed()
    images = np.random.default_rng(0).normal(size=(8, 4, 4, 3)).astype("float32")
    model(images[:1])
    folder = tmp_path / "bundle"
    export_bundle(model, folder, labels=["a", "b", "c"], verify_data=images)
    assert Bundle(folder).labels == ["a", "b", "c"]
    with pytest.raises(ValueError, match="2 labels for outputs of shape"):
        export_bundle(model, tmp_path / "other", labels=["a", "b"], verify_data=images)
    assert not (tmp_path / "other").exists()
