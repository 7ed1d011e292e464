"""One vantage's band: the confirmed state over time, in pieces to draw; what was not measured has no piece.

stretch   the confirmed state, from the first measurement that showed it to the last
piece     as much of a stretch as was really measured, with the counts
change    the interval in which an event lies: between two stretches, where nobody knows
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from monitor.judge.detect import BECOMES, Event, state_of
from monitor.store.daily import Count, Series

from .period import Period

_FOREVER = float("inf")


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A confirmed state; Unix seconds. `end` is infinite where it is the present one."""

    start: float
    end: float
    state: str
    technique: str | None


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured in [start, end), Unix seconds, as one word.

    `kind`: `open`, `impaired`, `blocked` (the confirmed state, shown by a measurement in every step), `unsettled`
    (measured, and nothing agrees with the confirmed state), `down`, `insufficient`.
    `contrary`: some measurements showed another state, which was not confirmed.
    """

    start: float
    end: float
    kind: str
    technique: str | None
    contrary: bool
    counts: dict[str, int]


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """A vantage over a period. `events` are those of the whole series, `counts` those of the period."""

    series: Series
    events: tuple[Event, ...]
    stretches: tuple[Stretch, ...]
    pieces: tuple[Piece, ...]
    counts: dict[str, int]

    @property
    def vantage(self) -> str:
        """Its name."""
        return self.series.vantage

    def changes(self, period: Period) -> list[Event]:
        """The events whose interval is in sight."""
        return [event for event in self.events if period.touches(event.after, event.before)]


def band(series: Series, events: Sequence[Event], counts: Iterable[Count], *, period: Period) -> Band:
    """The band of one vantage, from its own events and counts in the order of time."""
    steps: dict[int, dict[str, int]] = {}
    total: Counter[str] = Counter()
    for count in counts:
        steps.setdefault(count.start, {})[count.outcome] = count.measurements
        total[count.outcome] += count.measurements
    found = stretches(series, events)
    pieces = [piece for start, step in steps.items() for piece in _pieces(start, step, found, period)]
    return Band(
        series=series, events=tuple(events), stretches=tuple(found), pieces=tuple(_joined(pieces, period)),
        counts=dict(total),
    )  # fmt: skip


def stretches(series: Series, events: Sequence[Event]) -> list[Stretch]:
    """The confirmed states one after the other; between two of them is the interval of the event."""
    if series.began is None:
        return []
    start, state, technique = series.began[0].timestamp(), state_of(series.began[1]), series.began[2]
    found = []
    for event in sorted(events, key=lambda event: event.before):
        end = (event.after or event.before).timestamp()
        found.append(Stretch(start=start, end=end, state=state, technique=technique))
        start, state = event.before.timestamp(), BECOMES.get(event.kind, state)
        technique = event.technique if state != "open" else None
    found.append(Stretch(start=start, end=_FOREVER, state=state, technique=technique))
    return [stretch for stretch in found if stretch.start <= stretch.end]


def _pieces(start: int, counts: dict[str, int], found: Sequence[Stretch], period: Period) -> list[Piece]:
    """One step as pieces: one for each state that held in it."""
    low, high = max(float(start), period.since.timestamp()), min(float(start + period.step), period.until.timestamp())
    if low >= high:
        return []
    seen = {state_of(outcome) for outcome in counts} - {""}
    if not seen:
        kind = "down" if "down" in counts else "insufficient"
        return [Piece(start=low, end=high, kind=kind, technique=None, contrary=False, counts=counts)]
    held = [stretch for stretch in found if stretch.start < high and stretch.end >= low]
    contrary = bool(seen - {stretch.state for stretch in held})
    if not held:
        return [Piece(start=low, end=high, kind="unsettled", technique=None, contrary=False, counts=counts)]
    return [
        Piece(
            start=max(low, stretch.start), end=min(high, stretch.end), counts=counts,
            kind=stretch.state if stretch.state in seen else "unsettled",
            technique=stretch.technique if stretch.state in seen else None,
            contrary=contrary and stretch.state in seen,
        )
        for stretch in held
    ]  # fmt: skip


def _joined(pieces: Iterable[Piece], period: Period) -> list[Piece]:
    """Neighbours that say the same, as one; never across the edge of a told piece."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if last is not None and _same(last, piece, period.piece):
            counts = dict(Counter(last.counts) + Counter(piece.counts))
            joined[-1] = msgspec.structs.replace(last, end=piece.end, counts=counts)
        else:
            joined.append(piece)
    return joined


def _same(one: Piece, other: Piece, size: int) -> bool:
    return (
        one.end == other.start
        and (one.kind, one.technique, one.contrary) == (other.kind, other.technique, other.contrary)
        and one.start // size == other.start // size
    )
