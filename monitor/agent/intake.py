"""A batch on its way into the store: read, checked line by line, put beside the control, judged, kept.

What is known already is acknowledged unread: nobody can change what is stored. The answer is given after the commit.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import msgspec

from blocklists import Fingerprints
from monitor.engine import Engine
from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from monitor.store import KeptControl, RecordError, Store
from probes.measurement import Measurement, VantageFacts

from .checks import Expected, ForeignVantage, Refused, checked
from .keeper import FRESH, Keeper
from .matching import WITHIN, needs_control, span_of, with_control
from .protocol import Answer, ProtocolError, Rejected, lines_of, measurement_of

log = logging.getLogger("wallwatch.agent")
_AT_ONCE = 4  # batches read or judged in threads at the same time; fewer wait for each other and not for a core
_JUDGING = 10.0  # seconds for one batch; what is not judged by then is not named in the answer, and comes again
_ASKING = 8.0  # seconds for which an answer waits for a control after what has just been measured
_DOUBTS = frozenset({"ambiguous", "no_control", "control_failed"})
_UID = 64  # characters of a uid that are repeated in an answer
_NOT_OURS = (msgspec.MsgspecError, ValueError, RecursionError)

Pair = tuple[Measurement, Verdict]
Found = tuple[KeptControl | None, KeptControl | None]
Kept = list[bool | RecordError]


class _Head(msgspec.Struct):
    uid: str


_HEAD = msgspec.json.Decoder(_Head)


class Line(msgspec.Struct, frozen=True):
    """One line of a batch: its number from 1, and its uid."""

    number: int
    uid: str
    content: bytes


class Batch(msgspec.Struct):
    """What has become of the lines so far."""

    lines: list[Line]
    rejected: list[Rejected] = msgspec.field(default_factory=list)
    reasons: list[str] = msgspec.field(default_factory=list)
    stored: dict[str, None] = msgspec.field(default_factory=dict)

    def reject(self, line: int, uid: str, error: Refused) -> None:
        """Refuse a line for good."""
        self.rejected.append(Rejected(line, uid[:_UID], f"{error.reason}: {error}"))
        self.reasons.append(error.reason)

    def answer(self) -> Answer:
        """What the agent is told."""
        return Answer(stored=tuple(self.stored), rejected=tuple(self.rejected))


class Intake:
    """Takes batches. `keep` stores pairs and counts what is new; it says of each whether it is stored."""

    def __init__(
        self, engine: Callable[[], Engine], store: Store, keeper: Keeper, *,
        keep: Callable[[Sequence[Pair]], Awaitable[Kept]],
    ) -> None:  # fmt: skip
        self._engine, self._store, self._keeper, self._keep = engine, store, keeper, keep
        self._door = asyncio.Semaphore(_AT_ONCE)

    async def take(self, body: bytes, vantage: VantageFacts) -> Batch:
        """A request's body from an agent. Raises ProtocolError where it is no batch, ForeignVantage where a new
        measurement in it is of another vantage (then nothing is stored), StoreError."""
        async with self._door:
            batch = await asyncio.to_thread(_read, body)
        known = await self._store.known([line.uid for line in batch.lines])
        batch.stored.update(dict.fromkeys(line.uid for line in batch.lines if line.uid in known))
        fresh = list({line.uid: line for line in reversed(batch.lines) if line.uid not in known}.values())
        setup = self._engine().setup
        expected = Expected(facts=vantage, targets={t.name: t for t in setup.all_targets()}, now=setup.clock.now())
        async with self._door:
            found = await asyncio.to_thread(_check, batch, fresh[::-1], expected)
        pairs = await self._judged(batch, found)
        for (measurement, _verdict), done in zip(pairs, await self._keep(pairs), strict=True):
            if isinstance(done, RecordError):
                line = next(line for line in batch.lines if line.uid == measurement.uid)
                batch.reject(line.number, line.uid, Refused("content", str(done)))
            else:
                batch.stored[measurement.uid] = None
        return batch

    async def _judged(self, batch: Batch, found: dict[int, Measurement]) -> list[Pair]:
        """Every measurement beside the control, with its verdict."""
        beside = await self._beside(found)
        pairs = await self._judge(batch, beside)
        ours = {t.url for t in self._engine().setup.all_targets()} if self._engine().control.configured else set()
        late = {n: found[n] for n, pair in pairs.items() if found[n].url in ours and self._wants_more(found[n], *pair)}
        if late:
            await self._ask_about(late)
            pairs |= await self._judge(batch, await self._beside(late))
        return list(pairs.values())

    async def _beside(self, found: dict[int, Measurement]) -> dict[int, Measurement]:
        """Each with the kept control where it has none of its own."""
        wanting = [n for n, m in found.items() if needs_control(m)]
        around = await self._store.controls_around([span_of(found[n]) for n in wanting], WITHIN)
        retries = self._engine().config.retries
        given = {n: with_control(found[n], *kept, retries=retries) for n, kept in zip(wanting, around, strict=True)}
        return {n: given.get(n, m) for n, m in found.items()}

    async def _judge(self, batch: Batch, found: dict[int, Measurement]) -> dict[int, Pair]:
        fingerprints = self._engine().setup.fingerprints
        async with self._door:
            return dict(await asyncio.to_thread(lambda: list(_judge(batch, found, fingerprints))))

    def _wants_more(self, given: Measurement, beside: Measurement, verdict: Verdict) -> bool:
        """Whether it is doubtful for want of a control after its end, which was only just."""
        if verdict.cause not in _DOUBTS or not needs_control(given):
            return False
        if any(r.attempt and r.failure is None for r in beside.control):
            return False
        ended = (self._engine().setup.clock.now() - span_of(given).until).total_seconds()
        return 0 <= ended <= WITHIN - FRESH

    async def _ask_about(self, late: dict[int, Measurement]) -> None:
        try:
            async with asyncio.timeout(_ASKING), asyncio.TaskGroup() as group:
                for url in {m.url for m in late.values()}:
                    group.create_task(self._keeper.ask(url, younger=FRESH))
        except TimeoutError:
            log.info("the control took too long for %d measurements that had just ended", len(late))


def _read(body: bytes) -> Batch:
    """The lines and their uids. Raises ProtocolError."""
    batch = Batch([])
    for number, content in enumerate(lines_of(body), 1):
        try:
            uid = _HEAD.decode(content).uid
        except _NOT_OURS:
            batch.reject(number, "", Refused("schema", "no measurement: its uid cannot be read"))
        else:
            batch.lines.append(Line(number, uid, content))
    return batch


def _check(batch: Batch, lines: Sequence[Line], expected: Expected) -> dict[int, Measurement]:
    """Line number → measurement. Raises ForeignVantage."""
    found: dict[int, Measurement] = {}
    for line in lines:
        try:
            found[line.number] = checked(measurement_of(line.content), expected)
        except ForeignVantage:
            raise
        except Refused as error:
            batch.reject(line.number, line.uid, error)
        except ProtocolError as error:
            batch.reject(line.number, line.uid, Refused("schema", str(error)))
    return found


def _judge(batch: Batch, found: dict[int, Measurement], fingerprints: Fingerprints) -> Iterator[tuple[int, Pair]]:
    """(line number, pair) of all that can be judged in time."""
    ends = time.monotonic() + _JUDGING
    uids = {line.number: line.uid for line in batch.lines}
    for number, measurement in found.items():
        if time.monotonic() > ends:
            return
        try:
            yield number, (measurement, analyze(measurement, fingerprints))
        except Exception:  # a rule that some nonsense leads astray must not take the batch with it
            log.exception("measurement %.64s cannot be judged", uids[number])
            batch.reject(number, uids[number], Refused("judging", "it cannot be judged"))
