"""Certificates for the tests, by the package cryptography alone."""

import datetime
import os
from types import SimpleNamespace

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def new_key(path, password=None):
    """A private key, written to a file."""
    key = ec.generate_private_key(ec.SECP384R1())
    encryption = serialization.NoEncryption()
    if password:
        encryption = serialization.BestAvailableEncryption(password)
    content = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
    return key


def _name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def write_certificate(
    path, key, issuer, issuer_key, *, ca=False, days=(-1, 9), use=True
):
    """A certificate of a key, issued by another or by itself, valid for some days."""
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(path.stem))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days[0]))
        .not_valid_after(now + datetime.timedelta(days[1]))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    if use:
        signs, rest = not ca, [False] * 4
        usage = x509.KeyUsage(signs, *rest, ca, ca, False, False)
        builder = builder.add_extension(usage, critical=True)
    certificate = builder.sign(issuer_key, hashes.SHA256())
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return path


def write_chain(folder):
    """A root, what it issued, and a few certificates that are of no use.

    The file of each is called as its subject is.
    """
    root, middle = new_key(folder / "root.pem"), new_key(folder / "middle.pem")
    leaf = new_key(folder / "leaf.pem", b"a password")
    alone = new_key(folder / "alone.pem")
    issued = {
        "root": (root, "root", root, {"ca": True}),
        "middle": (middle, "root", root, {"ca": True}),
        "leaf": (leaf, "middle", middle, {}),
        "expired": (leaf, "middle", middle, {"days": (-5, -1)}),
        "early": (leaf, "middle", middle, {"days": (1, 2)}),
        "useless": (leaf, "middle", middle, {"use": False}),
        "alone": (alone, "alone", alone, {}),
        # Issued by a certificate that may not issue any.
        "bastard": (alone, "leaf", leaf, {}),
    }
    paths = {
        name: write_certificate(folder / f"{name}.crt", key, issuer, by, **settings)
        for name, (key, issuer, by, settings) in issued.items()
    }
    return SimpleNamespace(
        key=folder / "leaf.pem", alone_key=folder / "alone.pem", **paths
    )
