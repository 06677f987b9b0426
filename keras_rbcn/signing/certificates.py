"""Certificates to sign with, and chains of them to trust."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from keras_rbcn.signing.extra import extra_packages
from keras_rbcn.signing.key_files import read_file

if TYPE_CHECKING:
    from cryptography import x509


class CertificateError(Exception):
    """What is wrong with a chain of certificates: the end of a sentence."""


def as_paths(
    chain: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | None,
) -> list[Path]:
    """The files of a chain, of which a user may have given one or several."""
    if chain is None:
        return []
    if isinstance(chain, str | os.PathLike):
        return [Path(chain)]
    return [Path(path) for path in chain]


def load_certificates(paths: Iterable[Path]) -> list[x509.Certificate]:
    """Reads all certificates of some files.

    Raises:
        FileNotFoundError: If one of the files is missing.
        ValueError: If one of them holds no certificate in PEM.
    """
    with extra_packages():
        from cryptography import x509
    found = []
    for path in paths:
        content = read_file(path, "a certificate")
        try:
            found += x509.load_pem_x509_certificates(content)
        except ValueError:
            raise ValueError(
                f"Expected a certificate in PEM, but file '{path}' holds something "
                "else."
            ) from None
    return found


def check_chain(chain: Sequence[x509.Certificate]) -> None:
    """Checks what model-signing does not: order, dates, and use of certificates.

    It takes an expired certificate for valid, and does not look at certificates of the
    chain that it has no need of.

    Args:
        chain: The signing certificate, the one that issued it, and so on to a root.

    Raises:
        CertificateError: If a certificate is not issued by the next, the last not by
            itself, one is not valid today, or the first is not made to sign files.
    """
    with extra_packages():
        from cryptography import x509
    for certificate in chain:
        _check_dates(certificate)
    for issued, issuer in pairwise([*chain, chain[-1]]):
        try:
            issued.verify_directly_issued_by(issuer)
        except Exception:  # Of many kinds, and all mean no.
            raise CertificateError(
                f"the certificate of '{_subject(issued)}' is not issued by that of "
                f"'{_subject(issuer)}': expected each to be issued by the next, and "
                "the last, the root, by itself"
            ) from None
    try:
        usage = chain[0].extensions.get_extension_for_class(x509.KeyUsage).value
        signs = usage.digital_signature
    except Exception:  # It is absent, or malformed.
        signs = False
    if not signs:
        raise CertificateError(
            f"the certificate of '{_subject(chain[0])}' is not made to sign files: "
            "expected the key usage digitalSignature"
        )


def _check_dates(certificate: x509.Certificate) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= now <= last:
        raise CertificateError(
            f"the certificate of '{_subject(certificate)}' is valid from {first:%F} to "
            f"{last:%F}, which is not today"
        )


def _subject(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string()
