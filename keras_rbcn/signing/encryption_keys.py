"""Keys to encrypt with: 32 bytes, written as 64 hexadecimal digits."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from keras_rbcn.signing.key_files import read_file, warn_if_open, write_new

_BYTES = 32
_ENVIRONMENT = "env:"
_DIGITS = re.compile(rb"[0-9a-fA-F]{64}")


def generate_encryption_key(path: str | os.PathLike[str]) -> None:
    """Writes a new random key to encrypt with, as 64 hexadecimal digits.

    Args:
        path: The file to write. Only its owner can read it.

    Raises:
        FileExistsError: If the file exists: keys are never overwritten.

    Example:
        >>> generate_encryption_key("generated.key")
        >>> len(Path("generated.key").read_text().strip())
        64
    """
    write_new(Path(path), secrets.token_hex(_BYTES).encode() + b"\n", 0o600)


def read_encryption_key(source: str | os.PathLike[str] | bytes) -> bytes:
    """Reads a key to encrypt with.

    Args:
        source: Path of the key's file; or `"env:NAME"`, the environment variable that
            holds the 64 hexadecimal digits; or the 32 bytes themselves.

    Returns:
        32 bytes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If there is no such variable, or what is there is no such key.

    Example:
        >>> generate_encryption_key("another.key")
        >>> len(read_encryption_key("another.key"))
        32
    """
    if isinstance(source, bytes):
        if len(source) != _BYTES:
            raise ValueError(
                f"Expected an encryption key of {_BYTES} bytes, received: "
                f"{len(source)} bytes."
            )
        return source
    if isinstance(source, str) and source.startswith(_ENVIRONMENT):
        name = source.removeprefix(_ENVIRONMENT)
        text = os.environ.get(name)
        if text is None:
            raise ValueError(
                f"Expected the encryption key in the environment variable '{name}', "
                "which is not set."
            )
        return _parsed(text.encode(errors="replace"), f"environment variable '{name}'")
    path = Path(source)
    key = _parsed(read_file(path, "an encryption key"), f"file '{path}'")
    warn_if_open(path)
    return key


def _parsed(text: bytes, where: str) -> bytes:
    """The key's bytes; the messages say nothing of what they are."""
    digits = text.strip()
    if _DIGITS.fullmatch(digits):
        return bytes.fromhex(digits.decode())
    if b"-----BEGIN" in digits:
        found = "holds a key or certificate in PEM, which is for signing"
    elif not digits:
        found = "is empty"
    elif len(text) == _BYTES:
        found = f"holds {_BYTES} bytes: write them as hexadecimal digits"
    else:
        found = f"holds {len(digits)} characters of another kind or number"
    raise ValueError(
        f"Expected an encryption key of {2 * _BYTES} hexadecimal digits, but {where} "
        f"{found}. keras-rbcn keygen --encryption makes one."
    )
