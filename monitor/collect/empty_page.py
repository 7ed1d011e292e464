"""Pages that are always empty: one that is not shows a captive portal, and our helper's tells where we come from."""

from collections.abc import Sequence

import msgspec

from probes import http, tcp, tls
from probes.address import kind, parse
from probes.trace import Trace
from probes.url import URL

from .helper_client import CLIENT_HEADER
from .vantage import Vantage
from .visit import Means, fetch, where


class EmptyPage(msgspec.Struct, frozen=True):
    """`empty`: None where the page cannot be had at all. `client`: our own address as its server sees it, where it
    says so and nobody can have forged it; else empty. It is looked up and dropped, never kept."""

    empty: bool | None = None
    client: str = ""


async def look_at_empty(means: Means, vantage: Vantage, url: URL) -> EmptyPage:
    """Fetch an empty page over the vantage's own network."""
    with means.trace(vantage) as trace:
        stream = await _connect_any(trace, await where(trace, vantage, url.host), url.port)
        if stream is None:
            return EmptyPage()
        secured: tls.TLSStream | tcp.Stream | None = stream
        if url.scheme == "https":
            secured = await tls.handshake(trace, stream, url.host, authorities=means.authorities)
        page = await fetch(trace, secured, stream, url) if secured is not None else None
        stream.close()
    step = next((op for op in trace.operations if isinstance(op, tls.TLSHandshake)), None)
    return _read(page, url, valid=step is not None and step.valid)


def _read(page: http.HTTPRoundTrip | None, url: URL, *, valid: bool) -> EmptyPage:
    if page is None or page.failure:
        return EmptyPage()
    if page.status == 204 and page.body_length == 0:
        return EmptyPage(True, _client(page) if valid or _is_near(url) else "")
    # Over valid TLS the page's own server speaks, and it may have no such page. A portal that answers in its
    # place brings a page of its own, leads to one, or asks to log in (511, RFC 6585).
    return EmptyPage(False if not valid and (page.status < 400 or page.status == 511) else None)


def _is_near(url: URL) -> bool:
    """Plain HTTP can be forged on its way: what it says counts only where the way does not leave our own network."""
    return kind(url.host) in ("loopback", "private")


def _client(page: http.HTTPRoundTrip) -> str:
    address = parse(page.header(CLIENT_HEADER.lower()).strip())
    return str(address) if address else ""


async def _connect_any(trace: Trace, addresses: Sequence[str], port: int) -> tcp.Stream | None:
    for address in addresses[:2]:
        stream = await tcp.connect(trace, address, port)
        if stream is not None:
            return stream
    return None
