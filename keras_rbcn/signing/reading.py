"""Reads bundles once: what was verified is what is handed out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from keras_rbcn.signing.encryption import decrypt, refuse_encrypted
from keras_rbcn.signing.folders import (
    MODEL_SUFFIX,
    bundle_folder,
    models_in,
    read_folder,
)
from keras_rbcn.signing.signatures import (
    load_trusted,
    read_to_verify,
    verify_contents,
)

if TYPE_CHECKING:
    from keras_rbcn.signing.signatures import StrPath


def read_bundle(
    path: StrPath,
    verify_key: StrPath | None = None,
    *,
    certificate_chain: StrPath | Iterable[StrPath] | None = None,
    decryption_key: StrPath | bytes | None = None,
) -> dict[str, bytes]:
    """Reads a bundle into memory, and verifies or decrypts what it has read.

    Each file is read once, so that nobody can exchange it between the verification and
    the use.

    Args:
        path: The folder, a .tflite file in it, or an encrypted bundle.
        verify_key: As `key` of `verify`. The bundle is verified if this or
            `certificate_chain` is given.
        certificate_chain: As for `verify`.
        decryption_key: As `key` of `decrypt`, for an encrypted bundle.

    Returns:
        The contents of all files by name.

    Raises:
        SignatureError: See `verify`.
        EncryptionError: See `decrypt`.
        FileNotFoundError: If bundle or key are not there.
        ValueError: If it is no bundle, or a key is not what it should be.

    Example:
        >>> Path("served").mkdir()
        >>> _ = Path("served", "labels.txt").write_bytes(b"cat")
        >>> _ = Path("served", "model.tflite").write_bytes(b"a model")
        >>> generate_key("server.pem", "server_public.pem")
        >>> _ = sign("served", "server.pem")
        >>> read_bundle("served", "server_public.pem")["labels.txt"]
        b'cat'
    """
    verified = verify_key is not None or certificate_chain is not None
    trusted = load_trusted(verify_key, certificate_chain) if verified else None
    path = Path(path)
    if decryption_key is not None:
        contents, source = decrypt(path, decryption_key), f"bundle '{path}'"
    else:
        refuse_encrypted(path)
        folder = bundle_folder(path)
        contents = read_to_verify(folder) if verified else read_folder(folder)
        source = f"bundle '{folder}'"
    if trusted is not None:
        verify_contents(contents, trusted, source)
    return contents


def read_model(
    path: StrPath,
    verify_key: StrPath | None,
    decryption_key: StrPath | bytes | None,
) -> tuple[str, bytes]:
    """The model of a bundle: the one that the path names, or the only one.

    Args:
        path: As for `read_bundle`.
        verify_key: As for `read_bundle`.
        decryption_key: As for `read_bundle`.

    Returns:
        The model's name in the bundle, and its bytes.

    Raises:
        ValueError: If there is none, or more than one.
    """
    contents = read_bundle(path, verify_key, decryption_key=decryption_key)
    name = Path(path).name
    if decryption_key is None and not Path(path).is_dir():
        if name not in contents:  # It has gone just now.
            raise FileNotFoundError(f"There is no file '{os.fspath(path)}'.")
        return name, contents[name]
    models = models_in(contents)
    if len(models) != 1:
        raise ValueError(
            f"Expected a bundle with one {MODEL_SUFFIX} file, but '{os.fspath(path)}' "
            f"holds {len(models)}: {', '.join(models) or 'none'}."
        )
    return models[0], contents[models[0]]
