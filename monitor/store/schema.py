"""The tables, as named migrations: each runs once, in order, and its name is kept in the table `migration`.

Times are Unix seconds (UTC); `day` is YYYY-MM-DD. A migration that was released is never edited.
"""

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from sqlite_utils import Database

from .error import StoreError


def measurements(db: Database) -> None:
    """What was measured, what was concluded from it, and the contents that are kept once per hash."""
    measurement = {
        "uid": str, "time": float, "target": str, "vantage": str, "site": str, "category": str,
        "country": str, "asn": int, "duration_s": float, "recorded": str,
        "facts": bytes,  # last: a row's other columns are read without it
    }  # fmt: skip
    table = db.create_table("measurement", measurement, pk="uid")
    table.create_index(["target", "vantage", "time"])
    table.create_index(["vantage", "time"])
    verdict = {
        "uid": str, "rules_version": int, "outcome": str, "technique": str, "techniques": str, "cause": str,
        "score": float, "rules": str, "reason": str,
    }  # fmt: skip
    db.create_table("verdict", verdict, pk=("uid", "rules_version"))
    daily = {"target": str, "vantage": str, "day": str, "outcome": str, "measurements": int}
    db.create_table("daily", daily, pk=("target", "vantage", "day", "outcome"))
    db.create_table("body", {"sha256": str, "content": bytes}, pk="sha256")
    db.create_table("certificate", {"sha256": str, "der": bytes}, pk="sha256")


def series(db: Database) -> None:
    """Where each target stands at each vantage, and the changes of that."""
    db.create_table("series", {"target": str, "vantage": str, "state": str}, pk=("target", "vantage"))
    event = {
        "id": int, "target": str, "vantage": str, "kind": str, "after": float, "before": float,
        "detected_at": float, "technique": str, "confidence": float, "measurements": int, "witness": str,
    }  # fmt: skip
    table = db.create_table("event", event, pk="id")
    table.create_index(["target", "vantage", "kind", "before"], unique=True)
    table.create_index(["detected_at"])


def rounds(db: Database) -> None:
    """What a restarted service must know."""
    residual = {"egress": str, "address": str, "port": int, "until": float, "uid": str}
    db.create_table("residual", residual, pk=("egress", "address", "port"))
    begun = {"vantage": str, "list": str, "started": float, "finished": float}
    db.create_table("round", begun, pk=("vantage", "list", "started"))


def stale(db: Database) -> None:
    """Series whose state and events no longer follow from their measurements; at first all: old ones ignored what
    came late.
    """
    db.table("series").add_column("stale", int, not_null_default=0)
    db.execute("UPDATE series SET stale = 1")
    db.execute("CREATE INDEX series_stale ON series (target, vantage) WHERE stale")


def agents(db: Database) -> None:
    """Tokens (their hashes) and contacts of agents, and what the control said when they measured."""
    token = {"sha256": str, "vantage": str, "created": float, "revoked": float}
    db.create_table("agent_token", token, pk="sha256").create_index(["vantage"])
    contact = {"vantage": str, "at": float, "skew": float, "spooled": int, "version": str}
    db.create_table("agent", contact, pk="vantage")
    control = {"url": str, "at": float, "replies": bytes}
    db.create_table("control_reply", control, pk=("url", "at")).create_index(["at"])


def egress(db: Database) -> None:
    """The network in which each vantage's way out ends, as it was confirmed; never its address."""
    known = {"vantage": str, "country": str, "asn": int, "name": str, "confirmed_at": float}
    db.create_table("egress", known, pk="vantage")


def began(db: Database) -> None:
    """A series' state says with what its evidence began: old ones do not. What a vantage has is read together."""
    db.execute("UPDATE series SET stale = 1")
    db.table("series").create_index(["vantage"])
    db.table("event").create_index(["vantage", "detected_at"])


MIGRATIONS: tuple[tuple[str, Callable[[Database], None]], ...] = (
    ("0001_measurements", measurements),
    ("0002_series", series),
    ("0003_rounds", rounds),
    ("0004_stale", stale),
    ("0005_agents", agents),
    ("0006_egress", egress),
    ("0007_began", began),
)


def migrate(connection: sqlite3.Connection, *, file: str, simulated: bool) -> None:
    """Bring a database up to date, all or nothing. Raises StoreError where it is somebody else's or newer."""
    db = Database(connection, recursive_triggers=False, execute_plugins=False)
    with db.atomic():
        done = applied(connection, file=file)
        if not done:
            db.create_table("migration", {"name": str, "applied": str}, pk="name")
            db.create_table("meta", {"key": str, "value": str}, pk="key")
            connection.execute("INSERT INTO meta VALUES ('simulated', ?)", [str(int(simulated))])
        for name, step in MIGRATIONS:
            if name not in done:
                step(db)
                now = datetime.now(UTC).isoformat()
                connection.execute("INSERT INTO migration (name, applied) VALUES (?, ?)", [name, now])


def check(connection: sqlite3.Connection, *, file: str, simulated: bool) -> None:
    """Raises StoreError unless the database is up to date, and simulated or real as asked."""
    done = applied(connection, file=file)
    if not done:
        raise StoreError(f"{file}: an empty database")
    if missing := [name for name, _step in MIGRATIONS if name not in done]:
        raise StoreError(f"{file}: made by an older version (no {missing[0]!r}); `wallwatch run` updates it")
    row = connection.execute("SELECT value FROM meta WHERE key = 'simulated'").fetchone()
    if row is None or bool(int(row[0])) != simulated:
        made, wanted = ("real", "simulated") if simulated else ("simulated", "real")
        raise StoreError(f"{file}: holds {made} measurements and cannot be used for {wanted} ones")


def is_simulated(connection: sqlite3.Connection, *, file: str) -> bool:
    """Whether a database holds simulated measurements. Raises StoreError where it is not ours."""
    if not applied(connection, file=file):
        raise StoreError(f"{file}: an empty database")
    row = connection.execute("SELECT value FROM meta WHERE key = 'simulated'").fetchone()
    return row is not None and row[0] == "1"


def applied(connection: sqlite3.Connection, *, file: str) -> set[str]:
    """The migrations that a database has had; none: it is empty. Raises StoreError where it is not ours."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not tables:
        return set()
    if not {"migration", "meta"} <= tables:
        raise StoreError(f"{file}: a database of another program")
    done = {row[0] for row in connection.execute("SELECT name FROM migration")}
    if unknown := done - {name for name, _step in MIGRATIONS}:
        raise StoreError(f"{file}: made by a newer version of Wallwatch (unknown migration {min(unknown)!r})")
    return done
