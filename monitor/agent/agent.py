"""A running `wallwatch agent`: measures by the last assignment, spools what it measured, hands it in when it can."""

import asyncio
import logging
import random
from functools import partial
from types import TracebackType
from typing import Self

from blocklists import Target
from monitor.collect.collect import HISTORY
from monitor.collect.schedule import Round, Schedule
from monitor.collect.self_test import told
from monitor.collect.underway import Underway
from monitor.collect.work import Result
from monitor.egress import examine, take_confirmed
from monitor.engine import Engine, Setup
from monitor.judge.vantage import is_quarantined
from monitor.publish.metrics import Metrics

from .assigned import idle, setup_of
from .client import Client, Fetched, Setback
from .protocol import ProtocolError, assignment_of
from .spool import Spool
from .uploader import Backoff, Uploader

log = logging.getLogger("wallwatch")
REFRESH = 600.0  # seconds between two looks at the assignment
_RECHECK = 3600.0  # seconds between checks of the helpers
_LAST_TRY = 10.0  # seconds for handing in at the end
_WATCH = 1.0  # seconds between looks at the spool


class Agent:
    """Measures until `stop`; what is under way then is finished and kept. `base` is the agent's own part of the setup.

    Without an assignment, new or kept, it waits for one and says so.
    """

    def __init__(self, base: Setup, *, spool: Spool, client: Client) -> None:
        self.base, self.spool, self._client = base, spool, client
        self.engine = Engine(idle(base), was_blocked=self._was_blocked)
        self._uploader = Uploader(spool, client, clock=base.clock)
        self._uploader.vantage = ""  # nothing is handed in before it is known as whose
        self._etag = ""
        self._schedules: list[Schedule] = []  # the present one last; before it those that are running out
        self._underway = Underway()
        self._stopping = asyncio.Event()
        self._failing: str | None = None

    @property
    def metrics(self) -> Metrics:
        """The metrics of this process."""
        return self.engine.metrics

    async def __aenter__(self) -> Self:
        await self.engine.__aenter__()
        self.engine.residual.keep_in(self.spool.set_residual)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.engine.__aexit__(kind, error, trace)

    def stop(self) -> None:
        """Begin to end."""
        self._stopping.set()

    async def run(self) -> None:
        """Measure and hand in until `stop`, or until it is cancelled, when what is under way is given up."""
        try:
            async with asyncio.TaskGroup() as group:
                others = [group.create_task(self._watch()), group.create_task(self._uploader.run())]
                await self._begin(group)
                following = group.create_task(self._refresh(group))
                await self._stopping.wait()
                following.cancel()
                await asyncio.gather(*(schedule.drain() for schedule in self._schedules))
                for task in others:
                    task.cancel()
            await self._last_try()
        finally:
            for schedule in self._schedules:
                await schedule.abandon()

    async def _last_try(self) -> None:
        try:
            async with asyncio.timeout(_LAST_TRY):
                await self._uploader.drain()
        except TimeoutError:
            pass
        if self.spool.count:
            log.info("%d measurements wait in the spool for the next start", self.spool.count)

    # The assignment

    async def _begin(self, group: asyncio.TaskGroup) -> None:
        """Go on by the kept assignment at once; the service may be out of reach for weeks."""
        kept = await self.spool.assignment()
        if kept is None:
            log.info("there is no assignment yet; nothing is measured until the service gives one")
            return
        body, etag = kept
        try:
            await self._follow(group, setup_of(self.base.config, assignment_of(body), self.base))
            self._etag = etag
        except ProtocolError as error:
            log.error("the kept assignment cannot be used: %s", error)

    async def _refresh(self, group: asyncio.TaskGroup) -> None:
        """Ask for the assignment again and again."""
        backoff = Backoff("fetching the assignment")
        while True:
            got = await self._client.assignment(self._etag, spooled=self.spool.count)
            if isinstance(got, Fetched):
                got = await self._adopt(group, got)
            if isinstance(got, Setback):
                await self.base.clock.sleep(backoff.wait(got))
            else:
                backoff.succeeded()
                await self.base.clock.sleep(REFRESH * random.uniform(0.9, 1.1))  # noqa: S311  # no secret

    async def _adopt(self, group: asyncio.TaskGroup, got: Fetched) -> Setback | None:
        """Follow a new assignment from now on, and keep it."""
        try:
            made = setup_of(self.base.config, got.assignment, self.base)
        except ProtocolError as error:
            return Setback("failed", f"the assignment cannot be used: {error}")
        await self.spool.keep_assignment(got.body, got.etag)
        await self._follow(group, made)
        self._etag = got.etag
        return None

    async def _follow(self, group: asyncio.TaskGroup, made: Setup) -> None:
        """Measure by another setup; what is under way by the one before ends by that."""
        before = self.engine
        self.engine = await Engine(made, before=before, was_blocked=self._was_blocked).__aenter__()
        await self.engine.load_residuals(self.spool)
        await take_confirmed(self.engine, self.spool)
        self.metrics.set_targets([(t.name, t.site, t.category) for t in made.all_targets()])
        self.metrics.set_vantages([vantage.facts for vantage in made.vantages])
        retired = self._schedules[-1:]
        for schedule in retired:
            schedule.stop()
        if not self._stopping.is_set():
            schedule = self._schedule(self.engine)
            self._schedules.append(schedule)
            await schedule.start()
        group.create_task(self._retire(retired, before))
        name = self._uploader.vantage = made.vantages[0].name
        self._uploader.more()
        log.info("the agent measures %d targets as the vantage %s", len(made.all_targets()), name)

    def _schedule(self, engine: Engine) -> Schedule:
        made, metrics = engine.setup, self.metrics
        vantage = made.vantages[0].name
        return Schedule(
            [Round(vantage, name, targets) for name, targets in made.targets.items()],
            every=made.config.every, jitter=made.config.jitter, memory=self.spool,
            measure=partial(self._measure, engine), clock=made.clock, before_round=partial(self._before_round, engine),
            on_missed=metrics.job_missed, on_lag=metrics.scheduler_lag, admit=engine.slots.reserved,
            underway=self._underway,
        )  # fmt: skip

    async def _retire(self, schedules: list[Schedule], engine: Engine) -> None:
        try:
            for schedule in schedules:
                await schedule.drain()
                self._schedules.remove(schedule)
        finally:
            await engine.__aexit__(None, None, None)

    # A measurement

    async def _measure(self, engine: Engine, target: Target, vantage: str) -> float | None:
        """Measure and keep; where an address had to rest, the seconds after which to come back."""
        result = await engine.measure(target, vantage)
        await self.keep(result)
        return engine.setup.rest.total_seconds() + 0.5 if result.verdict.cause == "residual" else None

    async def keep(self, result: Result) -> None:
        """Put a measurement on the disk, then count it."""
        measurement, verdict = result.measurement, result.verdict
        await self.spool.put(measurement, verdict.outcome, cause=verdict.cause)
        self._uploader.more()
        self.metrics.observe(measurement, verdict)
        self.metrics.vantage_contact(measurement.vantage.name, measurement.time.timestamp())

    async def _was_blocked(self, target: str, vantage: str) -> bool:
        return await self.spool.was_blocked(target, vantage, HISTORY)

    async def _before_round(self, engine: Engine, vantage: str) -> None:
        await engine.load_residuals(self.spool)
        await self._test(engine, vantage)

    async def _test(self, engine: Engine, vantage: str) -> None:
        """Test the vantage by the way out that is confirmed; a first look confirms, and the spool remembers it."""
        test = await examine(engine, self.spool, vantage)
        facts = engine.vantages[vantage].facts
        self.metrics.vantage_tested(facts, test, engine.setup.clock.now().timestamp())
        if is_quarantined(test, facts):
            log.warning("vantage %s: %s", vantage, told(test, facts))

    async def _watch(self) -> None:
        """Look at the spool; check the helpers when they may be others and every hour; test the vantage as often."""
        loop = asyncio.get_running_loop()
        checked, engine = 0.0, None
        while True:
            self._look_at_spool()
            if self.engine is not engine or loop.time() - checked > _RECHECK:
                checked, engine = loop.time(), self.engine
                await engine.check_control()
            for vantage in engine.vantages.values():
                if engine.collector.tester.age(vantage) > _RECHECK:
                    await self._test(engine, vantage.name)
            await asyncio.sleep(_WATCH)

    def _look_at_spool(self) -> None:
        spool, metrics = self.spool, self.metrics
        metrics.spool(spool.count, spool.dropped)
        metrics.store_failing(spool.failing is not None)
        if spool.failing != self._failing:
            self._failing = spool.failing
            if spool.failing:
                log.error("%s: cannot be written (%s); measurements wait in memory", spool.path, spool.failing)
            else:
                log.info("%s: can be written again", spool.path)
