"""Hands in what waits in the spool, oldest first, for as long as it takes; only what the service names is let go."""

import asyncio
import logging
import random
from collections.abc import Sequence

from probes.clock import Clock

from .client import Client, Setback
from .protocol import MAX_LINES, Answer, Rejected
from .spool import Spool
from .waiting import Waiting

log = logging.getLogger("wallwatch")
_GATHER = 2.0  # seconds for which measurements gather before a batch is sent
_BATCH_BYTES = 4 * 2**20  # bytes of JSON in a batch: packed it is far below what a service takes
_FIRST_BATCH = 32  # measurements; doubled where it goes well, halved where it does not
SHORTEST, LONGEST = 1.0, 600.0  # seconds between tries that fail: doubled each time
DENIED_SHORTEST, DENIED_LONGEST = 60.0, 3600.0  # where the token is not good


class Backoff:
    """How long to wait after setbacks in a row, with jitter; says in the log what changes."""

    def __init__(self, about: str) -> None:
        self._about = about
        self._setbacks = self._denials = 0
        self._said = ""

    def succeeded(self) -> None:
        """Begin again; an end of setbacks is said."""
        if self._said:
            log.info("%s: it works again", self._about)
        self._setbacks = self._denials = 0
        self._said = ""

    def wait(self, setback: Setback) -> float:
        """Seconds to wait."""
        self._say(setback)
        if setback.kind == "denied":
            self._denials += 1
            longest = min(DENIED_SHORTEST * 2.0 ** min(self._denials - 1, 20), DENIED_LONGEST)
            return longest * random.uniform(0.5, 1.0)  # noqa: S311  # chance here is no secret
        self._setbacks += 1
        longest = min(SHORTEST * 2.0 ** min(self._setbacks, 20), LONGEST)
        asked = setback.wait if setback.kind == "busy" and setback.wait is not None else 0.0
        return max(SHORTEST, asked, longest * random.uniform(0.5, 1.0))  # noqa: S311

    def _say(self, setback: Setback) -> None:
        if setback.kind == "denied":
            text = "the service does not accept the token; measuring goes on, what is measured waits in the spool"
            level = logging.ERROR
        else:
            text, level = setback.kind, logging.WARNING
        if text != self._said:  # once, and not at every try
            log.log(level, "%s: %s (%.200s)", self._about, text, setback.reason)
        self._said = text


class Uploader:
    """Hands in what waits. `more` wakes it; `run` never ends by itself.

    `vantage`: hand in what is this vantage's. A token is good for one; what was measured as another one waits.
    """

    def __init__(self, spool: Spool, client: Client, *, clock: Clock) -> None:
        self._spool, self._client, self._clock = spool, client, clock
        self.vantage: str | None = None
        self._more = asyncio.Event()
        self._size = _FIRST_BATCH
        self._backoff = Backoff("handing in measurements")

    def more(self) -> None:
        """Something was put into the spool."""
        self._more.set()

    async def run(self) -> None:
        """Hand in until cancelled."""
        while True:
            self._more.clear()
            wait = await self.once()
            if wait is None:
                await self._more.wait()
                wait = _GATHER
            await self._clock.sleep(wait)

    async def drain(self) -> None:
        """Hand in until nothing waits, or something goes wrong."""
        while await self.once() == 0.0:
            pass

    async def once(self) -> float | None:
        """One batch; the seconds until the next one: 0 where it went well. None where nothing waits."""
        batch = await self._spool.batch(self._size, _BATCH_BYTES, vantage=self.vantage)
        if not batch:
            return None
        answer = await self._client.hand_in([one.line for one in batch], spooled=self._spool.count)
        setback = await self._take(batch, answer) if isinstance(answer, Answer) else answer
        if setback is not None:
            return await self._set_back(batch, setback)
        self._size = min(self._size * 2, MAX_LINES)
        self._backoff.succeeded()
        return 0.0

    async def _take(self, batch: Sequence[Waiting], answer: Answer) -> Setback | None:
        """Let go of what the answer names, and of nothing else."""
        uids = {one.uid for one in batch}
        stored = uids.intersection(answer.stored)
        rejected = [one for one in _named(batch, answer.rejected) if one.uid in uids - stored]
        if stored:
            await self._spool.acknowledge(sorted(stored))
        if rejected:
            await self._spool.reject(rejected)
        if stored or rejected:
            return None
        return Setback("bad", "the service says nothing of what was handed in")

    async def _set_back(self, batch: Sequence[Waiting], setback: Setback) -> float:
        """Try with less; one that alone is not taken waits behind the others, for a service may change its mind."""
        if setback.kind != "busy":
            self._size = max(1, min(self._size, len(batch)) // 2)
        if setback.kind in ("too_large", "bad") and len(batch) == 1:
            log.error("the service did not take the measurement %s (%s); it waits", batch[0].uid, setback.reason)
            await self._spool.postpone(batch[0].uid)
        elif setback.kind == "too_large":
            return 0.0  # half of it at once
        return self._backoff.wait(setback)


def _named(batch: Sequence[Waiting], rejected: Sequence[Rejected]) -> list[Rejected]:
    """With the uid of the line that was sent, where the service could not read it."""
    return [
        one if one.uid or not 0 < one.line <= len(batch) else Rejected(one.line, batch[one.line - 1].uid, one.reason)
        for one in rejected
    ]
