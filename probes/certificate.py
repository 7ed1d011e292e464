"""Whether a certificate chain is good for a name; asked after the handshake and apart from it."""

import ssl
import warnings
from base64 import b64decode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509 import DNSName, IPAddress
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from .address import parse

INVALID_HOSTNAME = "ssl_invalid_hostname"
UNKNOWN_AUTHORITY = "ssl_unknown_authority"
INVALID_CERTIFICATE = "ssl_invalid_certificate"

_REMEMBER = 4096  # chains
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
_GRAIN = 600  # seconds for which an answer on the same chain and name stands
_ANY_LABEL = "any"  # stands in for what a wildcard covers
_UNREADABLE = (
    ValueError,
    TypeError,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class Authorities:
    """The roots that vouch: certifi's, plus those of a file (`[probe] ca_file`); never the host's store."""

    def __init__(self, extra: Path | None = None) -> None:
        pem = Path(certifi.where()).read_bytes()
        if extra is not None:
            pem += b"\n" + extra.read_bytes()
        self.pem = pem
        self._store = Store(list(_roots(pem)))
        self.failure = lru_cache(maxsize=_REMEMBER)(self._failure)

    def context(self) -> ssl.SSLContext:
        """An OpenSSL client context that verifies against the same roots (for helpers and uploads)."""
        return ssl.create_default_context(cadata=self.pem.decode("ascii", "ignore"))

    def failure_of(self, chain: Sequence[bytes], name: str, now: datetime) -> str | None:
        """None where the chain (DER, leaf first) is good for the name now, else the failure (df-007).

        Order, as in Go's `x509.Verify` from which OONI's strings come: dates, name, authority.
        A name is called wrong only where a root vouches for the certificate (Go does so for any certificate).
        """
        return self.failure(tuple(chain), name, int(now.timestamp()) // _GRAIN * _GRAIN)

    def _failure(self, chain: tuple[bytes, ...], name: str, at: int) -> str | None:
        now = datetime.fromtimestamp(at, UTC)
        try:
            leaf, *others = (load(der) for der in chain)
            if not leaf.not_valid_before_utc - timedelta(seconds=_GRAIN) <= now <= leaf.not_valid_after_utc:
                return INVALID_CERTIFICATE
            now = max(now, leaf.not_valid_before_utc)
            if self._good(leaf, others, _subject(name), now):
                return None
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (
            ValueError,
            TypeError,
            x509.ExtensionNotFound,
            x509.DuplicateExtension,
            x509.UnsupportedGeneralNameType,
        ):
            return INVALID_CERTIFICATE if not chain or not _parses(chain[0]) else UNKNOWN_AUTHORITY
        # Good for a name of its own: then the name asked for is what is wrong.
        own = [_concrete(other) for other in names if isinstance(other, (DNSName, IPAddress))][:3]
        if any(self._good(leaf, others, other, now) for other in own):
            return INVALID_HOSTNAME
        return UNKNOWN_AUTHORITY

    def _good(
        self, leaf: x509.Certificate, others: list[x509.Certificate], subject: DNSName | IPAddress, now: datetime
    ) -> bool:
        try:
            verifier = PolicyBuilder().store(self._store).time(now).build_server_verifier(subject)
            verifier.verify(leaf, others)
        except (VerificationError, ValueError):  # ValueError: a name that cannot be one
            return False
        return True


def load(der: bytes) -> x509.Certificate:
    """The certificate, whatever its serial number; raises ValueError where it is none."""
    with warnings.catch_warnings():
        # Some old roots, and whatever a peer may show, have a serial number of zero: no reason to speak up.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            return x509.load_der_x509_certificate(der)
        except x509.InvalidVersion as error:
            raise ValueError(str(error)) from error


def _roots(pem: bytes) -> Iterator[x509.Certificate]:
    """Every root that can be read; one that a later version of the library refuses is left out."""
    for part in pem.split(_BEGIN)[1:]:
        try:
            yield load(b64decode(part.partition(_END)[0]))
        except ValueError:
            continue


def _subject(name: str) -> DNSName | IPAddress:
    """The name as the library takes it: with an underscore it refuses it, and only a wildcard may hold it.

    CAs must not issue for such a name itself (CA/B Baseline Requirements 7.1.4), so another label stands in.
    """
    address = parse(name)
    if address is not None:
        return IPAddress(address)
    label, dot, rest = name.removesuffix(".").partition(".")
    return DNSName((_ANY_LABEL if "_" in label else label) + dot + rest)


def _concrete(name: DNSName | IPAddress) -> DNSName | IPAddress:
    if isinstance(name, DNSName) and name.value.startswith("*."):
        return DNSName(_ANY_LABEL + name.value[1:])
    return name


def _parses(der: bytes) -> bool:
    try:
        load(der)
    except ValueError:
        return False
    return True
