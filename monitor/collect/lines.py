"""What a vantage's line is like, beyond its sites: IPv6, NAT64, invented answers, and the networks at its ends."""

import asyncio
import random
import string
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address

from blocklists.networks import Network, Networks
from probes import tcp
from probes.address import is_ipv6, kind
from probes.capability import SYSTEM_DNS
from probes.url import URL

from .vantage import Vantage
from .visit import Means, ask

_NAT64_NAME = "ipv4only.arpa"  # RFC 7050
_NAT64_KNOWN = (0xC00000AA, 0xC00000AB)  # 192.0.0.170 and .171
_RANDOM = 24  # letters: nobody has registered such a name, and no zone of ours holds a wildcard above it
_MOST = 8  # invented addresses that are kept


async def has_ipv6(means: Means, vantage: Vantage, urls: Sequence[URL]) -> bool | None:
    """True where one control address answers over IPv6, False where two do not, None where nobody knows."""
    if SYSTEM_DNS in vantage.network.blind:
        return None
    failed = 0
    with means.trace(vantage) as trace:
        for url in urls:
            found = await ask(trace, vantage, url.host, "AAAA")
            addresses = [a for a in found.addresses() if is_ipv6(a) and kind(a) == "global"]
            if not addresses:
                continue
            stream = await tcp.connect(trace, addresses[0], url.port)
            if stream is not None:
                stream.close()
                return True
            failed += 1
            if failed == 2:
                return False
    return None


async def nat64(means: Means, vantage: Vantage) -> tuple[str, ...]:
    """The network's NAT64 prefixes (/96 only), from the AAAA records that a DNS64 makes up (RFC 7050)."""
    if SYSTEM_DNS in vantage.network.blind:
        return ()
    with means.trace(vantage) as trace:
        found = await ask(trace, vantage, _NAT64_NAME, "AAAA")
    made_up = [int(IPv6Address(a)) for a in found.addresses() if is_ipv6(a)]
    prefixes = {f"{IPv6Address(n & ~0xFFFFFFFF)}/96" for n in made_up if n & 0xFFFFFFFF in _NAT64_KNOWN}
    return tuple(sorted(prefixes))


async def wildcard(means: Means, vantage: Vantage) -> tuple[str, ...]:
    """The addresses that the own resolver invents for names that do not exist; empty where it is honest.

    The names are of second level, under two top-level domains, so that no wildcard of a site is taken for it.
    """
    if SYSTEM_DNS in vantage.network.blind:
        return ()
    one, other = _random_name("com"), _random_name("org")
    with means.trace(vantage) as trace:
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(ask(trace, vantage, name, query_type))
                for name, query_type in ((one, "A"), (one, "AAAA"), (other, "A"))
            ]
    return tuple(sorted({a for task in asked for a in task.result().addresses()})[:_MOST])


def _random_name(top: str) -> str:
    return "".join(random.choices(string.ascii_lowercase, k=_RANDOM)) + f".{top}"  # noqa: S311 - no secret


def egress_of(clients: Iterable[str], networks: Networks | None) -> Network | None:
    """The network where the way out ends, by what empty pages said of our address.

    None without a table, where it does not know the address, and where two pages saw two networks: then it has
    several ends, or one of the pages is wrong.
    """
    found = [network for a in clients if a and networks and (network := networks.lookup(a))]
    if len({(n.country, n.asn) for n in found}) != 1:
        return None
    return found[0]


def resolver_asns(vantage: Vantage, networks: Networks | None) -> tuple[int, ...]:
    """The networks of the own nameservers, as far as those have public addresses and the table knows them."""
    if networks is None or SYSTEM_DNS in vantage.network.blind:
        return ()
    public = [address for address, _port in vantage.network.nameservers() if kind(address) == "global"]
    found = {network.asn for address in public if (network := networks.lookup(address))}
    return tuple(sorted(found - {0}))
