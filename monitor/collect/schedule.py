"""Rounds of a list from a vantage, at fixed phases: no drift, nothing twice, nothing left out.

A round belongs to a slot: the slots of a (vantage, list) are `every` apart, and a hash of both decides their phase.
What a stopped process left of a slot is done after a restart, as is a target that is new in the list; a slot that is
over is not made up for.
"""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from blocklists import Target
from probes.clock import Clock

from .underway import Pair, Underway

_AGAIN = 3  # measurements of a target in one round, where its addresses had to rest
_EPOCH, _US = datetime.fromtimestamp(0, UTC), timedelta(microseconds=1)


class SlotTrigger(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires when a slot begins, whenever it fired before. (IntervalTrigger counts from a first run that was put in.)"""

    def __init__(self, every: float, begins: datetime) -> None:
        self._every, self._begins = timedelta(seconds=every), begins

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The beginning of the first slot after the last time, or after now."""
        passed = (previous_fire_time or now) - self._begins
        return self._begins + (passed // self._every + 1) * self._every


class Round(msgspec.Struct, frozen=True):
    """One list from one vantage."""

    vantage: str
    list_name: str
    targets: tuple[Target, ...]


class Memory(Protocol):
    """What the schedule needs of the store."""

    async def last_round(self, vantage: str, list_name: str) -> tuple[datetime, datetime | None] | None:
        """When the last round's slot began and when the round was finished."""

    async def measured_since(self, vantage: str, since: datetime) -> set[str]:
        """Targets measured from the vantage since a moment."""

    async def start_round(self, vantage: str, list_name: str, started: datetime) -> None:
        """A round has begun; `started` is its slot."""

    async def finish_round(self, vantage: str, list_name: str, started: datetime, finished: datetime) -> None:
        """It is done."""


def phase(vantage: str, list_name: str, every: float) -> float:
    """Seconds into each period at which the round starts: fixed, and spread over all rounds."""
    digest = hashlib.sha256(f"{vantage}\0{list_name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * every


def wait(vantage: str, target: str, begun: datetime, jitter: float) -> float:
    """Seconds from the beginning of a slot to a target's measurement: uniform, and known to everybody beforehand, so
    that the control can be asked about it at the same time elsewhere."""
    digest = hashlib.sha256(f"{vantage}\0{target}\0{begun.timestamp():.0f}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 * jitter


def slot(moment: datetime, every: float, offset: float) -> datetime:
    """The beginning of the slot that holds a moment."""
    # In whole microseconds, so that the slot of a slot's own beginning is itself.
    since, period, shift = (moment - _EPOCH) // _US, timedelta(seconds=every) // _US, timedelta(seconds=offset) // _US
    return _EPOCH + ((since - shift) // period * period + shift) * _US


class Schedule:
    """Runs every round at its phase through APScheduler.

    `measure` makes and stores one measurement; where its addresses had to rest, it gives the seconds after which it
    wants to be called again in the same round. `admit` is entered around each measurement: what waits there has not
    begun. Schedules that follow each other share `underway`: what one has under way the next does not measure again.
    """

    def __init__(
        self,
        rounds: Sequence[Round],
        *,
        every: float,
        jitter: float,
        memory: Memory,
        measure: Callable[[Target, str], Awaitable[float | None]],
        clock: Clock,
        before_round: Callable[[str], Awaitable[None]] | None = None,
        on_missed: Callable[[str], None] = lambda _vantage: None,
        on_lag: Callable[[float], None] = lambda _seconds: None,
        admit: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        underway: Underway | None = None,
    ) -> None:
        self._rounds, self._every, self._jitter = list(rounds), every, jitter
        self._memory, self._measure, self._clock = memory, measure, clock
        self._before_round, self._on_missed, self._on_lag = before_round, on_missed, on_lag
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._vantage_of: dict[str, str] = {}
        self._admit = admit
        self._underway = Underway() if underway is None else underway
        self._mine: set[Pair] = set()  # what of it is this schedule's
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._running: set[asyncio.Task[Any] | None] = set()

    async def start(self) -> None:
        """Schedule all rounds; one of whose slot something is left starts at once."""
        for item in self._rounds:
            await self._add(item)
        self._scheduler.add_listener(self._missed, EVENT_JOB_MISSED | EVENT_JOB_MAX_INSTANCES)
        self._scheduler.start()

    def stop(self) -> None:
        """Start nothing more."""
        if self._scheduler.running:
            self._scheduler.pause()
        self._stopping.set()

    async def drain(self) -> None:
        """Start nothing more, and wait until what is under way has been measured."""
        self.stop()
        await self._idle.wait()
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    async def abandon(self) -> None:
        """Start nothing more, and give up what is under way."""
        self.stop()
        for task in self._running:
            if task is not None:
                task.cancel()
        await self.drain()

    async def _add(self, item: Round) -> None:
        now = self._clock.now()
        current = slot(now, self._every, phase(item.vantage, item.list_name, self._every))
        last = await self._memory.last_round(item.vantage, item.list_name)
        done = await self._memory.measured_since(item.vantage, current)
        due = last is None or last[0] < current or last[1] is None or bool(_left(item, done))
        begins = self._clock.on_host(current)  # APScheduler's timers know no clock but the host's
        every = (self._clock.on_host(current + timedelta(seconds=self._every)) - begins).total_seconds()
        trigger = SlotTrigger(every, begins)
        identity = f"{item.vantage}\0{item.list_name}"
        self._vantage_of[identity] = item.vantage
        first = {"next_run_time": self._clock.on_host(now)} if due else {}
        self._scheduler.add_job(
            self.run, trigger, args=[item], id=identity, coalesce=True, max_instances=1,
            misfire_grace_time=max(1, int(every)), **first,
        )  # fmt: skip

    async def run(self, item: Round) -> None:
        """One round, as a job of the scheduler's."""
        task = asyncio.current_task()
        self._running.add(task)
        self._idle.clear()
        try:
            await self._round(item)
        except asyncio.CancelledError:
            if not self._stopping.is_set():  # else it was abandoned, and APScheduler need not hear of it
                raise
        finally:
            self._running.discard(task)
            if not self._running:
                self._idle.set()

    async def _round(self, item: Round) -> None:
        """Every target that the current slot has not measured yet, in random order."""
        now = self._clock.now()
        begun = slot(now, self._every, phase(item.vantage, item.list_name, self._every))
        self._on_lag((now - begun).total_seconds() if await self._is_on_time(item, begun) else 0.0)
        done = await self._memory.measured_since(item.vantage, begun)
        await self._memory.start_round(item.vantage, item.list_name, begun)
        if self._before_round is not None:
            await self._before_round(item.vantage)
        todo = _left(item, done)
        random.shuffle(todo)
        faults: list[Exception] = []
        async with asyncio.TaskGroup() as group:
            for target in todo:
                group.create_task(self._one(target, item.vantage, begun, faults))
        if self._stopping.is_set():
            return  # the rest of the slot is for the next process
        await self._memory.finish_round(item.vantage, item.list_name, begun, self._clock.now())
        if faults:  # our own bugs: loud, and after everything else of the round has been measured
            raise ExceptionGroup(f"{len(faults)} measurements of {item.list_name} failed", faults)

    async def _is_on_time(self, item: Round, begun: datetime) -> bool:
        """A round that makes up for a stopped process is late by no fault of the scheduler's."""
        last = await self._memory.last_round(item.vantage, item.list_name)
        return last is not None and last[0] == begun - timedelta(seconds=self._every)

    async def _one(self, target: Target, vantage: str, begun: datetime, faults: list[Exception]) -> None:
        pair = (target.name, vantage)
        await self._wait(wait(vantage, target.name, begun, self._jitter))
        if await self._is_done_by_another(pair, begun) or self._stopping.is_set():
            return None
        if pair in self._underway:
            return self._on_missed(vantage)
        self._mine.add(pair)
        with self._underway.begin(pair):
            try:
                await self._measured(target, vantage)
            except Exception as error:
                faults.append(error)
            finally:
                self._mine.discard(pair)

    async def _measured(self, target: Target, vantage: str) -> None:
        """Measure, and again where an address had to rest."""
        for _ in range(_AGAIN):
            async with self._admit():
                if self._stopping.is_set():
                    return
                began = self._clock.now()
                rest = await self._measure(target, vantage)
                self._underway.stored((target.name, vantage), began)
            if not rest or self._stopping.is_set():
                return
            await self._wait(rest)

    async def _is_done_by_another(self, pair: Pair, begun: datetime) -> bool:
        """Whether the slot's measurement was made meanwhile, by a schedule before this one; waits where it is made."""
        while pair in self._underway and pair not in self._mine and not self._stopping.is_set():
            waits = [asyncio.ensure_future(e.wait()) for e in (self._underway.ended(pair), self._stopping)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        return self._underway.measured_since(pair, begun)

    async def _wait(self, seconds: float) -> None:
        """Wait, or less where the schedule ends."""
        if seconds > 0:
            waits = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._stopping.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    def _missed(self, event: JobExecutionEvent) -> None:
        self._on_missed(self._vantage_of.get(event.job_id, ""))


def _left(item: Round, done: set[str]) -> list[Target]:
    """What of a round is still to be measured."""
    return [t for t in item.targets if t.name not in done]
