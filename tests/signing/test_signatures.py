"""What is signed verifies, and nothing else does."""

import json
import os
import subprocess
import sys

import pytest
from conftest import FILES, write_bundle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_signing import hashing, verifying
from model_signing import signing as model_signing

from keras_rbcn import signing
from keras_rbcn.signing import SignatureError
from keras_rbcn.signing.folders import MAX_FILES

SIGNATURE = "model.sig"


def assert_refused(bundle, key, *files):
    with pytest.raises(SignatureError) as caught:
        signing.verify(bundle, key)
    assert caught.value.files == files
    for file in files:
        assert file in str(caught.value)
    return str(caught.value)


# --- what verifies ----------------------------------------------------------------


@pytest.mark.parametrize("path", [".", "model.tflite"])
def test_a_bundle_by_its_folder_or_its_model(bundle, keys, path):
    assert signing.sign(bundle / path, keys.private) == bundle / SIGNATURE
    signing.verify(bundle / path, keys.public)


def test_a_key_with_a_password(bundle, keys):
    signing.sign(bundle, keys.locked, password="a password")
    signing.verify(bundle, keys.locked_public)


def test_files_in_folders_and_with_any_name(tmp_path, keys):
    files = {**FILES, "texts/dé jà.txt": b"", "texts/model.sig": b"no signature"}
    bundle = write_bundle(tmp_path / "bundle", files)
    signing.sign(bundle, keys.private)
    signing.verify(bundle, keys.public)
    (bundle / "texts" / "model.sig").write_bytes(b"")
    assert_refused(bundle, keys.public, "texts/model.sig")


def test_model_signing_itself_verifies_what_we_sign(signed, keys):
    config = verifying.Config().use_elliptic_key_verifier(public_key=keys.public)
    config.verify(signed, signed / SIGNATURE)
    (signed / "labels.txt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"labels\.txt"):
        config.verify(signed, signed / SIGNATURE)


def test_we_verify_what_model_signing_signs(bundle, keys):
    config = model_signing.Config().use_elliptic_key_signer(private_key=keys.private)
    config.sign(bundle, bundle / SIGNATURE)
    signing.verify(bundle, keys.public)


def test_a_bundle_may_be_moved_and_be_behind_a_link(signed, keys, tmp_path):
    signed.rename(tmp_path / "moved")
    (tmp_path / "current").symlink_to(tmp_path / "moved")
    signing.verify(tmp_path / "current", keys.public)


def test_a_second_signature_replaces_the_first(signed, keys):
    signing.sign(signed, keys.locked, password="a password")
    signing.verify(signed, keys.locked_public)
    message = assert_refused(signed, keys.public, SIGNATURE)
    assert "another key" in message


# --- what does not ----------------------------------------------------------------


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_changed_byte_of_any_file_is_noticed(signed, keys, data):
    name = data.draw(st.sampled_from([*FILES, SIGNATURE]))
    content = (signed / name).read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[position] ^= data.draw(st.integers(1, 255))
    (signed / name).write_bytes(changed)
    assert_refused(signed, keys.public, name)
    (signed / name).write_bytes(content)
    signing.verify(signed, keys.public)


def test_unused_bits_of_base64_are_noticed(signed, keys):
    path = signed / SIGNATURE
    signature = json.loads(path.read_text())
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    envelope = signature["dsseEnvelope"]
    padded = [
        (holder, name)
        for holder, name in ((envelope, "payload"), (envelope["signatures"][0], "sig"))
        if holder[name].endswith("=")
    ]
    assert padded
    for holder, name in padded:
        text = holder[name].rstrip("=")
        last = alphabet[alphabet.index(text[-1]) ^ 1]
        holder[name] = holder[name].replace(text, text[:-1] + last)
        path.write_text(json.dumps(signature))
        assert_refused(signed, keys.public, SIGNATURE)


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_truncated_signatures(signed, keys, size):
    path = signed / SIGNATURE
    path.write_bytes(path.read_bytes()[:size])
    assert_refused(signed, keys.public, SIGNATURE)


@pytest.mark.parametrize(
    "text", ["null", "[]", "{}", "[" * 100_000, '{"verificationMaterial": 1}', "\udcff"]
)
def test_signatures_that_are_something_else(signed, keys, text):
    (signed / SIGNATURE).write_bytes(text.encode("utf-8", "surrogatepass"))
    assert "damaged" in assert_refused(signed, keys.public, SIGNATURE)


def test_a_signature_without_the_fingerprint_of_its_key(signed, keys, capsys):
    path = signed / SIGNATURE
    signature = json.loads(path.read_text())
    for hint in (None, "", "0" * 64):
        signature["verificationMaterial"]["publicKey"]["hint"] = hint
        path.write_text(json.dumps(signature))
        assert_refused(signed, keys.public, SIGNATURE)
    assert capsys.readouterr().out == ""  # model-signing prints a warning there.


def test_a_signature_of_another_bundle(signed, keys, tmp_path):
    other = write_bundle(tmp_path / "other", {**FILES, "labels.txt": b"a\nb\n"})
    signing.sign(other, keys.private)
    (signed / SIGNATURE).write_bytes((other / SIGNATURE).read_bytes())
    assert_refused(signed, keys.public, "labels.txt")


def test_a_signature_with_other_settings(bundle, keys):
    config = model_signing.Config().use_elliptic_key_signer(private_key=keys.private)
    config.set_hashing_config(
        hashing.Config().use_file_serialization(hashing_algorithm="blake2")
    )
    config.sign(bundle, bundle / SIGNATURE)
    assert "other settings" in assert_refused(bundle, keys.public, SIGNATURE)


def test_what_a_signature_passes_over_is_noticed_all_the_same(bundle, keys):
    (bundle / "notes.txt").write_text("to be ignored")
    config = model_signing.Config().use_elliptic_key_signer(private_key=keys.private)
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=["notes.txt"]))
    config.sign(bundle, bundle / SIGNATURE)
    assert_refused(bundle, keys.public, "notes.txt")


