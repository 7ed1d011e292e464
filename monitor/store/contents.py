"""Bodies and certificates: kept once per SHA-256, however many measurements carried them."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable

from probes.measurement import Measurement

from . import records


def keep(connection: sqlite3.Connection, measurement: Measurement) -> None:
    """Keep what the operations refer to and is new. Raises RecordError where a hash does not fit."""
    for digest in records.carried(measurement.bodies, records.body_hashes(measurement)):
        _keep(connection, "body", digest, measurement.bodies[digest], records.pack)
    for digest in records.carried(measurement.certificates, records.certificate_hashes(measurement)):
        _keep(connection, "certificate", digest, measurement.certificates[digest], bytes)


def put_back(connection: sqlite3.Connection, measurement: Measurement) -> Measurement:
    """A decoded measurement as it was saved."""
    bodies = _found(connection, "SELECT content FROM body WHERE sha256 = ?", measurement.bodies)
    return records.fill(
        measurement,
        {digest: records.unpack(content) for digest, content in bodies.items()},
        _found(connection, "SELECT der FROM certificate WHERE sha256 = ?", measurement.certificates),
    )


def _keep(
    connection: sqlite3.Connection, table: str, digest: str, content: bytes, packed: Callable[[bytes], bytes]
) -> None:
    if connection.execute(f"SELECT 1 FROM {table} WHERE sha256 = ?", [digest]).fetchone():
        return
    if hashlib.sha256(content).hexdigest() != digest:  # every measurement that names the hash would get it
        raise records.RecordError(f"the {table} {digest[:64]} is not what its SHA-256 says")
    connection.execute(f"INSERT INTO {table} VALUES (?, ?)", [digest, packed(content)])


def _found(connection: sqlite3.Connection, sql: str, digests: Iterable[str]) -> dict[str, bytes]:
    rows = {digest: connection.execute(sql, [digest]).fetchone() for digest in digests}
    return {digest: row[0] for digest, row in rows.items() if row is not None}
