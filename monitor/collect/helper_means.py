"""What a control test helper looks with, and where a name leads as it sees it."""

import asyncio

import msgspec

from probes import failure as failures
from probes.address import is_ipv6
from probes.certificate import Authorities
from probes.clock import Clock
from probes.dns import DNSLookup
from probes.network import Network
from probes.resolvers import Resolvers, ask_others, ask_system
from probes.trace import Limits, Trace
from probes.url import URL

from .helper_protocol import may_dial

# OONI's helper waits 4 s for DNS and 15 s for an endpoint and for the page. Ours waits no longer than a vantage does by
# default: a silent site would keep the client waiting for nothing. No second answer is waited for.
LIMITS = Limits(timeout=10.0, dns_timeout=4.0, listen=0.0, body_bytes=512 * 1024, redirects=10)
_MAX_ADDRESSES = 16  # of those that the helper resolved


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What the helper looks with. `gate` bounds the connections that are open at once."""

    network: Network
    authorities: Authorities
    resolvers: Resolvers
    limits: Limits
    clock: Clock
    allow_private: bool
    gate: asyncio.Semaphore

    def trace(self) -> Trace:
        """A new notebook."""
        return Trace(self.network, self.clock, self.limits)

    def dialable(self, addresses: tuple[str, ...]) -> list[str]:
        """Those that may be dialled, IPv4 first."""
        kept = [a for a in addresses if may_dial(a, allow_private=self.allow_private)]
        return sorted(kept, key=is_ipv6)

    def use_the_rest(self, trace: Trace, *, parts: int = 1) -> None:
        """Bound the next operation by what is left of the time since the trace began, or a part of that."""
        rest = max(0.001, self.limits.timeout - trace.now()) / parts
        trace.limits = msgspec.structs.replace(self.limits, timeout=rest)


class Lookup(msgspec.Struct, frozen=True):
    """What a name leads to: addresses, or a failure (df-007)."""

    failure: str | None
    addresses: tuple[str, ...] = ()


async def resolve(means: Means, url: URL) -> Lookup:
    """Ask every resolver for the A and AAAA records of the URL's host."""
    if url.is_address:
        return Lookup(None, (url.host,))
    trace = means.trace()
    trace.limits = msgspec.structs.replace(means.limits, dns_timeout=_patience(means))
    kinds = ("A", "AAAA")
    async with asyncio.TaskGroup() as group:
        if means.resolvers.system:
            group.create_task(ask_system(trace, url.host, kinds))
        others = ask_others(trace, url.host, kinds, resolvers=means.resolvers, authorities=means.authorities, hop=0)
        group.create_task(others)
    trace.close()
    return _summary([op for op in trace.operations if isinstance(op, DNSLookup) and not op.checking_disabled])


def _patience(means: Means) -> float:
    """Seconds for one nameserver: two of them must fit into the time for DNS, where the host has two."""
    servers = len(means.network.nameservers()) if means.resolvers.system else 1
    return means.limits.dns_timeout / (2 if servers > 1 else 1)


def _summary(lookups: list[DNSLookup]) -> Lookup:
    """All addresses, those of the host's stub resolver only where nobody else has any; else the failure."""
    asked = sorted((op for op in lookups if op.engine != "getaddrinfo"), key=lambda op: op.query_type)
    stub = [op for op in lookups if op.engine == "getaddrinfo"]
    for some in (asked, stub):
        addresses = tuple(dict.fromkeys(a for op in some for a in op.addresses()))
        if addresses:
            return Lookup(None, addresses[:_MAX_ADDRESSES])
    causes = [op.failure or failures.NO_ANSWER for op in asked or stub]
    if failures.NXDOMAIN in causes:
        return Lookup(failures.NXDOMAIN)
    return Lookup(next((cause for cause in causes if cause != failures.NO_ANSWER), failures.NO_ANSWER))
