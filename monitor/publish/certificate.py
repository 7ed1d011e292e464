"""A certificate's subject, issuer and dates as text. What a censor sends is tolerated, whatever it is."""

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import Certificate, Name

from .text import printable

# What cryptography raises for what a censor may send; odd names are warned of, an error under `-W error`.
FAULTS = (ValueError, TypeError, OverflowError, UserWarning, x509.InvalidVersion, UnsupportedAlgorithm)


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate of a chain; empty texts where it cannot be read or was not kept."""

    sha256: str
    subject: str = ""
    issuer: str = ""
    dates: str = ""
    fault: str = ""


def describe(digest: str, der: bytes | None) -> Described:
    """What a DER certificate says of itself. Never raises for what it holds."""
    if not der:
        return Described(sha256=printable(digest, 64), fault="not kept")
    try:
        return _read(digest, x509.load_der_x509_certificate(der))
    except FAULTS as error:
        return Described(sha256=printable(digest, 64), fault=f"cannot be read ({type(error).__name__})")


def _read(digest: str, certificate: Certificate) -> Described:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return Described(
        sha256=printable(digest, 64), subject=_name(certificate.subject), issuer=_name(certificate.issuer),
        dates=f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}",
    )  # fmt: skip


def _name(name: Name) -> str:
    return printable(name.rfc4514_string(), 160) or "(empty)"
