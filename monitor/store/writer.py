"""The thread that writes: what waits in one transaction, nobody told before it is on the disk."""

import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from .error import StoreError

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BATCH = 256  # jobs in one transaction
FIRST_WAIT = 1.0  # seconds before a failed batch is tried again; doubled each time
LONGEST_WAIT = 30.0
# What passes when a disk has room again or another process lets go; anything else is our own bug.
_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
    }
)


class _Job:
    """Something to write, and the future of what it returns."""

    def __init__(self, work: Work[Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # who stops waiting does not undo the writing
        self.result: Any = None
        self.error: Exception | None = None
        self.excluded = False

    def tell(self) -> None:
        """Let the waiter go on."""
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class _TransactionLost(Exception):
    """A job ended the transaction that it shares with others; it is excluded, they must be written again."""


class Writer:
    """Owns the connection from here on. `failing`: why nothing can be written at present; None: all is well.

    The queue has no bound of its own: it holds what those who wait for it have handed in.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.failing: str | None = None
        self.write_seconds = 0.0  # how long the last batch took
        self._connection = connection
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writing = 0
        self._gate = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Jobs that wait or are being written."""
        return self._jobs.qsize() + self._writing

    def submit(self, work: Work[T]) -> "Future[T]":
        """Queue `work(connection)`; the future has its result once that is on the disk.

        The work may run more than once (after a rollback), and must leave the transaction open. Its exception
        goes to the future and undoes only what it wrote itself. Raises StoreError when closed.
        """
        job = _Job(work)
        with self._gate:
            if self._closing.is_set():
                raise StoreError("the store is closed")
            self._jobs.put(job)
        return job.future

    def close(self) -> None:
        """Write what waits, end the thread, close the connection. What fails then is not tried again."""
        with self._gate:
            if not self._closing.is_set():
                self._closing.set()
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            while batch := self._next():
                self._writing = len(batch)
                self._write(batch)
                self._writing = 0
                for job in batch:
                    job.tell()
        finally:
            self._connection.close()

    def _next(self) -> list[_Job]:
        """Wait for a job and take all that wait behind it; empty at the end."""
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH or self._jobs.empty():
                return batch
            job = self._jobs.get()
        if batch:
            self._jobs.put(None)  # nothing comes after it; it ends the next turn
        return batch

    def _write(self, batch: list[_Job]) -> None:
        """Write a batch, however long that takes: what cannot be written now is kept and tried again."""
        wait = FIRST_WAIT
        while True:
            last = self._closing.is_set()
            began = time.monotonic()
            try:
                self._transaction(batch)
            except _TransactionLost:
                continue
            except sqlite3.Error as error:
                self.failing = str(error)
                if last or not _passes(error):
                    return _fail(batch, error)
                self._closing.wait(wait)
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            self.write_seconds = time.monotonic() - began
            self.failing = None
            return None

    def _transaction(self, batch: list[_Job]) -> None:
        """All jobs of a batch, or none. Raises sqlite3.Error and _TransactionLost."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for job in batch:
                if not job.excluded:
                    self._attempt(job)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            raise

    def _attempt(self, job: _Job) -> None:
        """One job in a savepoint; its own failure is kept for its waiter, one of the disk is raised."""
        self._connection.execute("SAVEPOINT job")
        try:
            job.result, job.error = job.work(self._connection), None
            self._connection.execute("RELEASE job")
        except Exception as error:
            if _passes(error):
                raise
            job.error = error
            if not self._connection.in_transaction:
                job.excluded = True
                raise _TransactionLost from error
            self._connection.execute("ROLLBACK TO job")
            self._connection.execute("RELEASE job")


def _passes(error: Exception) -> bool:
    """Whether it is worth trying again. Extended codes keep the kind in their low byte."""
    return isinstance(error, sqlite3.OperationalError) and (error.sqlite_errorcode & 0xFF) in _PASSING


def _fail(batch: list[_Job], error: sqlite3.Error) -> None:
    for job in batch:
        if not job.excluded:
            job.error = StoreError(f"not written: {error}")
