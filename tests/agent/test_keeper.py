"""Controls that are kept for agents: when they are asked for, how often, and which of them matches an upload."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from blocklists import target_of
from monitor.agent import keeper as keeping
from monitor.agent.keeper import AGAIN, LEAD, Keeper, lead, moments
from monitor.agent.matching import needs_control, span_of, with_control
from monitor.collect.schedule import phase, slot, wait
from monitor.config import load
from monitor.engine import Engine, setup
from monitor.judge.verdict import Verdict
from monitor.store import KeptControl, Span, Store
from tests.scenarios.harness import QuickClock

from .service import NOW, TARGETS, StillClock, measurement, reply, taking, written

URL = TARGETS[0]


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


# Matching


def around(folder: Path, kept: list[float], *, since: float = 0.0, until: float = 10.0) -> tuple[float | None, ...]:
    """The seconds of the replies that are found before and after, of those kept then."""

    async def main() -> tuple[float | None, ...]:
        async with Store.open(folder / "x.db") as store:
            for at in kept:
                await store.keep_control(URL, KeptControl(after(at), (reply(),)))
                await store.keep_control(TARGETS[1], KeptControl(after(at + 1), (reply(TARGETS[1]),)))
            [found] = await store.controls_around([Span(URL, after(since), after(until))], 300.0)
            return tuple(None if k is None else (k.at - NOW).total_seconds() for k in found)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("kept", "found"),
    [
        ([], (None, None)),
        ([-300.0, 310.0], (-300.0, 310.0)),
        ([-300.1, 310.1], (None, None)),
        ([0.0, 10.0], (0.0, 10.0)),
        ([0.001, 9.999], (None, None)),
        ([-200.0, -5.0, -100.0], (-5.0, None)),
        ([200.0, 15.0, 100.0], (None, 15.0)),
        ([-30.0, 5.0, 150.0], (-30.0, 150.0)),
    ],
)
def test_the_nearest_within_five_minutes_on_each_side(
    tmp_path: Path, kept: list[float], found: tuple[float | None, ...]
) -> None:
    assert around(tmp_path, kept) == found


def test_one_moment_can_be_before_and_after(tmp_path: Path) -> None:
    assert around(tmp_path, [0.0], until=0.0) == (0.0, 0.0)


def test_what_is_thirty_days_old_is_forgotten(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "x.db") as store:
            for days in (0.0, 1.0, 29.9, 31.1):
                await store.keep_control(URL, KeptControl(NOW + timedelta(days=days), (reply(),)))
            spans = [Span(URL, NOW + timedelta(days=d), NOW + timedelta(days=d)) for d in (0.0, 1.0, 29.9, 31.1)]
            found = await store.controls_around(spans, 300.0)
            assert [before is not None for before, _after in found] == [False, False, True, True]

    asyncio.run(main())


def test_replies_are_kept_whole(tmp_path: Path) -> None:
    async def main() -> None:
        replies = (reply(), reply(source="vantage:reference", dns_failure="dns_no_answer", addresses=()))
        async with Store.open(tmp_path / "x.db") as store:
            await store.keep_control(URL, KeptControl(NOW, replies))
            [(before, _after)] = await store.controls_around([Span(URL, NOW, NOW)], 300.0)
            assert before == KeptControl(NOW, replies)

    asyncio.run(main())


def test_attempts_and_times_of_kept_replies() -> None:
    made = measurement(minutes=0, duration=12.0)
    before = KeptControl(made.time - timedelta(seconds=30), (reply(), reply(source="vantage:reference")))
    later = KeptControl(made.time + timedelta(seconds=150), (reply(),))
    for retries, last in ((3, 3), (0, 1), (1, 1)):
        found = with_control(made, before, later, retries=retries)
        assert [(r.at, r.attempt, r.hop) for r in found.control] == [(-30, 0, 0), (-30, 0, 0), (150, last, 0)]
        assert found.control_configured
    assert span_of(made) == Span(URL, made.time, made.time + timedelta(seconds=12))
    assert with_control(made, None, None, retries=3) is made
    assert not made.control_configured
    only = with_control(made, None, later, retries=3)
    assert [r.attempt for r in only.control] == [3]


def test_a_reply_about_another_url_is_put_to_nothing() -> None:
    made = measurement(minutes=0)
    assert with_control(made, KeptControl(NOW, (reply(TARGETS[1]),)), None, retries=3) is made


def test_who_needs_a_kept_control() -> None:
    failed = reply(failure="TimeoutError")
    assert needs_control(measurement())
    assert needs_control(measurement(control=(failed,)))
    assert needs_control(measurement(control=(reply(hop=1), failed)))
    assert not needs_control(measurement(control=(failed, reply())))
    assert not needs_control(measurement(target="phrase:falun"))
    beside = with_control(measurement(control=(failed,)), KeptControl(NOW, (reply(),)), None, retries=3)
    assert beside.control[0] == failed
    assert len(beside.control) == 2


# Asking


def test_moments_are_those_of_the_agents_schedule() -> None:
    targets = [target_of(f"https://site-{n}.example/") for n in range(50)]
    begun = slot(NOW, 3600, phase("inside", "list.csv", 3600))
    found = moments("inside", [*targets, target_of("phrase:falun")], begun, jitter=300)
    assert sorted(t.name for _m, t in found) == sorted(t.name for t in targets)
    assert [m for m, _t in found] == sorted(m for m, _t in found)
    for moment, target in found:
        assert (moment - begun).total_seconds() == pytest.approx(wait("inside", target.name, begun, 300), abs=1e-5)
    assert [m for m, _t in moments("beside", targets, begun, jitter=300)] != [m for m, _t in found]


def test_the_control_is_asked_before_the_agent_measures() -> None:
    assert (lead(3600), lead(60)) == (LEAD, 6.0)
    assert LEAD + AGAIN < keeping.SHARED


class Helper:
    """A control helper on loopback that counts; `broken` makes it fail."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.at_once = self.most = 0
        self.broken = False
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        url = (await request.json())["http_request"]
        self.asked.append(url)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        if self.broken:
            return web.Response(status=500)
        body: dict[str, Any] = {
            "tcp_connect": {}, "dns": {"failure": None, "addrs": ["93.184.215.14"]},
            "http_request": {"failure": None, "status_code": 200, "title": "Example", "body_length": 10, "headers": {}},
        }  # fmt: skip
        return web.json_response(body)