def test_an_unsigned_bundle(bundle, keys):
    assert "is not signed" in assert_refused(bundle, keys.public, SIGNATURE)


@pytest.mark.parametrize(
    "name", ["new.txt", ".gitignore", ".git/config", "a/model.sig"]
)
def test_added_files(signed, keys, name):
    (signed / name).parent.mkdir(exist_ok=True)
    (signed / name).write_bytes(b"")
    assert "added" in assert_refused(signed, keys.public, name)


def test_removed_renamed_and_emptied_files(signed, keys):
    (signed / "labels.txt").rename(signed / "names.txt")
    message = assert_refused(signed, keys.public, "labels.txt", "names.txt")
    assert "missing: labels.txt; added: names.txt" in message
    (signed / "names.txt").unlink()
    (signed / "model.tflite").write_bytes(b"")
    message = assert_refused(signed, keys.public, "model.tflite", "labels.txt")
    assert "changed: model.tflite; missing: labels.txt" in message


def test_files_that_have_changed_places(signed, keys):
    first, second = signed / "labels.txt", signed / "report.json"
    a, b = first.read_bytes(), second.read_bytes()
    first.write_bytes(b)
    second.write_bytes(a)
    assert_refused(signed, keys.public, "labels.txt", "report.json")


@pytest.mark.parametrize("name", ["labels.txt", SIGNATURE])
def test_links_to_the_same_contents(signed, keys, tmp_path, name):
    (signed / name).rename(tmp_path / "elsewhere")
    (signed / name).symlink_to(tmp_path / "elsewhere")
    assert "a link" in assert_refused(signed, keys.public, name)


def test_links_to_folders_and_special_files(signed, keys, tmp_path):
    (signed / "more").symlink_to(tmp_path)
    assert_refused(signed, keys.public, "more")
    (signed / "more").unlink()
    os.mkfifo(signed / "pipe")
    assert_refused(signed, keys.public, "pipe")


def test_more_files_than_any_bundle_has(signed, keys):
    for number in range(MAX_FILES):
        (signed / f"{number}.txt").write_bytes(b"")
    with pytest.raises(SignatureError, match=f"more than {MAX_FILES} files"):
        signing.verify(signed, keys.public)


def test_more_bytes_than_any_bundle_has(signed, keys, monkeypatch):
    monkeypatch.setattr("keras_rbcn.signing.folders.MAX_BYTES", 60)
    with pytest.raises(SignatureError, match="at most 60 bytes"):
        signing.verify(signed, keys.public)


def test_exactly_one_thing_to_trust(signed, keys):
    for arguments in ({}, {"key": keys.public, "certificate_chain": keys.public}):
        with pytest.raises(ValueError, match="and not both"):
            signing.verify(signed, **arguments)


