"""The timeline: of each target at each vantage the events, and the state in which the measurements leave it.

Computed from the measurements alone, by the same function whether they come from the store or from a file.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter

import msgspec

from monitor.judge.detect import CONFIRM, Event, Point, State, advance, state_of
from monitor.judge.verdict import OUTCOMES
from monitor.judge.wide import Span, fold, holds, span_of

from .exported import Row

Placed = tuple[str, str, Point]  # target, vantage, point


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One target at one vantage.

    The state began in (`after`, `before`]; `after` is None where it never changed: then it began at an unknown time
    before or at the first evidence. `state` is empty, and so are the times, where nothing was evidence.
    `longest_gap`: seconds between two measurements that were evidence, with none between. `contrary`: measurements
    at the end that speak for another state and do not yet confirm it. `shared`: events of many targets (see
    `judge.wide`), of which this is one; they are not among `events` then.
    """

    target: str
    vantage: str
    state: str = ""  # open | impaired | blocked
    technique: str | None = None
    confirmed: bool = False
    after: datetime | None = None
    before: datetime | None = None
    first: datetime
    last: datetime
    last_evidence: datetime | None = None
    longest_gap: float | None = None
    counts: dict[str, int]
    contrary: tuple[Point, ...] = ()
    events: tuple[Event, ...] = ()
    shared: tuple[Event, ...] = ()
    span: Span | None = None

    @property
    def measurements(self) -> int:
        """How many there are."""
        return sum(self.counts.values())

    @property
    def evidence(self) -> int:
        """How many say something about the state."""
        return sum(number for outcome, number in self.counts.items() if state_of(outcome))


def timeline(points: Iterable[Placed]) -> Iterator[Series]:
    """Every series of points that come series by series, in order of time and uid."""
    for (target, vantage), group in groupby(points, key=itemgetter(0, 1)):
        yield series((point for _target, _vantage, point in group), target=target, vantage=vantage)


def series(points: Iterable[Point], *, target: str, vantage: str) -> Series:
    """One series from its points, of which there must be one at least, in order of time and uid."""
    state, events, counts = State(), list[Event](), Counter[str]()
    agreed, gap = 0, 0.0
    first = last = evidence = None
    for point in points:
        counts[point.outcome] += 1
        first, last = first or point.time, point.time
        if not state_of(point.outcome):
            continue
        if evidence is not None:
            gap = max(gap, (point.time - evidence).total_seconds())
        evidence = point.time
        if event := advance(state, point, target=target, vantage=vantage):
            events.append(event)
        agreed += not state.pending
    assert first is not None
    assert last is not None
    change = next((e for e in reversed(events) if e.kind != "technique_changed"), None)
    return Series(
        target=target, vantage=vantage, state=state.state, technique=state.technique,
        confirmed=bool(events) or agreed >= CONFIRM, after=change.after if change else None, before=state.since,
        first=first, last=last, last_evidence=evidence, longest_gap=gap or None,
        counts={outcome: counts[outcome] for outcome in OUTCOMES}, contrary=tuple(state.pending), events=tuple(events),
        span=span_of(target, state),
    )  # fmt: skip


def folded(found: Iterable[Series], *, share: int) -> tuple[list[Series], list[Event]]:
    """All series, in their order, and the events of most targets of a vantage, which they share; `share`: percent."""
    every = list(found)
    vantages: dict[str, list[Series]] = {}
    for one in every:
        vantages.setdefault(one.vantage, []).append(one)
    wide: list[Event] = []
    for group in vantages.values():
        singles = [event for one in group for event in one.events]
        spans = (one.span for one in group if one.span is not None)
        wide += (event for event in fold(singles, spans, share=share) if event.targets)
    shared: dict[tuple[str, str], list[Event]] = {}
    for event in wide:
        for target in event.targets:
            shared.setdefault((target, event.vantage), []).append(event)
    return [_sharing(one, shared.get((one.target, one.vantage), ())) for one in every], wide


def _sharing(one: Series, shared: Iterable[Event]) -> Series:
    many = tuple(shared)
    alone = tuple(event for event in one.events if not any(holds(wide, event) for wide in many))
    return msgspec.structs.replace(one, events=alone, shared=many) if many else one


# Time and uid; then what is left, so that the order of the file does not matter.
_ORDER = attrgetter("time", "uid", "outcome", "technique")


class Pile:
    """Rows in any order, put in order. Of rows with one uid the first counts."""

    def __init__(self) -> None:
        self.simulated = False
        self._series: dict[tuple[str, str], list[Row]] = {}
        self._uids: dict[str, Row] = {}

    def add(self, row: Row) -> bool:
        """Take a row; False where another one of the same uid says otherwise."""
        if row.uid:
            known = self._uids.get(row.uid)
            if known is not None:
                return known == row
            self._uids[row.uid] = row
        key = row.target, row.vantage
        rows = self._series.get(key)
        if rows is None:
            rows = self._series[key] = []
        rows.append(row)
        self.simulated |= row.simulated
        return True

    def points(self) -> Iterator[Placed]:
        """What `timeline` takes; afterwards the pile is empty."""
        self._uids.clear()
        for key in sorted(self._series):
            rows = self._series.pop(key)
            rows.sort(key=_ORDER)
            for row in rows:
                yield *key, Point(row.time, row.outcome, row.technique or None, row.uid or None)
