"""What waits in an agent's spool, in SQL: the order in which it goes, and what is dropped where the spool is full."""

import sqlite3
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from .protocol import Rejected

APPLICATION, VERSION = 0x57575350, 1  # `WWSP` in the file's head: no other database is taken for a spool
ROW = 300  # bytes that a row takes beside its line, roughly
_REFUSED_ROWS, _REFUSED_BYTES = 1000, 64 * 2**20  # of what the service refused, the newest are kept to be looked at
_REASON = 200  # characters of a reason
_LAST = 10  # outcomes of a target that are remembered
_FORGET = 90 * 86400.0  # seconds after which rounds and outcomes of targets that are gone are forgotten
# Dropped first where the spool is full: what says least about a censor.
_RANKS = {"ok": 0, "down": 1, "insufficient": 1}
_SUSPICIOUS = frozenset({"no_control", "control_failed", "ambiguous"})  # causes: the service may know more
_REST = 2

_TABLES = """
CREATE TABLE waiting (
    number INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL UNIQUE, vantage TEXT NOT NULL, rank INTEGER NOT NULL,
    raw INTEGER NOT NULL, line BLOB NOT NULL
);
CREATE INDEX waiting_rank ON waiting (rank, number);
CREATE TABLE total (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER, bytes INTEGER, dropped INTEGER);
INSERT INTO total VALUES (1, 0, 0, 0);
CREATE TRIGGER waiting_more AFTER INSERT ON waiting BEGIN
    UPDATE total SET count = count + 1, bytes = bytes + length(new.line);
END;
CREATE TRIGGER waiting_less AFTER DELETE ON waiting BEGIN
    UPDATE total SET count = count - 1, bytes = bytes - length(old.line);
END;
CREATE TABLE refused (
    number INTEGER PRIMARY KEY AUTOINCREMENT, uid TEXT NOT NULL, at REAL NOT NULL, reason TEXT NOT NULL,
    line BLOB NOT NULL
);
CREATE TABLE recent (vantage TEXT, target TEXT, at REAL, outcome TEXT, PRIMARY KEY (vantage, target, at));
CREATE TABLE round (vantage TEXT, list TEXT, started REAL, finished REAL, PRIMARY KEY (vantage, list, started));
CREATE TABLE residual (
    egress TEXT, address TEXT, port INTEGER, until REAL, uid TEXT, PRIMARY KEY (egress, address, port)
);
CREATE TABLE kept (name TEXT PRIMARY KEY, value BLOB);
"""


class Waiting(msgspec.Struct, frozen=True):
    """A measurement that the service has not acknowledged; `line` is its JSON."""

    uid: str
    line: bytes


class Totals(msgspec.Struct, frozen=True):
    """How many wait, the `size` in bytes that they take, and how many were dropped so far because it was full."""

    count: int = 0
    size: int = 0
    dropped: int = 0


class New(msgspec.Struct, frozen=True, kw_only=True):
    """What is put in. `raw`: bytes of the line before it was packed."""

    uid: str
    vantage: str
    target: str
    at: float
    outcome: str
    rank: int
    raw: int
    packed: bytes


def make(connection: sqlite3.Connection) -> None:
    """The tables, in one transaction."""
    head = f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION};"
    connection.executescript(f"BEGIN; {_TABLES} {head} COMMIT;")


def rank(outcome: str, cause: str | None) -> int:
    """Where a measurement stands when the spool is full: the lowest go first."""
    return _REST if cause in _SUSPICIOUS else _RANKS.get(outcome, _REST)


def totals(connection: sqlite3.Connection) -> Totals:
    """As they are in this transaction."""
    count, size, dropped = connection.execute("SELECT count, bytes, dropped FROM total").fetchone()
    return Totals(count, size + count * ROW, dropped)


def put(connection: sqlite3.Connection, new: New, *, limit: int) -> int:
    """Add one, remember its outcome, and make room; how many were dropped for it, itself never."""
    connection.execute(
        "INSERT INTO waiting (uid, vantage, rank, raw, line) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [new.uid, new.vantage, new.rank, new.raw, new.packed],
    )
    remember(connection, new)
    return _make_room(connection, new.uid, limit)


def _make_room(connection: sqlite3.Connection, newest: str, limit: int) -> int:
    dropped = 0
    while totals(connection).size > limit:
        row = connection.execute(
            "SELECT number FROM waiting WHERE uid != ? ORDER BY rank, number LIMIT 1", [newest]
        ).fetchone()
        if row is None:
            break
        connection.execute("DELETE FROM waiting WHERE number = ?", row)
        dropped += 1
    if dropped:
        connection.execute("UPDATE total SET dropped = dropped + ?", [dropped])
    return dropped