@pytest.mark.parametrize("path", ["none", "none.tflite"])
def test_a_bundle_that_is_not_there(tmp_path, keys, path):
    with pytest.raises(FileNotFoundError, match="no bundle"):
        signing.verify(tmp_path / path, keys.public)
    with pytest.raises(FileNotFoundError, match="no bundle"):
        signing.sign(tmp_path / path, keys.private)


# --- what is not signed -----------------------------------------------------------


def _assert_not_signed(path, keys, fragment):
    with pytest.raises(ValueError, match=fragment):
        signing.sign(path, keys.private)
    folder = path if path.is_dir() else path.parent
    assert not (folder / SIGNATURE).exists()


def test_a_folder_without_a_model(bundle, keys):
    (bundle / "model.tflite").unlink()
    _assert_not_signed(bundle, keys, "there is none")


def test_a_file_that_is_no_model(bundle, keys):
    _assert_not_signed(bundle / "labels.txt", keys, "another file")


def test_two_models_are_signed_only_by_the_name_of_the_folder(bundle, keys):
    (bundle / "float.tflite").write_bytes(b"another model")
    _assert_not_signed(bundle / "model.tflite", keys, "only model of its folder")
    signing.sign(bundle, keys.private)
    signing.verify(bundle / "float.tflite", keys.public)


@pytest.mark.parametrize("name", [".git/config", ".DS_Store", "texts/.hidden"])
def test_folders_with_hidden_files(bundle, keys, name):
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"")
    _assert_not_signed(bundle, keys, "hidden")


def test_folders_of_many_files(bundle, keys):
    for number in range(MAX_FILES):
        (bundle / f"{number}.txt").write_bytes(b"")
    _assert_not_signed(bundle, keys, "a folder of their own")


def test_private_keys_are_not_shipped(bundle, keys):
    (bundle / "key.txt").write_bytes(keys.private.read_bytes())
    _assert_not_signed(bundle, keys, r"'key\.txt' .* private key")


@pytest.mark.parametrize("name", ["a:b.txt", "a\\b.txt"])
def test_names_that_other_systems_read_otherwise(bundle, keys, name):
    (bundle / name).write_bytes(b"")
    _assert_not_signed(bundle, keys, "rename")


def test_names_that_are_no_text(bundle, keys):
    with open(os.path.join(os.fsencode(bundle), b"\xff.txt"), "wb"):
        pass
    _assert_not_signed(bundle, keys, "UTF-8")


def test_links_are_not_signed(bundle, keys, tmp_path):
    (bundle / SIGNATURE).symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="a link"):
        signing.sign(bundle, keys.private)
    assert not (tmp_path / "outside").exists()


def test_a_failure_leaves_the_older_signature(signed, keys, monkeypatch):
    before = (signed / SIGNATURE).read_bytes()
    names = sorted(os.listdir(signed))

    def closed(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", closed)
    with pytest.raises(
        PermissionError, match=r"signature cannot be written.*model\.sig"
    ):
        signing.sign(signed, keys.private)
    assert (signed / SIGNATURE).read_bytes() == before
    assert sorted(os.listdir(signed)) == names


def test_a_folder_that_is_closed_to_writing(bundle, keys):
    bundle.chmod(0o500)
    try:
        if os.access(bundle, os.W_OK):
            pytest.skip("nothing is closed to this user")
        with pytest.raises(PermissionError, match="cannot be written"):
            signing.sign(bundle, keys.private)
    finally:
        bundle.chmod(0o700)


# --- the packages -----------------------------------------------------------------


def test_the_packages_are_imported_when_they_are_needed():
    code = (
        "import sys, keras_rbcn; "
        "print(sorted({'cryptography', 'model_signing', 'OpenSSL'} & {*sys.modules}))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("package", ["model_signing", "OpenSSL", "cryptography"])
def test_what_to_install(signed, keys, monkeypatch, package):
    for name in list(sys.modules):
        if name.split(".")[0] == package or name == "keras_rbcn.signing.manifest":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    install = r"pip install 'keras-rbcn\[signing\]'"
    with pytest.raises(ImportError, match=install):
        signing.verify(signed, keys.public)
    with pytest.raises(ImportError, match=install):
        signing.sign(signed, keys.private)
