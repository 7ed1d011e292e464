"""The file: opened to write or to read, locked against a second service, refused with one clear line."""

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from . import schema
from .error import StoreError

BUSY = 5.0  # seconds that a connection waits for another one's lock
_WAL_LIMIT = 64 * 1024 * 1024  # bytes to which the write-ahead log is cut back


class Lock:
    """The right to write a database, held by one process at a time: an advisory lock on `FILE.lock`."""

    def __init__(self, path: Path) -> None:
        """Take it. Raises StoreError where the folder cannot be written or somebody else holds it."""
        if not path.parent.is_dir():
            raise StoreError(f"{path}: there is no folder {path.parent}")
        try:
            self._handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise StoreError(f"{path}: the folder cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._handle)
            raise StoreError(f"{path}: in use by another process (it holds {path.name}.lock)") from error

    def release(self) -> None:
        """Give it back. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._handle)


def open_writer(path: Path, *, simulated: bool) -> sqlite3.Connection:
    """The connection that writes to a database, which is made or brought up to date. Raises StoreError.

    It may be handed to another thread. A commit is on the disk when it returns (WAL, synchronous=FULL).
    """
    try:
        connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT}")
        connection.execute("BEGIN IMMEDIATE")  # a file that cannot be written is opened without complaint
        connection.execute("ROLLBACK")
        schema.migrate(connection, file=str(path), simulated=simulated)
        schema.check(connection, file=str(path), simulated=simulated)
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"{path}: {error}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot write; another thread may close it. Raises sqlite3.Error."""
    uri = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False)


@contextlib.contextmanager
def reader(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, showing one state of the database throughout; closed afterwards."""
    with contextlib.closing(open_reader(path)) as connection:
        connection.execute("BEGIN")
        yield connection


def check_readable(path: Path, *, simulated: bool) -> None:
    """Raises StoreError unless there is a database that this version can read, simulated or real as asked."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no database")
    try:
        with reader(path) as connection:
            schema.check(connection, file=str(path), simulated=simulated)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error


def is_simulated(path: Path) -> bool:
    """Whether there is a database of simulated measurements. Raises StoreError where there is none of ours."""
    if not path.is_file():
        raise StoreError(f"{path}: there is no database")
    try:
        with reader(path) as connection:
            return schema.is_simulated(connection, file=str(path))
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