def remember(connection: sqlite3.Connection, new: New) -> None:
    """Note when a target was measured and what came of it; the last ten are kept, whatever becomes of the facts."""
    connection.execute(
        "INSERT INTO recent (vantage, target, at, outcome) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [new.vantage, new.target, new.at, new.outcome],
    )
    connection.execute(
        "DELETE FROM recent WHERE vantage = ?1 AND target = ?2 AND at < (SELECT at FROM recent"
        " WHERE vantage = ?1 AND target = ?2 ORDER BY at DESC LIMIT 1 OFFSET ?3)",
        (new.vantage, new.target, _LAST - 1),
    )


def batch(
    connection: sqlite3.Connection, *, max_count: int, max_bytes: int, vantage: str | None
) -> tuple[list[Waiting], list[str]]:
    """The oldest of a vantage (None: any), no more than `max_bytes` of lines (but one at least), and the uids that
    proved damaged.

    What cannot be unpacked is set aside as refused: it would never be sent whole.
    """
    found: list[Waiting] = []
    damaged: list[Rejected] = []
    size = 0
    for uid, raw, packed in connection.execute(
        "SELECT uid, raw, line FROM waiting WHERE ?1 IS NULL OR vantage = ?1 ORDER BY number LIMIT ?2",
        (vantage, max_count),
    ):
        if found and size + raw > max_bytes:
            break
        try:
            found.append(Waiting(uid, zlib.decompress(packed)))
            size += raw
        except zlib.error as error:
            damaged.append(Rejected(0, uid, f"damaged on the disk: {error}"))
    if damaged:
        refuse(connection, damaged, datetime.now(UTC))
    return found, [one.uid for one in damaged]


def acknowledge(connection: sqlite3.Connection, uids: Iterable[str]) -> None:
    """They are at the service."""
    connection.executemany("DELETE FROM waiting WHERE uid = ?", [(uid,) for uid in uids])


def refuse(connection: sqlite3.Connection, rejected: Iterable[Rejected], at: datetime) -> None:
    """Set aside what will never be taken, with the reason; the newest thousand, at most 64 MiB, can be looked at."""
    for one in rejected:
        connection.execute(
            "INSERT INTO refused (uid, at, reason, line) SELECT uid, ?, ?, line FROM waiting WHERE uid = ?",
            [at.timestamp(), one.reason[:_REASON], one.uid],
        )
        connection.execute("DELETE FROM waiting WHERE uid = ?", [one.uid])
    _bound_refused(connection)


def _bound_refused(connection: sqlite3.Connection) -> None:
    rows = connection.execute("SELECT number, length(line) FROM refused ORDER BY number DESC").fetchall()
    size = 0
    for place, (number, length) in enumerate(rows):
        size += length
        if place and (place >= _REFUSED_ROWS or size > _REFUSED_BYTES):
            connection.execute("DELETE FROM refused WHERE number <= ?", [number])
            return


def postpone(connection: sqlite3.Connection, uid: str) -> None:
    """Put one behind all others, where the service chokes on it."""
    connection.execute("UPDATE waiting SET number = (SELECT max(number) + 1 FROM waiting) WHERE uid = ?", [uid])


def measured_since(connection: sqlite3.Connection, vantage: str, since: datetime) -> set[str]:
    """Targets measured from a vantage since a moment, handed over or not."""
    rows = connection.execute(
        "SELECT DISTINCT target FROM recent WHERE vantage = ? AND at >= ?", [vantage, since.timestamp()]
    )
    return {target for (target,) in rows}


def outcomes(connection: sqlite3.Connection, target: str, vantage: str, n: int) -> list[str]:
    """The last ones of a target, newest first."""
    rows = connection.execute(
        "SELECT outcome FROM recent WHERE vantage = ? AND target = ? ORDER BY at DESC LIMIT ?", [vantage, target, n]
    )
    return [outcome for (outcome,) in rows]


def forget(connection: sqlite3.Connection, now: datetime) -> None:
    """Drop what nobody asks for any more."""
    before = now.timestamp() - _FORGET
    connection.execute("DELETE FROM recent WHERE at < ?", [before])
    connection.execute("DELETE FROM round WHERE started < ?", [before])


def keep(connection: sqlite3.Connection, name: str, value: bytes) -> None:
    """Keep a value under a name."""
    connection.execute("INSERT INTO kept VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", [name, value])


def kept(connection: sqlite3.Connection, name: str) -> bytes | None:
    """What is kept under a name."""
    row = connection.execute("SELECT value FROM kept WHERE name = ?", [name]).fetchone()
    return None if row is None else bytes(row[0])
