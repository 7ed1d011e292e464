"""A scenario: a name, a change to the simulated Internet, and what must be concluded; played through the real collector."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from blocklists import Target, load, load_fingerprints, target_of
from blocklists.networks import Table
from monitor.collect.collect import Collector
from monitor.collect.control import Control
from monitor.collect.helper import Helper
from monitor.collect.helper_client import CLIENT_HEADER
from monitor.collect.reference import Referee
from monitor.collect.residual import Residual
from monitor.collect.self_test import SelfTester
from monitor.collect.vantage import Vantage
from monitor.collect.work import Result
from monitor.demo.censor import Censor, Rule
from monitor.demo.network import SimulatedNetwork
from monitor.demo.sites import page
from monitor.demo.trouble import NONE, Trouble
from monitor.demo.world import Site, World
from probes.certificate import Authorities
from probes.clock import Clock
from probes.measurement import VantageFacts
from probes.resolvers import parse_resolvers
from probes.trace import Limits

ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(timeout=0.6, dns_timeout=0.5, listen=0.2)
REST = timedelta(minutes=4)  # shorter than the real one: the clock that skips it must not seem wrong
RESOLVERS = ("system", "udp://8.8.8.8:53", "https://dns.example/dns-query?bootstrap=9.9.9.9")
SILENT = "192.241.9.9"
CONTROL_NAMES = ("control-a.example", "control-b.example", "control-c.example", "control-d.example")
NETWORKS = Table()
for _start, _end, *_whose in (
    ("36.110.0.0", "36.110.255.255", "CN", "4134", "Chinanet"), ("45.33.0.0", "45.33.255.255", "DE", "9009", "M247"),
    ("185.12.64.0", "185.12.64.255", "CN", "4134", "Chinanet"),
):  # fmt: skip
    NETWORKS.add(_start, _end, (_whose[0], _whose[1], _whose[2]))
FINGERPRINTS = load_fingerprints(sorted((ROOT / "blocklists").glob("fingerprints_*.csv")))


class QuickClock(Clock):
    """The real clock, but long waits pass at once; `ahead` is how far the wall clock is off."""

    def __init__(self, ahead: float = 0.0) -> None:
        self._skipped = 0.0
        self._ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._skipped + self._ahead)

    def monotonic(self) -> float:
        return time.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        if seconds >= 5:
            self._skipped += seconds
        else:
            await super().sleep(seconds)


def default_site(name: str = "site.example", address: str = "93.184.215.34", **fields: Any) -> Site:
    """A site with a page of its own; `fields` are those of `Site`."""
    body = page(f"The page of {name}", seed=name.replace(".", "-"))
    headers = (("X-Site-Edge", "hit"),)
    return msgspec.structs.replace(
        Site(name, (address,), title=f"The page of {name}", body=body, headers=headers), **fields
    )


class Scenario(msgspec.Struct, kw_only=True):
    """`outcome`, `technique` (exact, None: none), `cause`, and a rule that must be among those that fired."""

    name: str
    outcome: str
    technique: str | None = None
    techniques: tuple[str, ...] | None = None
    cause: str | None = None
    rule: str = ""
    url: str = "https://site.example/"
    sites: tuple[Site, ...] = ()
    rules: tuple[Rule, ...] = ()
    trouble: Trouble = NONE
    helpers: int = 1
    helper_rules: tuple[Rule, ...] = ()  # a censor in the helper's own path
    helper_trouble: Trouble = NONE
    reference: bool = False
    no_helpers: bool = False
    broken_helper: bool = False
    neutral: int = 0  # listeners that each helper lends
    silent: bool = False  # the helper names an address that runs no resolver
    blocked_before: bool = False  # the target was blocked in one of its last measurements
    resolvers: tuple[str, ...] = RESOLVERS
    country: str = "CN"
    asn: int = 0
    seen_from: str = ""  # the address that the empty page says it is asked from
    known_blocked: tuple[str, ...] = ()
    ahead: float = 0.0
    seed: int = 0
    timeout: float = LIMITS.timeout  # seconds; more where what is measured is itself a matter of time
    expect: str = ""
    row: int = 0  # of judgement.md, where the scenario settles one
    check: Callable[[Result], None] | None = None
    before: tuple[str, ...] = ()  # URLs measured before, from the same vantage
    lifted: bool = False  # the censor's rules end after them, and the addresses rest for long enough


def play(scenario: Scenario) -> Result:
    """Play it and give the result of its URL."""
    return asyncio.run(_play(scenario))


def world_of(scenario: Scenario) -> World:
    """The scenario's sites (by default one good one) and the control sites."""
    controls = [default_site(name, f"151.101.{n}.7", per_client={}) for n, name in enumerate(CONTROL_NAMES, 10)]
    six = [msgspec.structs.replace(c, addresses=(*c.addresses, f"2a04:4e42:{n}::7")) for n, c in enumerate(controls, 1)]
    told = ((CLIENT_HEADER, scenario.seen_from),) if scenario.seen_from else ()
    empty = Site("empty.example", ("146.75.30.10",), status=204, http="serve", title="", headers=told)
    return World([*six, empty, *(scenario.sites or (default_site(),))])


