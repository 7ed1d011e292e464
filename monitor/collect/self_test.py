"""Is the vantage fit to say anything? Tested before a round and again after anything suspicious."""

import asyncio
import random
import statistics
from collections.abc import Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from ipaddress import IPv6Address

from blocklists import Target, site_of
from monitor.judge.innocent import is_captive, is_offline
from probes import dns, http, tcp, tls
from probes.address import is_ipv6, kind
from probes.certificate import INVALID_CERTIFICATE, Authorities
from probes.clock import Clock
from probes.dns import DNSLookup
from probes.measurement import SelfTest
from probes.resolvers import ask_others
from probes.trace import Limits, Trace
from probes.url import URL, parse_url

from .vantage import Vantage

NAMES = 4  # control names a test; the contract wants at least 3, of different networks
_NAT64_NAME = "ipv4only.arpa"  # RFC 7050
_NAT64_KNOWN = (0xC00000AA, 0xC00000AB)  # 192.0.0.170 and .171


class SelfTester:
    """Tests vantages against a list of sites that must be reachable everywhere. Results are kept for a short while."""

    def __init__(
        self,
        *,
        names: Sequence[Target],
        empty: Sequence[str],
        authorities: Authorities,
        limits: Limits,
        clock: Clock,
        fresh: float = 30.0,
    ) -> None:
        self._names = list(names)
        self._empty = [parse_url(text) for text in empty]
        self._authorities = authorities
        self._limits = limits
        self._clock = clock
        self._fresh = fresh
        self._results: dict[str, tuple[float, SelfTest]] = {}
        self._running: dict[str, asyncio.Lock] = {}

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the control sites."""
        return tuple(t.url for t in self._names if t.url)

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts of the control sites."""
        return tuple(dict.fromkeys(parse_url(url).host for url in self.urls))

    def newest(self, vantage: Vantage) -> SelfTest | None:
        """The last result, however old; None before the first test."""
        entry = self._results.get(vantage.name)
        return entry[1] if entry else None

    async def test(self, vantage: Vantage, *, since: float | None = None) -> tuple[float, SelfTest]:
        """When (monotonic) and what. An older result is shared where it was begun after `since`, or is fresh."""
        async with self._running.setdefault(vantage.name, asyncio.Lock()):
            at, result = self._results.get(vantage.name, (float("-inf"), SelfTest()))
            now = self._clock.monotonic()
            if at >= (now - self._fresh if since is None else since):
                return at, result
            result = await self._run(vantage)
            self._results[vantage.name] = (now, result)
            return now, result

    async def _run(self, vantage: Vantage) -> SelfTest:
        chosen = random.sample(self._names, min(NAMES, len(self._names)))
        async with asyncio.TaskGroup() as group:
            visits = [group.create_task(self._visit(vantage, parse_url(t.url))) for t in chosen]
            empty = [group.create_task(self._is_empty(vantage, url)) for url in self._empty]
            six = group.create_task(self._ipv6(vantage, [parse_url(t.url) for t in chosen]))
            nat64 = group.create_task(self._nat64(vantage))
        seen = [task.result() for task in visits]
        skews = [v.skew for v in seen if v.skew is not None]
        return SelfTest(
            opened=tuple(v.host for v in seen if v.opened),
            failed=tuple(v.host for v in seen if not v.opened), secured=tuple(v.host for v in seen if v.secured),
            failed_resolvers=_failed_resolvers([v.lookups for v in seen]),
            untrusted=tuple(v.host for v in seen if v.untrusted),
            not_empty=tuple(str(url) for url, task in zip(self._empty, empty, strict=True) if task.result() is False),
            clock_skew=statistics.median(skews) if skews else None,
            ipv6=six.result(), nat64=nat64.result(), fake_addresses=any(v.fake for v in seen),
        )  # fmt: skip

    def _trace(self, vantage: Vantage) -> Trace:
        return Trace(vantage.network, self._clock, self._limits)

    async def _visit(self, vantage: Vantage, url: URL) -> "_Visit":
        visit = _Visit(url.host)
        with self._trace(vantage) as trace:
            async with asyncio.TaskGroup() as group:
                own = group.create_task(_ask(trace, vantage, url.host, "A"))
                group.create_task(
                    ask_others(
                        trace, url.host, ("A",), resolvers=vantage.resolvers, authorities=self._authorities, hop=0
                    )
                )
            addresses = own.result().addresses()
            visit.fake = any(kind(a) == "fake" for a in addresses)
            visit.lookups = [op for op in (*trace.operations, *trace.pending()) if isinstance(op, DNSLookup)]
            stream = await tcp.connect(trace, addresses[0], url.port) if addresses else None
            if stream is not None:
                visit.opened = True
                await self._look(trace, stream, url, visit)
                stream.close()
        return visit

    async def _look(self, trace: Trace, stream: tcp.Stream, url: URL, visit: "_Visit") -> None:
        if url.scheme != "https":
            return
        secured = await tls.handshake(trace, stream, url.host, authorities=self._authorities)
        step = trace.operations[-1]
        assert isinstance(step, tls.TLSHandshake)
        visit.untrusted = step.certificate_failure not in (None, INVALID_CERTIFICATE)
        visit.secured = step.valid
        if secured is not None and not visit.untrusted:
            page = await self._fetch(trace, secured, stream, url)
            visit.skew = self._skew(page.header("date"))

    def _skew(self, date: str) -> float | None:
        """Seconds by which the own clock is ahead of a Date header, which is cut to whole seconds."""
        try:
            told = parsedate_to_datetime(date) + timedelta(seconds=0.5)
            return (self._clock.now() - told).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None

    async def _is_empty(self, vantage: Vantage, url: URL) -> bool | None:
        """Whether the empty page is empty; None where it cannot be had at all."""
        with self._trace(vantage) as trace:
            addresses = [url.host] if url.is_address else (await _ask(trace, vantage, url.host, "A")).addresses()
            stream = await _connect_any(trace, addresses, url.port)
            if stream is None:
                return None
            secured: tls.TLSStream | tcp.Stream | None = stream
            if url.scheme == "https":
                secured = await tls.handshake(trace, stream, url.host, authorities=self._authorities)
            page = await self._fetch(trace, secured, stream, url) if secured is not None else None
            stream.close()
        step = next((op for op in trace.operations if isinstance(op, tls.TLSHandshake)), None)
        if page is None or page.failure:
            return None
        if page.status == 204 and page.body_length == 0:
            return True
        # Over valid TLS the page's own server speaks, and it may have no such page. A portal that answers in its
        # place brings a page of its own, leads to one, or asks to log in (511, RFC 6585).
        genuine = step is not None and step.valid
        return False if not genuine and (page.status < 400 or page.status == 511) else None

    async def _fetch(
        self, trace: Trace, secured: tls.TLSStream | tcp.Stream, below: tcp.Stream, url: URL
    ) -> http.HTTPRoundTrip:
        return await http.fetch(
            trace, secured, url, address=below.address, port=below.port, received=lambda: below.received
        )

    async def _ipv6(self, vantage: Vantage, urls: Sequence[URL]) -> bool | None:
        """True where one control address answers over IPv6, False where two do not, None where nobody knows."""
        failed = 0
        with self._trace(vantage) as trace:
            for url in urls:
                found = await _ask(trace, vantage, url.host, "AAAA")
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

    async def _nat64(self, vantage: Vantage) -> tuple[str, ...]:
        """The network's NAT64 prefixes (/96 only), from the AAAA records that a DNS64 makes up (RFC 7050)."""
        with self._trace(vantage) as trace:
            found = await _ask(trace, vantage, _NAT64_NAME, "AAAA")
        made_up = [int(IPv6Address(a)) for a in found.addresses() if is_ipv6(a)]
        prefixes = {f"{IPv6Address(n & ~0xFFFFFFFF)}/96" for n in made_up if n & 0xFFFFFFFF in _NAT64_KNOWN}
        return tuple(sorted(prefixes))


