"""DNS over HTTPS (RFC 8484): a question as an HTTP request over a verified connection, which is kept for the next."""

from collections.abc import Sequence

import h11

from . import dns as dns_probe
from . import encrypted, tls
from .certificate import Authorities
from .dns import DNSLookup, Response, query
from .encrypted import BLOCK, EncryptedResolver, Unanswered
from .http import Page
from .trace import Trace
from .url import URL, parse_url

_MESSAGE = 64 * 1024  # bytes, the most that a DNS message can have


def parse_doh(text: str) -> EncryptedResolver:
    """`https://dns.example/dns-query?bootstrap=9.9.9.9`; raises ValueError with the reason."""
    url = parse_url(text)
    if url.scheme != "https":
        raise ValueError("a DoH resolver needs https://")
    path, _, query_string = url.target.partition("?")
    bootstrap, fields = encrypted.options(query_string)
    target = path + (f"?{'&'.join(fields)}" if fields else "")
    return EncryptedResolver(
        text, URL(url.scheme, url.host, url.port, target), url.host if url.is_address else bootstrap
    )


async def lookups(
    trace: Trace,
    name: str,
    query_types: Sequence[str],
    *,
    resolver: EncryptedResolver,
    authorities: Authorities,
    addresses: Sequence[str] = (),
    hop: int = 0,
) -> list[DNSLookup]:
    """Ask for several types over one connection. `addresses`: where the resolver is, when it has no bootstrap."""

    async def ask(stream: tls.TLSStream, name: str, query_type: str) -> Response | None:
        try:
            return await _ask(stream, resolver.url, name, query_type)
        except h11.RemoteProtocolError:
            raise Unanswered("http_request_failed") from None

    return await encrypted.lookups(
        trace, name, query_types, resolver=resolver, ask=ask, engine="doh", alpn=tls.HTTP,
        authorities=authorities, addresses=addresses, hop=hop,
    )  # fmt: skip


async def _ask(stream: tls.TLSStream, url: URL, name: str, query_type: str) -> Response | None:
    asked = query(name, query_type, pad=BLOCK)
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
