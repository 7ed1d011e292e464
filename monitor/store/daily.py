"""What a target's measurements were over time: counts by outcome, by day or by any other step; where each began."""

import sqlite3
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from statistics import median

import msgspec

from monitor.judge.detect import State
from monitor.judge.verdict import STOPPED

from . import verdicts
from .selection import moment

DAY = 86400
_EVIDENCE = ("ok", "impaired", *sorted(STOPPED))
_RECENT = 25  # measurements that tell how often it is measured
_STATE = msgspec.json.Decoder(State)


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One vantage of a target. `began`: the first outcome that was evidence, with time and technique; None: none.

    `every`: seconds between its last measurements, the median; 0 where there is only one.
    """

    vantage: str
    state: State
    first: datetime
    last: datetime
    every: float
    began: tuple[datetime, str, str | None] | None


class Count(msgspec.Struct, frozen=True):
    """How many measurements from a vantage had an outcome, in the step that begins at `start` (Unix seconds)."""

    vantage: str
    start: int
    outcome: str
    measurements: int


def series_of(connection: sqlite3.Connection, target: str) -> list[Series]:
    """Every vantage at which a target was ever measured, by name."""
    rows = connection.execute("SELECT vantage, state FROM series WHERE target = ? ORDER BY vantage", [target])
    found = [_series(connection, target, vantage, _STATE.decode(state)) for vantage, state in rows.fetchall()]
    return [one for one in found if one is not None]


def measured(connection: sqlite3.Connection, target: str, since: datetime, until: datetime) -> int:
    """How many measurements of a target the days hold that [since, until) touches."""
    [number] = connection.execute(
        "SELECT coalesce(sum(measurements), 0) FROM daily WHERE target = ? AND day >= ? AND day <= ?",
        [target, since.date().isoformat(), until.date().isoformat()],
    ).fetchone()
    return int(number)


def counts(
    connection: sqlite3.Connection, target: str, *, since: datetime, until: datetime, step: int, vantages: Sequence[str]
) -> list[Count]:
    """What was measured in [since, until), in steps that begin at multiples of `step` seconds, in their order.

    A step of whole days is read from the daily counts: then the days of `since` and `until` are counted whole.
    """
    read = _by_day if step % DAY == 0 else _by_time
    return [count for vantage in vantages for count in read(connection, (target, vantage), since, until, step)]


def _series(connection: sqlite3.Connection, target: str, vantage: str, state: State) -> Series | None:
    newest = [time for (time,) in connection.execute(
        "SELECT time FROM measurement WHERE target = ? AND vantage = ? ORDER BY time DESC LIMIT ?",
        [target, vantage, _RECENT],
    )]  # fmt: skip
    if not newest:
        return None
    [first] = connection.execute(
        "SELECT min(time) FROM measurement WHERE target = ? AND vantage = ?", [target, vantage]
    ).fetchone()
    return Series(
        vantage=vantage, state=state, first=moment(first), last=moment(newest[0]),
        every=median(late - early for late, early in pairwise(newest)) if len(newest) > 1 else 0.0,
        began=_began(connection, target, vantage),
    )  # fmt: skip


def _began(connection: sqlite3.Connection, target: str, vantage: str) -> tuple[datetime, str, str | None] | None:
    """The first evidence. The daily counts tell its day: a year may pass before there is any."""
    marks = ", ".join("?" * len(_EVIDENCE))
    [day] = connection.execute(
        f"SELECT min(day) FROM daily WHERE target = ? AND vantage = ? AND outcome IN ({marks})",
        [target, vantage, *_EVIDENCE],
    ).fetchone()
    if day is None:
        return None
    row = connection.execute(
        f"SELECT m.time, v.outcome, v.technique FROM measurement m {verdicts.JOIN} WHERE m.target = ?"
        f" AND m.vantage = ? AND m.time >= ? AND v.outcome IN ({marks}) ORDER BY m.time, m.uid LIMIT 1",
        [target, vantage, _midnight(day), *_EVIDENCE],
    ).fetchone()
    return (moment(row[0]), row[1], row[2]) if row else None


def _midnight(day: str) -> int:
    return (date.fromisoformat(day).toordinal() - date(1970, 1, 1).toordinal()) * DAY


def _by_day(
    connection: sqlite3.Connection, key: tuple[str, str], since: datetime, until: datetime, step: int
) -> list[Count]:
    last = (until - timedelta(microseconds=1)).date()
    rows = connection.execute(
        "SELECT day, outcome, measurements FROM daily WHERE target = ? AND vantage = ? AND day >= ? AND day <= ?",
        [*key, since.date().isoformat(), last.isoformat()],
    )
    found: dict[tuple[int, str], int] = {}
    for day, outcome, number in rows:
        start = _midnight(day) // step * step
        found[start, outcome] = found.get((start, outcome), 0) + number
    return [Count(key[1], start, outcome, number) for (start, outcome), number in sorted(found.items())]


def _by_time(
    connection: sqlite3.Connection, key: tuple[str, str], since: datetime, until: datetime, step: int
) -> list[Count]:
    rows = connection.execute(
        f"SELECT CAST(m.time AS INTEGER) / ? * ? AS start, v.outcome, count(*) FROM measurement m {verdicts.JOIN}"
        " WHERE m.target = ? AND m.vantage = ? AND m.time >= ? AND m.time < ? GROUP BY 1, 2 ORDER BY 1, 2",
        [step, step, *key, since.timestamp(), until.timestamp()],
    )
    return [Count(key[1], *row) for row in rows]
