"""The DNS names in a certificate, bounded and of their kind."""

import re
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509

from .certificate import INVALID_HOSTNAME, load
from .tls import TLSHandshake
from .trace import Trace

MAX_NAMES = 40  # of one certificate
_NAME = re.compile(r"(?=.{1,253}\Z)(?:\*\.)?(?:[a-z0-9_-]{1,63}\.)+[a-z0-9_-]{1,63}", re.ASCII)


def names_seen(trace: Trace, step: TLSHandshake) -> tuple[str, ...]:
    """The names of the certificate that a handshake brought; none where no root vouches for it, since anybody could
    have written them."""
    if step.certificate_failure not in (None, INVALID_HOSTNAME) or not step.chain:
        return ()
    return names_of(trace.certificates[step.chain[0]])


@lru_cache(maxsize=1024)
def names_of(der: bytes) -> tuple[str, ...]:
    """Its DNS names (SAN), in its order, wildcards as they are; none where it cannot be read."""
    try:
        found = load(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return dns_names(found.get_values_for_type(x509.DNSName))
    except (ValueError, TypeError, x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return ()


def dns_names(values: Iterable[object]) -> tuple[str, ...]:
    """Those that are names, in lower case, each once, at most `MAX_NAMES`."""
    lower = (value.lower() for value in values if isinstance(value, str) and len(value) <= 253)
    return tuple(dict.fromkeys(name for name in lower if _NAME.fullmatch(name)))[:MAX_NAMES]
