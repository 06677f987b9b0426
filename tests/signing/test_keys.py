"""Files of keys: made, and told from what they are not."""

import errno
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from keras_rbcn import TFLiteModel, signing
from keras_rbcn.signing import key_files


def _private_pem(key, layout=serialization.PrivateFormat.PKCS8):
    return key.private_bytes(
        serialization.Encoding.PEM, layout, serialization.NoEncryption()
    )


def _write(path, content):
    path.write_bytes(content)
    path.chmod(0o600)
    return path


# --- keys to sign with ------------------------------------------------------------


def test_private_files_are_their_owners_alone(keys):
    for path in (keys.private, keys.locked, keys.encryption):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in keys.locked.read_bytes()


@pytest.mark.parametrize("existing", ["private.pem", "public.pem"])
def test_keys_are_never_overwritten(tmp_path, existing):
    (tmp_path / existing).write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=existing):
        signing.generate_key(tmp_path / "private.pem", tmp_path / "public.pem")
    with pytest.raises(FileExistsError, match=existing):
        signing.generate_encryption_key(tmp_path / existing)
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_bytes() == b"precious"


def test_a_key_that_cannot_be_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(key_files, "open", full, raising=False)
    with pytest.raises(OSError, match=r"key cannot be written: No space.*a\.key"):
        signing.generate_encryption_key(tmp_path / "a.key")
    assert not list(tmp_path.iterdir())


def test_one_path_for_both_keys(tmp_path):
    with pytest.raises(FileExistsError):
        signing.generate_key(tmp_path / "key.pem", tmp_path / "key.pem")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("password", ["", 5])
def test_passwords_that_are_none(tmp_path, password):
    with pytest.raises(ValueError, match="`password`"):
        signing.generate_key(tmp_path / "a.pem", tmp_path / "b.pem", password)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "layout",
    [
        serialization.PrivateFormat.PKCS8,
        serialization.PrivateFormat.TraditionalOpenSSL,
    ],
)
@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_curves_and_layouts(bundle, tmp_path, curve, layout):
    key = ec.generate_private_key(curve)
    private = _write(tmp_path / "key.pem", _private_pem(key, layout))
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signing.sign(bundle, private)
    signing.verify(bundle, _write(tmp_path / "public.pem", public))


@pytest.mark.parametrize(
    ("key", "fragment"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RSA"),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
    ],
)
def test_keys_of_another_kind(bundle, tmp_path, key, fragment):
    private = key()
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(ValueError, match=f"elliptic curve .*: {fragment}"):
        signing.sign(bundle, _write(tmp_path / "a.pem", _private_pem(private)))
    with pytest.raises(ValueError, match=f"elliptic curve .*: {fragment}"):
        signing.verify(bundle, _write(tmp_path / "b.pem", public))


def test_the_key_of_the_other_side(signed, keys):
    with pytest.raises(ValueError, match=r"holds a public key\. Give the private key"):
        signing.sign(signed, keys.public)
    for use in (signing.verify, lambda path, key: TFLiteModel(path, verify_key=key)):
        with pytest.raises(ValueError, match=r"a private key\. Give the public key"):
            use(signed, keys.private)


def _in_der(key, password=None):
    encryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    private = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, encryption
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public


@pytest.mark.parametrize("password", [None, b"a password"])
def test_keys_in_der(signed, tmp_path, password):
    contents = _in_der(ec.generate_private_key(ec.SECP256R1()), password)
    private, public = (
        _write(tmp_path / name, content)
        for name, content in zip(("a.der", "b.der"), contents, strict=True)
    )
    with pytest.raises(ValueError, match="pkey -inform DER -in key"):
        signing.sign(signed, private)
    with pytest.raises(ValueError, match="pkey -inform DER -pubin -in key"):
        signing.verify(signed, public)
    with pytest.raises(ValueError, match=r"a public key in DER\. Give the private key"):
        signing.sign(signed, public)
    with pytest.raises(ValueError, match=r"a private key in DER\. Give the public key"):
        TFLiteModel(signed, verify_key=private)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "in PEM"),
        (b"\x80\x81", "in PEM"),
        (b"0" * 64, "in PEM"),
        (b"-----BEGIN CERTIFICATE-----", "a certificate"),
        (
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "Cannot|a p",
        ),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "Cannot|a p"),
        (b"0" * (2**20 + 1), "larger"),
    ],
)
def test_files_that_hold_no_key(signed, tmp_path, content, fragment):
    path = _write(tmp_path / "key.pem", content)
    with pytest.raises(ValueError, match=fragment):
        signing.sign(signed, path)
    with pytest.raises(ValueError, match=fragment):
        signing.verify(signed, path)


