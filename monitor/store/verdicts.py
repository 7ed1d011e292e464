"""Verdicts on stored measurements, one for each version of the rules, and the daily counts of their outcomes.

The verdict of the newest rules is the one that counts.
"""

import sqlite3
from typing import Any

import msgspec

from monitor.judge.verdict import Verdict

from .error import StoreError
from .selection import moment

COLUMNS = "v.outcome, v.technique, v.techniques, v.cause, v.score, v.rules, v.rules_version, v.reason"
JOIN = (
    "JOIN verdict v ON v.uid = m.uid AND v.rules_version = (SELECT max(rules_version) FROM verdict WHERE uid = m.uid)"
)
NAMES = msgspec.json.Decoder(tuple[str, ...])


def first(connection: sqlite3.Connection, uid: str, verdict: Verdict) -> None:
    """Keep the verdict that comes with a new measurement, and count it."""
    _put(connection, uid, verdict)
    _count(connection, uid, verdict.outcome, by=1)


def add(connection: sqlite3.Connection, uid: str, verdict: Verdict) -> bool:
    """Keep another verdict on a stored measurement; one of the same rules replaces it. Raises StoreError.

    The daily counts follow the verdict that counts. True where its outcome or technique is another one now.
    """
    before = _counting(connection, uid)
    if before is None:
        raise StoreError(f"no measurement {uid}")
    _put(connection, uid, verdict)
    after = _counting(connection, uid) or before
    if after[0] != before[0]:
        _count(connection, uid, before[0], by=-1)
        _count(connection, uid, after[0], by=1)
        connection.execute("DELETE FROM daily WHERE measurements = 0")
    return after != before


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Measurements by outcome."""
    rows = connection.execute("SELECT outcome, sum(measurements) FROM daily GROUP BY outcome")
    return dict(rows.fetchall())


def read(outcome: str, technique: str | None, techniques: str, cause: str | None, *rest: Any) -> Verdict:
    """The verdict in a row of COLUMNS."""
    score, rules, version, reason = rest
    return Verdict(
        outcome=outcome, technique=technique, techniques=NAMES.decode(techniques), cause=cause, score=score,
        rules=NAMES.decode(rules), rules_version=version, reason=reason,
    )  # fmt: skip


def _put(connection: sqlite3.Connection, uid: str, verdict: Verdict) -> None:
    techniques, rules = (msgspec.json.encode(names).decode() for names in (verdict.techniques, verdict.rules))
    connection.execute(
        "INSERT OR REPLACE INTO verdict (uid, rules_version, outcome, technique, techniques, cause, score,"
        " rules, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            uid, verdict.rules_version, verdict.outcome, verdict.technique, techniques, verdict.cause,
            verdict.score, rules, verdict.reason,
        ],
    )  # fmt: skip


def _counting(connection: sqlite3.Connection, uid: str) -> tuple[str, str | None] | None:
    """Outcome and technique of the verdict that counts; None without any."""
    row: tuple[str, str | None] | None = connection.execute(
        "SELECT outcome, technique FROM verdict WHERE uid = ? ORDER BY rules_version DESC LIMIT 1", [uid]
    ).fetchone()
    return row


def _count(connection: sqlite3.Connection, uid: str, outcome: str, *, by: int) -> None:
    """Add to an outcome's count on the day (UTC) of a measurement."""
    target, vantage, time = connection.execute(
        "SELECT target, vantage, time FROM measurement WHERE uid = ?", [uid]
    ).fetchone()
    connection.execute(
        "INSERT INTO daily (target, vantage, day, outcome, measurements) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (target, vantage, day, outcome)"
        " DO UPDATE SET measurements = measurements + excluded.measurements",
        [target, vantage, moment(time).date().isoformat(), outcome, by],
    )
