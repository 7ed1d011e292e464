"""DNS queries to addresses that run no resolver, a control name beside: what answers was put in on the way.

Blocking of names by injection leaves no residual blocking behind (foci20), so the tries run close together.
"""

import asyncio

from probes.experiment import Attempt, Experiment
from probes.trace import Trace

from .certificate import Certificates
from .query import addresses, ask, responses
from .setting import RemoteSetting, Spot

MOST = 3  # addresses in one measurement
REPEATS = 3  # queries of each name and type; one answer is proof already, the others show that it comes again
TYPES = ("A", "AAAA")
NOT_SILENT = "it answers for control names too, so it is not silent"
NO_PLACE, NO_TIME = "no address is fit", "no time left"


async def injection(trace: Trace, setting: RemoteSetting) -> list[Experiment]:
    """One experiment an address, and a look at the certificates of what was given: an address that was silent when it
    was put on the list may have become a resolver, whose true answers are nobody's interference (row 28)."""
    if not setting.places:
        return [Experiment(kind="injection", place="remote", started=trace.now(), left_out=NO_PLACE)]
    looks = Certificates(trace, setting)
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_at(trace, setting, spot, looks)) for spot in setting.places[:MOST]]
    certificates = looks.experiment()
    return [task.result() for task in running] + ([certificates] if certificates else [])


async def _at(trace: Trace, setting: RemoteSetting, spot: Spot, looks: Certificates) -> Experiment:
    async with setting.gate(spot.address):
        started = trace.now()
        if started > setting.until:
            return Experiment(kind="injection", place="remote", started=started, left_out=NO_TIME)
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(_one(trace, setting, spot, number)) for number in range(2 * REPEATS)]
    tries = tuple(task.result() for task in running)
    left_out = ""
    if all(responses(t) for t in tries if t.innocuous):
        left_out = NOT_SILENT
        setting.unfit(spot, NOT_SILENT)
    await _check(setting, looks, [a for t in tries if not t.innocuous for a in addresses(t)])
    return Experiment(
        kind="injection", place="remote", started=started, finished=trace.now(), tries=tries, left_out=left_out
    )


async def _one(trace: Trace, setting: RemoteSetting, spot: Spot, number: int) -> Attempt:
    innocuous = number % 2 == 0
    sent = setting.innocuous[number // 2 % len(setting.innocuous)] if innocuous else setting.name
    return await ask(trace, setting, spot, sent, innocuous=innocuous, types=TYPES)


async def _check(setting: RemoteSetting, looks: Certificates, given: list[str]) -> None:
    """The certificate at what was given for the name, and at an address that the control gives: is there one at all?"""
    known = setting.known.get(setting.name, frozenset())
    strange = [a for a in dict.fromkeys(given) if a not in known]
    if strange and known:
        await looks.valid(setting.name, [a for a in sorted(known) if ":" not in a][:1])
        await looks.valid(setting.name, strange)
