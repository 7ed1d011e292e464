"""The service: the only place that wires objects together."""

import asyncio
import logging
import math
import random
import ssl
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec
from aiohttp import web

from blocklists import ListError, Target
from monitor.agent import tls
from monitor.agent.handlers import Agents
from monitor.agent.keeper import Keeper
from monitor.collect.collect import HISTORY
from monitor.collect.schedule import Round, Schedule
from monitor.collect.self_test import told
from monitor.collect.underway import Underway
from monitor.collect.work import Result
from monitor.config import Config, ConfigError
from monitor.egress import examine, take_confirmed
from monitor.engine import SHIPPED, Engine, Setup, setup
from monitor.judge.detect import Event
from monitor.judge.vantage import is_quarantined, situations
from monitor.judge.verdict import Verdict
from monitor.publish import server
from monitor.publish.metrics import Metrics
from monitor.publish.vantages import Watch
from monitor.store import RecordError, Store
from probes.measurement import Measurement, SelfTest

__all__ = ["SHIPPED", "Engine", "Service", "Setup", "setup"]

log = logging.getLogger("wallwatch")
T = TypeVar("T")
_RECHECK, _RECHECK_FAULTY = 3600.0, 120.0  # seconds between checks of the helpers
_RETEST = 3600.0  # seconds after which a vantage is tested again, whether a round runs or not
_LOOP_CHECK = 1.0  # seconds between looks at the event loop's lag