def test_keys_that_are_not_there(signed, tmp_path):
    for use in (signing.sign, signing.verify):
        with pytest.raises(FileNotFoundError, match=r"none\.pem"):
            use(signed, tmp_path / "none.pem")
        with pytest.raises(ValueError, match="a folder"):
            use(signed, tmp_path)


def test_passwords(bundle, keys):
    with pytest.raises(ValueError, match="has a password"):
        signing.sign(bundle, keys.locked)
    with pytest.raises(ValueError, match="password is wrong"):
        signing.sign(bundle, keys.locked, password="another")
    with pytest.raises(ValueError, match="has no password"):
        signing.sign(bundle, keys.private, password="a password")
    assert not (bundle / "model.sig").exists()


def test_no_pipe_is_left_open(bundle, keys):
    signing.sign(bundle, keys.locked, password="a password")
    before = os.listdir("/dev/fd")
    signing.sign(bundle, keys.locked, password="a password")
    assert len(os.listdir("/dev/fd")) == len(before)


def test_files_that_others_may_read(bundle, keys, tmp_path):
    private = _write(tmp_path / "key.pem", keys.private.read_bytes())
    secret = _write(tmp_path / "secret.key", keys.encryption.read_bytes())
    for path in (private, secret):
        path.chmod(0o640)
    with pytest.warns(UserWarning, match=r"chmod 600 '.*key\.pem'"):
        signing.sign(bundle, private)
    with pytest.warns(UserWarning, match=r"chmod 600 '.*secret\.key'"):
        signing.read_encryption_key(secret)


# --- keys to encrypt with ---------------------------------------------------------


def test_an_encryption_key_from_each_place(keys, monkeypatch):
    digits = keys.encryption.read_text().strip()
    expected = bytes.fromhex(digits)
    monkeypatch.setenv("KEY", digits.upper())
    for source in (keys.encryption, str(keys.encryption), "env:KEY", expected):
        assert signing.read_encryption_key(source) == expected


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (b"", "is empty"),
        (b"ab" * 31, "62 characters"),
        (b"ab" * 33, "66 characters"),
        (b"xy" * 32, "64 characters"),
        (bytes(range(128, 160)), "32 bytes: write them as hex"),
        (b"-----BEGIN PRIVATE KEY-----", "PEM"),
    ],
)
def test_what_is_no_encryption_key(tmp_path, monkeypatch, content, fragment):
    path = _write(tmp_path / "key", content)
    with pytest.raises(ValueError, match=fragment) as caught:
        signing.read_encryption_key(path)
    assert "abab" not in str(caught.value)  # Close to a key, and no reader's business.
    if content.isascii():
        monkeypatch.setenv("KEY", content.decode())
        with pytest.raises(ValueError, match=f"variable 'KEY' .*{fragment}"):
            signing.read_encryption_key("env:KEY")


def test_encryption_keys_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.delenv("KEY", raising=False)
    with pytest.raises(ValueError, match="'KEY', which is not set"):
        signing.read_encryption_key("env:KEY")
    with pytest.raises(FileNotFoundError, match="none"):
        signing.read_encryption_key(tmp_path / "none")
    with pytest.raises(ValueError, match="32 bytes, received: 31"):
        signing.read_encryption_key(bytes(31))
