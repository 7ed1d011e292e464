"""The threads that read, each with a connection of its own that cannot write."""

import asyncio
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import database
from .error import StoreError
from .writer import T, Work

THREADS = 4


class Readers:
    """A few threads; they and their connections are made when they are first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store-reader")
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False

    async def call(self, work: Work[T]) -> T:
        """What `work(connection)` returns, from one of the threads. Raises StoreError when closed."""
        if self._closed:
            raise StoreError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, work)

    def close(self) -> None:
        """Wait for what is being read, end the threads, close their connections."""
        self._closed = True
        self._pool.shutdown()
        while self._connections:
            self._connections.pop().close()

    def _run(self, work: Work[T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = database.open_reader(self._path)
            self._connections.append(connection)
        return work(connection)
