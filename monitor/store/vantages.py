"""What is stored of each vantage: its newest measurement, how its measurements ended, since when they tell nothing."""

import sqlite3
from collections.abc import Iterable
from datetime import datetime

from probes.measurement import Measurement

from . import records, verdicts
from .selection import moment

_BACK = 500  # measurements that are looked through for one that told something


def newest(connection: sqlite3.Connection, names: Iterable[str]) -> dict[str, Measurement]:
    """The newest measurement of each of these vantages, without bodies and certificates; none: it is missing."""
    found = {}
    for name in names:
        row = connection.execute(
            "SELECT facts FROM measurement WHERE vantage = ? ORDER BY time DESC LIMIT 1", [name]
        ).fetchone()
        if row is not None:
            found[name] = records.decode(row[0])
    return found


def counts(connection: sqlite3.Connection, since: datetime) -> dict[str, dict[str, int]]:
    """Vantage → outcome → measurements, from the beginning of the (UTC) day of `since`.

    From the daily counts by way of the series: days of every series are beside each other there.
    """
    rows = connection.execute(
        "SELECT d.vantage, d.outcome, sum(d.measurements) FROM series s CROSS JOIN daily d"
        " ON d.target = s.target AND d.vantage = s.vantage AND d.day >= ? GROUP BY d.vantage, d.outcome",
        [since.date().isoformat()],
    )
    found: dict[str, dict[str, int]] = {}
    for vantage, outcome, measurements in rows:
        found.setdefault(vantage, {})[outcome] = measurements
    return found


def insufficient_since(connection: sqlite3.Connection, name: str) -> tuple[datetime, bool] | None:
    """The first of the newest measurements that are all `insufficient`, and whether one before it was not.

    None where the newest one is not. Looks at the last 500 at most.
    """
    rows = connection.execute(
        f"SELECT m.time, v.outcome FROM measurement m {verdicts.JOIN} WHERE m.vantage = ? ORDER BY m.time DESC LIMIT ?",
        [name, _BACK],
    )
    first: float | None = None
    for time, outcome in rows:
        if outcome != "insufficient":
            return None if first is None else (moment(first), True)
        first = time
    return None if first is None else (moment(first), False)
