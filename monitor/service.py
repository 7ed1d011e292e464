"""The service: the only place that wires objects together."""

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
from aiohttp import web

from blocklists import Fingerprints, ListError, Target, load, load_fingerprints
from monitor import __version__
from monitor.collect.collect import Collector, Result
from monitor.collect.control import Control
from monitor.collect.reference import Referee
from monitor.collect.residual import REST, Residual
from monitor.collect.schedule import Round, Schedule
from monitor.collect.self_test import SelfTester, is_usable, told
from monitor.collect.vantage import Vantage
from monitor.config import Config, ConfigError, VantageConfig
from monitor.judge.verdict import Verdict
from monitor.publish import server
from monitor.publish.metrics import Metrics
from monitor.store import Store
from probes.certificate import Authorities
from probes.clock import Clock
from probes.measurement import Measurement, VantageFacts
from probes.network import DirectNetwork
from probes.resolvers import parse_resolvers
from probes.trace import Limits

log = logging.getLogger("wallwatch")
SHIPPED = Path(__file__).resolve().parent.parent / "blocklists"
_RECHECK, _RECHECK_FAULTY = 3600.0, 120.0  # seconds between checks of the helpers
_LOOP_CHECK = 1.0  # seconds between looks at the event loop's lag


class Setup(msgspec.Struct, kw_only=True):
    """Everything that a service is made of and that a simulated one replaces."""

    config: Config
    targets: dict[str, tuple[Target, ...]]  # list name -> its targets
    controls: tuple[Target, ...]
    fingerprints: Fingerprints
    authorities: Authorities
    vantages: tuple[Vantage, ...]
    limits: Limits
    clock: Clock = msgspec.field(default_factory=Clock)
    rest: timedelta = REST  # how long an address rests after a suspicious failure
    simulated: bool = False


def setup(config: Config) -> Setup:
    """Read all that the configuration names. Raises ConfigError or ListError with every fault."""
    faults: list[str] = []
    targets: dict[str, tuple[Target, ...]] = {}
    for path in config.targets:
        try:
            name = path.name if path.name not in targets else str(path)
            targets[name] = tuple(load(path))
        except ListError as error:
            faults.append(str(error))
    controls: tuple[Target, ...] = ()
    try:
        controls = tuple(t for t in load(config.control_open) if t.url)
    except ListError as error:
        faults.append(str(error))
    fingerprints = Fingerprints([])
    try:
        shipped = sorted(SHIPPED.glob("fingerprints_*.csv"))
        fingerprints = load_fingerprints([*shipped, *config.fingerprints])
    except ListError as error:
        faults.append(str(error))
    authorities = None
    try:
        authorities = Authorities(config.ca_file)
    except (OSError, ValueError) as error:
        faults.append(f"{config.path}: probe.ca_file: {config.ca_file}: {error}")
    if faults or authorities is None:
        raise ConfigError(faults)
    return Setup(
        config=config, targets=targets, controls=controls, fingerprints=fingerprints, authorities=authorities,
        vantages=tuple(_vantage(v) for v in config.vantages), limits=Limits(timeout=config.timeout),
    )  # fmt: skip


def _vantage(config: VantageConfig) -> Vantage:
    return Vantage(
        facts=VantageFacts(name=config.name, kind=config.kind, country=config.country, asn=config.asn),
        network=DirectNetwork(interface=config.interface, source=config.source),
        resolvers=parse_resolvers(config.resolvers),
        egress=config.interface or config.source or "default",
    )  # fmt: skip


class Engine:
    """What makes measurements: the collector and everything it needs, without store and schedule."""

    def __init__(self, made: Setup) -> None:
        self.setup = made
        self.config = made.config
        self.vantages = {v.name: v for v in made.vantages}
        self.residual = Residual(made.clock, rest=made.rest)
        self.metrics = Metrics(
            per_target_limit=made.config.per_target_limit, simulated=made.simulated, version=__version__
        )
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
            names=made.controls, empty=empty, authorities=made.authorities, limits=made.limits, clock=made.clock
        )
        self.collector = Collector(
            authorities=made.authorities, control=self.control, tester=tester, residual=self.residual,
            fingerprints=made.fingerprints, limits=made.limits, clock=made.clock, retries=config.retries,
            slots=asyncio.Semaphore(config.concurrency), simulated=made.simulated,
        )  # fmt: skip
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def measure(self, target: Target, vantage_name: str) -> Result:
        """One measurement now."""
        return await self.collector.measure(target, self.vantages[vantage_name])

    async def load_residuals(self, store: Store) -> None:
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
        """The vantages from which targets are measured: all but the reference."""
        return [name for name in self.vantages if name != self.config.control_vantage or len(self.vantages) == 1]


