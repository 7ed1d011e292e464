"""The notebook of one measurement, and the clock that it reads."""

import asyncio
from datetime import UTC, datetime

from probes.clock import Clock
from probes.network import DirectNetwork
from probes.trace import Limits, Operation, Trace


class HandClock(Clock):
    """A clock that the test sets; waiting sets it forward."""

    def __init__(self) -> None:
        self.time = 100.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


def test_the_real_clock() -> None:
    async def run() -> None:
        clock = Clock()
        assert clock.now().tzinfo is UTC
        assert abs((datetime.now(UTC) - clock.now()).total_seconds()) < 1
        before = clock.monotonic()
        await clock.sleep(-5)
        await clock.sleep(0)
        assert clock.monotonic() - before < 1
        await clock.sleep(0.02)
        assert clock.monotonic() - before >= 0.02

    asyncio.run(run())


def test_operations_are_kept_in_the_order_they_ended() -> None:
    clock = HandClock()
    with Trace(DirectNetwork(), clock, Limits(timeout=1)) as trace:
        assert trace.began == clock.now()
        assert (trace.now(), trace.limits.timeout) == (0.0, 1)
        clock.time += 1.23456789
        assert trace.now() == 1.234568
        assert [trace.flow(), trace.flow()] == [1, 2]
        one, two = Operation(started=0.0, finished=2.0), Operation(started=1.0, finished=1.0, failure="x")
        trace.record(two)
        trace.record(one)
        assert trace.operations == [two, one]
    assert Trace(DirectNetwork()).limits == Limits()


def test_ears_are_read_when_the_last_has_listened_long_enough() -> None:
    async def run() -> None:
        clock = HandClock()
        trace = Trace(DirectNetwork(), clock)
        early, late = Operation(started=0.0, finished=0.5), Operation(started=0.0, finished=2.5)
        trace.listen(2.0, lambda: late, now=early)
        trace.listen(1.0, lambda: late, now=early)
        assert trace.pending() == [early, early]
        assert trace.operations == []
        await trace.settle()
        assert clock.slept == [2.0]
        assert trace.operations == [late, late]
        assert trace.pending() == []
        await trace.settle()
        assert clock.slept == [2.0]

    asyncio.run(run())


def test_leaving_a_trace_shuts_its_ears() -> None:
    heard = Operation(started=0.0, finished=0.1)
    with Trace(DirectNetwork(), HandClock()) as trace:
        trace.listen(9.0, lambda: heard, now=heard)
    assert trace.operations == [heard]
