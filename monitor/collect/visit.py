"""One visit to a site by a vantage that tests itself: names, TCP, TLS, page; what each showed."""

import asyncio
from datetime import timedelta
from email.utils import parsedate_to_datetime

import msgspec

from probes import dns, http, tcp, tls
from probes.address import kind
from probes.capability import SYSTEM_DNS
from probes.certificate import INVALID_CERTIFICATE, Authorities
from probes.clock import Clock
from probes.dns import DNSLookup
from probes.resolvers import ask_others
from probes.trace import Limits, Trace
from probes.url import URL

from .residual import Residual
from .vantage import Vantage


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What a look needs."""

    authorities: Authorities
    limits: Limits
    clock: Clock

    def trace(self, vantage: Vantage) -> Trace:
        """A notebook for one look; nothing of it is kept."""
        return Trace(vantage.network, self.clock, self.limits)


class Visit(msgspec.Struct, kw_only=True):
    """What a visit to one control name showed. `skew`: seconds by which the own clock is ahead of the page's date."""

    host: str
    opened: bool = False
    secured: bool = False
    untrusted: bool = False
    fake: bool = False
    skew: float | None = None
    lookups: list[DNSLookup] = msgspec.field(default_factory=list)


async def visit(means: Means, vantage: Vantage, url: URL) -> Visit:
    """Look at a control name: DNS by all resolvers, TCP, and over https TLS and the page."""
    found = Visit(host=url.host)
    with means.trace(vantage) as trace:
        addresses = await _addresses(means, vantage, trace, url.host)
        found.fake = any(kind(a) == "fake" for a in addresses)
        found.lookups = [op for op in (*trace.operations, *trace.pending()) if isinstance(op, DNSLookup)]
        stream = await tcp.connect(trace, addresses[0], url.port) if addresses else None
        if stream is not None:
            await _look(means, trace, stream, url, found)
            found.opened = SYSTEM_DNS not in vantage.network.blind or _spoken(trace, url)
            stream.close()
    return found


def _spoken(trace: Trace, url: URL) -> bool:
    """Whether the site itself has spoken: some proxies say that they are connected before they are."""
    return url.scheme != "https" or any(isinstance(op, tls.TLSHandshake) and not op.failure for op in trace.operations)


async def opens(means: Means, vantage: Vantage, url: URL, residual: Residual) -> bool:
    """Whether a site that is known to be blocked opens: its own valid certificate, and a page over it.

    Where it does not, the address rests as after any other suspicious failure; where it rests already, it is left be.
    """
    owner = f"self-test:{vantage.name}"
    with means.trace(vantage) as trace:
        addresses = await where(trace, vantage, url.host)
        if url.scheme != "https" or not addresses:
            return False
        refuse = residual.refusal(vantage.egress, addresses[0], url.port, uid=owner)
        stream = await tcp.connect(trace, addresses[0], url.port, refuse=refuse)
        seen = Visit(host=url.host)
        page = await _look(means, trace, stream, url, seen) if stream is not None else None
        if stream is not None:
            stream.close()
    if page is not None and seen.secured and page.failure is None and page.status > 0:
        return True
    if not refuse:
        await residual.rest(vantage.egress, addresses[0], url.port, uid=owner)
    return False


async def _addresses(means: Means, vantage: Vantage, trace: Trace, host: str) -> tuple[str, ...]:
    """Where a name is by the vantage's own resolver; its other resolvers are asked beside, to see whether they work."""
    async with asyncio.TaskGroup() as group:
        own = group.create_task(where(trace, vantage, host))
        group.create_task(
            ask_others(trace, host, ("A",), resolvers=vantage.resolvers, authorities=means.authorities, hop=0)
        )
    return own.result()


async def _look(means: Means, trace: Trace, stream: tcp.Stream, url: URL, found: Visit) -> http.HTTPRoundTrip | None:
    if url.scheme != "https":
        return None
    secured = await tls.handshake(trace, stream, url.host, authorities=means.authorities)
    step = trace.operations[-1]
    assert isinstance(step, tls.TLSHandshake)
    found.untrusted = step.certificate_failure not in (None, INVALID_CERTIFICATE)
    found.secured = step.valid
    if secured is None or found.untrusted:
        return None
    page = await fetch(trace, secured, stream, url)
    found.skew = _skew(means.clock, page.header("date"))
    return page


def _skew(clock: Clock, date: str) -> float | None:
    """Seconds by which the own clock is ahead of a Date header, which is cut to whole seconds."""
    try:
        told = parsedate_to_datetime(date) + timedelta(seconds=0.5)
        return (clock.now() - told).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None


async def where(trace: Trace, vantage: Vantage, host: str, query_type: str = "A") -> tuple[str, ...]:
    """Whom to connect to for a name: its addresses, or itself where it is one or is resolved beyond a proxy."""
    if kind(host) != "invalid" or SYSTEM_DNS in vantage.network.blind:
        return (host,)
    return tuple((await ask(trace, vantage, host, query_type)).addresses())


async def ask(trace: Trace, vantage: Vantage, name: str, query_type: str) -> DNSLookup:
    """One lookup by the first of the network's own nameservers that answers."""
    found = None
    for server in vantage.network.nameservers():
        found = await dns.lookup(trace, name, query_type, resolver="system", server=server)
        if found.responses:
            break
    assert found is not None
    return found


async def fetch(trace: Trace, secured: tls.TLSStream | tcp.Stream, below: tcp.Stream, url: URL) -> http.HTTPRoundTrip:
    """The page of a URL over an open connection."""
    return await http.fetch(
        trace, secured, url, address=below.address, port=below.port, received=lambda: below.received
    )
