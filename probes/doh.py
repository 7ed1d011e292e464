"""DNS over HTTPS (RFC 8484) over our own steps, so that the resolver's failure is told apart, step by step.

A DoH resolver only vouches or exposes: its certificate must verify, or it says nothing at all.
"""

import asyncio
from collections.abc import Sequence
from urllib.parse import unquote

import h11
import msgspec

from . import dns as dns_probe
from . import failure as failures
from . import tcp, tls
from .address import parse
from .certificate import Authorities
from .dns import DNSLookup, Response, failure_of, query
from .http import Page
from .trace import Trace
from .url import URL, parse_url

_MESSAGE = 64 * 1024  # bytes, the most that a DNS message can have


class DoHResolver(msgspec.Struct, frozen=True):
    """A DoH resolver: its name in the configuration, its URL, and the address to dial (empty: ask `system`)."""

    name: str
    url: URL
    bootstrap: str = ""


def parse_doh(text: str) -> DoHResolver:
    """`https://dns.example/dns-query?bootstrap=9.9.9.9`; raises ValueError with the reason."""
    url = parse_url(text)
    if url.scheme != "https":
        raise ValueError("a DoH resolver needs https://")
    path, _, query_string = url.target.partition("?")
    fields = [field.partition("=") for field in query_string.split("&") if field]
    bootstrap = next((unquote(value) for key, _, value in fields if key == "bootstrap"), "")
    if bootstrap and parse(bootstrap) is None:
        raise ValueError(f"bootstrap={bootstrap} is no IP address")
    if url.is_address:
        bootstrap = url.host
    rest = "&".join("".join(field) for field in fields if field[0] != "bootstrap")
    target = path + (f"?{rest}" if rest else "")
    return DoHResolver(text, URL(url.scheme, url.host, url.port, target), bootstrap)


async def lookups(
    trace: Trace,
    name: str,
    query_types: Sequence[str],
    *,
    resolver: DoHResolver,
    authorities: Authorities,
    addresses: Sequence[str] = (),
    hop: int = 0,
) -> list[DNSLookup]:
    """Ask for several types over one connection. `addresses`: where the resolver is, when it has no bootstrap."""
    started = trace.now()
    inner = Trace(trace.network, trace.clock, msgspec.structs.replace(trace.limits, timeout=trace.limits.dns_timeout))
    address = resolver.bootstrap or next(iter(addresses), "")
    failure, stream = await _open(inner, resolver.url, address, authorities)
    done: list[DNSLookup] = []
    for query_type in query_types:
        response: Response | None = None
        if stream is not None and failure is None:
            try:
                async with asyncio.timeout(trace.limits.dns_timeout):
                    response = await _ask(stream, resolver.url, name, query_type)
            except (OSError, EOFError, TimeoutError) as error:
                failure = failures.of(error)
            except h11.RemoteProtocolError:
                failure = "http_request_failed"
            else:
                failure = None if response else "dns_server_misbehaving"
        done.append(
            DNSLookup(
                started=started, finished=trace.now(), hop=hop, attempt=trace.attempt, engine="doh",
                resolver=resolver.name, server=address, name=name, query_type=query_type,
                responses=(msgspec.structs.replace(response, at=round(trace.now() - started, 6)),) if response else (),
                failure=failure_of(response, query_type) if response else failure,
            )
        )  # fmt: skip
        trace.record(done[-1])
    if stream is not None:
        stream.close()
    return done


async def _open(
    trace: Trace, url: URL, address: str, authorities: Authorities
) -> tuple[str | None, tls.TLSStream | None]:
    if not address:
        return "dns_temporary_failure", None
    stream = await tcp.connect(trace, address, url.port)
    if stream is None:
        return trace.operations[-1].failure, None
    secured = await tls.handshake(trace, stream, url.host, authorities=authorities)
    step = trace.operations[-1]
    assert isinstance(step, tls.TLSHandshake)
    if secured is None or not step.valid:
        stream.close()
        return step.failure or step.certificate_failure, None
    return None, secured


async def _ask(stream: tls.TLSStream, url: URL, name: str, query_type: str) -> Response | None:
    asked = query(name, query_type)
    asked.id = 0  # RFC 8484 section 4.1
    connection = h11.Connection(h11.CLIENT)
    wire = asked.to_wire()
    headers = [
        ("Host", url.authority),
        ("Content-Type", "application/dns-message"),
        ("Accept", "application/dns-message"),
        ("Content-Length", str(len(wire))),
    ]
    request = h11.Request(method="POST", target=url.target, headers=headers)
    parts = (connection.send(request), connection.send(h11.Data(data=wire)), connection.send(h11.EndOfMessage()))
    await stream.write(b"".join(part or b"" for part in parts))
    page = Page(_MESSAGE)
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await stream.read()
            if not data and not page.status:
                raise EOFError
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            page.begin(event)
        elif isinstance(event, h11.Data):
            if not page.add(bytes(event.data)):
                return None
        elif not isinstance(event, h11.InformationalResponse):
            break
    return dns_probe.read(bytes(page.body), asked, 0.0) if page.status == 200 else None
