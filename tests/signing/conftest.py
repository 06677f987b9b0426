"""Bundles and keys for the tests of signing."""

import shutil
from types import SimpleNamespace

import pytest

from keras_rbcn import signing

FILES = {
    "labels.txt": b"cat\ndog\n",
    "model.tflite": b"\x1c\0\0\0TFL3 - no model, as nobody runs it",
    "report.json": b'{"agreement": 1.0}',
}


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Paths of two pairs of keys, one with a password, and of an encryption key."""
    folder = tmp_path_factory.mktemp("keys")
    names = ("private", "public", "locked", "locked_public", "encryption", "another")
    paths = {name: folder / f"{name}.pem" for name in names}
    signing.generate_key(paths["private"], paths["public"])
    signing.generate_key(paths["locked"], paths["locked_public"], "a password")
    signing.generate_encryption_key(paths["encryption"])
    signing.generate_encryption_key(paths["another"])
    return SimpleNamespace(**paths)


def write_bundle(folder, files=FILES):
    """Writes the files of a bundle."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def bundle(tmp_path):
    """The folder of an unsigned bundle."""
    return write_bundle(tmp_path / "bundle")


@pytest.fixture(scope="session")
def _signed_once(tmp_path_factory, keys):
    folder = write_bundle(tmp_path_factory.mktemp("signed") / "bundle")
    signing.sign(folder, keys.private)
    return folder


@pytest.fixture
def signed(tmp_path, _signed_once):
    """The folder of a bundle that was signed with `keys.private`."""
    return shutil.copytree(_signed_once, tmp_path / "signed")
