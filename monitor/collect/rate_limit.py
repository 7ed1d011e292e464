"""How often one client may ask: a bucket of tokens for each, refilled at a steady rate."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_network

from probes.address import parse
from probes.clock import Clock

_MAX_CLIENTS = 16384  # remembered at once; the one that was quiet for longest is forgotten first


class RateLimit:
    """Buckets of `burst` tokens, refilled at `rate` tokens a second; a request takes one."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # client -> (tokens, seen)

    def take(self, client: str) -> float:
        """Take a token: 0.0 where there was one, else the seconds until there is."""
        now = self._clock.monotonic()
        tokens, seen = self._buckets.pop(client, (float(self._burst), now))
        tokens = min(float(self._burst), tokens + (now - seen) * self._rate)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - allowed, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._rate

    def spend(self, client: str, amount: float) -> None:
        """Take so many tokens, there or not: the client waits until they are paid for."""
        now = self._clock.monotonic()
        tokens, seen = self._buckets.pop(client, (float(self._burst), now))
        self._buckets[client] = (min(float(self._burst), tokens + (now - seen) * self._rate) - amount, now)


def client_key(remote: str | None) -> str:
    """Who counts as one client: an IPv4 address, or the /64 of an IPv6 address, which one customer holds."""
    address = parse((remote or "").partition("%")[0])
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        return str(mapped) if mapped else str(ip_network((address, 64), strict=False))
    return str(address)
