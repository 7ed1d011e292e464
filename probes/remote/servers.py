"""Web and echo servers in the network, Hyperquack style: what each answers to any name, and what to this one.

Two control names give the server's usual answer. If the name gets it too, that is all. Else four more tries of the
name, each followed by a control name; and where one of these fails too, since a censor goes on blocking for a while,
two minutes of waiting and a control name again, twice at most (VanderSloot et al. 2018; the GFW remembers for up to
180 seconds). Servers that do not answer alike to control names are left out and said.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from probes.address import parse
from probes.experiment import Attempt, Experiment
from probes.trace import Trace

from .contact import KINDS, attempt
from .likeness import came_through, usual_of
from .setting import RemoteSetting, Spot

SERVERS, ASKED = 3, 9  # that serve as witnesses; and how many are asked until so many are found fit
MORE = 4  # tries of the name after one that failed
PAUSE, PAUSES = 120.0, 2  # seconds without a packet before the last control name, and how often
FITTING = {"https": ("https",), "http": ("http", "echo")}  # scheme of the target -> protocols that tell of it
NO_SERVER, NO_NAME = "no server of a fitting protocol", "no name that could be sent"
FAILS, VARIES = "a control name fails there", "its answers to control names differ"
SPENT, NO_TIME = "a control name still fails there after the wait", "no time left"


async def servers(trace: Trace, setting: RemoteSetting) -> list[Experiment]:
    """One experiment a server that was asked, those included that turned out unfit."""
    scheme = setting.url.partition("://")[0]
    fitting = _one_an_address(s for s in setting.places if s.protocol in FITTING.get(scheme, ()))
    if not setting.name or parse(setting.name) is not None or not setting.innocuous:
        return [_nothing(trace, scheme, NO_NAME)]
    if not fitting:
        return [_nothing(trace, scheme, NO_SERVER)]
    waiting, made, pause = deque(fitting[:ASKED]), list[Experiment](), _Pause(trace, setting)

    async def find_one() -> None:
        with pause.among():
            while waiting:
                spot = waiting.popleft()
                refusal = setting.refusal(spot.address, spot.port)
                one = _Server(trace, setting, spot, pause)
                made.append(_nothing(trace, scheme, refusal) if refusal else await one.ask())
                if not made[-1].left_out:
                    return

    async with asyncio.TaskGroup() as group:
        for _ in range(SERVERS):
            group.create_task(find_one())
    return sorted(made, key=lambda e: e.started)


def _one_an_address(spots: Iterable[Spot]) -> list[Spot]:
    """The first spot at each address: two ports of one machine are one witness."""
    found: dict[str, Spot] = {}
    for spot in spots:
        found.setdefault(spot.address, spot)
    return list(found.values())


def _nothing(trace: Trace, scheme: str, why: str) -> Experiment:
    kind = KINDS[FITTING.get(scheme, ("https",))[0]]
    return Experiment(kind=kind, place="remote", started=trace.now(), finished=trace.now(), left_out=why)


class _Pause:
    """Waiting without a packet; where all do, the measurement's place on the network is given up meanwhile."""

    def __init__(self, trace: Trace, setting: RemoteSetting) -> None:
        self._trace, self._setting = trace, setting
        self._busy = 0
        self._door = asyncio.Lock()  # a measurement has one place, however many come back

    @contextmanager
    def among(self) -> Iterator[None]:
        """One who sends, until the end or the next pause."""
        self._busy += 1
        try:
            yield
        finally:
            self._cease()

    async def wait(self) -> None:
        """Wait so long."""
        self._cease()
        try:
            await self._trace.clock.sleep(PAUSE)
            async with self._door:
                await self._setting.back()
        finally:
            self._busy += 1

    def _cease(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._setting.leave()


class _Server:
    """One server while it is asked."""

    def __init__(self, trace: Trace, setting: RemoteSetting, spot: Spot, pause: _Pause) -> None:
        self._trace, self._setting, self._spot, self._pause = trace, setting, spot, pause
        self._started = trace.now()
        self._tries: list[Attempt] = []
        self._controls = 0

    async def ask(self) -> Experiment:
        """The whole sequence."""
        for _ in range(2):
            if (await self._control()).failure is not None:
                return self._unfit(FAILS)
        usual = usual_of(self._tries)
        if usual is None:
            return self._unfit(VARIES)
        if came_through(await self._name(), usual):
            return self._end()
        await self._setting.rest(self._spot.address, self._spot.port)
        steady = True
        for _ in range(MORE):
            if self._late():
                return self._end(NO_TIME)
            await self._name()
            steady = came_through(await self._control(), usual) and steady
        await self._setting.rest(self._spot.address, self._spot.port)  # from now on, for whoever comes next
        if steady:
            return self._end()
        for _ in range(PAUSES):
            if self._late(PAUSE):
                return self._end(NO_TIME)
            await self._pause.wait()
            if came_through(await self._control(), usual):
                return self._end()
        return self._unfit(SPENT)

    async def _name(self) -> Attempt:
        return await self._try(self._setting.name, innocuous=False)

    async def _control(self) -> Attempt:
        names = self._setting.innocuous
        self._controls += 1
        return await self._try(names[(self._controls - 1) % len(names)], innocuous=True)

    async def _try(self, sent: str, *, innocuous: bool) -> Attempt:
        made = await attempt(self._trace, self._setting, self._spot, sent, innocuous=innocuous)
        self._tries.append(made)
        return made

    def _late(self, ahead: float = 0.0) -> bool:
        return self._trace.now() + ahead > self._setting.until

    def _unfit(self, why: str) -> Experiment:
        self._setting.unfit(self._spot, why)
        return self._end(why)

    def _end(self, left_out: str = "") -> Experiment:
        return Experiment(
            kind=KINDS[self._spot.protocol], place="remote", started=self._started, finished=self._trace.now(),
            tries=tuple(self._tries), left_out=left_out,
        )  # fmt: skip
