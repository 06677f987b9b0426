"""Encrypted bundles: what comes out is what went in, or nothing does."""

import io
import os
import stat
import struct
import zipfile

import pytest
from conftest import FILES, write_bundle
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from keras_rbcn import signing
from keras_rbcn.signing import EncryptionError, encryption

KEY = bytes(range(32))
_HEADER = len(encryption.MAGIC) + 1 + 12
_NAMES = st.from_regex(
    r"[a-z0-9é_][a-z0-9é_ .]{0,8}(/[a-z0-9é_]{1,8})?", fullmatch=True
)


@pytest.fixture
def encrypted(bundle, tmp_path):
    return signing.encrypt(bundle, tmp_path / "bundle.rbcn", KEY)


def _craft(path, archive):
    """What whoever has the key can make."""
    header = encryption.MAGIC + b"\x01" + bytes(12)
    path.write_bytes(header + AESGCM(KEY).encrypt(bytes(12), archive, header))
    return path


def _zip(entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return buffer.getvalue()


# --- there and back ---------------------------------------------------------------


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    files=st.dictionaries(_NAMES, st.binary(max_size=300), max_size=5),
    key=st.binary(min_size=32, max_size=32),
)
def test_what_is_decrypted_is_what_was_encrypted(tmp_path_factory, files, key):
    files = {
        name: content
        for name, content in files.items()
        # A name cannot be a file and a folder.
        if not any(other.startswith(f"{name}/") for other in files)
    }
    # What holds a private key, or this very key, is refused: tests of their own.
    refused = (b"PRIVATE KEY-----", key, key.hex().encode())
    contents = [content.lower() for content in files.values()]
    assume(not any(one.lower() in content for one in refused for content in contents))
    files["model.tflite"] = b"a model"
    folder = tmp_path_factory.mktemp("any")
    bundle = write_bundle(folder / "bundle", files)
    path = signing.encrypt(bundle, folder / "out", key)
    assert signing.decrypt(path, key) == files
    assert list(signing.decrypt(path, key)) == sorted(files)


def test_keys_from_files_and_from_the_environment(bundle, keys, tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", keys.encryption.read_text())
    path = signing.encrypt(bundle / "model.tflite", tmp_path / "out", keys.encryption)
    assert signing.decrypt(path, "env:KEY") == FILES


def test_nothing_of_the_bundle_can_be_seen(encrypted):
    content = encrypted.read_bytes()
    for name, data in FILES.items():
        assert name.encode() not in content
        assert data not in content


def test_no_nonce_is_used_twice(bundle, tmp_path):
    first = signing.encrypt(bundle, tmp_path / "first", KEY).read_bytes()
    second = signing.encrypt(bundle, tmp_path / "second", KEY).read_bytes()
    assert len(first) == len(second)
    assert first[: _HEADER - 12] == second[: _HEADER - 12]
    assert first[_HEADER - 12 : _HEADER] != second[_HEADER - 12 : _HEADER]
    assert first[_HEADER:] != second[_HEADER:]


def test_the_file_is_aes_gcm_of_a_zip_archive(encrypted):
    content = encrypted.read_bytes()
    archive = AESGCM(KEY).decrypt(
        content[_HEADER - 12 : _HEADER], content[_HEADER:], content[:_HEADER]
    )
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == FILES


def test_a_signature_is_encrypted_with_the_rest(signed, keys, tmp_path):
    path = signing.encrypt(signed, tmp_path / "out", KEY)
    contents = signing.read_bundle(path, keys.public, decryption_key=KEY)
    assert contents == {f.name: f.read_bytes() for f in signed.iterdir()}
    with pytest.raises(signing.SignatureError, match="another key"):
        signing.read_bundle(path, keys.locked_public, decryption_key=KEY)


# --- what is refused --------------------------------------------------------------


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_changed_byte_and_any_other_length(encrypted, data):
    content = encrypted.read_bytes()
    changed = bytearray(content)
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        changed[position] ^= data.draw(st.integers(1, 255))
    elif data.draw(st.booleans()):
        del changed[position:]
    else:
        changed += data.draw(st.binary(min_size=1, max_size=20))
    encrypted.write_bytes(changed)
    with pytest.raises(EncryptionError, match=r"bundle\.rbcn"):
        signing.decrypt(encrypted, KEY)
    encrypted.write_bytes(content)


def test_the_nonce_and_the_version_are_authenticated(encrypted):
    content = bytearray(encrypted.read_bytes())
    content[_HEADER - 1] ^= 1
    encrypted.write_bytes(content)
    with pytest.raises(EncryptionError, match="another, or the file was altered"):
        signing.decrypt(encrypted, KEY)
    content[len(encryption.MAGIC)] = 2
    encrypted.write_bytes(content)
    with pytest.raises(EncryptionError, match="newer version"):
        signing.decrypt(encrypted, KEY)


def test_another_key(encrypted, keys):
    with pytest.raises(EncryptionError, match="the key is another"):
        signing.decrypt(encrypted, keys.another)


def test_what_is_no_encrypted_bundle(bundle, tmp_path):
    for path in (bundle, bundle / "model.tflite"):
        with pytest.raises(EncryptionError, match="something else"):
            signing.decrypt(path, KEY)
    with pytest.raises(FileNotFoundError):
        signing.decrypt(tmp_path / "none", KEY)


def test_a_file_larger_than_any(encrypted, monkeypatch):
    monkeypatch.setattr(encryption, "_MAX_FILE_BYTES", 100)
    with pytest.raises(EncryptionError, match="larger than any"):
        signing.decrypt(encrypted, KEY)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../x",
        "/x",
        "a//x",
        "./x",
        "",
        "folder/",
        "..",
        "c:x",
        "a\\x",
    ],
)
def test_names_that_lead_elsewhere(tmp_path, name):
    info = zipfile.ZipInfo("x")
    info.filename = name  # As it is, where the constructor would mend it.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, b"")
    path = _craft(tmp_path / "crafted", buffer.getvalue())
    with pytest.raises(EncryptionError, match="no bundle"):
        signing.decrypt(path, KEY)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "archive",
    [
        b"",
        b"PK",
        _zip([("a", b"0" * 1000)], zipfile.ZIP_DEFLATED),
        _zip((f"{number}", b"") for number in range(1000)),
    ],
)
def test_archives_that_are_no_bundles(tmp_path, archive):
    with pytest.raises(EncryptionError, match="no bundle"):
        signing.decrypt(_craft(tmp_path / "crafted", archive), KEY)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice(tmp_path):
    path = _craft(tmp_path / "crafted", _zip([("a", b"1"), ("a", b"2")]))
    with pytest.raises(EncryptionError, match="no bundle"):
        signing.decrypt(path, KEY)


