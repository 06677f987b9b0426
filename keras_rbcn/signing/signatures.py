"""Signs bundles, and verifies them."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_rbcn._files import naming_the_cause, replacing
from keras_rbcn.signing.certificates import (
    CertificateError,
    as_paths,
    check_chain,
    load_certificates,
)
from keras_rbcn.signing.errors import BundleError, SignatureError
from keras_rbcn.signing.extra import extra_packages
from keras_rbcn.signing.folders import (
    SIGNATURE_NAME,
    bundle_folder,
    read_folder,
    read_to_ship,
)
from keras_rbcn.signing.keys import (
    fingerprint,
    load_private_key,
    load_public_key,
    public_pem,
    readable_once,
)
from keras_rbcn.signing.signature_file import SignatureFile, parse_signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

    StrPath = str | os.PathLike[str]


def sign(
    bundle: StrPath,
    key: StrPath,
    *,
    password: str | None = None,
    certificate: StrPath | None = None,
    certificate_chain: StrPath | Iterable[StrPath] | None = None,
) -> Path:
    """Signs all files of a bundle, with `model-signing` and without any network.

    The signature is verified before it is written. An older one is replaced.

    Args:
        bundle: The folder; or the .tflite file in it, if there is one only. Everything
            in the folder is signed, and what is added later is noticed.
        key: Private key in PEM, on the curve P-256, P-384 or P-521.
        password: The key's, if it has one.
        certificate: The key's certificate in PEM, for devices that trust a root rather
            than a key.
        certificate_chain: One or several files in PEM: the certificate that issued
            `certificate`, and so on to the root. None if it issued itself.

    Returns:
        The path of the signature, `model.sig` in the folder.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If the folder is no bundle or holds a private key, or if the key or
            a certificate is not what it should be.
        OSError: If the folder cannot be written to.
        ImportError: If `keras-rbcn[signing]` is not installed.

    Example:
        >>> Path("bundle").mkdir()
        >>> _ = Path("bundle", "model.tflite").write_bytes(b"a model")
        >>> generate_key("private.pem", "public.pem")
        >>> sign("bundle", "private.pem").name
        'model.sig'
        >>> verify("bundle", "public.pem")
    """
    with extra_packages():
        import OpenSSL  # noqa: F401  # model-signing does not ask for it.
        from model_signing import signing
    folder, contents = read_to_ship(bundle)
    contents.pop(SIGNATURE_NAME, None)
    key = Path(key)
    private = load_private_key(key, password)
    chain_paths = as_paths(certificate_chain)
    config = signing.Config()
    if certificate is not None:
        # Of a certificate that issued itself, the chain is itself.
        chain_paths = chain_paths or [Path(certificate)]
        _check_certificate(Path(certificate), chain_paths, private)
    elif chain_paths:
        raise ValueError("Expected `certificate` with `certificate_chain`.")
    with readable_once(key, private, password) as key_path:
        if certificate is None:
            config.use_elliptic_key_signer(private_key=key_path)
        else:
            config.use_certificate_signer(
                private_key=key_path,
                signing_certificate=certificate,
                certificate_chain=chain_paths,
            )
    trusted = private.public_key() if certificate is None else chain_paths
    _write(config, folder, contents, trusted)
    return folder / SIGNATURE_NAME


def _check_certificate(
    path: Path, chain_paths: list[Path], key: ec.EllipticCurvePrivateKey
) -> None:
    certificates = load_certificates([path])
    if len(certificates) != 1:
        raise ValueError(
            f"Expected the key's certificate alone in '{path}', received "
            f"{len(certificates)}: the others belong to `certificate_chain`."
        )
    if certificates[0].public_key() != key.public_key():
        raise ValueError(
            f"The certificate in '{path}' is that of another key than the one given."
        )
    try:
        check_chain([*certificates, *load_certificates(chain_paths)])
    except CertificateError as error:
        raise ValueError(f"Cannot sign with '{path}': {error}.") from None


def _write(
    config: Any,
    folder: Path,
    contents: Mapping[str, bytes],
    trusted: ec.EllipticCurvePublicKey | list[Path],
) -> None:
    from keras_rbcn.signing.manifest import MemoryHashing

    signature = folder / SIGNATURE_NAME
    config.set_hashing_config(MemoryHashing(contents))
    with (
        naming_the_cause("The signature cannot be written", signature),
        replacing(signature) as beside,
    ):
        config.sign(folder, beside)
        signed = {**contents, SIGNATURE_NAME: beside.read_bytes()}
        try:
            verify_contents(signed, trusted, f"bundle '{folder}'")
        except SignatureError as error:
            # Such as of a chain that OpenSSL does not accept.
            raise ValueError(
                "Nothing was signed, as the signature could not be verified: "
                f"{error.__cause__ or error}."
            ) from error


def verify(
    bundle: StrPath,
    key: StrPath | None = None,
    *,
    certificate_chain: StrPath | Iterable[StrPath] | None = None,
) -> None:
    """Verifies that a bundle is as it was signed: each file, and no file more.

    Args:
        bundle: The folder, or a .tflite file in it.
        key: Public key in PEM, if the bundle was signed with a key.
        certificate_chain: One or several files in PEM with the certificates to trust,
            a root at least, if it was signed with a certificate. Every certificate
            that they issued is trusted: give a root of your own.

    Raises:
        SignatureError: If the bundle is not signed, not with this key, or was altered;
            it names the files.
        FileNotFoundError: If there is no such bundle or key.
        ValueError: If the key is not what it should be.
        ImportError: If `keras-rbcn[signing]` is not installed.

    Example:
        >>> Path("swapped").mkdir()
        >>> model = Path("swapped", "model.tflite")
        >>> _ = model.write_bytes(b"a model")
        >>> generate_key("my.pem", "my_public.pem")
        >>> _ = sign("swapped", "my.pem")
        >>> _ = model.write_bytes(b"another")
        >>> verify("swapped", "my_public.pem")
        Traceback (most recent call last):
        keras_rbcn.signing.errors.SignatureError: ... changed: model.tflite. ...
    """
    trusted = load_trusted(key, certificate_chain)
    folder = bundle_folder(bundle)
    verify_contents(read_to_verify(folder), trusted, f"bundle '{folder}'")


def read_to_verify(folder: Path) -> dict[str, bytes]:
    """The files of a bundle of unknown origin.

    Raises:
        SignatureError: If there are files in it that no bundle has.
    """
    try:
        return read_folder(folder)
    except BundleError as error:
        # Most likely no bundle at all: then it is no use to say what is odd in it.
        if not (folder / SIGNATURE_NAME).exists():
            raise _not_signed(f"bundle '{folder}'") from error
        raise SignatureError(str(error), error.files) from error


def _not_signed(source: str) -> SignatureError:
    return SignatureError(
        f"The {source} is not signed: it has no '{SIGNATURE_NAME}'. Sign it with "
        "keras-rbcn sign.",
        [SIGNATURE_NAME],
    )


def load_trusted(
    key: StrPath | None, certificate_chain: StrPath | Iterable[StrPath] | None
) -> ec.EllipticCurvePublicKey | list[Path]:
    """What a user trusts: a key, or the files of certificates.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If there is not exactly one of both, or one is something else.
    """
    chain_paths = as_paths(certificate_chain)
    if (key is None) == (not chain_paths):
        raise ValueError(
            "Expected a public key or the certificates to trust, and not both, "
            f"received: key={key!r}, certificate_chain={certificate_chain!r}."
        )
    if key is not None:
        return load_public_key(Path(key))
    load_certificates(chain_paths)
    return chain_paths


def verify_contents(
    contents: Mapping[str, bytes],
    trusted: ec.EllipticCurvePublicKey | list[Path],
    source: str,
) -> None:
    """Verifies a bundle in memory.

    Args:
        contents: All files of the bundle, the signature too.
        trusted: A public key, or files of certificates.
        source: What to call the bundle in messages.

    Raises:
        SignatureError: See `verify`.
    """
    with extra_packages():
        import OpenSSL  # noqa: F401  # model-signing does not ask for it.
        from model_signing import verifying

        from keras_rbcn.signing.manifest import MemoryHashing
    if SIGNATURE_NAME not in contents:
        raise _not_signed(source)
    content = contents[SIGNATURE_NAME]
    files = {name: data for name, data in contents.items() if name != SIGNATURE_NAME}
    signature = parse_signature(content, source)
    _check_kind(signature, trusted, source)
    snapshot = MemoryHashing(files)
    config = verifying.Config().set_hashing_config(snapshot)
    # model-signing reads the signature and the key from files, and would read another
    # signature if that of the bundle were exchanged now.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = folder / SIGNATURE_NAME
        copy.write_bytes(content)
        try:
            _trust(config, trusted, folder)
            config.verify(folder, copy)
        # Whatever happens in parsing and checking what may be forged: it is refused.
        except Exception as error:
            genuine = snapshot.asked
            raise _refusal(signature, trusted, files, genuine, source) from error


def _check_kind(
    signature: SignatureFile,
    trusted: ec.EllipticCurvePublicKey | list[Path],
    source: str,
) -> None:
    """Checks that the signature is by what the user trusts: a key or a certificate."""
    if isinstance(trusted, list):
        if signature.key is not None:
            raise SignatureError(
                f"The {source} is signed with a key, not with a certificate: verify it "
                "with the public key.",
                [SIGNATURE_NAME],
            )
        _check_certificates(signature, source)
    elif signature.key is None:
        raise SignatureError(
            f"The {source} is signed with a certificate, not with a key: verify it "
            "with the certificates to trust.",
            [SIGNATURE_NAME],
        )


def _check_certificates(signature: SignatureFile, source: str) -> None:
    from cryptography import x509

    try:
        check_chain(
            [x509.load_der_x509_certificate(der) for der in signature.certificates]
        )
    # A certificate is parsed as its parts are asked for, and may be damaged anywhere.
    except Exception as error:
        known = isinstance(error, CertificateError)
        reason = str(error) if known else "a certificate in it is damaged"
        raise SignatureError(
            f"The signature '{SIGNATURE_NAME}' of {source} cannot be trusted: "
            f"{reason}.",
            [SIGNATURE_NAME],
        ) from error


def _trust(
    config: Any, trusted: ec.EllipticCurvePublicKey | list[Path], folder: Path
) -> None:
    if isinstance(trusted, list):
        config.use_certificate_verifier(certificate_chain=trusted)
    else:
        key = folder / "key.pem"
        key.write_bytes(public_pem(trusted))
        config.use_elliptic_key_verifier(public_key=key)


def _refusal(
    signature: SignatureFile,
    trusted: ec.EllipticCurvePublicKey | list[Path],
    files: Mapping[str, bytes],
    genuine: bool,
    source: str,
) -> SignatureError:
    """Why model-signing refused the bundle: the signature, or the files."""
    changes = _changes(signature.digests, files) if genuine else {}
    if changes:
        listed = "; ".join(f"{how}: {', '.join(of)}" for how, of in changes.items())
        return SignatureError(
            f"The {source} is not as it was signed: {listed}. Get it anew from where "
            "it was signed.",
            [name for names in changes.values() for name in names],
        )
    if isinstance(trusted, list):
        reason = (
            "is by none of the certificates to trust (is the root among them?), or was "
            "altered"
        )
    elif signature.key != fingerprint(trusted):
        reason = "was made with another key, or altered"
    else:
        reason = "was altered since it was made"
    return SignatureError(
        f"The signature '{SIGNATURE_NAME}' of {source} {reason}.", [SIGNATURE_NAME]
    )


def _changes(
    signed: Mapping[str, str], files: Mapping[str, bytes]
) -> dict[str, list[str]]:
    """Names of the files that are not as they were signed, by what is wrong."""
    found = {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    changes = {
        "changed": [n for n in found if n in signed and found[n] != signed[n]],
        "missing": [name for name in signed if name not in found],
        "added": [name for name in found if name not in signed],
    }
    return {how: sorted(names) for how, names in changes.items() if names}
