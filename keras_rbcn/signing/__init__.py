"""Bundles that show when they were altered, and that can be kept encrypted."""

from keras_rbcn.signing.encryption import decrypt, encrypt
from keras_rbcn.signing.encryption_keys import (
    generate_encryption_key,
    read_encryption_key,
)
from keras_rbcn.signing.errors import EncryptionError, SignatureError
from keras_rbcn.signing.keys import generate_key
from keras_rbcn.signing.reading import read_bundle
from keras_rbcn.signing.signatures import sign, verify

__all__ = [
    "EncryptionError",
    "SignatureError",
    "decrypt",
    "encrypt",
    "generate_encryption_key",
    "generate_key",
    "read_bundle",
    "read_encryption_key",
    "sign",
    "verify",
]
