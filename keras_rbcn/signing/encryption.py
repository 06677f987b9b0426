"""Bundles at rest: one file, encrypted and authenticated with AES-256-GCM.

The file is a magic number, a version, a nonce, and the ciphertext with its tag. The
plaintext is a zip archive of the bundle. All before the ciphertext is authenticated
with it. The nonce is random: one key is good for 2^32 files.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from keras_rbcn._files import naming_the_cause, replacing
from keras_rbcn.signing.encryption_keys import read_encryption_key
from keras_rbcn.signing.errors import BundleError, EncryptionError
from keras_rbcn.signing.extra import extra_packages
from keras_rbcn.signing.folders import MAX_BYTES, MAX_FILES, is_portable, read_to_ship

MAGIC = b"keras-rbcn bundle\n"
_VERSION = b"\x01"
_NONCE_BYTES, _TAG_BYTES = 12, 16
_HEADER_BYTES = len(MAGIC) + len(_VERSION) + _NONCE_BYTES
# What an archive adds to the files, at most; the sum is below the 2^31 - 1 bytes that
# cryptography encrypts at once, and far below the 2^36 that AES-GCM allows.
_MAX_FILE_BYTES = MAX_BYTES + 2**26
# The oldest date that the archive knows: the same files make the same archive.
_DATE = (1980, 1, 1, 0, 0, 0)


def encrypt(
    bundle: str | os.PathLike[str],
    target: str | os.PathLike[str],
    key: str | os.PathLike[str] | bytes,
) -> Path:
    """Writes a bundle as one encrypted file.

    If it is to be signed too, sign first: the signature is encrypted with the rest, and
    is checked after the decryption.

    Args:
        bundle: The folder, or the only .tflite file in it.
        target: The file to write, outside the bundle. An older encrypted bundle there
            is replaced; other files are not.
        key: As for `read_encryption_key`.

    Returns:
        The path of the file written.

    Raises:
        FileNotFoundError: If bundle or key are not there.
        ValueError: If the folder is no bundle, or holds a private key or the key to
            encrypt with; if the key is none, or the target another file.
        ImportError: If `keras-rbcn[signing]` is not installed.

    Example:
        >>> Path("shipped").mkdir()
        >>> _ = Path("shipped", "model.tflite").write_bytes(b"a model")
        >>> generate_encryption_key("shipped.key")
        >>> _ = encrypt("shipped", "shipped.rbcn", "shipped.key")
        >>> decrypt("shipped.rbcn", "shipped.key")
        {'model.tflite': b'a model'}
    """
    with extra_packages():
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    secret = read_encryption_key(key)
    folder, contents = read_to_ship(bundle)
    _refuse_key(contents, secret)
    target = Path(target)
    _check_target(target, folder)
    header = MAGIC + _VERSION + secrets.token_bytes(_NONCE_BYTES)
    ciphertext = AESGCM(secret).encrypt(
        header[-_NONCE_BYTES:], _archive(contents), header
    )
    with (
        naming_the_cause("The encrypted bundle cannot be written", target),
        replacing(target) as beside,
    ):
        beside.write_bytes(header + ciphertext)
    return target


def decrypt(
    path: str | os.PathLike[str], key: str | os.PathLike[str] | bytes
) -> dict[str, bytes]:
    """Decrypts a bundle in memory; nothing is written.

    This says nothing about a signature in it: see `read_bundle`.

    Args:
        path: A file that `encrypt` wrote.
        key: As for `read_encryption_key`.

    Returns:
        The contents of the bundle's files by name.

    Raises:
        EncryptionError: If the key is another, or the file was altered, truncated, or
            is no encrypted bundle.
        FileNotFoundError: If the file or the key's is not there.
        ValueError: If the key is none.
        ImportError: If `keras-rbcn[signing]` is not installed.

    Example:
        >>> Path("kept").mkdir()
        >>> _ = Path("kept", "model.tflite").write_bytes(b"a model")
        >>> generate_encryption_key("kept.key")
        >>> _ = encrypt("kept", "kept.rbcn", "kept.key")
        >>> decrypt("kept.rbcn", "kept.key")["model.tflite"]
        b'a model'
    """
    with extra_packages():
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    secret = read_encryption_key(key)
    content = _read(Path(path))
    header, ciphertext = content[:_HEADER_BYTES], content[_HEADER_BYTES:]
    try:
        archive = AESGCM(secret).decrypt(header[-_NONCE_BYTES:], ciphertext, header)
    except InvalidTag:
        raise EncryptionError(
            f"Cannot decrypt '{path}': the key is another, or the file was altered or "
            "truncated."
        ) from None
    return _files(archive, Path(path))


def is_encrypted(path: Path) -> bool:
    """Whether the file begins as an encrypted bundle does."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def refuse_encrypted(path: Path) -> None:
    """Raises if the file is an encrypted bundle, for which no key was given.

    Raises:
        ValueError: Says which argument is needed.
    """
    if is_encrypted(path):
        raise ValueError(
            f"The bundle '{path}' is encrypted: pass its key as `decryption_key`."
        )


