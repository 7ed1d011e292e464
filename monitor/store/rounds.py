"""What a restarted service must know: its rounds, and where its probes left residual blocking."""

import sqlite3
from datetime import datetime

from .selection import moment

_FORGET = 86400.0  # seconds: rows that ended so long before a new one ends; residual blocking lasts minutes

Residuals = dict[tuple[str, int], tuple[datetime, str]]


def start(connection: sqlite3.Connection, vantage: str, list_name: str, *, started: datetime) -> None:
    """Note that a round began; a second time changes nothing."""
    connection.execute(
        "INSERT INTO round (vantage, list, started) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [vantage, list_name, started.timestamp()],
    )


def finish(
    connection: sqlite3.Connection, vantage: str, list_name: str, *, started: datetime, finished: datetime
) -> None:
    """Note that the round which began at `started` is complete."""
    connection.execute(
        "UPDATE round SET finished = ? WHERE vantage = ? AND list = ? AND started = ?",
        [finished.timestamp(), vantage, list_name, started.timestamp()],
    )


def last(connection: sqlite3.Connection, vantage: str, list_name: str) -> tuple[datetime, datetime | None] | None:
    """When the newest round began and was complete (None: it is not); None where there was none."""
    row = connection.execute(
        "SELECT started, finished FROM round WHERE vantage = ? AND list = ? ORDER BY started DESC LIMIT 1",
        [vantage, list_name],
    ).fetchone()
    return None if row is None else (moment(row[0]), None if row[1] is None else moment(row[1]))


def set_residual(
    connection: sqlite3.Connection, egress: str, address: str, *, port: int, until: datetime, uid: str
) -> None:
    """Note that what leaves by `egress` may be blocked there until then; the latest end counts."""
    end = until.timestamp()
    connection.execute("DELETE FROM residual WHERE until < ?", [end - _FORGET])
    connection.execute(
        "INSERT INTO residual (egress, address, port, until, uid) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (egress, address, port) DO UPDATE SET until = excluded.until, uid = excluded.uid"
        " WHERE excluded.until > residual.until",
        [egress, address, port, end, uid],
    )


def residuals(connection: sqlite3.Connection, egress: str, *, now: datetime) -> Residuals:
    """(address, port) → (until, uid of the measurement that triggered it), where it lasts beyond `now`."""
    rows = connection.execute(
        "SELECT address, port, until, uid FROM residual WHERE egress = ? AND until > ?",
        [egress, now.timestamp()],
    )
    return {(address, port): (moment(until), uid) for address, port, until, uid in rows}
