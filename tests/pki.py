"""A certificate authority for tests: a root of its own, and certificates good and bad for any name."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from probes.address import parse

_DAY = timedelta(days=1)


class TestAuthority:
    """A root and what it issues, as PEM files in a folder; `root` is the one for `Authorities(root)`."""

    __test__ = False  # no test case, whatever its name

    def __init__(self, folder: Path, name: str = "Test Root") -> None:
        self.folder = folder
        self.root = folder / f"{name.replace(' ', '-')}.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        self._serial = 0
        public = self._key.public_key()
        self._certificate = (
            _builder(self._name, self._name, public, datetime.now(UTC) - _DAY, datetime.now(UTC) + 365 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.root.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, *names: str, since: timedelta = -_DAY, until: timedelta = 90 * _DAY) -> Path:
        """A certificate and its key in one PEM file, for names and IP addresses; dates are seen from now."""
        return self._issue(names, since, until, self_signed=False)

    def expired(self, *names: str) -> Path:
        """One that was good until yesterday."""
        return self._issue(names, -90 * _DAY, -_DAY, self_signed=False)

    def self_signed(self, *names: str) -> Path:
        """One that nobody vouches for."""
        return self._issue(names, -_DAY, 90 * _DAY, self_signed=True)

    def server_context(self, pem: Path) -> ssl.SSLContext:
        """A server's context with a file that `issue`, `expired` or `self_signed` gave."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        return context

    def _issue(self, names: tuple[str, ...], since: timedelta, until: timedelta, *, self_signed: bool) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        subject, now = _common_name(names[0][:64]), datetime.now(UTC)
        issuer, signer = (subject, key) if self_signed else (self._name, self._key)
        certificate = (
            _builder(subject, issuer, key.public_key(), now + since, now + until)
            .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(sign_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
            .sign(signer, hashes.SHA256())
        )
        self._serial += 1
        path = self.folder / f"leaf-{self._serial}.pem"
        path.write_bytes(_private(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return path


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general_name(name: str) -> x509.GeneralName:
    address = parse(name)
    return x509.DNSName(name) if address is None else x509.IPAddress(address)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, since: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=sign_certificates, crl_sign=sign_certificates,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
