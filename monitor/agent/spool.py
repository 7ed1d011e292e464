"""An agent's spool: measurements wait on its disk until the service has acknowledged them, whatever happens meanwhile.

It is the schedule's memory as well, and keeps the last assignment and which addresses rest.
"""

import asyncio
import logging
import sqlite3
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from blocklists.network import Network
from monitor.judge.verdict import STOPPED
from monitor.store import rounds
from monitor.store.database import Lock
from monitor.store.error import StoreError
from monitor.store.writer import Work, Writer
from probes.measurement import Measurement

from . import waiting
from .protocol import MAX_LINE, Rejected
from .spool_file import is_damage, move_aside, open_file
from .waiting import Waiting

log = logging.getLogger("wallwatch")
T = TypeVar("T")
_ASSIGNMENT, _ETAG, _EGRESSES = "assignment", "etag", "egresses"
_ANEW = 3  # times that a job is done again because the file proved damaged
_SAY_EVERY = 100  # dropped measurements between two lines in the log


class Spool:
    """All of it goes through one thread; every method returns when its change is on the disk.

    Where the disk is full `put` waits and tries again; `failing` says why. Raises StoreError where the file is in use
    by another process, or cannot be used.
    """

    def __init__(self, path: Path, *, limit: int) -> None:
        self.path, self._limit = path, limit
        self._lock = Lock(path)
        try:
            connection = open_file(path)
        except BaseException:
            self._lock.release()
            raise
        self._totals = waiting.totals(connection)
        self._writer = Writer(connection)
        self._gate = asyncio.Lock()
        self._said = self._totals.dropped

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._writer.close)
        self._lock.release()

    @property
    def count(self) -> int:
        """Measurements that wait."""
        return self._totals.count

    @property
    def size(self) -> int:
        """Bytes that they take."""
        return self._totals.size

    @property
    def dropped(self) -> int:
        """Measurements dropped so far, in this process or an earlier one, because the spool was full."""
        return self._totals.dropped

    @property
    def failing(self) -> str | None:
        """Why nothing can be written at present; None: all is well."""
        return self._writer.failing

    # Measurements

    async def put(self, measurement: Measurement, outcome: str, *, cause: str | None = None) -> None:
        """Add one. Where the spool is full others are dropped for it: the oldest `ok`, then the oldest `down` and
        `insufficient`, then the oldest of the rest."""
        new = await asyncio.to_thread(_new, measurement, outcome, cause)
        if new.raw > MAX_LINE:
            too_large = Rejected(0, new.uid, f"more than {MAX_LINE} bytes")
            await self._do(lambda c: waiting.put(c, new, limit=sys.maxsize))
            await self.reject([too_large])
            return
        await self._do(lambda c: waiting.put(c, new, limit=self._limit))
        if self.dropped > self._said and (self.dropped - self._said >= _SAY_EVERY or self.dropped == self._said + 1):
            self._say_dropped()

    async def batch(self, max_count: int, max_bytes: int, *, vantage: str | None = None) -> list[Waiting]:
        """The oldest that wait, of one vantage or any: at most so many, and so many bytes of JSON, but one at least."""
        found, damaged = await self._do(
            lambda c: waiting.batch(c, max_count=max_count, max_bytes=max_bytes, vantage=vantage)
        )
        for uid in damaged:
            log.error("%s: the measurement %s is damaged and was set aside", self.path, uid)
        if damaged and not found:
            return await self.batch(max_count, max_bytes, vantage=vantage)
        return found

    async def acknowledge(self, uids: Sequence[str]) -> None:
        """The service has them."""
        await self._do(lambda c: waiting.acknowledge(c, uids))

    async def reject(self, rejected: Sequence[Rejected]) -> None:
        """The service will never take them: they are kept apart, and said in the log."""
        await self._do(lambda c: _refuse(c, rejected))
        _say_refused(rejected)

    async def postpone(self, uid: str) -> None:
        """Let one wait behind all others."""
        await self._do(lambda c: waiting.postpone(c, uid))

    def _say_dropped(self) -> None:
        self._said = self.dropped
        log.error("%s: the spool is full; %d measurements were dropped so far", self.path, self.dropped)

    # What the schedule and the collector remember

    async def last_round(self, vantage: str, list_name: str) -> tuple[datetime, datetime | None] | None:
        """See `Memory`."""
        return await self._do(lambda c: rounds.last(c, vantage, list_name))

    async def measured_since(self, vantage: str, since: datetime) -> set[str]:
        """See `Memory`; what was handed over or dropped meanwhile counts too."""
        return await self._do(lambda c: waiting.measured_since(c, vantage, since))

    async def start_round(self, vantage: str, list_name: str, started: datetime) -> None:
        """See `Memory`."""

        def begin(connection: sqlite3.Connection) -> None:
            rounds.start(connection, vantage, list_name, started=started)
            waiting.forget(connection, started)

        await self._do(begin)

    async def finish_round(self, vantage: str, list_name: str, started: datetime, finished: datetime) -> None:
        """See `Memory`."""
        await self._do(lambda c: rounds.finish(c, vantage, list_name, started=started, finished=finished))

    async def was_blocked(self, target: str, vantage: str, n: int) -> bool:
        """Whether one of the last `n` (at most ten) measurements found it blocked."""
        return not STOPPED.isdisjoint(await self._do(lambda c: waiting.outcomes(c, target, vantage, n)))

    async def set_residual(self, egress: str, address: str, port: int, until: datetime, uid: str) -> None:
        """An address rests until then."""
        await self._do(lambda c: rounds.set_residual(c, egress, address, port=port, until=until, uid=uid))

    async def residuals(self, egress: str, now: datetime) -> rounds.Residuals:
        """Which addresses rest."""
        return await self._do(lambda c: rounds.residuals(c, egress, now=now))

    async def keep_assignment(self, body: bytes, etag: str) -> None:
        """Keep the service's last word."""

        def keep(connection: sqlite3.Connection) -> None:
            waiting.keep(connection, _ASSIGNMENT, body)
            waiting.keep(connection, _ETAG, etag.encode())

        await self._do(keep)

    async def assignment(self) -> tuple[bytes, str] | None:
        """The service's last word and its ETag."""
        body, etag = await self._do(lambda c: (waiting.kept(c, _ASSIGNMENT), waiting.kept(c, _ETAG)))
        return None if body is None else (body, (etag or b"").decode())

    async def egresses(self) -> Mapping[str, Network]:
        """See `Confirmations`."""
        return _decoded(await self._do(lambda c: waiting.kept(c, _EGRESSES)))

    async def confirm_egress(self, vantage: str, network: Network, _now: datetime) -> None:
        """See `Confirmations`."""

        def confirm(connection: sqlite3.Connection) -> None:
            known = _decoded(waiting.kept(connection, _EGRESSES)) | {vantage: network}
            waiting.keep(connection, _EGRESSES, msgspec.json.encode(known))

        await self._do(confirm)

    # The thread

    async def _do(self, work: Work[T]) -> T:
        """Run a job in the thread; again with a new file, where the old one proves damaged."""
        for _ in range(_ANEW):
            async with self._gate:
                writer = self._writer
                future = writer.submit(lambda c: (work(c), waiting.totals(c)))
            try:
                result, self._totals = await asyncio.wrap_future(future)
            except (sqlite3.DatabaseError, StoreError) as error:
                if not is_damage(error):
                    raise
                await self._begin_anew(writer, str(error))
            else:
                return result
        raise StoreError(f"{self.path}: is damaged again and again: is the disk at its end?")

    async def _begin_anew(self, writer: Writer, why: str) -> None:
        async with self._gate:
            if self._writer is writer:  # else somebody else has just done it
                await asyncio.to_thread(writer.close)
                move_aside(self.path, why)
                self._writer = Writer(open_file(self.path))


def _new(measurement: Measurement, outcome: str, cause: str | None) -> waiting.New:
    line = msgspec.json.encode(measurement)
    return waiting.New(
        uid=measurement.uid, vantage=measurement.vantage.name, target=measurement.target,
        at=measurement.time.timestamp(), outcome=outcome, rank=waiting.rank(outcome, cause), raw=len(line),
        packed=zlib.compress(line),
    )  # fmt: skip


def _decoded(networks: bytes | None) -> dict[str, Network]:
    return msgspec.json.decode(networks or b"{}", type=dict[str, Network])


def _refuse(connection: sqlite3.Connection, rejected: Iterable[Rejected]) -> None:
    waiting.refuse(connection, rejected, datetime.now(UTC))


def _say_refused(rejected: Iterable[Rejected]) -> None:
    for one in rejected:
        log.error("the measurement %s was refused for good: %.200r", one.uid, one.reason)
