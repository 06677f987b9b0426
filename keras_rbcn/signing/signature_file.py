"""The signature's file: a bundle of Sigstore's, as model-signing writes it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_rbcn.signing.errors import SignatureError
from keras_rbcn.signing.folders import SIGNATURE_NAME


@dataclass(frozen=True)
class SignatureFile:
    """What a signature says, which nothing vouches for before it is verified.

    Attributes:
        key: Fingerprint of the key that it was made with; None for a certificate's.
        certificates: The signing certificate and its chain, in DER; for a key, none.
        digests: SHA-256 of each signed file by name.
    """

    key: str | None
    certificates: tuple[bytes, ...]
    digests: Mapping[str, str]


def parse_signature(content: bytes, source: str) -> SignatureFile:
    """Reads a signature's file.

    Args:
        content: Its bytes.
        source: What it is the signature of, for the message.

    Raises:
        SignatureError: If it is damaged, or has settings that `sign` does not use.
    """
    try:
        return _parse(json.loads(content))
    except _OtherSettingsError:
        reason = "was made with other settings than those of keras-rbcn sign"
    # What a file that is anything at all makes of the lines below.
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError):
        reason = "is damaged"
    raise SignatureError(
        f"The signature '{SIGNATURE_NAME}' of {source} {reason}. Get the bundle anew, "
        "or sign it anew.",
        [SIGNATURE_NAME],
    )


class _OtherSettingsError(Exception):
    """A signature over other things than whole files and their SHA-256."""


def _parse(bundle: Any) -> SignatureFile:
    material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
    (signature,) = envelope["signatures"]
    _decode(signature["sig"])
    statement = json.loads(_decode(envelope["payload"]))
    predicate = statement["predicate"]
    serialization = predicate["serialization"]
    if (serialization["method"], serialization["hash_type"]) != ("files", "sha256"):
        raise _OtherSettingsError
    digests = {
        str(resource["name"]): str(resource["digest"])
        for resource in predicate["resources"]
    }
    if "publicKey" in material:
        # Without it, model-signing would print a warning and go on.
        key = material["publicKey"]["hint"]
        if not key:
            raise ValueError("no fingerprint")
        return SignatureFile(str(key), (), digests)
    chain = material["x509CertificateChain"]["certificates"]
    certificates = tuple(_decode(certificate["rawBytes"]) for certificate in chain)
    if not certificates:
        raise ValueError("no certificate")
    return SignatureFile(None, certificates, digests)


def _decode(text: str) -> bytes:
    """The bytes that base64 stands for.

    Raises:
        ValueError: If it is not written as an encoder does: the last character may hold
            bits that decoders ignore, and no changed byte is to go unnoticed.
    """
    decoded = base64.b64decode(text, validate=True)
    if base64.b64encode(decoded).decode() != text:
        raise ValueError("not canonical")
    return decoded
