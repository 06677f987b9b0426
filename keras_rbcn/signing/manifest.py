"""Manifests of files that are in memory, for model-signing.

Imported only when it is needed, as this imports model-signing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from model_signing import hashing, manifest

from keras_rbcn.signing.folders import SIGNATURE_NAME


class MemoryHashing(hashing.Config):
    """Hashes the files given, in place of those of the folder.

    So that what is signed or verified are the very bytes that were read, and not what
    the folder holds a moment later; and so that nothing decrypted needs a folder. The
    files are never fewer than those given: model-signing itself would pass over those
    of Git, and those that a signature tells it to pass over.

    Attributes:
        asked: Whether model-signing has asked for the hashes. In verifying, this is
            after the signature itself has proved genuine.
    """

    def __init__(self, contents: Mapping[str, bytes]) -> None:
        super().__init__()
        self.asked = False
        self._contents = contents

    def hash(
        self,
        model_path: hashing.PathLike,
        *,
        files_to_hash: Iterable[hashing.PathLike] | None = None,
    ) -> manifest.Manifest:
        """See `model_signing.hashing.Config.hash`."""
        self.asked = True
        digest = _any_digest()
        items = [
            manifest.FileManifestItem(
                path=PurePosixPath(name),
                digest=dataclasses.replace(
                    digest, digest_value=hashlib.sha256(content).digest()
                ),
            )
            for name, content in self._contents.items()
        ]
        name = Path(os.fsdecode(model_path)).resolve().name
        return manifest.Manifest(name, items, _settings())


def _any_digest() -> Any:
    """A digest by SHA-256: their class is not public, but that of any file is one."""
    return next(hashing.hash(__file__).resource_descriptors()).digest


def _settings() -> manifest.SerializationType:
    """What the signature says of how it was made, for other verifiers than ours."""
    return manifest.SerializationType.from_args(
        {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": [SIGNATURE_NAME],
        }
    )
