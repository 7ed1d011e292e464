"""The store: what is saved is on the disk when `save` returns, and is read while the next is written."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Self

from blocklists.network import Network
from monitor.judge.detect import Event, Point, State
from monitor.judge.verdict import STOPPED, Verdict
from probes.measurement import Measurement

from . import agents, controls, daily, database, egress, measurements, rounds, series, vantages, verdicts
from .agents import Contact, Token
from .controls import KeptControl, Span
from .database import Lock
from .error import StoreError
from .measurements import Row
from .readers import Readers
from .records import RecordError
from .rounds import Residuals
from .selection import Selection
from .writer import T, Work, Writer


class Store:
    """One database, made by `Store.open`; `async with` closes it. All times are aware.

    Any number of tasks may use it at once. What writes returns when the commit is on the disk.
    """

    def __init__(self, path: Path, *, simulated: bool, lock: Lock | None = None, writer: Writer | None = None) -> None:
        self.path = path
        self.simulated = simulated
        self._lock = lock
        self._writer = writer
        self._readers = Readers(path)

    @classmethod
    def open(cls, path: Path, *, simulated: bool = False, read_only: bool = False, shared: bool = False) -> Self:
        """Open a database, or make it; blocks. Raises StoreError.

        `simulated`: it holds, or shall hold, measurements of a simulated network; never both kinds.
        `read_only`: it must exist; a service may write it meanwhile, and what writes raises StoreError.
        """
        if read_only:
            database.check_readable(path, simulated=simulated)
            return cls(path, simulated=simulated)
        lock = None if shared else Lock(path)
        try:
            connection = database.open_writer(path, simulated=simulated)
        except StoreError:
            if lock is not None:
                lock.release()
            raise
        return cls(path, simulated=simulated, lock=lock, writer=Writer(connection))

    @classmethod
    def open_any(cls, path: Path) -> Self:
        """Open a database for reading only, be it simulated or real (see `simulated`). Raises StoreError."""
        return cls.open(path, simulated=database.is_simulated(path), read_only=True)

    async def close(self) -> None:
        """Write what waits, then end. Where that fails now, those who wait for it get a StoreError."""
        await asyncio.to_thread(self._close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    @property
    def failing(self) -> str | None:
        """Why nothing can be written at present (the disk is full, say); what waits is tried again."""
        return self._writer.failing if self._writer else None

    @property
    def queue_depth(self) -> int:
        """Writes that wait or are under way."""
        return self._writer.depth if self._writer else 0

    @property
    def write_seconds(self) -> float:
        """How long the last batch took to be on the disk."""
        return self._writer.write_seconds if self._writer else 0.0

    # Writing

    async def call(self, work: Work[T]) -> T:
        """What `work(connection)` returns in the writer's thread, once its changes are on the disk.

        It runs in a transaction shared with others, which it must leave open; an exception undoes its own
        changes. It may run more than once.
        """
        if self._writer is None:
            raise StoreError(f"{self.path}: opened for reading only")
        return await asyncio.wrap_future(self._writer.submit(work))

    async def save(self, measurement: Measurement, verdict: Verdict, *, defer: bool = False) -> list[Event]:
        """Keep a measurement with its verdict; the events that it confirms. A known uid changes nothing.

        All in one transaction: facts, verdict, daily count, new bodies and certificates, state, events. One that
        is older than its series' newest may confirm, correct and undo events; only new ones are returned. `defer`:
        where many come late, leave that to one `rebuild` afterwards.
        Raises StoreError where a simulated measurement meets a real store or the reverse, RecordError where
        a body or certificate is not what its hash says.
        """
        self._check_kind(measurement)
        return await self.call(lambda db: measurements.save(db, measurement, verdict, defer=defer))

    async def save_many(
        self, pairs: Sequence[tuple[Measurement, Verdict]]
    ) -> list[list[Event] | RecordError | None]:
        """Keep several in one transaction: for each the events that it confirms, as `save` does; None: its uid was
        known; the RecordError of one that contradicts itself, which is left out. Raises StoreError as `save` does.
        """
        for measurement, _verdict in pairs:
            self._check_kind(measurement)
        return await self.call(lambda db: measurements.save_many(db, pairs))

    async def add_verdict(self, uid: str, verdict: Verdict) -> None:
        """Keep what other rules conclude from a stored measurement. Raises StoreError where there is none.

        Daily counts follow the newest rules at once, states and events by `rebuild`.
        """
        await self.call(lambda db: measurements.judge_again(db, uid, verdict))

    async def rebuild(self) -> list[Event]:
        """Compute states and events again where they no longer follow from the measurements; the new events.

        One transaction a series; what is not done when it is interrupted is done the next time.
        """
        found: list[Event] = []
        for target, vantage in await self._readers.call(series.stale):
            found += await self.call(partial(series.rebuild, target=target, vantage=vantage))
        return found

    async def set_residual(self, egress: str, address: str, port: int, until: datetime, uid: str) -> None:
        """Note residual blocking that measurement `uid` triggered; of several ends the latest counts."""
        await self.call(lambda db: rounds.set_residual(db, egress, address, port=port, until=until, uid=uid))

    async def start_round(self, vantage: str, list_name: str, started: datetime) -> None:
        """Note that a round began."""
        await self.call(lambda db: rounds.start(db, vantage, list_name, started=started))

    async def finish_round(self, vantage: str, list_name: str, started: datetime, finished: datetime) -> None:
        """Note that the round which began at `started` is complete."""
        await self.call(lambda db: rounds.finish(db, vantage, list_name, started=started, finished=finished))

    async def enrol(self, vantage: str, sha256: str, now: datetime) -> bool:
        """Keep the hash of an agent's new token; the one before it is revoked. True where there was one."""
        return await self.call(lambda db: agents.enrol(db, vantage, sha256=sha256, now=now))

    async def revoke(self, vantage: str, now: datetime) -> bool:
        """Revoke an agent's token. False where it has no good one."""
        return await self.call(lambda db: agents.revoke(db, vantage, now=now))

    async def heard(self, contact: Contact) -> None:
        """Note that an agent was heard of."""
        await self.call(lambda db: agents.heard(db, contact))

    async def keep_control(self, url: str, kept: KeptControl) -> None:
        """Keep what the control said of a URL; what is 30 days older is forgotten."""
        await self.call(lambda db: controls.keep(db, url, kept))

    async def confirm_egress(self, vantage: str, network: Network, now: datetime) -> None:
        """Keep the network in which a vantage's way out ends from now on, in the place of the one before."""
        await self.call(lambda db: egress.confirm(db, vantage, network, now=now))

    # Reading

    async def egresses(self) -> Mapping[str, Network]:
        """Vantage → the network in which its way out ends, as it was confirmed."""
        return await self._readers.call(egress.confirmed)

    async def tokens(self) -> list[Token]:
        """Every token that was ever given to an agent, as its hash."""
        return await self._readers.call(agents.tokens)

    async def contacts(self) -> list[Contact]:
        """When each agent was last heard of."""
        return await self._readers.call(agents.contacts)

    async def known(self, uids: Sequence[str]) -> set[str]:
        """Those of the uids that are stored."""
        return await self._readers.call(lambda db: measurements.known(db, uids))

    async def controls_around(
        self, spans: Sequence[Span], within: float
    ) -> list[tuple[KeptControl | None, KeptControl | None]]:
        """What the control said just before and just after each span, at most `within` seconds away."""
        return await self._readers.call(lambda db: controls.around(db, spans, within=within))

    async def controls_since(self, since: datetime) -> dict[str, datetime]:
        """URL → when the control was last asked about it for agents, at that time or later."""
        return await self._readers.call(lambda db: controls.newest(db, since))

    async def residuals(self, egress: str, now: datetime) -> Residuals:
        """(address, port) → (until, uid), as far as it lasts beyond `now`."""
        return await self._readers.call(lambda db: rounds.residuals(db, egress, now=now))

    async def last_round(self, vantage: str, list_name: str) -> tuple[datetime, datetime | None] | None:
        """When the newest round began and was complete (None: it is not); None where there was none."""
        return await self._readers.call(lambda db: rounds.last(db, vantage, list_name))

    async def measured_since(self, vantage: str, since: datetime) -> set[str]:
        """The targets measured at a vantage at that time or later."""
        return await self._readers.call(lambda db: measurements.measured_since(db, vantage, since))

    async def newest(self) -> list[Row]:
        """The newest measurement of each target at each vantage."""
        return await self._readers.call(measurements.newest)

    async def measurement(self, uid: str) -> tuple[Measurement, Verdict] | None:
        """A measurement as it was saved, and the verdict of the newest rules; None where there is none."""
        return await self._readers.call(lambda db: measurements.load(db, uid))

    async def recent(self, target: str, vantage: str, limit: int) -> list[Row]:
        """The last measurements of a target at a vantage, newest first."""
        return await self._readers.call(lambda db: measurements.recent(db, target, vantage, limit=limit))

    async def recent_outcomes(self, target: str, vantage: str, n: int) -> list[str]:
        """The last `n` outcomes of a target at a vantage, newest first."""
        return [row.outcome for row in await self.recent(target, vantage, n)]

    async def was_blocked(self, target: str, vantage: str, n: int) -> bool:
        """Whether one of the last `n` measurements found it blocked."""
        return not STOPPED.isdisjoint(await self.recent_outcomes(target, vantage, n))

    async def series_states(self) -> dict[tuple[str, str], State]:
        """The state of every (target, vantage) that was ever measured."""
        return await self._readers.call(series.states)

    async def series_state(self, target: str, vantage: str) -> State | None:
        """The state of one series; None where it was never measured."""
        return await self._readers.call(lambda connection: series.state_of(connection, target, vantage))

    async def events(
        self,
        *,
        target: str | None = None,
        vantage: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = -1,
    ) -> list[Event]:
        """The newest `limit` events (negative: all) detected in [since, until), oldest first."""
        selection = Selection(target=target, vantage=vantage, since=since, until=until)
        return await self._readers.call(lambda db: series.events(db, selection, limit=limit))

    async def changes(
        self,
        *,
        share: int,
        target: str | None = None,
        vantage: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = -1,
    ) -> list[Event]:
        """The same, with one event in place of those of most targets of a vantage, where `share` percent changed."""
        selection = Selection(target=target, vantage=vantage, since=since, until=until)
        return await self._readers.call(lambda db: series.changes(db, selection, share=share, limit=limit))

    async def target_series(self, target: str) -> list[daily.Series]:
        """Every vantage at which a target was ever measured, by name."""
        return await self._readers.call(lambda db: daily.series_of(db, target))

    async def target_measured(self, target: str, since: datetime, until: datetime) -> int:
        """How many measurements of a target the days hold that [since, until) touches."""
        return await self._readers.call(lambda db: daily.measured(db, target, since, until))

    async def target_counts(
        self, target: str, *, since: datetime, until: datetime, step: int, vantages: Sequence[str]
    ) -> list[daily.Count]:
        """Measurements of a target by vantage, time (in steps of `step` seconds) and outcome."""
        return await self._readers.call(
            lambda db: daily.counts(db, target, since=since, until=until, step=step, vantages=vantages)
        )

    async def newest_of_vantages(self, names: Sequence[str]) -> dict[str, Measurement]:
        """The newest measurement of each of these vantages, without bodies and certificates."""
        return await self._readers.call(lambda db: vantages.newest(db, names))

    async def vantage_counts(self, since: datetime) -> dict[str, dict[str, int]]:
        """Vantage → outcome → measurements, from the beginning of the (UTC) day of `since`."""
        return await self._readers.call(lambda db: vantages.counts(db, since))

    async def insufficient_since(self, vantage: str) -> tuple[datetime, bool] | None:
        """Since when a vantage's measurements are all `insufficient`, and whether one before was not; None: they are
        not."""
        return await self._readers.call(lambda db: vantages.insufficient_since(db, vantage))

    async def counts(self) -> dict[str, int]:
        """Measurements by outcome."""
        return await self._readers.call(verdicts.counts)

    # Reading without a loop; blocks

    def iter_measurements(self, selection: Selection | None = None) -> Iterator[tuple[Measurement, Verdict]]:
        """The selected measurements (all, without a selection) as saved, in order of time."""
        with database.reader(self.path) as connection:
            yield from measurements.whole(connection, selection or Selection())

    def iter_rows(self, selection: Selection | None = None) -> Iterator[Row]:
        """The selected measurements without their facts, in order of time."""
        with database.reader(self.path) as connection:
            yield from measurements.rows(connection, selection or Selection())

    def iter_points(self, selection: Selection | None = None) -> Iterator[tuple[str, str, Point]]:
        """(target, vantage, point) of the selected measurements, series by series, in order of time and uid."""
        with database.reader(self.path) as connection:
            yield from series.points(connection, selection or Selection())

    def _check_kind(self, measurement: Measurement) -> None:
        if measurement.vantage.simulated != self.simulated:
            made, kept = ("simulated", "real") if measurement.vantage.simulated else ("real", "simulated")
            raise StoreError(f"{self.path}: a {made} measurement among {kept} ones: {measurement.uid}")

    def _close(self) -> None:
        self._readers.close()
        if self._writer is not None:
            self._writer.close()  # as the last connection: it empties the write-ahead log and removes it
        if self._lock is not None:
            self._lock.release()
            self._lock = None
