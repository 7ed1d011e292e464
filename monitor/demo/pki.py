"""Certificates of the simulated world: an authority that the probes are told to trust, and a stranger."""

import ssl
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from probes.address import parse

_CONTEXTS = 512  # server contexts kept per authority; some 30 KB each
_WRONG_NAME = "parked.hosting-default.example"


class Authority:
    """A root with one key for all of its leaves; a leaf is issued when it is first needed."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self.certificate = self._root()
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM)
        self.context = lru_cache(maxsize=_CONTEXTS)(self._context)

    def _context(self, kind: str, names: tuple[str, ...]) -> ssl.SSLContext:
        """A server context for the names. `kind`: `valid`, `expired`, `wrong_name` or `self_signed`."""
        return _server_context(self.leaf(kind, names), self._leaf_key)

    def leaf(self, kind: str, names: Sequence[str]) -> x509.Certificate:
        """The certificate itself; see `_context`."""
        now = datetime.now(UTC)
        until = now - timedelta(days=3) if kind == "expired" else now + timedelta(days=365)
        subjects = [_WRONG_NAME] if kind == "wrong_name" else list(names)
        signer, issuer = (self._key, self._name)
        if kind == "self_signed":
            signer, issuer = self._leaf_key, _named(subjects[0])
        builder = _builder(_named(subjects[0]), issuer, self._leaf_key.public_key())
        builder = builder.not_valid_before(now - timedelta(days=90)).not_valid_after(until)
        for extension, critical in _leaf_extensions(subjects, signer.public_key()):
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256())

    def _root(self) -> x509.Certificate:
        now = datetime.now(UTC)
        key = self._key.public_key()
        builder = _builder(self._name, self._name, key)
        builder = builder.not_valid_before(now - timedelta(days=365))
        builder = builder.not_valid_after(now + timedelta(days=3650))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    return builder.public_key(key).serial_number(x509.random_serial_number())


def _leaf_extensions(names: Sequence[str], signer: ec.EllipticCurvePublicKey) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        (x509.SubjectAlternativeName([_general(name) for name in names]), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), False),
    ]


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates,
        crl_sign=signs_certificates, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _general(name: str) -> x509.GeneralName:
    address = parse(name)
    return x509.IPAddress(address) if address is not None else x509.DNSName(name)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _server_context(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    """OpenSSL takes a chain only from a file, which is gone again at once."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.flush()
        context.load_cert_chain(file.name)
    return context
