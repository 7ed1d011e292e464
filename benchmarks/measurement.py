"""CPU of one complete clean measurement, beside bare asyncio that makes the same contacts in the same process."""

import asyncio
import cProfile
import gc
import statistics
import time

from monitor.collect.work import Result

from .bare import Bare, bare
from .client import WIDTH, Client, client, targets
from .places import host
from .row import Row
from .shares import shares
from .world import Servers, world

NAME = "measurement"
RUNS, COUNT = 5, 48
_LIMIT = 120.0  # seconds


def run() -> list[Row]:
    """Milliseconds of CPU of both, their ratio, and what ours are spent on."""
    with world() as servers:
        return asyncio.run(_run(servers))


def samples(count: int) -> list[Result]:
    """Clean measurements of the same world, for the benchmarks that need some; at most 64."""

    async def measure(servers: Servers) -> list[Result]:
        async with asyncio.timeout(_LIMIT), client(servers) as ours:
            return await ours.measure_all(targets(count))

    with world() as servers:
        return asyncio.run(measure(servers))


async def _run(servers: Servers) -> list[Row]:
    async with asyncio.timeout(_LIMIT), client(servers) as ours, bare(servers) as other:
        await _ours(ours)
        await _bare(other)
        pairs = [(await _ours(ours), await _bare(other)) for _ in range(RUNS)]
        own = statistics.median(a for a, _b in pairs)
        base = statistics.median(b for _a, b in pairs)
        ratio = statistics.median(a / b for a, b in pairs)
        rows = [
            Row(NAME, f"CPU of a clean measurement (median of {RUNS} × {COUNT}, {WIDTH} at once)", own, "ms"),
            Row(NAME, "CPU of the same contacts by bare asyncio", base, "ms"),
            Row(NAME, "ratio", ratio, "×", "≤ 2.0"),
        ]
        return rows + await _breakdown(ours, own)


async def _ours(ours: Client) -> float:
    some = targets(COUNT)
    gc.collect()
    before = time.process_time()
    results = await ours.measure_all(some)
    spent = time.process_time() - before
    faults = [r.verdict for r in results if r.verdict.outcome != "ok"]
    assert not faults, faults[0]
    return spent / COUNT * 1000


async def _bare(other: Bare) -> float:
    names = [target.url.split("/")[2] for target in targets(COUNT)]
    assert names[0].endswith(host("", 0)[2:])
    gc.collect()
    before = time.process_time()
    await other.look_at_all(names, WIDTH)
    return (time.process_time() - before) / COUNT * 1000


async def _breakdown(ours: Client, whole: float) -> list[Row]:
    """The writer's thread by its own clock; the rest by the shares of a profile, which favours C a little."""
    before = await ours.store.call(lambda _db: time.thread_time())
    profile, some = cProfile.Profile(), targets(COUNT)
    profile.enable()
    await ours.measure_all(some)
    profile.disable()
    writer = (await ours.store.call(lambda _db: time.thread_time()) - before) / COUNT * 1000
    rows = [Row(NAME, "of it: storing (writer's thread)", writer, "ms")]
    return rows + [
        Row(NAME, f"of it: {part}", share * (whole - writer), "ms") for part, share in shares(profile).items()
    ]
