"""Where each target stands at each vantage, and the events that the judge found in it.

Both follow from the stored measurements in order of time, in whatever order they arrived.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from monitor.judge import detect, wide
from monitor.judge.detect import Event, Point, State
from monitor.judge.verdict import Verdict
from probes.measurement import Measurement

from . import verdicts
from .selection import Selection, moment

_EVENT = 'target, vantage, kind, "after", "before", detected_at, technique, confidence, measurements, witness'
_STATE = msgspec.json.Decoder(State)
_NAMES = msgspec.json.Decoder(tuple[str, ...])


def advance(connection: sqlite3.Connection, measurement: Measurement, verdict: Verdict, *, defer: bool) -> list[Event]:
    """Hand the judge one more point of its series; keep the new state and the event, if there is one.

    A point that came late needs the whole series: that is computed again at once, or where `defer` says so, the
    series is stale until `rebuild`.
    """
    target, vantage = measurement.target, measurement.vantage.name
    point = Point(measurement.time, verdict.outcome, verdict.technique, measurement.uid)
    state, stale = _found(connection, target, vantage)
    if detect.state_of(point.outcome) and (stale or detect.is_late(state, point)):
        if not defer:
            return rebuild(connection, target, vantage)
        mark_stale(connection, target, vantage)
        return []
    event = detect.advance(state, point, target=target, vantage=vantage)
    _keep(connection, target, vantage, state)
    if event is None:
        return []
    _add(connection, event)
    return [event]


def mark_stale(connection: sqlite3.Connection, target: str, vantage: str) -> None:
    """State and events no longer follow from the measurements."""
    connection.execute("UPDATE series SET stale = 1 WHERE target = ? AND vantage = ?", [target, vantage])


def is_stale(connection: sqlite3.Connection, target: str, vantage: str) -> bool:
    """Whether one series must be computed again."""
    return _found(connection, target, vantage)[1]


def stale(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """(target, vantage) of every series that must be computed again."""
    return connection.execute("SELECT target, vantage FROM series WHERE stale").fetchall()


def rebuild(connection: sqlite3.Connection, target: str, vantage: str) -> list[Event]:
    """Compute state and events of a series from all its measurements; the events that were not known before.

    An event that stays as it was keeps its row. One that takes the place of another of
    its kind corrects it, and is not new.
    """
    found, state = detect.detect(
        (point for _target, _vantage, point in points(connection, Selection(target=target, vantage=vantage))),
        target=target,
        vantage=vantage,
    )
    rows = connection.execute(f"SELECT id, {_EVENT} FROM event WHERE target = ? AND vantage = ?", [target, vantage])
    known = {_event(*row): number for number, *row in rows}
    gone = known.keys() - set(found)
    connection.executemany("DELETE FROM event WHERE id = ?", [[known[event]] for event in gone])
    added = [event for event in found if event not in known]
    for event in added:
        _add(connection, event)
    _keep(connection, target, vantage, state)
    connection.execute("UPDATE series SET stale = 0 WHERE target = ? AND vantage = ?", [target, vantage])
    return _new(added, gone)


def points(connection: sqlite3.Connection, selection: Selection) -> Iterator[tuple[str, str, Point]]:
    """(target, vantage, point) of the selected measurements: series by series, in order of time and uid."""
    where, values = selection.where("time")
    rows = connection.execute(
        f"SELECT m.target, m.vantage, m.time, v.outcome, v.technique, m.uid FROM measurement m {verdicts.JOIN}"
        f" WHERE {where} ORDER BY m.target, m.vantage, m.time, m.uid",
        values,
    )
    for target, vantage, time, outcome, technique, uid in rows:
        yield target, vantage, Point(moment(time), outcome, technique, uid)


def _new(added: list[Event], gone: Iterable[Event]) -> list[Event]:
    """The added events but those that take the place of one of their kind that is gone."""
    places = Counter(event.kind for event in gone)
    new = []
    for event in added:
        if places[event.kind]:
            places[event.kind] -= 1
        else:
            new.append(event)
    return new


def _found(connection: sqlite3.Connection, target: str, vantage: str) -> tuple[State, bool]:
    """State of a series, a new one where there is none, and whether it is stale."""
    row = connection.execute(
        "SELECT state, stale FROM series WHERE target = ? AND vantage = ?", [target, vantage]
    ).fetchone()
    return (_STATE.decode(row[0]), bool(row[1])) if row else (State(), False)


def _keep(connection: sqlite3.Connection, target: str, vantage: str, state: State) -> None:
    connection.execute(
        "INSERT INTO series (target, vantage, state) VALUES (?, ?, ?)"
        " ON CONFLICT (target, vantage) DO UPDATE SET state = excluded.state",
        [target, vantage, msgspec.json.encode(state).decode()],
    )


def state_of(connection: sqlite3.Connection, target: str, vantage: str) -> State | None:
    """The state of one series; None where it was never measured."""
    row = connection.execute("SELECT state FROM series WHERE target = ? AND vantage = ?", [target, vantage]).fetchone()
    return _STATE.decode(row[0]) if row else None


def states(connection: sqlite3.Connection) -> dict[tuple[str, str], State]:
    """The state of every (target, vantage) that was ever measured."""
    rows = connection.execute("SELECT target, vantage, state FROM series")
    return {(target, vantage): _STATE.decode(state) for target, vantage, state in rows}


def events(connection: sqlite3.Connection, selection: Selection, *, limit: int) -> list[Event]:
    """The newest `limit` events that were detected in the selection, oldest first; a negative limit: all."""
    where, values = selection.where("detected_at")
    rows = connection.execute(
        f"SELECT {_EVENT} FROM event WHERE {where} ORDER BY detected_at DESC, id DESC LIMIT ?",
        [*values, limit],
    )
    return [_event(*row) for row in rows][::-1]


def changes(connection: sqlite3.Connection, selection: Selection, *, share: int, limit: int) -> list[Event]:
    """The same, with one event where most targets of a vantage changed at once (see `judge.wide`); `share`: percent.

    All evidence of a vantage counts. One of several targets belongs to a selection that names one of them.
    """
    # An event of many is known when one of them is, but that may be another than the selected target's.
    some = selection if selection.target is None else msgspec.structs.replace(selection, since=None, until=None)
    where, values = some.where("detected_at")
    found: list[Event] = []
    for (vantage,) in connection.execute(f"SELECT DISTINCT vantage FROM event WHERE {where}", values).fetchall():
        singles = events(connection, Selection(vantage=vantage), limit=-1)
        spans = _spans(connection, vantage) if wide.could_be_one(singles) else ()
        found += (event for event in wide.fold(singles, spans, share=share) if _is_in(event, selection))
    found.sort(key=lambda event: event.detected_at)
    return found if limit < 0 else found[max(0, len(found) - limit) :]


def _spans(connection: sqlite3.Connection, vantage: str) -> Iterator[wide.Span]:
    for target, state in connection.execute("SELECT target, state FROM series WHERE vantage = ?", [vantage]):
        span = wide.span_of(target, _STATE.decode(state))
        if span is not None:
            yield span


def _is_in(event: Event, selection: Selection) -> bool:
    return (
        (selection.target is None or selection.target == event.target or selection.target in event.targets)
        and (selection.since is None or event.detected_at >= selection.since)
        and (selection.until is None or event.detected_at < selection.until)
    )


def _add(connection: sqlite3.Connection, event: Event) -> None:
    connection.execute(
        f"INSERT INTO event ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            event.target, event.vantage, event.kind, event.after and event.after.timestamp(),
            event.before.timestamp(), event.detected_at.timestamp(), event.technique, event.confidence,
            event.measurements, msgspec.json.encode(event.witness).decode(),
        ],
    )  # fmt: skip


def _event(target: str, vantage: str, kind: str, after: float | None, before: float, *rest: Any) -> Event:
    detected_at, technique, confidence, measurements, witness = rest
    return Event(
        target=target,
        vantage=vantage,
        kind=kind,
        after=None if after is None else moment(after),
        before=moment(before),
        detected_at=moment(detected_at),
        technique=technique,
        confidence=confidence,
        measurements=measurements,
        witness=_NAMES.decode(witness),
    )
