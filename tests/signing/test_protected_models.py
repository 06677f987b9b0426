"""The interpreter sees a model only after it was verified or decrypted."""

import numpy as np
import pytest
from conftest import write_bundle

from keras_rbcn import TFLiteModel, export_tflite, signing
from keras_rbcn._backend import keras
from keras_rbcn.signing import EncryptionError, SignatureError, signatures
from keras_rbcn.tflite import interpreter

X = np.arange(8, dtype="float32").reshape(2, 4)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The bytes of a small model, and of one with other weights."""
    folder = tmp_path_factory.mktemp("exported")
    contents = []
    for value in (1.0, 2.0):
        layer = keras.layers.Dense(3, kernel_initializer=keras.initializers.Ones())
        model = keras.Sequential([keras.Input((4,)), layer])
        layer.set_weights([np.full((4, 3), value), np.zeros(3)])
        export_tflite(model, folder / "m.tflite", verify_data=X)
        contents.append((folder / "m.tflite").read_bytes())
    return contents


@pytest.fixture
def shipped(exported, keys, tmp_path):
    """A signed bundle of the first."""
    files = {"digits.tflite": exported[0], "labels.txt": b"a\nb\n"}
    bundle = write_bundle(tmp_path / "shipped", files)
    signing.sign(bundle, keys.private)
    return bundle


@pytest.fixture
def unseen(monkeypatch):
    """Fails the test if any content gets as far as the parser."""

    def fail(*_):
        raise AssertionError("the content was looked at")

    monkeypatch.setattr(interpreter, "_load", fail)


def _assert_runs(model):
    np.testing.assert_allclose(model.predict(X), X.sum(1, keepdims=True) * np.ones(3))


@pytest.mark.parametrize("name", [".", "digits.tflite"])
def test_a_signed_model(shipped, keys, name):
    model = TFLiteModel(shipped / name, verify_key=keys.public)
    _assert_runs(model)
    assert "'digits.tflite' of bundle" in repr(model)


@pytest.mark.parametrize("signed", [True, False])
def test_an_encrypted_model(shipped, keys, tmp_path, signed):
    if not signed:
        (shipped / "model.sig").unlink()
    path = signing.encrypt(shipped, tmp_path / "shipped.rbcn", keys.encryption)
    _assert_runs(TFLiteModel(path, decryption_key=keys.encryption))
    both = {"verify_key": keys.public, "decryption_key": str(keys.encryption)}
    if signed:
        _assert_runs(TFLiteModel(path, **both))
    else:
        with pytest.raises(SignatureError, match="not signed"):
            TFLiteModel(path, **both)


def test_an_encrypted_model_without_its_key(shipped, keys, tmp_path):
    path = signing.encrypt(shipped, tmp_path / "shipped.rbcn", keys.encryption)
    renamed = path.rename(tmp_path / "shipped.tflite")
    with pytest.raises(
        ValueError, match=r"shipped\.tflite' is encrypted.*`decryption_k"
    ):
        TFLiteModel(renamed)
    with pytest.raises(ValueError, match=r"an encrypted bundle\. .*`decryption_key`"):
        TFLiteModel(renamed.read_bytes())


def test_nothing_decrypted_is_written(shipped, keys, tmp_path, monkeypatch):
    path = signing.encrypt(shipped, tmp_path / "shipped.rbcn", keys.encryption)
    temporary = []
    folder = signatures.tempfile.TemporaryDirectory

    class Kept(folder):
        def __exit__(self, *error):
            for file in self._rootdir().rglob("*"):
                temporary.append((file.name, file.read_bytes()))
            return super().__exit__(*error)

        def _rootdir(self):
            return type(tmp_path)(self.name)

    monkeypatch.setattr(signatures.tempfile, "TemporaryDirectory", Kept)
    TFLiteModel(path, verify_key=keys.public, decryption_key=keys.encryption)
    assert sorted(name for name, _ in temporary) == ["key.pem", "model.sig"]
    for _, content in temporary:
        assert b"TFL3" not in content


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("name", [".", "digits.tflite"])
@pytest.mark.parametrize(
    ("changed", "content"),
    [
        ("digits.tflite", None),
        ("labels.txt", b"b\na\n"),
        ("model.sig", b"{}"),
        ("more.txt", b""),
    ],
)
def test_an_altered_bundle(shipped, exported, keys, name, changed, content):
    (shipped / changed).write_bytes(exported[1] if content is None else content)
    with pytest.raises(SignatureError) as caught:
        TFLiteModel(shipped / name, verify_key=keys.public)
    assert caught.value.files == (changed,)


@pytest.mark.usefixtures("unseen")
def test_an_unsigned_model_and_another_key(shipped, keys):
    with pytest.raises(SignatureError, match="another key"):
        TFLiteModel(shipped, verify_key=keys.locked_public)
    (shipped / "model.sig").unlink()
    with pytest.raises(SignatureError, match="not signed"):
        TFLiteModel(shipped / "digits.tflite", verify_key=keys.public)


@pytest.mark.usefixtures("unseen")
def test_an_encrypted_model_that_cannot_be_decrypted(shipped, keys, tmp_path):
    path = signing.encrypt(shipped, tmp_path / "shipped.rbcn", keys.encryption)
    with pytest.raises(EncryptionError, match="the key is another"):
        TFLiteModel(path, decryption_key=keys.another)
    with pytest.raises(ValueError, match="encrypted: pass its key"):
        TFLiteModel(path, verify_key=keys.public)
    with pytest.raises(EncryptionError, match="something else"):
        TFLiteModel(shipped, decryption_key=keys.encryption)


def test_what_is_run_is_what_was_verified(shipped, exported, keys, monkeypatch):
    """The file is exchanged the moment after it was verified."""
    verify = signatures.verify_contents

    def verify_and_exchange(*arguments):
        verify(*arguments)
        (shipped / "digits.tflite").write_bytes(exported[1])

    monkeypatch.setattr(
        "keras_rbcn.signing.reading.verify_contents", verify_and_exchange
    )
    _assert_runs(TFLiteModel(shipped / "digits.tflite", verify_key=keys.public))


def test_what_is_verified_is_what_was_read(shipped, exported, keys, monkeypatch):
    """The file is right only while it is being verified."""
    good = (shipped / "digits.tflite").read_bytes()
    (shipped / "digits.tflite").write_bytes(exported[1])
    verify = signatures.verify_contents

    def mend_and_verify(*arguments):
        (shipped / "digits.tflite").write_bytes(good)
        verify(*arguments)

    monkeypatch.setattr("keras_rbcn.signing.reading.verify_contents", mend_and_verify)
    with pytest.raises(SignatureError, match=r"changed: digits\.tflite"):
        TFLiteModel(shipped / "digits.tflite", verify_key=keys.public)


def test_a_bundle_of_two_models(shipped, exported, keys):
    (shipped / "double.tflite").write_bytes(exported[1])
    signing.sign(shipped, keys.private)
    with pytest.raises(ValueError, match=r"holds 2: digits\.tflite, double\.tflite"):
        TFLiteModel(shipped, verify_key=keys.public)
    _assert_runs(TFLiteModel(shipped / "digits.tflite", verify_key=keys.public))


def test_what_the_keys_are_for(shipped, exported, keys):
    for arguments in ({"verify_key": keys.public}, {"decryption_key": bytes(32)}):
        with pytest.raises(ValueError, match="received bytes"):
            TFLiteModel(exported[0], **arguments)
    with pytest.raises(ValueError, match="holds a private key"):
        TFLiteModel(shipped, verify_key=keys.private)
    with pytest.raises(FileNotFoundError, match="no bundle"):
        TFLiteModel(shipped / "none.tflite", verify_key=keys.public)
    # Without a key it is a file as any other.
    _assert_runs(TFLiteModel(shipped / "digits.tflite"))
