"""Asks the control about every agent's targets when the agent measures them, and keeps what it said.

An agent in a censored network often reaches no helper. Its schedule is known beforehand (`collect.schedule`: phase,
slot, wait), so that the service can ask at the same moment; an upload, be it weeks later, is judged with that.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import msgspec

from blocklists import Target
from monitor.collect.schedule import phase, slot, wait
from monitor.engine import Engine
from monitor.judge.verdict import STOPPED
from monitor.store import KeptControl, Store, StoreError
from probes.url import parse_url

from .matching import WITHIN

log = logging.getLogger("wallwatch.agent")
LEAD = 30.0  # seconds before the agent's own moment: the control must have answered when it begins
AGAIN = 150.0  # seconds after it: a suspicious measurement ends within 90
SHARED = 240.0  # seconds for which one agent's answer serves another
FRESH = 30.0  # seconds for which one from after a measurement does
AT_ONCE = 16  # questions under way, whoever they are for
DOUBTED = STOPPED | {"impaired", "insufficient"}


class Keeper:
    """Keeps controls in the store. `engine` gives the present one."""

    def __init__(self, engine: Callable[[], Engine], store: Store) -> None:
        self._engine, self._store = engine, store
        self._asked: dict[str, datetime] = {}  # URL -> when its newest answer was complete
        self._locks: dict[str, asyncio.Lock] = {}
        self._door = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Ask on the agents' schedules, by the present engine's lists, until cancelled."""
        engine = self._engine()
        agents = [v.name for v in engine.setup.measured_vantages() if v.facts.kind == "agent"]
        if not agents or not engine.control.configured:
            return
        self._asked |= await self._store.controls_since(engine.setup.clock.now() - timedelta(seconds=WITHIN))
        async with asyncio.TaskGroup() as group:
            for vantage in agents:
                for name, targets in engine.setup.targets.items():
                    group.create_task(self._follow(group, engine, vantage, name, targets))

    async def _follow(
        self, group: asyncio.TaskGroup, engine: Engine, vantage: str, name: str, targets: tuple[Target, ...]
    ) -> None:
        """One list of one agent, slot after slot."""
        clock, config = engine.setup.clock, engine.config
        begun = slot(clock.now(), config.every, phase(vantage, name, config.every))
        while True:
            for moment, target in moments(vantage, targets, begun, jitter=config.jitter):
                due = (moment - clock.now()).total_seconds()
                if due < -AGAIN:
                    continue  # the service was not there
                await clock.sleep(due - lead(config.every))
                group.create_task(self._both(engine, vantage, target, moment))
            begun += timedelta(seconds=config.every)

    async def _both(self, engine: Engine, vantage: str, target: Target, moment: datetime) -> None:
        """Before the agent measures, and after it where the last measurement was not plainly well."""
        await self.ask(target.url, younger=SHARED)
        clock = engine.setup.clock
        await clock.sleep((moment - clock.now()).total_seconds() + AGAIN)
        outcomes = await self._store.recent_outcomes(target.name, vantage, 1)
        if not DOUBTED.isdisjoint(outcomes):
            await self.ask(target.url, younger=FRESH)

    async def ask(self, url: str, *, younger: float) -> None:
        """Have an answer about a URL that is younger than so many seconds; what fails is not kept."""
        async with self._locks.setdefault(url, asyncio.Lock()):
            if self._age(url) < younger:
                return
            async with self._door:
                engine = self._engine()
                # `fresh`: an answer that the control shares with others may be five minutes old already.
                replies = await engine.control.ask(parse_url(url), [], fresh=True)
            at = engine.setup.clock.now()
            # Listeners that it lends are no fact about the target.
            good = tuple(msgspec.structs.replace(r, neutral=()) for r in replies if r.failure is None)
            if good:
                await self._keep(url, KeptControl(at, good))
        self._tidy()

    async def _keep(self, url: str, kept: KeptControl) -> None:
        try:
            await self._store.keep_control(url, kept)
            self._asked[url] = kept.at
        except StoreError as error:
            log.warning("what the control said of %.200s could not be kept: %s", url, error)

    def _age(self, url: str) -> float:
        at = self._asked.get(url)
        return float("inf") if at is None else (self._engine().setup.clock.now() - at).total_seconds()

    def _tidy(self) -> None:
        if len(self._asked) + len(self._locks) > 50_000:
            self._asked = {u: at for u, at in self._asked.items() if self._age(u) < SHARED}
            self._locks = {u: lock for u, lock in self._locks.items() if lock.locked()}


def moments(
    vantage: str, targets: Iterable[Target], begun: datetime, *, jitter: float
) -> list[tuple[datetime, Target]]:
    """When an agent measures each target of a list in the slot that begins then, in order; phrases have no control."""
    found = [
        (begun + timedelta(seconds=wait(vantage, t.name, begun, jitter)), t) for t in targets if t.url
    ]  # fmt: skip
    return sorted(found, key=lambda item: (item[0], item[1].name))


def lead(every: float) -> float:
    """Seconds by which the control is asked before the agent measures."""
    return min(LEAD, every / 10)
