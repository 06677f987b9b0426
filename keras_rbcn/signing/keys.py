"""Keys to sign and to verify with: elliptic curves, in PEM."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_rbcn.signing.extra import extra_packages
from keras_rbcn.signing.key_files import read_file, warn_if_open, write_new

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

# Those that model-signing takes, by the names of their standards.
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_PRIVATE = "a private key to sign with"
_PUBLIC = "a public key to verify with"


def generate_key(
    private_path: str | os.PathLike[str],
    public_path: str | os.PathLike[str],
    password: str | None = None,
) -> None:
    """Makes a key to sign with, and the one to verify with (P-256, in PEM).

    Args:
        private_path: Where to write the private key. Only the file's owner can read it.
        public_path: Where to write the public key, the one for the devices.
        password: Encrypts the private key's file.

    Raises:
        FileExistsError: If one of the files exists: keys are never overwritten.
        ImportError: If `keras-rbcn[signing]` is not installed.

    Example:
        >>> generate_key("generated.pem", "generated_public.pem")
        >>> print(Path("generated_public.pem").read_text().splitlines()[0])
        -----BEGIN PUBLIC KEY-----
    """
    with extra_packages():
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    private_path, public_path = Path(private_path), Path(public_path)
    encryption: Any = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(_encoded(password))
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    write_new(private_path, private, 0o600)
    try:
        write_new(public_path, public_pem(key.public_key()), 0o644)
    except BaseException:
        private_path.unlink()
        raise


def load_private_key(path: Path, password: str | None) -> ec.EllipticCurvePrivateKey:
    """Reads a key to sign with.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds another kind of key, or the password is not its.
    """
    with extra_packages():
        from cryptography.hazmat.primitives import serialization
    content = read_file(path, _PRIVATE)
    _check_kind(path, content, _PRIVATE, ("PUBLIC KEY", "CERTIFICATE"))
    encrypted = b"ENCRYPTED" in content
    if encrypted and password is None:
        raise ValueError(f"The key in '{path}' has a password: pass `password`.")
    if password is not None and not encrypted:
        raise ValueError(f"The key in '{path}' has no password: leave it out.")
    secret = None if password is None else _encoded(password)
    try:
        key = serialization.load_pem_private_key(content, secret)
    except Exception as error:
        reason = str(error).rstrip(".?")
        if encrypted:
            reason = "the password is wrong, or the file damaged"
        raise ValueError(f"Cannot read the key in '{path}': {reason}.") from None
    _check_curve(path, key, _PRIVATE)
    warn_if_open(path)
    return key  # type: ignore[return-value]


def load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """Reads a key to verify with.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds another kind of key.
    """
    with extra_packages():
        from cryptography.hazmat.primitives import serialization
    content = read_file(path, _PUBLIC)
    _check_kind(path, content, _PUBLIC, ("PRIVATE KEY", "CERTIFICATE"))
    try:
        key = serialization.load_pem_public_key(content)
    except Exception as error:
        reason = str(error).rstrip(".?")
        raise ValueError(f"Cannot read the key in '{path}': {reason}.") from None
    _check_curve(path, key, _PUBLIC)
    return key  # type: ignore[return-value]


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """The key as it is written to files."""
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def fingerprint(key: ec.EllipticCurvePublicKey) -> str:
    """What a signature says of the key that it was made with."""
    return hashlib.sha256(public_pem(key)).hexdigest()


@contextlib.contextmanager
def readable_once(
    path: Path, key: ec.EllipticCurvePrivateKey, password: str | None
) -> Iterator[Path]:
    """A path under which the key can be read once without its password.

    model-signing 1.1 takes the path of a key, and no password for that of a
    certificate. The key without password is in no file, but in a pipe.

    Raises:
        ValueError: If there is a password and the system has no paths for pipes.
    """
    if password is None:
        yield path
        return
    from cryptography.hazmat.primitives import serialization

    if not Path("/dev/fd").is_dir():
        raise ValueError(
            f"The key in '{path}' has a password, and on this system keys with one "
            "cannot be used: sign on Linux or macOS."
        )
    reading, writing = os.pipe()
    try:
        with open(writing, "wb") as file:  # Shorter than what any pipe holds.
            file.write(
                key.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
            )
        yield Path(f"/dev/fd/{reading}")
    finally:
        os.close(reading)


def _encoded(password: str) -> bytes:
    if not isinstance(password, str) or not password:
        raise ValueError("Expected `password` to be text that is not empty.")
    return password.encode()


def _check_kind(
    path: Path, content: bytes, expected: str, others: tuple[str, str]
) -> None:
    wanted = "PRIVATE KEY" if expected == _PRIVATE else "PUBLIC KEY"
    if b"-----BEGIN" not in content:
        raise ValueError(
            f"Expected {expected}, in PEM (it begins with '-----BEGIN'), but file "
            f"'{path}' holds {_what_is_not_pem(content, wanted)}"
        )
    for other in others:
        if wanted.encode() not in content and other.encode() in content:
            raise ValueError(
                f"Expected {expected}, but file '{path}' holds a {other.lower()}. Give "
                f"the {wanted.lower()} of the pair that keras-rbcn keygen made."
            )


def _what_is_not_pem(content: bytes, wanted: str) -> str:
    """What a file holds in place of a key in PEM, and what to do about it."""
    found = _kind_in_der(content)
    if found is None:
        return "something else. keras-rbcn keygen makes one."
    if found != wanted:
        return f"a {found.lower()} in DER. Give the {wanted.lower()} of this pair."
    option = "" if wanted == "PRIVATE KEY" else "-pubin "
    return (
        "it in DER. Convert it: openssl pkey -inform DER "
        f"{option}-in key.der -out key.pem."
    )


def _kind_in_der(content: bytes) -> str | None:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        serialization.load_der_public_key(content)
        return "PUBLIC KEY"
    except (ValueError, UnsupportedAlgorithm):
        pass
    try:
        serialization.load_der_private_key(content, None)
    except TypeError:  # It has a password.
        pass
    except (ValueError, UnsupportedAlgorithm):
        return None
    return "PRIVATE KEY"


def _check_curve(path: Path, key: Any, expected: str) -> None:
    curve = getattr(getattr(key, "curve", None), "name", None)
    if curve not in _CURVES:
        kind = curve or re.sub("^_|(Private|Public)Key$", "", type(key).__name__)
        raise ValueError(
            f"Expected {expected} on an elliptic curve ({', '.join(_CURVES.values())}),"
            f" but that in '{path}' is of another kind: {kind}. keras-rbcn keygen "
            "makes one."
        )
