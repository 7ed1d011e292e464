"""Who may hand measurements in: tokens, of which only the hash is kept, and when each agent was last heard of."""

import sqlite3
from datetime import datetime

import msgspec

from .selection import moment


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token that was given to a vantage. `sha256`: of the token's text, in hex; `revoked` None: it is good."""

    vantage: str
    sha256: str
    created: datetime
    revoked: datetime | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """The last time an agent was heard of: `skew` is how many seconds its clock was ahead of ours (None: it did not
    say), `spooled` how many measurements waited there, `version` its program's."""

    vantage: str
    at: datetime
    skew: float | None = None
    spooled: int | None = None
    version: str = ""


def enrol(connection: sqlite3.Connection, vantage: str, *, sha256: str, now: datetime) -> bool:
    """Keep a vantage's new token; the one before it is revoked. True where there was one."""
    before = revoke(connection, vantage, now=now)
    connection.execute(
        "INSERT INTO agent_token (sha256, vantage, created) VALUES (?, ?, ?)", [sha256, vantage, now.timestamp()]
    )
    return before


def revoke(connection: sqlite3.Connection, vantage: str, *, now: datetime) -> bool:
    """Revoke a vantage's token. False where it has no good one."""
    cursor = connection.execute(
        "UPDATE agent_token SET revoked = ? WHERE vantage = ? AND revoked IS NULL", [now.timestamp(), vantage]
    )
    return cursor.rowcount > 0


def tokens(connection: sqlite3.Connection) -> list[Token]:
    """Every token that was ever given."""
    rows = connection.execute("SELECT vantage, sha256, created, revoked FROM agent_token ORDER BY created, sha256")
    return [
        Token(vantage=v, sha256=s, created=moment(c), revoked=None if r is None else moment(r)) for v, s, c, r in rows
    ]


def heard(connection: sqlite3.Connection, contact: Contact) -> None:
    """Note that an agent was heard of."""
    connection.execute(
        "INSERT INTO agent (vantage, at, skew, spooled, version) VALUES (?, ?, ?, ?, ?) ON CONFLICT (vantage)"
        " DO UPDATE SET at = excluded.at, skew = excluded.skew, spooled = excluded.spooled, version = excluded.version",
        [contact.vantage, contact.at.timestamp(), contact.skew, contact.spooled, contact.version],
    )


def contacts(connection: sqlite3.Connection) -> list[Contact]:
    """When each agent was last heard of."""
    rows = connection.execute("SELECT vantage, at, skew, spooled, version FROM agent ORDER BY vantage")
    return [Contact(vantage=v, at=moment(at), skew=skew, spooled=n, version=text) for v, at, skew, n, text in rows]
