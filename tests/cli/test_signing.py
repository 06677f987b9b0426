"""The commands keygen, sign, verify, encrypt and decrypt."""

import builtins
import io
import os
import stat
import sys
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from outcomes import assert_user_error, files_in

from keras_rbcn.signing.encryption import MAGIC
from keras_rbcn.signing.folders import MAX_FILES

FILES = {"labels.txt": b"cat\n", "model.tflite": b"a model", "report.json": b"{}"}


@pytest.fixture
def here(tmp_path, monkeypatch, run):
    """A folder with keys and a bundle, in which the commands run."""
    monkeypatch.chdir(tmp_path)
    Path("bundle").mkdir()
    for name, content in FILES.items():
        Path("bundle", name).write_bytes(content)
    result = run(
        *("keygen", "--private", "private.pem", "--public", "public.pem"),
        *("--encryption", "secret.key"),
    )
    assert result.exit_code == 0, result.stderr
    return tmp_path


def assert_refused(result, *fragments):
    """Asserts that a command ended with one line, about the bundle."""
    assert result.exit_code == 1, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    for fragment in fragments:
        assert fragment in line


@pytest.mark.parametrize("path", ["bundle", "bundle/model.tflite"])
def test_sign_and_verify(here, run, path):
    result = run("sign", path, "--key", "private.pem")
    assert result.exit_code == 0, result.stderr
    signed = "3 files: labels.txt, model.tflite, report.json"
    assert result.stdout.splitlines() == [f"Signed {signed}", "Wrote bundle/model.sig"]
    result = run("verify", path, "--key", "public.pem")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"As it was signed: {signed}\n"


def test_an_altered_bundle(here, run):
    assert run("sign", "bundle", "--key", "private.pem").exit_code == 0
    Path("bundle/labels.txt").write_bytes(b"dog\n")
    Path("bundle/new.txt").write_bytes(b"")
    result = run("verify", "bundle", "--key", "public.pem")
    assert_refused(result, "changed: labels.txt; added: new.txt")
    assert result.stdout == ""


def test_an_unsigned_bundle(here, run):
    assert_refused(run("verify", "bundle", "--key", "public.pem"), "not signed")
    # Nor is what is no bundle, whatever lies beside.
    for number in range(MAX_FILES):
        Path(f"{number}.txt").touch()
    Path("model.tflite").write_bytes(b"a model")
    for path in ("model.tflite", "."):
        assert_refused(run("verify", path, "--key", "public.pem"), "'.' is not signed")


def test_encrypt_and_decrypt(here, run, monkeypatch):
    monkeypatch.setenv("SECRET", Path("secret.key").read_text())
    assert run("sign", "bundle", "--key", "private.pem").exit_code == 0
    result = run("encrypt", "bundle", "out.rbcn", "--key", "env:SECRET")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "Wrote out.rbcn\n"
    result = run("decrypt", "out.rbcn", "open", "--key", "secret.key")
    assert result.exit_code == 0, result.stderr
    assert "3 files: labels.txt, model.tflite, report.json to open" in result.stdout
    assert stat.S_IMODE(Path("open").stat().st_mode) == 0o700
    assert run("verify", "open", "--key", "public.pem").exit_code == 0
    assert {p.name: p.read_bytes() for p in Path("bundle").iterdir()} == {
        p.name: p.read_bytes() for p in Path("open").iterdir()
    }


def test_bundles_that_cannot_be_decrypted(here, run):
    assert run("encrypt", "bundle", "out.rbcn", "--key", "secret.key").exit_code == 0
    assert run("keygen", "--encryption", "other.key").exit_code == 0
    Path("cut.rbcn").write_bytes(Path("out.rbcn").read_bytes()[:-1])
    before = files_in(here)
    for file, key, fragment in (
        ("out.rbcn", "other.key", "the key is another"),
        ("cut.rbcn", "secret.key", "altered or truncated"),
        ("bundle/model.tflite", "secret.key", "something else"),
    ):
        assert_refused(run("decrypt", file, "open", "--key", key), file, fragment)
    for file, folder, key, fragment in (
        ("none.rbcn", "open", "secret.key", "none.rbcn"),
        ("out.rbcn", "bundle", "secret.key", "exists"),
        ("out.rbcn", "secret.key", "secret.key", "exists"),
        ("out.rbcn", "none/open", "secret.key", "no folder 'none'"),
        ("out.rbcn", "open", "none.key", "none.key"),
        ("out.rbcn", "open", "private.pem", "PEM"),
        ("out.rbcn", "open", "env:NO_SUCH_KEY", "NO_SUCH_KEY"),
    ):
        result = run("decrypt", file, folder, "--key", key)
        assert_user_error(result, fragment)
    assert files_in(here) == before


