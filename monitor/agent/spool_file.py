"""A spool's file: opened, or moved aside where it is damaged; what was in it is never deleted."""

import contextlib
import logging
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

from monitor.store.database import BUSY
from monitor.store.error import StoreError

from . import waiting

log = logging.getLogger("wallwatch")
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_DAMAGE_TEXTS = ("malformed", "not a database")  # where only SQLite's words have come through the writer
_WAL_LIMIT = 8 * 2**20  # bytes to which the write-ahead log is cut back


def open_file(path: Path) -> sqlite3.Connection:
    """The connection to a spool, which is made where there is none; a damaged one is moved aside first.

    It may be handed to another thread. A commit is on the disk when it returns (WAL, synchronous=FULL). Raises
    StoreError where the file cannot be used, or is no spool.
    """
    try:
        return _open(path)
    except sqlite3.Error as error:
        if not is_damage(error):
            raise StoreError(f"{path}: {error}") from error
        move_aside(path, str(error))
    try:
        return _open(path)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


def is_damage(error: Exception) -> bool:
    """Whether an error says that the file is damaged, and not that the disk is full or busy."""
    if isinstance(error, sqlite3.DatabaseError):
        return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE
    return isinstance(error, StoreError) and any(text in str(error) for text in _DAMAGE_TEXTS)


def move_aside(path: Path, why: str) -> Path:
    """Rename a damaged file, with what belongs to it, and say so; where it is now."""
    aside = Path(f"{path}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.rename(f"{path}{suffix}", f"{aside}{suffix}")
    log.error("%s: the spool is damaged (%s); it was moved to %s and a new one begun", path, why, aside.name)
    return aside


def _open(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # what it holds is nobody else's business
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from error
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        _check(connection, path)
        connection.execute("BEGIN IMMEDIATE")  # a file that cannot be written is opened without complaint
        waiting.totals(connection)
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables where there are none. Raises StoreError where the file is something else."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if (version, application) == (0, 0) and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        waiting.make(connection)
    elif application != waiting.APPLICATION:
        raise StoreError(f"{path}: is a database, but no spool")
    elif version > waiting.VERSION:
        raise StoreError(f"{path}: was written by a newer version of Wallwatch")
