"""The resolvers of a vantage, and one name asked of all of them at once."""

import asyncio
from collections.abc import Sequence

import msgspec

from . import dns
from . import doh as dns_over_https
from . import dot as dns_over_tls
from .address import split_endpoint
from .capability import SYSTEM_DNS, UDP
from .certificate import Authorities
from .dns import DNSLookup
from .doh import parse_doh
from .dot import parse_dot
from .encrypted import EncryptedResolver
from .failure import TIMEOUT
from .trace import Trace

_RETRY_NEXT = frozenset({TIMEOUT, "connection_refused", "dns_servfail_error", "dns_refused_error"})


class Resolvers(msgspec.Struct, frozen=True, kw_only=True):
    """What a vantage asks: `system` decides what a plain client gets, `udp` shows injection, `doh` and `dot` vouch."""

    system: bool = True
    udp: tuple[tuple[str, tuple[str, int]], ...] = ()  # (name in the configuration, (address, port))
    doh: tuple[EncryptedResolver, ...] = ()
    dot: tuple[EncryptedResolver, ...] = ()


def parse_resolvers(texts: Sequence[str]) -> Resolvers:
    """`system`, `udp://ADDRESS:PORT`, `https://…` and `tls://…`; raises ValueError naming the one that is wrong."""
    udp: list[tuple[str, tuple[str, int]]] = []
    https: list[EncryptedResolver] = []
    over_tls: list[EncryptedResolver] = []
    for text in texts:
        try:
            if text.startswith("udp://"):
                rest = text.removeprefix("udp://")
                bare = rest.count(":") == 0 or rest.endswith("]")
                udp.append((text, split_endpoint(f"{rest}:53" if bare else rest)))
            elif text.startswith("https://"):
                https.append(parse_doh(text))
            elif text.startswith(dns_over_tls.SCHEMES):
                over_tls.append(parse_dot(text))
            elif text != "system":
                raise ValueError("expected system, udp://ADDRESS:PORT, https://NAME/PATH or tls://NAME:PORT")
        except ValueError as error:
            raise ValueError(f"{text!r} is no resolver: {error}") from None
    return Resolvers(system="system" in texts, udp=tuple(udp), doh=tuple(https), dot=tuple(over_tls))


async def ask_system(trace: Trace, name: str, query_types: Sequence[str], *, hop: int = 0) -> list[DNSLookup]:
    """Ask as the host is set up: the nameservers of resolv.conf in turn, each type at once; getaddrinfo beside it."""
    async with asyncio.TaskGroup() as group:
        group.create_task(dns.getaddrinfo(trace, name, hop=hop))
        tasks = [group.create_task(_in_turn(trace, name, kind, hop)) for kind in query_types]
    return [task.result() for task in tasks]


async def _in_turn(trace: Trace, name: str, query_type: str, hop: int) -> DNSLookup:
    servers = trace.network.nameservers()
    for server in servers:
        found = await ask(trace, name, query_type, resolver="system", server=server, hop=hop)
        if found.failure not in _RETRY_NEXT:
            break
    return found


async def ask(
    trace: Trace, name: str, query_type: str, *, resolver: str, server: tuple[str, int], hop: int
) -> DNSLookup:
    """One lookup; after SERVFAIL once more with CD=1, which tells a DNSSEC fault of the zone (RFC 4035 3.2.2)."""
    found = await dns.lookup(trace, name, query_type, resolver=resolver, server=server, hop=hop)
    if found.failure == "dns_servfail_error":
        await dns.lookup(trace, name, query_type, resolver=resolver, server=server, hop=hop, checking_disabled=True)
    return found


async def ask_others(
    trace: Trace, name: str, query_types: Sequence[str], *, resolvers: Resolvers, authorities: Authorities, hop: int
) -> None:
    """Ask every other resolver, all at once, and return when each has answered or failed.

    The encrypted ones are asked on the first hop only; where no datagram gets through, nobody else is.
    """
    datagrams = () if UDP in trace.network.blind else resolvers.udp
    async with asyncio.TaskGroup() as group:
        for label, server in datagrams:
            for kind in query_types:
                group.create_task(ask(trace, name, kind, resolver=label, server=server, hop=hop))
        for resolver in (*resolvers.doh, *resolvers.dot) if hop == 0 else ():
            group.create_task(_encrypted(trace, name, query_types, resolver, authorities, hop))


async def _encrypted(
    trace: Trace,
    name: str,
    query_types: Sequence[str],
    resolver: EncryptedResolver,
    authorities: Authorities,
    hop: int,
) -> None:
    addresses = [resolver.url.host]  # for the far side of a proxy to resolve
    if not resolver.bootstrap and SYSTEM_DNS not in trace.network.blind:
        with Trace(trace.network, trace.clock, trace.limits) as quiet:
            server = trace.network.nameservers()[0]
            found = await dns.lookup(quiet, resolver.url.host, "A", resolver="system", server=server)
        addresses = list(found.addresses())
    ask = dns_over_tls.lookups if resolver.url.scheme == "tls" else dns_over_https.lookups
    await ask(trace, name, query_types, resolver=resolver, authorities=authorities, addresses=addresses, hop=hop)
