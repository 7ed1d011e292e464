"""A DNS query to an address that runs no resolver: whatever answers there was put in on the way.

The name and an innocuous one are asked in turn, several times; every answer is kept. DNS over UDP leaves no residual
blocking behind (foci20), so the tries need no rest and run at the same time.
"""

import asyncio

from probes import dns
from probes.experiment import Attempt, Experiment
from probes.trace import Trace

from .pairs import attempt
from .setting import SPACING, Endpoint, Setting

NO_SILENCE = "no silent address is known"
REPEATS = 3  # queries of each name; one answer is proof already, the others show that it comes again
TYPES = ("A", "AAAA")


async def injection(trace: Trace, setting: Setting) -> Experiment:
    """Queries in pairs to one silent address, at port 53."""
    started, silent = trace.now(), setting.take()
    if silent is None:
        return Experiment(kind="injection", place=setting.place, started=started, left_out=NO_SILENCE)

    async def once(branch: Trace, endpoint: Endpoint, sent: str, _innocuous: bool) -> str | None:
        async with asyncio.TaskGroup() as group:
            lookups = [
                group.create_task(dns.lookup(branch, sent, t, resolver="silent", server=endpoint)) for t in TYPES
            ]
        first: dns.DNSLookup = lookups[0].result()
        return first.failure if not any(task.result().responses for task in lookups) else None

    async def one(number: int) -> Attempt:
        await trace.clock.sleep(number * SPACING)
        return await attempt(trace, setting, once, silent, innocuous=number % 2 == 0)

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one(number)) for number in range(2 * REPEATS)]
    return Experiment(
        kind="injection", place=setting.place, started=started, finished=trace.now(),
        tries=tuple(task.result() for task in running),
    )  # fmt: skip
