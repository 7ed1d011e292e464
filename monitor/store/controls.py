"""What the control said of the targets that agents measure, kept by URL and time until it can match no upload."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from probes.measurement import ControlReply

from . import records
from .selection import moment

KEPT = timedelta(days=30)  # an agent that was cut off for longer is judged without

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(tuple[ControlReply, ...])


class KeptControl(msgspec.Struct, frozen=True):
    """Replies about one URL, complete `at` that time."""

    at: datetime
    replies: tuple[ControlReply, ...]


class Span(msgspec.Struct, frozen=True):
    """A URL, and a time in which something was asked about it."""

    url: str
    since: datetime
    until: datetime


def keep(connection: sqlite3.Connection, url: str, kept: KeptControl) -> None:
    """Keep replies, and forget those that are older than `KEPT` before them."""
    connection.execute("DELETE FROM control_reply WHERE at < ?", [(kept.at - KEPT).timestamp()])
    connection.execute(
        "INSERT OR IGNORE INTO control_reply (url, at, replies) VALUES (?, ?, ?)",
        [url, kept.at.timestamp(), records.pack(_ENCODER.encode(kept.replies))],
    )


def around(
    connection: sqlite3.Connection, spans: Sequence[Span], *, within: float
) -> list[tuple[KeptControl | None, KeptControl | None]]:
    """For each span the nearest replies at or before its beginning, and at or after its end, `within` so many seconds;
    None where there are none."""
    return [
        (
            _one(connection, "at <= ? AND at >= ? ORDER BY at DESC", span.url, span.since, -within),
            _one(connection, "at >= ? AND at <= ? ORDER BY at", span.url, span.until, within),
        )
        for span in spans
    ]


def newest(connection: sqlite3.Connection, since: datetime) -> dict[str, datetime]:
    """URL → when it was last asked about, at that time or later."""
    rows = connection.execute("SELECT url, max(at) FROM control_reply WHERE at >= ? GROUP BY url", [since.timestamp()])
    return {url: moment(at) for url, at in rows}


def _one(connection: sqlite3.Connection, where: str, url: str, end: datetime, reach: float) -> KeptControl | None:
    row = connection.execute(
        f"SELECT at, replies FROM control_reply WHERE url = ? AND {where} LIMIT 1",
        [url, end.timestamp(), end.timestamp() + reach],
    ).fetchone()
    return None if row is None else KeptControl(moment(row[0]), _DECODER.decode(records.unpack(row[1])))
