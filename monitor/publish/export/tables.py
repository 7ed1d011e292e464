"""Stored measurements as rows of the tables, in one pass; what is counted is bounded by targets and vantages."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

import msgspec

from monitor.judge import detect
from monitor.judge.detect import Event, Point, State
from monitor.judge.verdict import OUTCOMES
from monitor.store import Row, Selection
from monitor.store.snapshot import Snapshot

from . import cells
from .columns import header

Progress = Callable[[int, int], None]
_OUTCOMES = tuple(name for name in header("vantages.csv") if name in OUTCOMES)
STEP = 1000  # measurements between two reports of progress


def silent(_done: int, _total: int) -> None:
    """Report nothing."""


class Span(msgspec.Struct):
    """What was selected of one target or vantage; `newest` is its last row."""

    first: datetime
    newest: Row
    outcomes: Counter[str]

    @property
    def n(self) -> int:
        """How many measurements."""
        return self.outcomes.total()


class Summary:
    """What one pass over the history found: the span of each target and vantage, and the events."""

    def __init__(self, selection: Selection) -> None:
        self.targets: dict[str, Span] = {}
        self.vantages: dict[str, Span] = {}
        self.events: list[Event] = []
        self.rules_versions: set[int] = set()
        self._since = selection.since
        self._states: dict[tuple[str, str], State] = {}

    def take(self, row: Row) -> bool:
        """Take the next row, in order of time and uid, from the beginning; whether it is selected."""
        state = self._states.setdefault((row.target, row.vantage), State())
        point = Point(row.time, row.outcome, row.technique, row.uid)
        event = detect.advance(state, point, target=row.target, vantage=row.vantage)
        selected = self._since is None or row.time >= self._since
        if selected:
            if event is not None:
                self.events.append(event)
            self.rules_versions.add(row.rules_version)
            _extend(self.targets, row.target, row)
            _extend(self.vantages, row.vantage, row)
        return selected

    @property
    def n(self) -> int:
        """Selected measurements."""
        return sum(span.n for span in self.targets.values())

    @property
    def period(self) -> tuple[datetime, datetime] | None:
        """First and last selected measurement; None where there is none."""
        spans = self.targets.values()
        return (min(s.first for s in spans), max(s.newest.time for s in spans)) if spans else None


def _extend(spans: dict[str, Span], name: str, row: Row) -> None:
    span = spans.get(name)
    if span is None:
        span = spans[name] = Span(row.time, row, Counter())
    span.newest = row
    span.outcomes[row.outcome] += 1


def history(selection: Selection) -> Selection:
    """The selection from the beginning: an event in it may rest on measurements before it."""
    return msgspec.structs.replace(selection, since=None)


def measurement_lines(snapshot: Snapshot, selection: Selection, progress: Progress = silent) -> Iterator[bytes]:
    """The measurement table, line by line."""
    yield cells.line(header("measurements.csv"))
    total = snapshot.count(selection)
    for done, row in enumerate(snapshot.rows(selection), 1):
        yield measurement_line(snapshot, row)
        if done % STEP == 0 or done == total:
            progress(done, total)


def measurement_line(snapshot: Snapshot, row: Row) -> bytes:
    """One line of the measurement table."""
    return cells.line(
        (
            row.time, row.target, row.vantage, row.outcome, row.technique, row.uid, row.site, row.category,
            row.country, row.asn or None, row.score, row.cause, row.rules, row.rules_version, row.duration,
            snapshot.techniques(row), snapshot.simulated,
        )
    )  # fmt: skip


def event_lines(summary: Summary) -> Iterator[bytes]:
    """The events, in order of detection."""
    yield cells.line(header("events.csv"))
    for event in sorted(summary.events, key=lambda e: (e.detected_at, e.target, e.vantage)):
        yield cells.line(
            (
                event.target, event.vantage, event.kind, event.after, event.before, event.detected_at,
                event.technique, event.confidence, event.measurements, event.witness,
            )
        )  # fmt: skip


def target_lines(summary: Summary) -> Iterator[bytes]:
    """One line a target, by name."""
    yield cells.line(header("targets.csv"))
    for name, span in sorted(summary.targets.items()):
        row = span.newest
        yield cells.line((name, row.site, row.category, span.first, row.time, span.n))


def vantage_lines(snapshot: Snapshot, summary: Summary) -> Iterator[bytes]:
    """One line a vantage, by name; what it is, as its last selected measurement says."""
    yield cells.line(header("vantages.csv"))
    for name, span in sorted(summary.vantages.items()):
        facts = snapshot.measurement(span.newest.uid).vantage
        yield cells.line(
            (
                name, facts.kind, facts.country, facts.asn or None, facts.direction, span.first, span.newest.time,
                span.n, *(span.outcomes[outcome] for outcome in _OUTCOMES),
            )
        )  # fmt: skip