def _read(path: Path) -> bytes:
    """The bytes of what is an encrypted bundle, to judge by its beginning."""
    if not path.exists():
        raise FileNotFoundError(f"There is no file '{path}'.")
    if not is_encrypted(path):
        raise EncryptionError(
            f"Expected an encrypted bundle, but '{path}' is something else."
        )
    with open(path, "rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise EncryptionError(f"'{path}' is larger than any encrypted bundle.")
    version = content[len(MAGIC) : len(MAGIC) + 1]
    if version and version != _VERSION:
        raise EncryptionError(
            f"'{path}' is altered, or an encrypted bundle of a newer version of "
            f"keras_rbcn (format {version[0]}): expected format {_VERSION[0]}."
        )
    if len(content) < _HEADER_BYTES + _TAG_BYTES:
        raise EncryptionError(f"'{path}' is truncated: copy the file again.")
    return content


def _refuse_key(contents: Mapping[str, bytes], secret: bytes) -> None:
    """Refuses a bundle that holds its own key."""
    for name, content in contents.items():
        if secret in content or secret.hex().encode() in content.lower():
            raise BundleError(
                f"'{name}' of the bundle holds the key to encrypt it with: move it "
                "elsewhere.",
                [name],
            )


def _check_target(target: Path, folder: Path) -> None:
    if target.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"Expected to write the encrypted bundle outside the bundle '{folder}', "
            f"received: target={str(target)!r}."
        )
    if target.exists() and not is_encrypted(target):
        raise ValueError(
            f"'{target}' exists and is no encrypted bundle: name another, or remove it."
        )


def _archive(contents: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(contents.items()):
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return buffer.getvalue()


def _files(archive: bytes, path: Path) -> dict[str, bytes]:
    """The archive's files.

    It is authentic; but whoever has the key, as each device does, can make another.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            entries = opened.infolist()
            if _are_of_a_bundle(entries, len(archive)):
                return {
                    entry.filename: opened.read(entry)
                    for entry in sorted(entries, key=lambda entry: entry.filename)
                }
    # What zipfile makes of bytes that may be anything.
    except Exception:
        pass
    raise EncryptionError(
        f"'{path}' was not written by keras_rbcn: its contents are no bundle."
    )


def _are_of_a_bundle(entries: Sequence[zipfile.ZipInfo], size: int) -> bool:
    """Whether files of an archive can lie beside each other in a folder, as told.

    Args:
        entries: The files.
        size: That of the archive.
    """
    names = {entry.filename for entry in entries}
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    return (
        len(names) == len(entries) <= MAX_FILES
        and not names & folders
        and all(map(is_portable, names))
        and not any(stat.S_ISLNK(entry.external_attr >> 16) for entry in entries)
        # What is not compressed cannot become larger than it is here, unless several
        # files share their bytes.
        and all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        and all(entry.compress_size == entry.file_size for entry in entries)
        and sum(entry.file_size for entry in entries) <= size
    )
