"""Signatures by a certificate, and by those that cannot be trusted."""

import base64
import datetime
import json

import pytest
from certificate_files import write_chain

from keras_rbcn import signing
from keras_rbcn.signing import SignatureError, certificates


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    return write_chain(tmp_path_factory.mktemp("chain"))


def _sign(bundle, chain, certificate=None, issuers=None, password="a password"):
    return signing.sign(
        bundle,
        chain.key,
        password=password,
        certificate=certificate or chain.leaf,
        certificate_chain=issuers or [chain.middle, chain.root],
    )


def assert_refused(bundle, fragment, **trusted):
    with pytest.raises(SignatureError, match=fragment) as caught:
        signing.verify(bundle, **trusted)
    assert caught.value.files == ("model.sig",)


def test_whoever_trusts_the_root_trusts_the_signature(bundle, chain):
    _sign(bundle, chain)
    signing.verify(bundle, certificate_chain=chain.root)
    signing.verify(bundle, certificate_chain=[chain.middle, chain.root])


def test_a_certificate_that_issued_itself(bundle, chain):
    signing.sign(bundle, chain.alone_key, certificate=chain.alone)
    signing.verify(bundle, certificate_chain=chain.alone)
    assert_refused(bundle, "none of the certificates", certificate_chain=chain.root)


def test_changed_files_are_named(bundle, chain):
    _sign(bundle, chain)
    (bundle / "labels.txt").write_bytes(b"")
    with pytest.raises(SignatureError, match=r"changed: labels\.txt"):
        signing.verify(bundle, certificate_chain=chain.root)


def test_other_roots(bundle, chain):
    _sign(bundle, chain)
    for other in (chain.alone, chain.middle):
        assert_refused(bundle, "none of the certificates", certificate_chain=other)


def test_key_and_certificate_are_not_mixed_up(bundle, signed, chain, keys):
    _sign(bundle, chain)
    assert_refused(bundle, "with a certificate, not with a key", key=keys.public)
    assert_refused(signed, "with a key, not with a", certificate_chain=chain.root)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_changed_byte_in_any_certificate_of_the_signature(bundle, chain, number):
    path = _sign(bundle, chain)
    signature = json.loads(path.read_text())
    embedded = signature["verificationMaterial"]["x509CertificateChain"]["certificates"]
    content = base64.b64decode(embedded[number]["rawBytes"])
    for position in range(0, len(content), 41):
        changed = bytearray(content)
        changed[position] ^= 1
        embedded[number]["rawBytes"] = base64.b64encode(changed).decode()
        path.write_text(json.dumps(signature))
        assert_refused(bundle, "model.sig", certificate_chain=chain.root)


def test_a_certificate_that_has_expired_since(bundle, chain, monkeypatch):
    _sign(bundle, chain)

    class Later(datetime.datetime):
        @classmethod
        def now(cls, zone=None):
            return super().now(zone) + datetime.timedelta(30)

    monkeypatch.setattr(certificates.datetime, "datetime", Later)
    assert_refused(bundle, "which is not today", certificate_chain=chain.root)


@pytest.mark.parametrize(
    ("certificate", "fragment"),
    [
        ("expired", "'CN=expired' is valid from"),
        ("early", "'CN=early' is valid from"),
        ("useless", "digitalSignature"),
        ("alone", "another key"),
    ],
)
def test_certificates_that_are_no_good(bundle, chain, certificate, fragment):
    with pytest.raises(ValueError, match=fragment):
        _sign(bundle, chain, getattr(chain, certificate))
    assert not (bundle / "model.sig").exists()


@pytest.mark.parametrize(
    ("issuers", "fragment"),
    [
        (["root", "middle"], "'CN=leaf' is not issued by that of 'CN=root'"),
        (["middle"], "'CN=middle' is not issued by"),
        (["alone"], "'CN=leaf' is not issued by that of 'CN=alone'"),
    ],
)
def test_chains_that_do_not_hold(bundle, chain, issuers, fragment):
    with pytest.raises(ValueError, match=fragment):
        _sign(bundle, chain, issuers=[getattr(chain, name) for name in issuers])
    assert not (bundle / "model.sig").exists()


def test_what_openssl_does_not_accept_is_not_written(bundle, chain):
    with pytest.raises(ValueError, match="Nothing was signed"):
        signing.sign(
            bundle,
            chain.alone_key,
            certificate=chain.bastard,
            certificate_chain=[chain.leaf, chain.middle, chain.root],
        )
    assert sorted(path.name for path in bundle.iterdir()) == [
        "labels.txt",
        "model.tflite",
        "report.json",
    ]


def test_files_that_are_no_certificates(bundle, chain, keys, tmp_path):
    both = tmp_path / "both.crt"
    both.write_bytes(chain.leaf.read_bytes() + chain.middle.read_bytes())
    with pytest.raises(ValueError, match="certificate alone"):
        _sign(bundle, chain, both)
    with pytest.raises(ValueError, match="Expected a certificate in PEM"):
        _sign(bundle, chain, keys.public)
    with pytest.raises(ValueError, match="Expected a certificate in PEM"):
        signing.verify(bundle, certificate_chain=[chain.root, keys.public])
    with pytest.raises(FileNotFoundError, match="a certificate"):
        signing.verify(bundle, certificate_chain=tmp_path / "none.crt")
    with pytest.raises(ValueError, match="Expected `certificate`"):
        signing.sign(bundle, keys.private, certificate_chain=chain.root)


def test_the_password_of_the_certificates_key(bundle, chain):
    with pytest.raises(ValueError, match="has a password"):
        _sign(bundle, chain, password=None)
    with pytest.raises(ValueError, match="password is wrong"):
        _sign(bundle, chain, password="another")