async def _play(scenario: Scenario) -> Result:
    async with world_of(scenario) as world:
        authorities = _authorities(world)
        helpers = [
            Helper(
                SimulatedNetwork(world, f"helper-{n}", Censor(scenario.helper_rules), scenario.helper_trouble),
                authorities, resolvers=parse_resolvers(["system"]), rate=1e6, burst=10**6,
                limits=msgspec.structs.replace(LIMITS, timeout=scenario.timeout), public=f"192.241.1.{n + 1}",
                silent=SILENT if scenario.silent else "",
            )
            for n in range(0 if scenario.no_helpers else scenario.helpers)
        ]  # fmt: skip
        for helper in helpers:
            await helper.start(("127.0.0.1", 0), [("127.0.0.1", 0)] * scenario.neutral)
            for place in (p for p in helper.neutral_endpoints if p["protocol"] == "tcp"):
                world.add_service("neutral.example", place["address"], place["port"], place["port"])
        urls = [f"http://127.0.0.1:{helper.port}/" for helper in helpers]
        if scenario.broken_helper:
            urls = ["http://127.0.0.1:9/"]
        try:
            async with aiohttp.ClientSession() as session:
                return await _measure(scenario, world, authorities, urls, session)
        finally:
            for helper in helpers:
                await helper.stop()


async def _always(_target: str, _vantage: str) -> bool:
    return True


def _authorities(world: World) -> Authorities:
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(world.authority_pem)
        file.flush()
        return Authorities(Path(file.name))


async def _measure(
    scenario: Scenario, world: World, authorities: Authorities, helpers: list[str], session: aiohttp.ClientSession
) -> Result:
    clock, limits = QuickClock(scenario.ahead), msgspec.structs.replace(LIMITS, timeout=scenario.timeout)
    network = SimulatedNetwork(world, "inside", Censor(scenario.rules, seed=scenario.seed), scenario.trouble)
    vantage = Vantage(
        facts=VantageFacts(name="inside", country=scenario.country, asn=scenario.asn, simulated=True), network=network,
        resolvers=parse_resolvers(scenario.resolvers), egress="inside", known_blocked=scenario.known_blocked,
    )  # fmt: skip
    reference = Vantage(
        facts=VantageFacts(name="reference", simulated=True), network=SimulatedNetwork(world, "reference"),
        resolvers=parse_resolvers(["system"]), egress="reference",
    )  # fmt: skip
    referee = Referee(reference, authorities=authorities, limits=limits, clock=clock) if scenario.reference else None
    residual = Residual(clock, rest=REST)
    controls = [target_of(f"https://{name}/", category="CTRL") for name in CONTROL_NAMES]
    collector = Collector(
        authorities=authorities, control=Control(helpers=helpers, session=session, clock=clock, referee=referee),
        tester=SelfTester(
            names=controls, empty=["http://empty.example/", "https://empty.example/"], authorities=authorities,
            limits=LIMITS, clock=clock, networks=NETWORKS, residual=residual,
        ),
        residual=residual, fingerprints=FINGERPRINTS, limits=limits, clock=clock, retries=3, simulated=True,
        was_blocked=_always if scenario.blocked_before else None,
    )  # fmt: skip
    for url in scenario.before:
        await collector.measure(target_of(url), vantage)
    if scenario.lifted:
        network.censor.rules.clear()
        await clock.sleep(REST.total_seconds())
    notes = f"expect={scenario.expect}" if scenario.expect else ""
    return await collector.measure(target_of(scenario.url, notes=notes), vantage)


__all__ = ["LIMITS", "ROOT", "Result", "Scenario", "Target", "default_site", "load", "play", "world_of"]
