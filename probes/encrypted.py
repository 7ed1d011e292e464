"""A resolver behind a certificate, whichever way it is asked (DoH, DoT): it must verify, or it says nothing at all.

Its own TCP and TLS steps are no operations of the target; only the lookups are recorded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import unquote

import msgspec

from . import failure as failures
from . import tcp, tls
from .address import parse
from .certificate import Authorities
from .dns import DNSLookup, Response, failure_of
from .trace import Trace
from .url import URL

BLOCK = 128  # bytes: a query is padded to a multiple, so that its length tells nothing of the name (RFC 8467 4.1)
Ask = Callable[[tls.TLSStream, str, str], Awaitable[Response | None]]


class Unanswered(Exception):
    """The resolver answered something that is no answer; str() is the failure string."""


class EncryptedResolver(msgspec.Struct, frozen=True):
    """Its name in the configuration, where it is, and the address to dial (empty: ask `system` for the host's).

    The URL's scheme is `https` or `tls`.
    """

    name: str
    url: URL
    bootstrap: str = ""


def options(query: str) -> tuple[str, list[str]]:
    """The address after `bootstrap=` in a query string (empty: none) and the other fields; raises ValueError."""
    fields = [field for field in query.split("&") if field]
    given = [field.removeprefix("bootstrap=") for field in fields if field.startswith("bootstrap=")]
    bootstrap = unquote(given[0]) if given else ""
    if bootstrap and parse(bootstrap) is None:
        raise ValueError(f"bootstrap={bootstrap} is no IP address")
    return bootstrap, [field for field in fields if not field.startswith("bootstrap=") and field != "bootstrap"]


async def lookups(
    trace: Trace,
    name: str,
    query_types: Sequence[str],
    *,
    resolver: EncryptedResolver,
    ask: Ask,
    engine: str,
    alpn: str,
    authorities: Authorities,
    addresses: Sequence[str] = (),
    hop: int = 0,
) -> list[DNSLookup]:
    """Ask for several types over one connection, one after the other; the first failure ends the connection.

    `ask` puts one question over the stream. `addresses`: where the resolver is, when it has no bootstrap.
    """
    started = trace.now()
    address = resolver.bootstrap or next(iter(addresses), "")
    failure, stream = await _open(trace, resolver.url, address, alpn, authorities)
    done: list[DNSLookup] = []
    try:
        for query_type in query_types:
            response: Response | None = None
            if stream is not None and failure is None:
                failure, response = await _answer(trace, stream, name, query_type, ask)
            at = round(trace.now() - started, 6)
            done.append(
                DNSLookup(
                    started=started, finished=trace.now(), hop=hop, attempt=trace.attempt, engine=engine,
                    resolver=resolver.name, server=address, name=name, query_type=query_type,
                    responses=(msgspec.structs.replace(response, at=at),) if response else (),
                    failure=failure_of(response, query_type) if response else failure,
                )
            )  # fmt: skip
            trace.record(done[-1])
    finally:
        if stream is not None:
            stream.close()
    return done


async def _answer(
    trace: Trace, stream: tls.TLSStream, name: str, query_type: str, ask: Ask
) -> tuple[str | None, Response | None]:
    """The failure string, or the answer."""
    try:
        async with asyncio.timeout(trace.limits.dns_timeout):
            response = await ask(stream, name, query_type)
    except (OSError, EOFError, TimeoutError) as error:
        return failures.of(error), None
    except Unanswered as error:
        return str(error), None
    return (None, response) if response else ("dns_server_misbehaving", None)


async def _open(
    trace: Trace, url: URL, address: str, alpn: str, authorities: Authorities
) -> tuple[str | None, tls.TLSStream | None]:
    """Connect and shake hands, each within a DNS lookup's time; the failure string, or the verified stream."""
    if not address:
        return "dns_temporary_failure", None
    quiet = Trace(trace.network, trace.clock, msgspec.structs.replace(trace.limits, timeout=trace.limits.dns_timeout))
    stream = await tcp.connect(quiet, address, url.port)
    if stream is None:
        return quiet.operations[-1].failure, None
    secured = await tls.handshake(quiet, stream, url.host, authorities=authorities, alpn=alpn)
    step = quiet.operations[-1]
    assert isinstance(step, tls.TLSHandshake)
    if secured is None or not step.valid:
        stream.close()
        return step.failure or step.certificate_failure, None
    return None, secured
