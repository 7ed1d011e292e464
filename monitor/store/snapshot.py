"""One state of the database, read throughout while a service goes on writing: what is published must agree."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from monitor.judge.verdict import Verdict
from probes.measurement import Measurement

from . import database, measurements, schema, verdicts
from .error import StoreError
from .measurements import Row
from .selection import Selection


class Snapshot:
    """Made by `snapshot`; blocks. Every method shows the same state."""

    def __init__(self, connection: sqlite3.Connection, *, simulated: bool) -> None:
        self.simulated = simulated
        self._connection = connection

    def count(self, selection: Selection) -> int:
        """How many measurements are selected."""
        where, values = selection.where("time")
        row = self._connection.execute(f"SELECT count(*) FROM measurement WHERE {where}", values).fetchone()
        return int(row[0])

    def rows(self, selection: Selection) -> Iterator[Row]:
        """The selected measurements without their facts, in order of time, then uid."""
        return measurements.rows(self._connection, selection)

    def measurements(self, selection: Selection) -> Iterator[tuple[Measurement, Verdict]]:
        """The selected measurements as they were saved, in the same order, one by one."""
        return measurements.whole(self._connection, selection)

    def measurement(self, uid: str) -> Measurement:
        """One as it was saved. Raises StoreError where there is none."""
        found = measurements.load(self._connection, uid)
        if found is None:
            raise StoreError(f"no measurement {uid}")
        return found[0]

    def techniques(self, row: Row) -> tuple[str, ...]:
        """All techniques of a row's verdict, lowest layer first; a row itself has the strongest only."""
        if row.technique is None:
            return ()
        found = self._connection.execute(
            "SELECT techniques FROM verdict WHERE uid = ? AND rules_version = ?", [row.uid, row.rules_version]
        ).fetchone()
        return verdicts.NAMES.decode(found[0])


@contextlib.contextmanager
def snapshot(path: Path) -> Iterator[Snapshot]:
    """The database as it is now, simulated or real. Raises StoreError where it cannot be read, also later.

    A writer is not held up; its write-ahead log cannot shrink until this ends.
    """
    if not path.is_file():
        raise StoreError(f"{path}: there is no database")
    try:
        with database.reader(path) as connection:
            simulated = schema.is_simulated(connection, file=str(path))
            schema.check(connection, file=str(path), simulated=simulated)
            yield Snapshot(connection, simulated=simulated)
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}") from error
