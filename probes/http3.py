"""Whether a site offers HTTP/3, and where: its page says so, or its HTTPS record."""

import re
from collections.abc import Iterable, Sequence

from .dns import DNSLookup
from .http import HTTPRoundTrip
from .tcp import TCPConnect
from .trace import Operation
from .url import URL

_ALT_SVC = re.compile(r'(?:^|,)\s*h3="([^":]*):([0-9]{1,5})"')  # RFC 7838 section 3
_HTTPS = re.compile(r"[1-9][0-9]* \. (.*)", re.DOTALL)  # a service of the name's own host, RFC 9460 section 2
_ALPN = re.compile(r'(?:^| )alpn="?(?:[^" ]*,)?h3(?:,[^" ]*)?"?(?: |$)')
_PORT = re.compile(r'(?:^| )port="?([0-9]{1,5})"?(?: |$)')


def alternative(headers: Iterable[tuple[str, str]]) -> tuple[str, int] | None:
    """Host (empty: the same) and port of the HTTP/3 service that a response names in Alt-Svc."""
    offers = ",".join(value for name, value in headers if name.lower() == "alt-svc")
    found = _ALT_SVC.search(offers)
    port = int(found[2]) if found else 0
    return (found[1], port) if found and 1 <= port <= 65535 else None


def offer(operations: Sequence[Operation], url: URL) -> tuple[str, int] | None:
    """Where the plain client's first look could have gone over QUIC: the address that served the page, or the first
    that was to, and the port on offer. None where nothing is offered at the URL's own host."""
    first = [op for op in operations if op.hop == 0 and op.attempt == 0]
    pages = [op for op in first if isinstance(op, HTTPRoundTrip)]
    for page in pages:
        named = alternative(page.headers)
        if named is not None and named[0].lower() in ("", url.host):
            return page.address, named[1]
    lookups = [op for op in first if isinstance(op, DNSLookup) and op.resolver == "system"]
    port = _recorded(lookups, url.port)
    served = [page.address for page in pages] or _dialled(first, lookups, url.port)
    return (served[0], port) if served and port else None


def _recorded(lookups: Sequence[DNSLookup], otherwise: int) -> int:
    """The port that the HTTPS record of the name offers HTTP/3 at; 0 where it does not."""
    answers = [op.responses[0] for op in lookups if op.query_type == "HTTPS" and op.responses]
    for record in (record for answer in answers for record in answer.records if record.type == "HTTPS"):
        own = _HTTPS.fullmatch(record.value)
        if own is None or not _ALPN.search(own[1]):
            continue
        port = _PORT.search(own[1])
        number = int(port[1]) if port else otherwise
        return number if 1 <= number <= 65535 else 0
    return 0


def _dialled(first: Sequence[Operation], lookups: Sequence[DNSLookup], port: int) -> list[str]:
    """The plain client's addresses that were contacted, in the order in which they were."""
    plain = {address for op in lookups for address in op.addresses()}
    connects = [op for op in first if isinstance(op, TCPConnect) and op.port == port and op.address in plain]
    tried = [op for op in connects if not (op.failure or "").startswith("not_tried")]
    return [op.address for op in sorted(tried, key=lambda op: op.started)]
