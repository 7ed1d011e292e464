"""Where each target stands at each vantage, and the events that the judge found in it."""

import sqlite3
from typing import Any

import msgspec

from monitor.judge import detect
from monitor.judge.detect import Event, Point, State
from monitor.judge.verdict import Verdict
from probes.measurement import Measurement

from .selection import Selection, moment

_EVENT = 'target, vantage, kind, "after", "before", detected_at, technique, confidence, measurements, witness'
_STATE = msgspec.json.Decoder(State)
_NAMES = msgspec.json.Decoder(tuple[str, ...])


def advance(connection: sqlite3.Connection, measurement: Measurement, verdict: Verdict) -> list[Event]:
    """Hand the judge one more point of its series; keep the new state and the event, if there is one."""
    target, vantage = measurement.target, measurement.vantage.name
    state = state_of(connection, target, vantage) or State()
    point = Point(measurement.time, verdict.outcome, verdict.technique, measurement.uid)
    event = detect.advance(state, point, target=target, vantage=vantage)
    connection.execute(
        "INSERT INTO series (target, vantage, state) VALUES (?, ?, ?)"
        " ON CONFLICT (target, vantage) DO UPDATE SET state = excluded.state",
        [target, vantage, msgspec.json.encode(state).decode()],
    )
    return [event] if event is not None and _add(connection, event) else []


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


def _add(connection: sqlite3.Connection, event: Event) -> bool:
    """Keep an event; False where it is known already."""
    cursor = connection.execute(
        f"INSERT INTO event ({_EVENT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        ' ON CONFLICT (target, vantage, kind, "before") DO NOTHING',
        [
            event.target,
            event.vantage,
            event.kind,
            event.after and event.after.timestamp(),
            event.before.timestamp(),
            event.detected_at.timestamp(),
            event.technique,
            event.confidence,
            event.measurements,
            msgspec.json.encode(event.witness).decode(),
        ],
    )
    return cursor.rowcount == 1


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