@pytest.mark.parametrize("name", ["../x", "/x", "sub/../../x", "a\\..\\x"])
def test_archives_that_lead_elsewhere(here, run, name):
    info = zipfile.ZipInfo("x")
    info.filename = name
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("model.tflite", b"a model")
        opened.writestr(info, b"x")
    key = bytes.fromhex(Path("secret.key").read_text())
    header = MAGIC + b"\x01" + bytes(12)
    body = AESGCM(key).encrypt(bytes(12), archive.getvalue(), header)
    Path("crafted.rbcn").write_bytes(header + body)
    before = files_in(here.parent)
    result = run("decrypt", "crafted.rbcn", "open", "--key", "secret.key")
    assert_refused(result, "crafted.rbcn", "its contents are no bundle")
    assert files_in(here.parent) == before


def test_a_full_disk_is_told_with_the_folder(here, run, monkeypatch):
    assert run("encrypt", "bundle", "out.rbcn", "--key", "secret.key").exit_code == 0
    before = files_in(here)

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    result = run("decrypt", "out.rbcn", "open", "--key", "secret.key")
    assert_user_error(result, f"cannot be unpacked: {os.strerror(28)}: 'open'")
    assert files_in(here) == before


def test_an_encrypted_bundle_where_none_is_taken(here, run):
    path = here / "out.tflite"
    assert run("encrypt", "bundle", path, "--key", "secret.key").exit_code == 0
    result = run("predict", path, "secret.key")
    assert_user_error(result, "is encrypted: pass its key as --key of keras-rbcn d")


def test_a_folder_is_unpacked_whole_or_not_at_all(here, run, monkeypatch):
    assert run("encrypt", "bundle", "out.rbcn", "--key", "secret.key").exit_code == 0
    before = files_in(here)

    def full(*_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "rename", full)
    result = run("decrypt", "out.rbcn", "open", "--key", "secret.key")
    assert_user_error(result, os.strerror(28))
    assert files_in(here) == before


