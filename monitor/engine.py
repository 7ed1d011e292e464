"""What makes measurements: the collector and all that it needs, made from a configuration; no store, no schedule."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import aiohttp
import msgspec

from blocklists import Fingerprints, ListError, Target, load, load_fingerprints
from blocklists.networks import Networks, load_networks
from blocklists.places import load_places
from monitor import __version__
from monitor.collect.collect import Collector, WasBlocked
from monitor.collect.control import Control
from monitor.collect.reference import Referee
from monitor.collect.residual import REST, Residual
from monitor.collect.self_test import SelfTester
from monitor.collect.slots import Slots
from monitor.collect.vantage import BLIND, Remote, Vantage
from monitor.collect.work import Result
from monitor.config import Config, ConfigError, VantageConfig
from monitor.publish.metrics import Metrics
from probes.certificate import Authorities
from probes.clock import Clock
from probes.measurement import VantageFacts
from probes.network import DirectNetwork, Network
from probes.proxy import PATIENCE, ProxyNetwork
from probes.resolvers import parse_resolvers
from probes.trace import Limits

log = logging.getLogger("wallwatch")
SHIPPED = Path(__file__).resolve().parent.parent / "blocklists"


class Setup(msgspec.Struct, kw_only=True):
    """Everything that a service is made of and that a simulated one replaces."""

    config: Config
    targets: dict[str, tuple[Target, ...]]  # list name -> its targets
    controls: tuple[Target, ...]
    fingerprints: Fingerprints
    authorities: Authorities
    vantages: tuple[Vantage, ...]
    limits: Limits
    networks: Networks | None = None  # whose an address is, by the local table
    clock: Clock = msgspec.field(default_factory=Clock)
    rest: timedelta = REST  # how long an address rests after a suspicious failure
    simulated: bool = False

    def all_targets(self) -> list[Target]:
        """Targets of all lists, each once."""
        return list({t.name: t for targets in self.targets.values() for t in targets}.values())

    def measured_vantages(self) -> list[Vantage]:
        """The vantages from which targets are measured: all but the reference."""
        return [v for v in self.vantages if v.name != self.config.control_vantage or len(self.vantages) == 1]


def setup(config: Config) -> Setup:
    """Read all that the configuration names. Raises ConfigError or ListError with every fault."""
    faults: list[str] = []
    targets: dict[str, tuple[Target, ...]] = {}
    for path in config.targets:
        try:
            name = path.name if path.name not in targets else str(path)
            targets[name] = tuple(load(path, downloaded=path in config.downloaded))
        except ListError as error:
            faults.append(str(error))
    controls: tuple[Target, ...] = ()
    try:
        controls = tuple(
            t for t in load(config.control_open, downloaded=config.control_open in config.downloaded) if t.url
        )
    except ListError as error:
        faults.append(str(error))
    fingerprints = Fingerprints([])
    try:
        shipped = sorted(SHIPPED.glob("fingerprints_*.csv"))
        fingerprints = load_fingerprints([*shipped, *config.fingerprints], downloaded=config.downloaded)
    except ListError as error:
        faults.append(str(error))
    vantages: list[Vantage] = []
    for vantage in config.vantages:
        try:
            vantages.append(_vantage(vantage, config.path.resolve().parent, config.timeout))
        except ListError as error:
            faults.append(str(error))
    networks = None
    try:
        networks = load_networks(config.geo_database) if config.geo_database else None
    except ListError as error:
        faults += [f"{config.path}: geo.database: {fault}" for fault in error.faults]
    authorities = None
    try:
        authorities = Authorities(config.ca_file)
    except (OSError, ValueError) as error:
        faults.append(f"{config.path}: probe.ca_file: {config.ca_file}: {error}")
    if faults or authorities is None:
        raise ConfigError(faults)
    return Setup(
        config=config, targets=targets, controls=controls, fingerprints=fingerprints, authorities=authorities,
        vantages=tuple(vantages), limits=Limits(timeout=config.timeout), networks=networks,
    )  # fmt: skip


def _vantage(config: VantageConfig, folder: Path, timeout: float) -> Vantage:
    """Raises ListError where its list of places has faults."""
    network = _network(config, timeout)
    remote = None
    if config.kind == "remote":
        places = tuple(load_places(folder / config.places))
        remote = Remote(method=config.method, places=places, contact=config.contact)
    return Vantage(
        facts=VantageFacts(
            name=config.name, kind=config.kind, country=config.country, asn=config.asn, method=config.method,
            direction="outside-in" if remote else "inside-out",
            blind=tuple(sorted({*network.blind, *BLIND.get(config.method, ())})),
        ),
        network=network, resolvers=parse_resolvers(config.resolvers), remote=remote, known_blocked=config.blocked,
        egress=config.interface or config.source or _place(config.proxy) or "default",
    )  # fmt: skip


def _network(config: VantageConfig, timeout: float) -> Network:
    """A proxy has half of an operation's time for itself at most: the rest is the target's."""
    if not config.proxy:
        return DirectNetwork(interface=config.interface, source=config.source)
    patience = min(PATIENCE, timeout / 2)
    return ProxyNetwork(config.proxy, interface=config.interface, source=config.source, patience=patience)


def _place(proxy: str) -> str:
    """Host and port of a proxy, without its password: it names a way out."""
    return urlsplit(proxy).netloc.rpartition("@")[2]


class Rests(Protocol):
    """Who remembers which addresses rest: a store, or an agent's spool."""

    async def residuals(self, egress: str, now: datetime) -> Mapping[tuple[str, int], tuple[datetime, str]]:
        """(address, port) -> until when, and the uid of the measurement that triggered it."""


