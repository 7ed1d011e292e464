"""Tries in pairs: the innocuous one first, then the name at the same address and port, each pair at a fresh one.

The innocuous try before it shows that the listener is reachable from here; nothing follows the name there, since a
censor that has seen it may go on blocking the address and port for minutes.
"""

import asyncio
from collections.abc import Awaitable, Callable

from probes.experiment import Attempt, Experiment
from probes.trace import Trace

from .setting import SPACING, Endpoint, Setting
from .tally import tally

Once = Callable[[Trace, Endpoint, str, bool], Awaitable[str | None]]  # notebook, where, what is sent, innocuous
LEFT_OUT_TIME, LEFT_OUT_LISTENERS = "no time left", "no neutral listener is free"


async def in_pairs(trace: Trace, kind: str, setting: Setting, once: Once) -> Experiment:
    """At most `setting.pairs` pairs, in two groups; the second only where the first leaves a doubt."""
    started, tries, left_out = trace.now(), list[Attempt](), ""
    for size in (setting.enough, setting.pairs - setting.enough):
        places: list[Endpoint] = []
        while len(places) < size and (endpoint := setting.take()) is not None:
            places.append(endpoint)
        if trace.now() > setting.until or not places:
            left_out = LEFT_OUT_LISTENERS if not places else LEFT_OUT_TIME
            for endpoint in places:
                await setting.done(endpoint, False)
            break
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_pair(trace, setting, once, place, n)) for n, place in enumerate(places)]
        tries += [attempt for task in running for attempt in task.result()]
        if tally(tries).decided(setting.enough):
            break
    tries.sort(key=lambda t: t.started)
    return Experiment(
        kind=kind, place=setting.place, started=started, finished=trace.now(), tries=tuple(tries), left_out=left_out
    )


async def one_after_another(trace: Trace, kind: str, setting: Setting, once: Once) -> Experiment:
    """Pairs at one endpoint, in turn, until an innocuous try fails: then what follows would be no difference."""
    started, tries = trace.now(), list[Attempt]()
    for _ in range(setting.pairs):
        endpoint = setting.take()
        if endpoint is None or trace.now() > setting.until:
            break
        tries += await _pair(trace, setting, once, endpoint, 0)
        if tries[-1].innocuous:
            break
    return Experiment(kind=kind, place=setting.place, started=started, finished=trace.now(), tries=tuple(tries))


async def _pair(trace: Trace, setting: Setting, once: Once, endpoint: Endpoint, number: int) -> list[Attempt]:
    await trace.clock.sleep(number * SPACING)
    failed = False
    try:
        tries = [await attempt(trace, setting, once, endpoint, innocuous=True)]
        if tries[0].failure is None:
            failed = True  # until it is known: whoever is cancelled here has sent the name
            tries.append(await attempt(trace, setting, once, endpoint, innocuous=False))
            failed = tries[1].failure is not None
    finally:
        await setting.done(endpoint, failed)
    return tries


async def attempt(trace: Trace, setting: Setting, once: Once, endpoint: Endpoint, *, innocuous: bool) -> Attempt:
    """One try, in a notebook of its own."""
    branch, sent = trace.branch(), setting.innocuous if innocuous else setting.sent
    address, port = endpoint
    async with setting.gate(address):
        started = branch.now()
        failure = await once(branch, endpoint, sent, innocuous)
    await branch.settle()
    return Attempt(
        sent=sent, innocuous=innocuous, address=address, port=port, started=started, finished=branch.now(),
        failure=failure, operations=tuple(branch.operations),  # type: ignore[arg-type]
    )  # fmt: skip