@pytest.mark.parametrize("option", ["--password-env", "--password-file"])
def test_passwords(here, run, monkeypatch, option):
    monkeypatch.setenv("PASSWORD", "a password")
    Path("password.txt").write_text("a password\n")
    value = "PASSWORD" if option == "--password-env" else "password.txt"
    names = ("--private", "locked.pem", "--public", "locked_public.pem")
    assert run("keygen", *names, option, value).exit_code == 0
    result = run("sign", "bundle", "--key", "locked.pem")
    assert_user_error(result, "password: pass --password-env or --password-file")
    result = run("sign", "bundle", "--key", "locked.pem", option, value)
    assert result.exit_code == 0, result.stderr
    assert run("verify", "bundle", "--key", "locked_public.pem").exit_code == 0
    monkeypatch.setenv("PASSWORD", "another")
    Path("password.txt").write_text("another")
    result = run("sign", "bundle", "--key", "locked.pem", option, value)
    assert_user_error(result, "password is wrong")


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        (("keygen",), "--private and --public, or --encryption"),
        (("keygen", "--private", "a.pem"), "give both"),
        (("keygen", "--public", "a.pem"), "give both"),
        (("keygen", "--private", "a", "--public", "a"), "named twice"),
        (("keygen", "--private", "private.pem", "--public", "a"), "never overwritten"),
        (("keygen", "--private", "a", "--public", "none/b"), "no folder 'none'"),
        (("keygen", "--encryption", "secret.key"), "never overwritten"),
        (("sign", "bundle"), "--key"),
        (("sign", "bundle", "--key", "public.pem"), "holds a public key"),
        (("sign", "bundle", "--key", "secret.key"), "in PEM"),
        (("sign", "bundle", "--key", "none.pem"), "none.pem"),
        (("sign", "none", "--key", "private.pem"), "'none'"),
        (("sign", ".", "--key", "private.pem"), "private key"),
        (
            ("sign", "bundle", "--key", "private.pem", "--password-env", "NO_SUCH"),
            "NO_SUCH",
        ),
        (
            (
                *("sign", "bundle", "--key", "private.pem"),
                *("--password-env", "A", "--password-file", "b"),
            ),
            "not both",
        ),
        (
            ("sign", "bundle", "--key", "private.pem", "--password-file", "none"),
            "none",
        ),
        (("sign", "bundle", "--key", "private.pem", "--chain", "public.pem"), "cert"),
        (
            ("sign", "bundle", "--key", "private.pem", "--certificate", "public.pem"),
            "Expected a certificate",
        ),
        (("verify", "bundle"), "--key or --chain"),
        (("verify", "bundle", "--key", "private.pem"), "holds a private key"),
        (("verify", "bundle", "--chain", "public.pem"), "Expected a certificate"),
        (("verify", "secret.key", "--key", "public.pem"), "another file"),
        (("encrypt", "bundle", "bundle/out", "--key", "secret.key"), "outside"),
        (("encrypt", "bundle", "public.pem", "--key", "secret.key"), "public.pem"),
        (("encrypt", "bundle", "none/out", "--key", "secret.key"), "no folder 'none'"),
        (("encrypt", "bundle", "out", "--key", "env:NO_SUCH"), "NO_SUCH"),
    ],
)
def test_mistakes_change_nothing(here, run, arguments, fragment):
    before = files_in(here)
    assert_user_error(run(*arguments), fragment)
    assert files_in(here) == before


def test_a_key_that_others_may_read_is_warned_of(here, run):
    Path("private.pem").chmod(0o644)
    result = run("sign", "bundle", "--key", "private.pem")
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("warning: ")
    assert "chmod 600" in line


def test_what_to_install(here, run, monkeypatch):
    for name in list(sys.modules):
        if name.split(".")[0] in ("cryptography", "model_signing"):
            monkeypatch.delitem(sys.modules, name)
    load = builtins.__import__

    def missing(name, *arguments, **settings):
        if name.startswith(("cryptography", "model_signing")):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *arguments, **settings)

    monkeypatch.setattr(builtins, "__import__", missing)
    install = "pip install 'keras-rbcn[signing]'"
    assert_user_error(run("sign", "bundle", "--key", "private.pem"), install)
    assert_user_error(run("verify", "bundle", "--key", "public.pem"), install)
    result = run("encrypt", "bundle", "out", "--key", "secret.key")
    assert_user_error(result, install)


def test_the_commands_of_the_document(tmp_path, monkeypatch, run):
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
    lines = text.partition("## Commands\n")[2].strip().partition("\n\n")[0].splitlines()
    monkeypatch.chdir(tmp_path)
    Path("bundle").mkdir()
    Path("bundle/model.tflite").write_bytes(b"a model")
    for line in lines:
        program, *arguments = line.split()
        assert program == "keras-rbcn"
        result = run(*arguments)
        assert result.exit_code == 0, result.stderr
    assert len(lines) == 5


def test_the_commands_are_listed(run):
    listed = run("--help").output
    for command in ("keygen", "sign", "verify", "encrypt", "decrypt"):
        assert f" {command} " in listed


def test_a_password_is_for_private_keys(run, tmp_path):
    key = tmp_path / "secret.key"
    result = run("keygen", "--encryption", key, "--password-env", "NAME")
    assert result.exit_code == 2
    assert "--password-env" in result.stderr
    assert not key.exists()


def test_keys_come_together_or_not_at_all(run, tmp_path):
    pair = tmp_path / "private.pem", tmp_path / "public.pem"
    (tmp_path / "secret.key").write_text("mine")
    files = ("--private", pair[0], "--public", pair[1])
    result = run("keygen", *files, "--encryption", tmp_path / "secret.key")
    assert result.exit_code == 2
    assert "secret.key exists" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
