"""Measurements: saved with all that belongs to them, loaded, listed."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from monitor.judge.detect import Event
from monitor.judge.verdict import Verdict
from monitor.turns import in_turns
from probes.measurement import Measurement

from . import contents, records, series, verdicts
from .records import RecordError
from .selection import Selection, moment

_ROW = (
    "m.uid, m.time, m.target, m.vantage, m.site, m.category, m.country, m.asn, m.duration_s,"
    " v.outcome, v.technique, v.cause, v.score, v.reason, v.rules, v.rules_version"
)


class Row(msgspec.Struct, frozen=True):
    """One measurement and the verdict that counts, without the facts. `duration` is in seconds."""

    uid: str
    time: datetime
    target: str
    vantage: str
    site: str
    category: str
    country: str
    asn: int
    duration: float
    outcome: str
    technique: str | None
    cause: str | None
    score: float
    reason: str
    rules: tuple[str, ...]
    rules_version: int


def save(
    connection: sqlite3.Connection, measurement: Measurement, verdict: Verdict, *, defer: bool = False
) -> list[Event]:
    """Keep a measurement and everything that follows from it; the events that it confirms.

    A uid that is known changes nothing and confirms nothing. `defer`: where the measurement came late, its series
    is marked stale instead of being computed again. Raises RecordError.
    """
    if not _insert(connection, measurement):
        return []
    contents.keep(connection, measurement)
    verdicts.first(connection, measurement.uid, verdict)
    return series.advance(connection, measurement, verdict, defer=defer)


def save_many(
    connection: sqlite3.Connection, pairs: Sequence[tuple[Measurement, Verdict]]
) -> list[list[Event] | RecordError | None]:
    """Keep several, oldest first, in one transaction: for each its new events; None where its uid was known; what was
    wrong with it. A series in which some came late is computed again once, after all; its new events are the last's.
    """
    found: list[list[Event] | RecordError | None] = [None] * len(pairs)
    last: dict[tuple[str, str], int] = {}
    for number in sorted(range(len(pairs)), key=lambda n: pairs[n][0].time):
        measurement, verdict = pairs[number]
        if connection.execute("SELECT 1 FROM measurement WHERE uid = ?", [measurement.uid]).fetchone():
            continue
        connection.execute("SAVEPOINT one")
        try:
            found[number] = save(connection, measurement, verdict, defer=True)
            last[measurement.target, measurement.vantage.name] = number
        except RecordError as error:
            connection.execute("ROLLBACK TO one")
            found[number] = error
        connection.execute("RELEASE one")
    for (target, vantage), number in last.items():
        events = found[number]
        if isinstance(events, list) and series.is_stale(connection, target, vantage):
            found[number] = [*events, *series.rebuild(connection, target, vantage)]
    return found


def known(connection: sqlite3.Connection, uids: Iterable[str]) -> set[str]:
    """Those of the uids that are stored."""
    return {u for u in uids if connection.execute("SELECT 1 FROM measurement WHERE uid = ?", [u]).fetchone()}


def judge_again(connection: sqlite3.Connection, uid: str, verdict: Verdict) -> None:
    """Keep another verdict; where it changes the one that counts, the series is stale. Raises StoreError."""
    if verdicts.add(connection, uid, verdict):
        target, vantage = connection.execute("SELECT target, vantage FROM measurement WHERE uid = ?", [uid]).fetchone()
        series.mark_stale(connection, target, vantage)


def load(connection: sqlite3.Connection, uid: str) -> tuple[Measurement, Verdict] | None:
    """A measurement as it was saved, and the verdict that counts; None where there is none."""
    row = connection.execute(
        f"SELECT m.facts, {verdicts.COLUMNS} FROM measurement m {verdicts.JOIN} WHERE m.uid = ?", [uid]
    ).fetchone()
    if row is None:
        return None
    return contents.put_back(connection, records.decode(row[0])), verdicts.read(*row[1:])


def newest(connection: sqlite3.Connection) -> list[Row]:
    """The newest measurement of each target at each vantage."""
    rows = connection.execute(
        f"SELECT {_ROW} FROM series s JOIN measurement m ON m.rowid = (SELECT rowid FROM measurement"
        f" WHERE target = s.target AND vantage = s.vantage ORDER BY time DESC LIMIT 1) {verdicts.JOIN}"
    )
    return [_row(*row) for row in in_turns(rows)]


def recent(connection: sqlite3.Connection, target: str, vantage: str, *, limit: int) -> list[Row]:
    """The last measurements of a target at a vantage, newest first."""
    rows = connection.execute(
        f"SELECT {_ROW} FROM measurement m {verdicts.JOIN} WHERE m.target = ? AND m.vantage = ?"
        " ORDER BY m.time DESC LIMIT ?",
        [target, vantage, limit],
    )
    return [_row(*row) for row in rows]


def measured_since(connection: sqlite3.Connection, vantage: str, since: datetime) -> set[str]:
    """The targets measured at a vantage at that time or later."""
    rows = connection.execute(
        "SELECT DISTINCT target FROM measurement WHERE vantage = ? AND time >= ?",
        [vantage, since.timestamp()],
    )
    return {target for (target,) in rows}


def rows(connection: sqlite3.Connection, selection: Selection) -> Iterator[Row]:
    """The selected measurements without their facts, in order of time."""
    where, values = selection.where("time")
    for row in connection.execute(
        f"SELECT {_ROW} FROM measurement m {verdicts.JOIN} WHERE {where} ORDER BY m.time, m.uid", values
    ):
        yield _row(*row)


def whole(connection: sqlite3.Connection, selection: Selection) -> Iterator[tuple[Measurement, Verdict]]:
    """The selected measurements with their facts, in order of time; facts are read one by one."""
    where, values = selection.where("time")
    for (uid,) in connection.execute(f"SELECT uid FROM measurement WHERE {where} ORDER BY time, uid", values):
        found = load(connection, uid)
        if found is not None:
            yield found


def _insert(connection: sqlite3.Connection, measurement: Measurement) -> bool:
    """The measurement's own row; False where the uid is known."""
    cursor = connection.execute(
        "INSERT INTO measurement (uid, time, target, vantage, site, category, country, asn, duration_s,"
        " recorded, facts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO NOTHING",
        [
            measurement.uid, measurement.time.timestamp(), measurement.target, measurement.vantage.name,
            measurement.site, measurement.category, measurement.vantage.country, measurement.vantage.asn,
            measurement.duration, measurement.recorded, records.encode(measurement),
        ],
    )  # fmt: skip
    return cursor.rowcount == 1


def _row(uid: str, time: float, *rest: Any) -> Row:
    plain, (rules, version) = rest[:-2], rest[-2:]
    cells: list[Any] = [uid, moment(time), *plain, verdicts.NAMES.decode(rules), version]
    return Row(*cells)
