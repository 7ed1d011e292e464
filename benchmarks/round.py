"""A round of a long list, a tenth of it silent for vantage and control alike: wall time against its bound."""

import asyncio
import resource
import time
from collections import Counter

from blocklists import target_of
from monitor.collect.work import Result
from probes.trace import Limits

from .client import client
from .places import SILENT, SITE, host
from .row import Row
from .world import Servers, world

NAME = "round"
TARGETS, SILENT_TARGETS, WIDTH = 1722, 172, 64
DEADLINES = 1.0, 10.0  # seconds, of the vantage and of the helper; 10 is the default of both
_FIRST = 60_000  # number of the first name, beyond those of the other benchmarks
_LIMIT = 150.0  # seconds


def run() -> list[Row]:
    """Wall time beside the bound, for each deadline; what it cost, and how much was tried again."""
    return [row for deadline in DEADLINES for row in _played(deadline)]


def _played(deadline: float) -> list[Row]:
    before = _children()
    with world(helper_deadline=deadline) as servers:
        rows = asyncio.run(_run(servers, deadline))
    others = _children() - before
    return [*rows, Row(NAME, "CPU of servers and helper meanwhile, on the same cores", others, "s")]


def bound(deadline: float) -> float:
    """Seconds that a round may take: silent targets wait for their deadline, 64 at once, all else in 15 s."""
    return 1.3 * SILENT_TARGETS * deadline / WIDTH + 15.0


async def _run(servers: Servers, deadline: float) -> list[Row]:
    limits = Limits(timeout=deadline, dns_timeout=4.0, listen=0.2)
    names = [host(SILENT if n < SILENT_TARGETS else SITE, _FIRST + n) for n in range(TARGETS)]
    some = [target_of(f"https://{names[n * 1009 % TARGETS]}/") for n in range(TARGETS)]  # 1009 is prime: mixed
    async with asyncio.timeout(_LIMIT), client(servers, width=WIDTH, limits=limits) as ours:
        began, cpu = time.monotonic(), time.process_time()
        results = await ours.measure_all(some)
        wall, cpu = time.monotonic() - began, time.process_time() - cpu
    outcomes = Counter(_kind(r) + " " + r.verdict.outcome for r in results)
    again = Counter(_kind(r) for r in results if any(op.attempt for op in r.measurement.operations))
    told = ", ".join(f"{count} {what}" for what, count in sorted(outcomes.items()))
    return [
        Row(NAME, f"{TARGETS:,} targets, {SILENT_TARGETS} silent, {WIDTH} at once, deadline {deadline:g} s ({told})",
            wall, "s", f"≤ 1.3 × silent × deadline ÷ {WIDTH} + 15 s = {bound(deadline):.1f} s"),
        Row(NAME, "CPU of the vantage in it", cpu, "s"),
        Row(NAME, "silent targets tried again", again["silent"], "targets", "0"),
        Row(NAME, "good targets tried again", again["good"], "targets"),
    ]  # fmt: skip


def _children() -> float:
    """Seconds of CPU of the processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _kind(result: Result) -> str:
    return "silent" if f"//{SILENT}" in result.measurement.url else "good"