class Engine:
    """Measures by one setup. One that follows `before` keeps its counters, resting addresses, slots and faults."""

    def __init__(self, made: Setup, *, before: "Engine | None" = None, was_blocked: WasBlocked | None = None) -> None:
        self.setup = made
        self.config = made.config
        self.vantages = {v.name: v for v in made.vantages}
        self.given = {v.name: v.facts for v in made.vantages}  # as the configuration has them
        self._before = before
        self._was_blocked = was_blocked
        self.residual: Residual = before.residual if before else Residual(made.clock, rest=made.rest)
        self.metrics: Metrics = before.metrics if before else Metrics(
            per_target_limit=made.config.per_target_limit, simulated=made.simulated, version=__version__
        )  # fmt: skip
        self.slots: Slots = before.slots if before else Slots(made.config.concurrency)
        self._session: aiohttp.ClientSession | None = None
        self.control: Control
        self.collector: Collector

    async def __aenter__(self) -> Self:
        made, config = self.setup, self.config
        connector = aiohttp.TCPConnector(ssl=made.authorities.context(), limit=64)
        self._session = aiohttp.ClientSession(connector=connector, trust_env=False)
        reference = self.vantages.get(config.control_vantage)
        referee = (
            Referee(reference, authorities=made.authorities, limits=made.limits, clock=made.clock)
            if reference
            else None
        )
        self.control = Control(
            helpers=config.helpers, session=self._session, clock=made.clock, referee=referee,
            on_failure=self.metrics.control_failed,
        )  # fmt: skip
        empty = [*config.control_empty, *(h.rstrip("/") + "/generate_204" for h in config.helpers)]
        tester = SelfTester(
            names=made.controls, empty=empty, authorities=made.authorities, limits=made.limits, clock=made.clock,
            networks=made.networks, residual=self.residual,
        )  # fmt: skip
        self.collector = Collector(
            authorities=made.authorities, control=self.control, tester=tester, residual=self.residual,
            fingerprints=made.fingerprints, limits=made.limits, clock=made.clock, retries=config.retries,
            slots=self.slots, simulated=made.simulated, silent=config.control_silent,
            searches=config.searches, path=config.path_followed,
            was_blocked=self._was_blocked,
        )  # fmt: skip
        self._take_over()
        return self

    def _take_over(self) -> None:
        """Go on with what the engine before knows: who is contacted at present, and which helpers are not used."""
        before, self._before = self._before, None
        if before is not None:
            self.collector.gate = before.collector.gate
            self.collector.outside = before.collector.outside
            self.control.faults = {h: why for h, why in before.control.faults.items() if h in self.config.helpers}
            self.slots.resize(self.config.concurrency)

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def set_facts(self, name: str, facts: VantageFacts) -> None:
        """What is known of a vantage from now on, such as the network in which its way out ends."""
        if facts == self.vantages[name].facts:
            return
        self.vantages[name] = msgspec.structs.replace(self.vantages[name], facts=facts)
        self.setup = msgspec.structs.replace(self.setup, vantages=tuple(self.vantages.values()))

    async def measure(self, target: Target, vantage_name: str) -> Result:
        """One measurement now."""
        return await self.collector.measure(target, self.vantages[vantage_name])

    async def load_residuals(self, store: Rests) -> None:
        """Take over which addresses rest, from an earlier process or from one beside this."""
        for egress in {v.egress for v in self.vantages.values()}:
            self.residual.load(egress, await store.residuals(egress, self.setup.clock.now()))

    async def check_control(self) -> dict[str, str]:
        """Which helpers are not used, and why; said in the log."""
        faults = await self.control.check(self.setup.controls)
        for helper, why in faults.items():
            log.warning("control helper %s is not used: %s", helper, why)
        return faults

    def measured_vantages(self) -> list[str]:
        """The vantages from which this process measures targets: all but the reference and those of agents."""
        return [vantage.name for vantage in self.setup.measured_vantages() if vantage.facts.kind != "agent"]
