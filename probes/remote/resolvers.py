"""Resolvers in a network, as Satellite asks them: a control name, up to four tries of the name, a control name again.

One that fails for a control name, or answers it wrongly, is not fit: it is left out, and another takes its place. What
the others give for the name is looked at by its certificate; what is not cleared by that is asked for again.
"""

import asyncio

import msgspec

from probes.experiment import Attempt, Experiment
from probes.trace import Trace

from .certificate import Certificates
from .query import addresses, ask, responses
from .setting import RemoteSetting, Spot

ENOUGH = 3  # resolvers in one measurement
MOST = 6  # that are asked until so many are fit
TRIES = 4  # Satellite v2.2: up to four of the name
BEFORE, AFTER = "its control query failed", "its control query failed after the name"
WRONG = "unknown_failure: not the name's address"
NO_PLACE, NO_TIME = "no resolver is fit", "no time left"


async def resolvers(trace: Trace, setting: RemoteSetting) -> list[Experiment]:
    """One experiment a resolver, and the certificates that were looked at."""
    if not setting.places:
        return [Experiment(kind="resolver", place="remote", started=trace.now(), left_out=NO_PLACE)]
    looks = Certificates(trace, setting)
    waiting, asked = list(setting.places[:MOST]), list[_Asked]()
    while waiting and (missing := ENOUGH - sum(not one.left_out for one in asked)) > 0:
        batch = [_Asked(trace, setting, spot, looks) for spot in waiting[:missing]]
        del waiting[:missing]
        async with asyncio.TaskGroup() as group:
            for one in batch:
                group.create_task(one.sandwich())
        asked += batch
    strange = [one for one in asked if one.strange()]
    if strange:
        await looks.valid(setting.name, _own(setting)[:1])  # does the site have a certificate at all, seen from here?
        await looks.valid(setting.name, dict.fromkeys(one.strange()[0] for one in strange))  # each has its say first
        async with asyncio.TaskGroup() as group:
            for one in strange:
                group.create_task(one.again())
    certificates = looks.experiment()
    return [one.experiment() for one in asked] + ([certificates] if certificates else [])


def _own(setting: RemoteSetting) -> list[str]:
    """The site's own IPv4 addresses, by the control."""
    return [a for a in sorted(setting.known.get(setting.name, frozenset())) if ":" not in a]


class _Asked:
    """One resolver while it is asked."""

    def __init__(self, trace: Trace, setting: RemoteSetting, spot: Spot, looks: Certificates) -> None:
        self._trace, self._setting, self._spot, self._looks = trace, setting, spot, looks
        self._started = trace.now()
        self._tries: list[Attempt] = []
        self.left_out = ""

    def strange(self) -> list[str]:
        """One address of each of its answers in which there is none that the control gives."""
        known = self._setting.known.get(self._setting.name, frozenset())
        given = [r for t in self._tries if not t.innocuous for r in responses(t)] if known and not self.left_out else []
        return list(dict.fromkeys(r.addresses()[0] for r in given if r.addresses() and not known & set(r.addresses())))

    async def sandwich(self) -> None:
        """Control, the name until there is an address, control."""
        self._started = self._trace.now()
        if not await self._control(BEFORE):
            return
        for _ in range(TRIES):
            if addresses(await self._try()) or self.left_out:
                break
        await self._control(AFTER)

    async def again(self) -> None:
        """Where a certificate does not clear what it gave first: the rest of the tries, and the control once more."""
        first = self.strange()[0]
        if await self._looks.valid(self._setting.name, [first]):
            await self._looks.valid(self._setting.name, self.strange()[1:])
            return
        while sum(not t.innocuous for t in self._tries) < TRIES and not self.left_out:
            await self._try()
        await self._looks.valid(self._setting.name, self.strange())
        await self._control(AFTER)

    async def _try(self) -> Attempt:
        if self._trace.now() > self._setting.until:
            self.left_out = NO_TIME
        made = await self._ask(self._setting.name, innocuous=False)
        self._tries.append(made)
        return made

    async def _control(self, why: str) -> bool:
        """Whether a control name was answered rightly; each query asks for the next of them."""
        if self.left_out or self._trace.now() > self._setting.until:
            self.left_out = self.left_out or NO_TIME
            return False
        names = self._setting.innocuous
        name = names[sum(t.innocuous for t in self._tries) % len(names)]
        made = await self._ask(name, innocuous=True)
        if made.failure is None and not await self._is_right(name, addresses(made)):
            made = msgspec.structs.replace(made, failure=WRONG)
        self._tries.append(made)
        if made.failure is not None:
            self.left_out = why
            self._setting.unfit(self._spot, why)
        return made.failure is None

    async def _ask(self, name: str, *, innocuous: bool) -> Attempt:
        async with self._setting.gate(self._spot.address):  # given back at once: what it answers may be its own address
            return await ask(self._trace, self._setting, self._spot, name, innocuous=innocuous)

    async def _is_right(self, name: str, given: tuple[str, ...]) -> bool:
        known = self._setting.known.get(name, frozenset())
        return bool(known & set(given)) or await self._looks.valid(name, given[:1], innocuous=True)

    def experiment(self) -> Experiment:
        """All that it was asked, as a record."""
        return Experiment(
            kind="resolver", place="remote", started=self._started, finished=self._trace.now(),
            tries=tuple(self._tries), left_out=self.left_out,
        )  # fmt: skip
