"""The schedule on the real APScheduler: no drift, nothing twice, nothing left out, no overlap."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from blocklists import Target, target_of
from monitor.collect.schedule import Round, Schedule, phase, slot
from monitor.judge.verdict import Verdict
from monitor.store import Store
from probes.clock import Clock
from probes.measurement import Measurement, VantageFacts

TARGETS = tuple(target_of(f"https://site-{n}.example/") for n in range(6))
ROUND = Round("here", "list.csv", TARGETS)


class Bench:
    """A schedule over a real store; `measure` stores a measurement and notes when it was made."""

    def __init__(self, store: Store, *, every: float, jitter: float = 0.0, takes: float = 0.0) -> None:
        self.store, self.takes = store, takes
        self.made: list[tuple[float, str]] = []
        self.missed: list[str] = []
        self.lags: list[float] = []
        self.now_running: set[str] = set()
        self.overlaps = 0
        self.schedule = Schedule(
            [ROUND], every=every, jitter=jitter, memory=store, measure=self.measure, clock=Clock(),
            on_missed=self.missed.append, on_lag=self.lags.append,
        )  # fmt: skip

    async def measure(self, target: Target, vantage: str) -> None:
        self.overlaps += target.name in self.now_running
        self.now_running.add(target.name)
        await asyncio.sleep(self.takes)
        now = datetime.now(UTC)
        uid = f"{now.timestamp():.6f}-{target.name}"
        facts = VantageFacts(name=vantage)
        measurement = Measurement(uid=uid, time=now, target=target.name, url=target.url, vantage=facts)
        await self.store.save(measurement, Verdict(outcome="ok"))
        self.made.append((time.time(), target.name))
        self.now_running.discard(target.name)


def test_phase_and_slot() -> None:
    offset = phase("here", "list.csv", 3600)
    assert offset == phase("here", "list.csv", 3600)
    assert 0 <= offset < 3600
    assert offset != phase("there", "list.csv", 3600)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    begun = slot(moment, 3600, offset)
    assert begun <= moment < begun + timedelta(seconds=3600)
    assert slot(begun, 3600, offset) == begun


def test_rounds_do_not_drift_and_come_in_random_order(tmp_path: Path) -> None:
    offset = phase("here", "list.csv", 0.5)

    async def play() -> Bench:
        async with Store.open(tmp_path / "a.db") as store:
            bench = Bench(store, every=0.5)
            await asyncio.sleep((offset + 0.25 - time.time()) % 0.5)  # amid a slot: the first round begins at once
            await bench.schedule.start()
            await asyncio.sleep(3.2)
            await bench.schedule.drain()
            return bench

    bench = asyncio.run(play())
    rounds = [bench.made[at : at + 6] for at in range(0, len(bench.made), 6)]
    whole = [r for r in rounds if len(r) == 6]
    assert len(whole) >= 5
    assert all({name for _at, name in r} == {t.name for t in TARGETS} for r in whole)
    assert len({tuple(name for _at, name in r) for r in whole}) > 1
    late = [(r[0][0] - offset) % 0.5 for r in whole[1:]]
    assert max(late) < 0.2  # each at the fixed phase, whenever the first began; the lateness does not add up
    assert bench.lags and max(bench.lags) < 0.4
    assert bench.overlaps == 0


def test_a_restart_neither_repeats_nor_skips(tmp_path: Path) -> None:
    async def play() -> tuple[list[str], list[str], list[str]]:
        path = tmp_path / "a.db"
        async with Store.open(path) as store:
            first = Bench(store, every=3600, jitter=0.6)
            await first.schedule.start()
            while len(first.made) < 2:
                await asyncio.sleep(0.01)
            await first.schedule.drain()
        async with Store.open(path) as store:
            second = Bench(store, every=3600)
            await second.schedule.start()
            while len(first.made) + len(second.made) < 6:
                await asyncio.sleep(0.01)
            await second.schedule.drain()
        async with Store.open(path) as store:
            third = Bench(store, every=3600)
            await third.schedule.start()
            await asyncio.sleep(0.3)
            await third.schedule.drain()
        return [n for _, n in first.made], [n for _, n in second.made], [n for _, n in third.made]

    first, second, third = asyncio.run(asyncio.wait_for(play(), 20))
    assert len(first) < 6
    assert sorted(first + second) == sorted(t.name for t in TARGETS)
    assert third == []


def test_a_round_that_takes_too_long_is_not_overlapped_and_is_counted(tmp_path: Path) -> None:
    async def play() -> Bench:
        async with Store.open(tmp_path / "a.db") as store:
            bench = Bench(store, every=0.3, takes=1.0)
            await bench.schedule.start()
            await asyncio.sleep(2.0)
            await bench.schedule.drain()
            return bench

    bench = asyncio.run(play())
    assert bench.overlaps == 0
    assert len(bench.missed) >= 2
    assert set(bench.missed) == {"here"}


def test_a_target_whose_address_rests_is_measured_again_in_the_same_round(tmp_path: Path) -> None:
    async def play() -> list[str]:
        async with Store.open(tmp_path / "a.db") as store:
            bench = Bench(store, every=3600)
            good = bench.measure

            async def measure(target: Target, vantage: str) -> float | None:
                await good(target, vantage)
                seen = [name for _at, name in bench.made].count(target.name)
                return 0.05 if target.name.endswith("site-3.example/") and seen < 2 else None

            bench.schedule._measure = measure
            await bench.schedule.run(ROUND)
            return [name for _at, name in bench.made]

    made = asyncio.run(play())
    assert len(made) == 7
    assert made.count("https://site-3.example/") == 2


def test_one_bug_does_not_take_the_round_with_it(tmp_path: Path) -> None:
    async def play() -> list[str]:
        async with Store.open(tmp_path / "a.db") as store:
            bench = Bench(store, every=3600)
            good = bench.measure

            async def measure(target: Target, vantage: str) -> None:
                if target.name.endswith("site-3.example/"):
                    raise KeyError("our own bug")
                await good(target, vantage)

            bench.schedule._measure = measure
            try:
                await bench.schedule.run(ROUND)
            except ExceptionGroup as group:
                assert [type(e) for e in group.exceptions] == [KeyError]
            else:
                raise AssertionError("the bug was swallowed")
            return [name for _at, name in bench.made]

    assert len(asyncio.run(play())) == 5