class _Visit:
    """What a visit to one control name showed."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.opened = self.secured = self.untrusted = self.fake = False
        self.skew: float | None = None
        self.lookups: list[DNSLookup] = []


async def _ask(trace: Trace, vantage: Vantage, name: str, query_type: str) -> DNSLookup:
    found = None
    for server in vantage.network.nameservers():
        found = await dns.lookup(trace, name, query_type, resolver="system", server=server)
        if found.responses:
            break
    assert found is not None
    return found


async def _connect_any(trace: Trace, addresses: Sequence[str], port: int) -> tcp.Stream | None:
    for address in addresses[:2]:
        stream = await tcp.connect(trace, address, port)
        if stream is not None:
            return stream
    return None


def _failed_resolvers(lookups: Sequence[Sequence[DNSLookup]]) -> tuple[str, ...]:
    """Resolvers that failed for every control name, at least two."""
    results: dict[str, list[bool]] = {}
    for group in lookups:
        for name in {op.resolver for op in group if op.engine != "getaddrinfo"}:
            good = any(op.addresses() for op in group if op.resolver == name)
            results.setdefault(name, []).append(good)
    return tuple(sorted(name for name, good in results.items() if len(good) >= 2 and not any(good)))


def is_usable(test: SelfTest) -> bool:
    """Neither offline nor behind a portal."""
    return not is_offline(test) and not is_captive(test)


def networks_of(targets: Sequence[Target]) -> int:
    """How many different sites a control list holds."""
    return len({t.site or site_of(parse_url(t.url).host) for t in targets})


def told(test: SelfTest) -> str:
    """A self-test in words."""
    states = {True: "works", False: "is broken", None: "is not known to work"}
    state = "offline" if is_offline(test) else "behind a captive portal" if is_captive(test) else "online"
    parts = [state, f"{len(test.opened)} of {len(test.opened) + len(test.failed)} control names open"]
    parts.append(f"IPv6 {states[test.ipv6]}")
    if test.clock_skew is not None:
        parts.append(f"clock {test.clock_skew:+.0f} s")
    if test.failed_resolvers:
        parts.append(f"resolvers that fail: {', '.join(test.failed_resolvers)}")
    return ", ".join(parts) + ("" if is_usable(test) else "; its results are insufficient")