@asynccontextmanager
async def helping() -> AsyncIterator[Helper]:
    helper, app = Helper(), web.Application()
    app.add_routes([web.post("/", helper.answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    helper.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield helper
    finally:
        await runner.cleanup()


@asynccontextmanager
async def keeping_for(
    folder: Path, clock: Any, *, targets: tuple[str, ...] = TARGETS
) -> AsyncIterator[tuple[Keeper, Helper, Store, Engine]]:
    async with helping() as helper:
        path = written(folder, control=f'helpers = ["{helper.url}"]', targets=targets)
        made = msgspec.structs.replace(setup(load(path)), clock=clock)
        async with Store.open(folder / "x.db") as store, Engine(made) as engine:
            yield Keeper(lambda: engine, store), helper, store, engine


def test_an_answer_is_shared_while_it_is_young(tmp_path: Path) -> None:
    async def main() -> None:
        clock = StillClock()
        async with keeping_for(tmp_path, clock) as (keeper, helper, store, _engine):
            await asyncio.gather(*(keeper.ask(URL, younger=240) for _ in range(5)))
            assert len(helper.asked) == 1
            clock.at = after(239)
            await keeper.ask(URL, younger=240)
            assert len(helper.asked) == 1
            await keeper.ask(URL, younger=30)  # after a measurement one from before it is of no use
            clock.at = after(500)
            await keeper.ask(URL, younger=240)
            assert len(helper.asked) == 3
            [(before, later)] = await store.controls_around([Span(URL, after(1), after(2))], 300.0)
            assert (before and before.at, later and later.at) == (NOW, after(239))
            assert before is not None and before.replies[0].page is not None

    asyncio.run(main())


def test_what_fails_is_not_kept_and_asked_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping_for(tmp_path, StillClock()) as (keeper, helper, store, _engine):
            helper.broken = True
            await keeper.ask(URL, younger=240)
            assert await store.controls_since(NOW - timedelta(days=1)) == {}
            helper.broken = False
            await keeper.ask(URL, younger=240)
            assert await store.controls_since(NOW - timedelta(days=1)) == {URL: NOW}

    asyncio.run(main())


def test_few_are_asked_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping_for(tmp_path, StillClock()) as (keeper, helper, _store, _engine):
            urls = [f"https://site-{n}.example/" for n in range(60)]
            await asyncio.gather(*(keeper.ask(url, younger=240) for url in urls))
            assert sorted(helper.asked) == sorted(urls)
            assert helper.most <= keeping.AT_ONCE

    asyncio.run(main())


def test_a_schedule_is_followed_and_doubted_targets_are_asked_about_again(tmp_path: Path) -> None:
    calm, doubted = TARGETS[0], TARGETS[1]

    async def main() -> None:
        clock = QuickClock()  # waits of five seconds and more pass at once
        async with keeping_for(tmp_path, clock) as (keeper, helper, store, engine):
            async with asyncio.TaskGroup() as group:
                for number, (target, outcome) in enumerate(((calm, "ok"), (doubted, "insufficient"))):
                    made = measurement(number, target=target)
                    await store.save(made, Verdict(outcome=outcome))
                running = group.create_task(keeper.run())
                async with asyncio.timeout(20):
                    while helper.asked.count(doubted) < 3 or helper.asked.count(calm) < 2:
                        await asyncio.sleep(0.01)
                running.cancel()
            assert set(helper.asked) == {calm, doubted}  # a phrase has no control
            assert helper.asked.count(doubted) > helper.asked.count(calm)
            assert engine.measured_vantages() == ["here"]

    asyncio.run(main())


def test_a_restart_remembers_what_was_asked(tmp_path: Path) -> None:
    async def main() -> None:
        async with keeping_for(tmp_path, StillClock()) as (keeper, helper, store, engine):
            await keeper.ask(URL, younger=240)
            again = Keeper(lambda: engine, store)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(again.run())
                await asyncio.sleep(0.2)
                running.cancel()
            await again.ask(URL, younger=240)
            assert len(helper.asked) == 1

    asyncio.run(main())


def test_a_measurement_that_has_just_ended_waits_for_a_control_after_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with helping() as helper:
            path = written(tmp_path, control=f'helpers = ["{helper.url}"]')
            async with taking(tmp_path, setup(load(path))) as running:
                made = measurement(1, minutes=-1, reset=True)
                await running.store.keep_control(URL, KeptControl(made.time - timedelta(seconds=9), (reply(),)))
                calm, old = measurement(2, minutes=-1), measurement(3, minutes=-60, reset=True)
                unlisted = measurement(4, minutes=-1, target="https://unlisted.example/", reset=True)
                answer = await running.hand_in([made, calm, old, unlisted], await running.token())
                assert len(answer.stored) == 4
                assert helper.asked == [URL]
                found = await running.store.measurement(made.uid)
                assert found is not None
                assert [(r.attempt, r.at > 5) for r in found[0].control] == [(0, False), (3, True)]
                assert found[1].outcome == "likely_blocked"

    asyncio.run(main())
