"""DNS over TLS (RFC 7858): a question behind its two-byte length over a verified connection, kept for the next."""

import re
import struct
from collections.abc import Sequence

from . import dns as dns_probe
from . import encrypted, tls
from .certificate import Authorities
from .dns import DNSLookup, Response, query
from .encrypted import BLOCK, EncryptedResolver, Unanswered
from .trace import Trace
from .url import URL, parse_url

PORT = 853  # RFC 7858 section 3.1
SCHEMES = ("tls://", "dot://")
_LATE = 8  # further answers to earlier questions that are passed over; a resolver sends none
_WITHOUT_PORT = re.compile(r"[^:]*|\[.*\]")


def parse_dot(text: str) -> EncryptedResolver:
    """`tls://dns.example:853?bootstrap=9.9.9.9`, with `dot://` as another word; raises ValueError with the reason."""
    scheme = next((scheme for scheme in SCHEMES if text.startswith(scheme)), "")
    if not scheme:
        raise ValueError("a DoT resolver needs tls://")
    place, _, options = text.removeprefix(scheme).partition("?")
    place = place.removesuffix("/")
    if re.search(r"[/@#]", place + options):
        raise ValueError("a DoT resolver has a name and a port, and no path")
    bootstrap, others = encrypted.options(options)
    if others:
        raise ValueError(f"{others[0][:40]} is no option of a DoT resolver (bootstrap=ADDRESS is)")
    where = parse_url(f"https://{place}:{PORT}" if _WITHOUT_PORT.fullmatch(place) else f"https://{place}")
    return EncryptedResolver(
        text, URL("tls", where.host, where.port, "/"), where.host if where.is_address else bootstrap
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
    earlier: set[int] = set()

    async def ask(stream: tls.TLSStream, name: str, query_type: str) -> Response | None:
        return await _ask(stream, name, query_type, earlier)

    return await encrypted.lookups(
        trace, name, query_types, resolver=resolver, ask=ask, engine="dot", alpn=tls.DOT,
        authorities=authorities, addresses=addresses, hop=hop,
    )  # fmt: skip


async def _ask(stream: tls.TLSStream, name: str, query_type: str, earlier: set[int]) -> Response | None:
    """The answer; None for a message that is none. `earlier`: the ids of questions that were answered before."""
    asked = query(name, query_type, pad=BLOCK)
    while asked.id in earlier:
        asked = query(name, query_type, pad=BLOCK)
    wire = asked.to_wire()
    await stream.write(struct.pack("!H", len(wire)) + wire)
    for _ in range(_LATE + 1):
        message = await _message(stream)
        answered = struct.unpack_from("!H", message)[0] if len(message) >= 2 else asked.id
        if answered not in earlier:
            break
    if answered != asked.id:
        raise Unanswered("dns_reply_with_wrong_query_id")
    earlier.add(asked.id)
    return dns_probe.read(message, asked, 0.0)


async def _message(stream: tls.TLSStream) -> bytes:
    """One message, at most 65,535 bytes by its length's two bytes; raises OSError, and EOFError where it is cut."""
    (length,) = struct.unpack("!H", await _exactly(stream, 2))
    return await _exactly(stream, length)


async def _exactly(stream: tls.TLSStream, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = await stream.read(length - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data