class Service:
    """A running `wallwatch run`: engine, store, schedule and pages."""

    def __init__(self, made: Setup, *, store: Store) -> None:
        self.engine = Engine(made)
        self.store = store
        self.schedule: Schedule | None = None
        self._runner: web.AppRunner | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._stopping = asyncio.Event()
        self.port = 0
        self.on_result: list[asyncio.Queue[Result]] = []

    @property
    def metrics(self) -> Metrics:
        """The metrics of this process."""
        return self.engine.metrics

    async def __aenter__(self) -> Self:
        await self.engine.__aenter__()
        self.engine.residual.keep_in(self.store.set_residual)
        await self.engine.load_residuals(self.store)
        self.metrics.set_targets([(t.name, t.site, t.category) for t in self.all_targets()])
        for vantage in self.engine.vantages.values():
            facts = vantage.facts
            self.metrics.set_vantage(facts.name, facts.kind, facts.country, facts.asn, "")
        self.metrics.restore(await self.store.newest(), await self.store.series_states())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self.engine.__aexit__(kind, error, trace)

    def all_targets(self) -> list[Target]:
        """Targets of all lists, each once."""
        lists = self.engine.setup.targets.values()
        return list({t.name: t for targets in lists for t in targets}.values())

    async def once(self, progress: Callable[[int, int], None] = lambda _done, _all: None) -> list[Result]:
        """Every target once from every vantage, regardless of schedule; stored. `progress` is told (done, all)."""
        await self.engine.check_control()
        results: list[Result] = []
        pairs = [(t, v) for v in self.engine.measured_vantages() for t in self.all_targets() if t.url]
        random.shuffle(pairs)

        async def one(target: Target, vantage: str) -> None:
            results.append(await self.measure(target, vantage))
            progress(len(results), len(pairs))

        async with asyncio.TaskGroup() as group:
            for target, vantage in pairs:
                group.create_task(one(target, vantage))
        return results

    async def run(self) -> None:
        """Probe until `stop`; what is under way then is finished and stored."""
        rounds = [
            Round(vantage, name, targets)
            for vantage in self.engine.measured_vantages() for name, targets in self.engine.setup.targets.items()
        ]  # fmt: skip
        config = self.engine.config
        self.schedule = Schedule(
            rounds, every=config.every, jitter=config.jitter, memory=self.store, measure=self._measure_in_round,
            clock=self.engine.setup.clock, before_round=self._before_round, on_missed=self.metrics.job_missed,
            on_lag=self.metrics.scheduler_lag,
        )  # fmt: skip
        await self.engine.check_control()
        await self.schedule.start()
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._watch())
            await self._stopping.wait()
            await self.schedule.drain()
            watch.cancel()

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()

    async def measure(self, target: Target, vantage: str) -> Result:
        """One measurement, stored and counted."""
        result = await self.engine.measure(target, vantage)
        await self.keep(result.measurement, result.verdict)
        for queue in self.on_result:
            queue.put_nowait(result)
        return result

    async def keep(self, measurement: Measurement, verdict: Verdict) -> None:
        """Store a measurement, then count it."""
        events = await self.store.save(measurement, verdict)
        self.metrics.observe(measurement, verdict, events)
        state = (await self.store.series_state(measurement.target, measurement.vantage.name)) if events else None
        if state is not None:
            self.metrics.state(measurement.target, measurement.vantage.name, state)
        tests = measurement.self_tests
        if tests:
            self.metrics.vantage_up(measurement.vantage.name, is_usable(tests[-1]))
        self.metrics.vantage_contact(measurement.vantage.name, measurement.time.timestamp())

    async def _measure_in_round(self, target: Target, vantage: str) -> float | None:
        """Measure; where an address had to rest, say how long, so that the round comes back to the target."""
        result = await self.measure(target, vantage)
        return self.engine.setup.rest.total_seconds() + 0.5 if result.verdict.cause == "residual" else None

    async def _before_round(self, vantage: str) -> None:
        await self.engine.load_residuals(self.store)
        _at, test = await self.engine.collector.tester.test(self.engine.vantages[vantage])
        self.metrics.vantage_up(vantage, is_usable(test))
        if not is_usable(test):
            log.warning("vantage %s: %s", vantage, told(test))

    async def _watch(self) -> None:
        """Look at the event loop and the store, and check the helpers every hour."""
        loop, checked = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        while True:
            before = loop.time()
            await asyncio.sleep(_LOOP_CHECK)
            self.metrics.event_loop_lag(max(0.0, loop.time() - before - _LOOP_CHECK))
            self.metrics.queue_depth(self.store.queue_depth)
            self.metrics.store_write(self.store.write_seconds)
            if loop.time() - checked > (_RECHECK_FAULTY if self.engine.control.faults else _RECHECK):
                checked = loop.time()
                await self.engine.check_control()

    async def serve(self) -> None:
        """Open the port. Raises OSError where it cannot be."""
        application = server.app(
            self.store, self.metrics, targets=self.all_targets(),
            vantages=[self.engine.vantages[name].facts for name in self.engine.measured_vantages()],
            simulated=self.engine.setup.simulated, ready=self._ready,
            now=self.engine.setup.clock.now,
        )  # fmt: skip
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        host, port = self.engine.config.listen
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def _ready(self) -> str | None:
        return self.store.failing
