"""Is the vantage fit to say anything? Tested at the start, every hour, before a round and after anything suspicious."""

import asyncio
import random
import statistics
from collections.abc import Sequence

from blocklists import Target, site_of
from blocklists.networks import Network, Networks
from monitor.judge.unusable import place
from monitor.judge.vantage import is_quarantined
from probes.certificate import Authorities
from probes.clock import Clock
from probes.dns import DNSLookup
from probes.measurement import SelfTest, VantageFacts
from probes.trace import Limits
from probes.url import parse_url

from . import lines
from .empty_page import look_at_empty
from .residual import Residual
from .vantage import Vantage
from .visit import Means, opens, visit

NAMES = 4  # control names a test; the contract wants at least 3, of different networks
KNOWN_EVERY = 3600.0  # seconds between two looks at sites known to be blocked: each may leave its address at rest
KNOWN = 8  # of those sites at most in a look, by chance


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
        networks: Networks | None = None,
        residual: Residual | None = None,
    ) -> None:
        self._names = list(names)
        self._empty = [parse_url(text) for text in empty]
        self._means = Means(authorities=authorities, limits=limits, clock=clock)
        self._clock = clock
        self._fresh = fresh
        self._networks = networks
        self._residual = residual or Residual(clock)
        self._results: dict[str, tuple[float, SelfTest]] = {}
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}  # vantage -> when, and which known ones opened
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

    def age(self, vantage: Vantage) -> float:
        """Seconds since the last test began; infinite before the first one."""
        entry = self._results.get(vantage.name)
        return self._clock.monotonic() - entry[0] if entry else float("inf")

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
        means = self._means
        chosen = [parse_url(t.url) for t in random.sample(self._names, min(NAMES, len(self._names)))]
        async with asyncio.TaskGroup() as group:
            visits = [group.create_task(visit(means, vantage, url)) for url in chosen]
            looks = [group.create_task(look_at_empty(means, vantage, url)) for url in self._empty]
            six = group.create_task(lines.has_ipv6(means, vantage, chosen))
            nat64 = group.create_task(lines.nat64(means, vantage))
            wildcard = group.create_task(lines.wildcard(means, vantage))
            known = group.create_task(self._known_open(vantage))
        seen, empty = [task.result() for task in visits], [task.result() for task in looks]
        skews = [v.skew for v in seen if v.skew is not None]
        egress = lines.egress_of((page.client for page in empty), self._networks) or Network()
        return SelfTest(
            opened=tuple(v.host for v in seen if v.opened),
            failed=tuple(v.host for v in seen if not v.opened), secured=tuple(v.host for v in seen if v.secured),
            failed_resolvers=_failed_resolvers([v.lookups for v in seen]),
            untrusted=tuple(v.host for v in seen if v.untrusted),
            not_empty=tuple(str(url) for url, page in zip(self._empty, empty, strict=True) if page.empty is False),
            clock_skew=statistics.median(skews) if skews else None,
            ipv6=six.result(), nat64=nat64.result(), fake_addresses=any(v.fake for v in seen),
            wildcard=wildcard.result(), known_blocked_open=known.result(),
            egress_country=egress.country, egress_asn=egress.asn, egress_name=egress.name,
            resolver_asns=lines.resolver_asns(vantage, self._networks),
        )  # fmt: skip

    async def _known_open(self, vantage: Vantage) -> tuple[str, ...]:
        """Which of the sites that are known to be blocked there open; looked at once an hour."""
        at, found = self._known.get(vantage.name, (float("-inf"), ()))
        now = self._clock.monotonic()
        if not vantage.known_blocked or now - at < KNOWN_EVERY:
            return found
        urls = random.sample(vantage.known_blocked, min(KNOWN, len(vantage.known_blocked)))
        async with asyncio.TaskGroup() as group:
            tried = [group.create_task(opens(self._means, vantage, parse_url(url), self._residual)) for url in urls]
        found = tuple(sorted(url for url, task in zip(urls, tried, strict=True) if task.result()))
        self._known[vantage.name] = (now, found)
        return found


def _failed_resolvers(lookups: Sequence[Sequence[DNSLookup]]) -> tuple[str, ...]:
    """Resolvers that failed for every control name, at least two."""
    results: dict[str, list[bool]] = {}
    for group in lookups:
        for name in {op.resolver for op in group if op.engine != "getaddrinfo"}:
            good = any(op.addresses() for op in group if op.resolver == name)
            results.setdefault(name, []).append(good)
    return tuple(sorted(name for name, good in results.items() if len(good) >= 2 and not any(good)))


def networks_of(targets: Sequence[Target]) -> int:
    """How many different sites a control list holds."""
    return len({t.site or site_of(parse_url(t.url).host) for t in targets})


def told(test: SelfTest, facts: VantageFacts) -> str:
    """A self-test in one line, without its situations."""
    states = {True: "works", False: "is broken", None: "is not known to work"}
    state = "quarantined, its results are insufficient" if is_quarantined(test, facts) else "fit to measure"
    parts = [state, f"{len(test.opened)} of {len(test.opened) + len(test.failed)} control names open"]
    parts.append(f"IPv6 {states[test.ipv6]}")
    if test.clock_skew is not None:
        parts.append(f"clock {test.clock_skew:+.0f} s")
    if test.egress_country or test.egress_asn:
        where = place(test.egress_asn, test.egress_country)
        parts.append(f"way out {where}{' ' if test.egress_name else ''}{test.egress_name}")
    return ", ".join(parts)
