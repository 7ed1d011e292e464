"""A schedule that follows another one, while that still has measurements under way."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from blocklists import Target, target_of
from monitor.collect.schedule import Round, Schedule
from monitor.collect.underway import Underway
from monitor.judge.verdict import Verdict
from monitor.store import Store
from probes.clock import Clock
from probes.measurement import Measurement, VantageFacts

TARGETS = tuple(target_of(f"https://site-{n}.example/") for n in range(6))


class Turn:
    """A schedule over a shared store and shared knowledge of what is under way."""

    def __init__(
        self, store: Store, underway: Underway, *, every: float = 3600, takes: float = 0.0, keeps: bool = True,
        prepares: float = 0.0,
    ) -> None:  # fmt: skip
        self.store, self.takes, self.keeps, self.prepares = store, takes, keeps, prepares
        self.made: list[str] = []
        self.missed: list[str] = []
        rounds = [Round("here", "list.csv", TARGETS)]
        self.schedule = Schedule(
            rounds, every=every, jitter=0.0, memory=store, measure=self.measure, clock=Clock(), underway=underway,
            on_missed=self.missed.append, before_round=self.prepare,
        )  # fmt: skip

    async def prepare(self, _vantage: str) -> None:
        await asyncio.sleep(self.prepares)

    async def measure(self, target: Target, vantage: str) -> None:
        now = datetime.now(UTC)
        await asyncio.sleep(self.takes)
        measurement = Measurement(
            uid=f"{now.timestamp():.6f}-{target.name}", time=now, target=target.name, url=target.url,
            vantage=VantageFacts(name=vantage),
        )  # fmt: skip
        if not self.keeps:
            raise OSError("the disk is full")
        await self.store.save(measurement, Verdict(outcome="ok"))
        self.made.append(target.name)


async def _follow(folder: Path, *, keeps: bool) -> tuple[Turn, Turn]:
    async with Store.open(folder / "a.db") as store:
        underway = Underway()
        old, new = Turn(store, underway, takes=0.5, keeps=keeps), Turn(store, underway)
        await old.schedule.start()
        await asyncio.sleep(0.2)
        old.schedule.stop()
        await new.schedule.start()
        await asyncio.sleep(0.1)
        assert not new.made  # it waits for what is under way
        await old.schedule.drain()
        async with asyncio.timeout(5):
            while not keeps and len(new.made) < len(TARGETS):
                await asyncio.sleep(0.01)
        await new.schedule.drain()
        assert not [t for t in TARGETS if (t.name, "here") in underway]
        return old, new


def test_what_the_one_before_has_under_way_is_not_measured_again(tmp_path: Path) -> None:
    old, new = asyncio.run(_follow(tmp_path, keeps=True))
    assert sorted(old.made) == sorted(t.name for t in TARGETS)
    assert not new.made
    assert not new.missed


def test_what_the_one_before_ends_while_the_next_prepares_its_round_is_not_measured_again(tmp_path: Path) -> None:
    async def play() -> tuple[Turn, Turn]:
        async with Store.open(tmp_path / "a.db") as store:
            underway = Underway()
            old, new = Turn(store, underway, takes=0.4), Turn(store, underway, prepares=0.8)
            await old.schedule.start()
            await asyncio.sleep(0.2)
            old.schedule.stop()
            await new.schedule.start()
            await old.schedule.drain()
            await asyncio.sleep(1)
            await new.schedule.drain()
            return old, new

    old, new = asyncio.run(play())
    assert len(old.made) == len(TARGETS)
    assert not new.made
    assert not new.missed


def test_what_the_one_before_failed_to_store_is_measured(tmp_path: Path) -> None:
    _old, new = asyncio.run(_follow(tmp_path, keeps=False))
    assert sorted(new.made) == sorted(t.name for t in TARGETS)


def test_a_target_that_is_new_in_a_finished_round_is_measured_at_once(tmp_path: Path) -> None:
    async def play() -> list[str]:
        async with Store.open(tmp_path / "a.db") as store:
            first, then = Turn(store, Underway()), Turn(store, Underway())
            first.schedule._rounds = [Round("here", "list.csv", TARGETS[:4])]
            for turn, count in ((first, 4), (then, 2)):
                await turn.schedule.start()
                async with asyncio.timeout(5):
                    while len(turn.made) < count:
                        await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)
                await turn.schedule.drain()
            return then.made

    assert sorted(asyncio.run(play())) == sorted(t.name for t in TARGETS[4:])


def test_abandoned_work_ends_at_once(tmp_path: Path) -> None:
    async def play() -> list[str]:
        async with Store.open(tmp_path / "a.db") as store:
            turn = Turn(store, Underway(), takes=60)
            await turn.schedule.start()
            await asyncio.sleep(0.2)
            async with asyncio.timeout(2):
                await turn.schedule.abandon()
            return turn.made

    assert asyncio.run(play()) == []