def test_a_name_that_is_a_file_and_a_folder(tmp_path):
    entries = [("a/b/c", b"1"), ("a.txt", b"2"), ("a/b", b"3")]
    with pytest.raises(EncryptionError, match="no bundle"):
        signing.decrypt(_craft(tmp_path / "crafted", _zip(entries)), KEY)


def test_links_in_an_archive(tmp_path):
    info = zipfile.ZipInfo("model.tflite")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, b"../../elsewhere.tflite")
    with pytest.raises(EncryptionError, match="no bundle"):
        signing.decrypt(_craft(tmp_path / "crafted", buffer.getvalue()), KEY)


# Where sizes, and the place of the file, are in an entry of the directory at the end.
_PACKED, _SIZE, _PLACE = 20, 24, 42


@pytest.mark.parametrize("field", [_PACKED, _SIZE])
def test_sizes_that_an_archive_cannot_hold(tmp_path, field):
    archive = bytearray(_zip([("a", b"1"), ("b", b"2")]))
    struct.pack_into("<I", archive, archive.index(b"PK\1\2") + field, 2**32 - 2)
    with pytest.raises(EncryptionError, match="no bundle"):
        signing.decrypt(_craft(tmp_path / "crafted", bytes(archive)), KEY)


def test_files_that_share_their_bytes(tmp_path):
    # Each holds all of the one before it, name and content.
    directory, content = [], b"0" * 2**16
    for number in range(5):
        single = _zip([(f"{number}.tflite", content)])
        start, end = single.rindex(b"PK\1\2"), single.rindex(b"PK\5\6")
        directory.append((bytearray(single[start:end]), start))
        content = single[:start]
    for entry, length in directory:
        struct.pack_into("<I", entry, _PLACE, len(content) - length)
    entries = b"".join(entry for entry, _ in directory)
    closing = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, 5, 5, len(entries), len(content), 0
    )
    path = _craft(tmp_path / "crafted", content + entries + closing)
    with pytest.raises(EncryptionError, match="no bundle"):
        signing.decrypt(path, KEY)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_bytes_in_place_of_those_of_an_archive(tmp_path, data):
    archive = bytearray(_zip([("model.tflite", b"a model"), ("é", b"2")]))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(archive) - 1))
        archive[place] = data.draw(st.integers(0, 255))
    del archive[: data.draw(st.sampled_from([0, 0, 0, 1, 8]))]
    try:
        files = signing.decrypt(_craft(tmp_path / "crafted", bytes(archive)), KEY)
    except EncryptionError:
        return
    assert sum(map(len, files.values())) <= len(archive)


# --- what is not encrypted --------------------------------------------------------


def test_the_target_is_outside_the_bundle(bundle):
    with pytest.raises(ValueError, match="outside the bundle"):
        signing.encrypt(bundle, bundle / "out", KEY)


def test_other_files_are_not_replaced(bundle, encrypted, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"precious")
    with pytest.raises(ValueError, match=r"photo\.jpg"):
        signing.encrypt(bundle, tmp_path / "photo.jpg", KEY)
    before = encrypted.read_bytes()
    signing.encrypt(bundle, encrypted, KEY)
    assert encrypted.read_bytes() != before


def test_a_bundle_with_its_own_key(bundle, tmp_path):
    for content in (KEY, b"key: " + KEY.hex().upper().encode()):
        (bundle / "notes.txt").write_bytes(content)
        with pytest.raises(ValueError, match=r"'notes\.txt' .* the key"):
            signing.encrypt(bundle, tmp_path / "out", KEY)


def test_a_folder_without_a_model(bundle, tmp_path):
    (bundle / "model.tflite").unlink()
    with pytest.raises(ValueError, match="there is none"):
        signing.encrypt(bundle, tmp_path / "out", KEY)
    assert not (tmp_path / "out").exists()


def test_a_failure_leaves_the_older_file(bundle, encrypted, monkeypatch):
    before = encrypted.read_bytes()

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match=r"encrypted bundle cannot be .*bundle\.rbcn"):
        signing.encrypt(bundle, encrypted, KEY)
    assert encrypted.read_bytes() == before
    assert len(list(encrypted.parent.iterdir())) == 2