class Service:
    """A running `wallwatch run`: engine, store, schedule and pages. `read_again` gives the setup for a reload."""

    def __init__(self, made: Setup, *, store: Store, read_again: Callable[[], Setup] | None = None) -> None:
        self.engine = Engine(made, was_blocked=self._was_blocked)
        self.store = store
        self._read_again = read_again
        self._runner: web.AppRunner | None = None
        self._schedules: list[Schedule] = []  # the present one last; before it those that are running out
        self._stopping, self._wake = asyncio.Event(), asyncio.Event()
        self._underway = Underway()
        self._keeper = Keeper(self._present, store)
        self._agents = Agents(self._present, store, self._keeper, keep=self.keep_many)
        self._keeping: asyncio.Task[None] | None = None
        self._certificate: ssl.SSLContext | None = None
        self._checked = 0.0  # on the loop's clock: when the helpers were
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
        await take_confirmed(self.engine, self.store)
        await self.store.rebuild()
        self.metrics.config_reload(True, self.engine.setup.clock.now().timestamp())
        await self._show()
        return self

    def _present(self) -> Engine:
        return self.engine

    async def _was_blocked(self, target: str, vantage: str) -> bool:
        """A target blocked not long ago is followed up whatever the first look says (row 27)."""
        return await self.store.was_blocked(target, vantage, HISTORY)

    async def _show(self) -> None:
        """Let metrics and pages have the targets and vantages of the present setup, and no others."""
        made, metrics = self.engine.setup, self.metrics
        metrics.set_limit(made.config.per_target_limit)
        metrics.set_targets([(t.name, t.site, t.category) for t in made.all_targets()])
        metrics.set_vantages([vantage.facts for vantage in made.vantages])
        if self._runner is not None:
            vantages = [vantage.facts for vantage in made.measured_vantages()]
            server.show(self._runner.app, targets=made.all_targets(), vantages=vantages)
        metrics.restore(await self.store.newest(), await self.store.series_states())
        newest = await self.store.newest_of_vantages([vantage.name for vantage in made.vantages])
        metrics.restore_vantages(newest.values())
        metrics.agents.keep_only([vantage.name for vantage in made.vantages])
        for contact in await self.store.contacts():
            if any(v.name == contact.vantage for v in made.vantages):
                metrics.agents.heard(contact.vantage, skew=contact.skew, spooled=contact.spooled)
                metrics.vantage_contact(contact.vantage, contact.at.timestamp())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        await self._agents.close()
        await self.engine.__aexit__(kind, error, trace)

    def all_targets(self) -> list[Target]:
        """Targets of all lists, each once."""
        return self.engine.setup.all_targets()

    async def once(self, progress: Callable[[int, int], None] = lambda _done, _all: None) -> list[Result]:
        """Every target once from every vantage, regardless of schedule; stored. `progress` is told (done, all)."""
        await self.engine.check_control()
        await self._test_all(self.engine)
        results: list[Result] = []
        pairs = [(t, v) for v in self.engine.measured_vantages() for t in self.all_targets()]
        random.shuffle(pairs)

        async def one(target: Target, vantage: str) -> None:
            results.append(await self.measure(target, vantage))
            progress(len(results), len(pairs))

        async with asyncio.TaskGroup() as group:
            for target, vantage in pairs:
                group.create_task(one(target, vantage))
        return results

    async def run(self) -> None:
        """Probe until `stop`; what is under way then is finished and stored, or given up where this is cancelled."""
        await self._unless_stopped(self.engine.check_control())
        self._checked = asyncio.get_running_loop().time()
        try:
            async with asyncio.TaskGroup() as group:
                watches = [group.create_task(self._watch()), group.create_task(self._test_vantages())]
                await self._follow()
                self._keep_controls(group)
                while await self._is_to_reload():
                    await self._reload(group)
                self._keep_controls(None)
                await asyncio.gather(*(schedule.drain() for schedule in self._schedules))
                for watch in watches:
                    watch.cancel()
        finally:
            for schedule in self._schedules:
                await schedule.abandon()

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()
        self._wake.set()

    def reload(self) -> None:
        """Read the configuration again and go on by it; one that has a fault changes nothing. Ignored at the end."""
        if self._read_again is not None:
            self._wake.set()

    async def _is_to_reload(self) -> bool:
        """Wait for a wish; of several at once the last one counts. False: the service is to end."""
        await self._wake.wait()
        self._wake.clear()
        return not self._stopping.is_set()

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What the work gives; None where the service is to end first."""
        task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            stopped.cancel()

    async def _reload(self, group: asyncio.TaskGroup) -> None:
        engine = await self._unless_stopped(self._next_engine())
        if engine is None:
            return
        await take_confirmed(engine, self.store)
        before, self.engine = self.engine, engine
        self._checked = -math.inf  # the helpers may be others
        self.metrics.config_reload(True, self.engine.setup.clock.now().timestamp())
        await self._show()
        retired = self._schedules[-1]
        retired.stop()
        await self._follow()
        self._keep_controls(group)
        group.create_task(self._retire(retired, before))
        log.info(
            "the configuration was read again: %d targets, %d vantages", len(engine.setup.all_targets()),
            len(engine.measured_vantages()),
        )  # fmt: skip

    async def _next_engine(self) -> Engine | None:
        """One by the configuration as it is now; None where that cannot be applied, which is said in the log."""
        assert self._read_again is not None
        before = self.engine.setup
        try:
            made = await asyncio.to_thread(self._read_again)
            faults = _fixed(before.config, made.config)
            if not faults:
                tls.take(self._certificate, made.config)
                made = msgspec.structs.replace(made, clock=before.clock, rest=before.rest)
                return await Engine(made, before=self.engine, was_blocked=self._was_blocked).__aenter__()
        except (ConfigError, ListError, OSError) as error:
            faults = str(error).splitlines()
        except Exception:  # our own bug: it must not end what runs well
            log.exception("the configuration could not be read again")
            faults = []
        for fault in faults:
            log.error("%s", fault)
        log.error("the configuration was not applied; the service goes on by the one that it has")
        self.metrics.config_reload(False)
        return None

    async def _follow(self) -> None:
        """Start a schedule by the present engine."""
        engine, metrics = self.engine, self.metrics
        rounds = [
            Round(vantage, name, targets)
            for vantage in engine.measured_vantages() for name, targets in engine.setup.targets.items()
        ]  # fmt: skip
        schedule = Schedule(
            rounds, every=engine.config.every, jitter=engine.config.jitter, memory=self.store,
            measure=partial(self._measure_in_round, engine), clock=engine.setup.clock,
            before_round=partial(self._before_round, engine), on_missed=metrics.job_missed,
            on_lag=metrics.scheduler_lag, admit=engine.slots.reserved, underway=self._underway,
        )  # fmt: skip
        self._schedules.append(schedule)
        await schedule.start()

    def _keep_controls(self, group: asyncio.TaskGroup | None) -> None:
        """Ask the control for agents by the present engine from now on; without a group no longer."""
        if self._keeping is not None:
            self._keeping.cancel()
        self._keeping = group.create_task(self._keeper.run()) if group is not None else None

    async def _retire(self, schedule: Schedule, engine: Engine) -> None:
        """Let what is under way by older settings end by them."""
        try:
            await schedule.drain()
            self._schedules.remove(schedule)
        finally:
            await engine.__aexit__(None, None, None)

    async def measure(self, target: Target, vantage: str, *, engine: Engine | None = None) -> Result:
        """One measurement, by the present engine or another one; stored and counted."""
        result = await (engine or self.engine).measure(target, vantage)
        await self.keep(result.measurement, result.verdict)
        for queue in self.on_result:
            queue.put_nowait(result)
        return result

    async def keep(self, measurement: Measurement, verdict: Verdict) -> None:
        """Store a measurement, then count it."""
        await self._count(measurement, verdict, await self.store.save(measurement, verdict))
        self.metrics.vantage_contact(measurement.vantage.name, measurement.time.timestamp())

    async def keep_many(self, pairs: Sequence[tuple[Measurement, Verdict]]) -> list[bool | RecordError]:
        """Store what agents hand in, then count what was not known: whether each was new, or what was wrong with it."""
        kept = await self.store.save_many(pairs)
        for (measurement, verdict), events in zip(pairs, kept, strict=True):
            if isinstance(events, list):
                await self._count(measurement, verdict, events)
        return [events if isinstance(events, RecordError) else events is not None for events in kept]

    async def _count(self, measurement: Measurement, verdict: Verdict, events: Sequence[Event]) -> None:
        self.metrics.observe(measurement, verdict, events)
        state = await self.store.series_state(measurement.target, measurement.vantage.name)  # a late one undoes events
        if state is not None:
            self.metrics.state(measurement.target, measurement.vantage.name, state)

    async def _measure_in_round(self, engine: Engine, target: Target, vantage: str) -> float | None:
        """Measure; where an address had to rest, say how long, so that the round comes back to the target."""
        result = await self.measure(target, vantage, engine=engine)
        return engine.setup.rest.total_seconds() + 0.5 if result.verdict.cause == "residual" else None

    async def _before_round(self, engine: Engine, vantage: str) -> None:
        await engine.load_residuals(self.store)
        await self._test(engine, vantage)

    async def _test(self, engine: Engine, vantage: str) -> None:
        """Test a vantage by the way out that is confirmed at present; show and tell how it is."""
        facts = engine.vantages[vantage].facts
        test = await examine(engine, self.store, vantage)
        if engine.vantages[vantage].facts != facts and engine is self.engine:
            await self._show()
        facts = engine.vantages[vantage].facts
        self.metrics.vantage_tested(facts, test, engine.setup.clock.now().timestamp())
        if is_quarantined(test, facts):
            why = "; ".join(found.text for found in situations(test, facts))
            log.warning("vantage %s: %s; %s", vantage, told(test, facts), why)

    async def _test_vantages(self) -> None:
        """Test each vantage of ours at the start, and again where no round has for an hour; an agent tests itself."""
        while True:
            await self._test_all(self.engine)
            await asyncio.sleep(_LOOP_CHECK)

    async def _test_all(self, engine: Engine) -> None:
        """Test those vantages of ours whose last test is long ago."""
        async with asyncio.TaskGroup() as group:
            for vantage in engine.vantages.values():
                if vantage.facts.kind != "agent" and engine.collector.tester.age(vantage) >= _RETEST:
                    group.create_task(self._test(engine, vantage.name))

    async def _watch(self) -> None:
        """Look at the event loop and the store, and check the helpers every hour."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(_LOOP_CHECK)
            self.metrics.event_loop_lag(max(0.0, loop.time() - before - _LOOP_CHECK))
            self.metrics.queue_depth(self.store.queue_depth)
            self.metrics.store_write(self.store.write_seconds)
            self.metrics.store_failing(self.store.failing is not None)
            if loop.time() - self._checked > (_RECHECK_FAULTY if self.engine.control.faults else _RECHECK):
                self._checked = loop.time()
                await self.engine.check_control()

    async def serve(self) -> None:
        """Open the port, with TLS where a certificate is configured. Raises OSError, and ConfigError for that."""
        application = server.app(
            self.store, self.metrics, targets=self.all_targets(),
            vantages=[vantage.facts for vantage in self.engine.setup.measured_vantages()],
            simulated=self.engine.setup.simulated, ready=self._ready,
            now=self.engine.setup.clock.now, watch=self._watched,
        )  # fmt: skip
        application.add_routes(self._agents.routes())
        self._certificate = tls.context_of(self.engine.config)
        # Bodies come as they were sent: how far a batch is unpacked is for the intake to decide.
        self._runner = web.AppRunner(application, access_log=None, auto_decompress=False)
        await self._runner.setup()
        host, port = self.engine.config.listen
        site = web.TCPSite(self._runner, host, port, ssl_context=self._certificate)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def _watched(self) -> Watch:
        """What the page of vantages is about."""
        config, made = self.engine.config, self.engine.setup
        is_reference = config.control_vantage not in self.engine.measured_vantages()
        return Watch(
            vantages=tuple(vantage.facts for vantage in made.vantages),
            reference=config.control_vantage if is_reference else "",
            patience=2 * config.every + config.jitter, tested=self._tested,
        )  # fmt: skip

    def _tested(self, vantage: str) -> tuple[datetime, SelfTest] | None:
        """A vantage's last self-test by this process, and when it began."""
        engine = self.engine
        tester, found = engine.collector.tester, engine.vantages.get(vantage)
        test = tester.newest(found) if found is not None else None
        if found is None or test is None:
            return None
        return engine.setup.clock.now() - timedelta(seconds=tester.age(found)), test

    def _ready(self) -> str | None:
        return self.store.failing


def _fixed(old: Config, new: Config) -> list[str]:
    """A fault for each key that only a restart can change."""
    changed = [name for name in ("database", "listen") if getattr(old, name) != getattr(new, name)]
    return [f"{new.path}: service.{name}: cannot change while the service runs; restart it" for name in changed]
