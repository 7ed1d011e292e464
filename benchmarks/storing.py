"""How many measurements a second are on the disk, saved by many at once into a fresh database."""

import asyncio
import hashlib
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from monitor.collect.work import Result
from monitor.store import Store
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement

from .measurement import samples
from .row import Row

NAME = "storing"
SAVERS, EACH, _SAMPLES = 64, 100, 48
_LIMIT = 60.0  # seconds


def run() -> list[Row]:
    """Stored a second, durable (WAL, synchronous=FULL): pages known already, and every page a new one."""
    made = samples(_SAMPLES)
    known, known_cpu = asyncio.run(_stored(_copies(made)))
    fresh, fresh_cpu = asyncio.run(_stored([_renewed(r, n) for n, r in enumerate(_copies(made))]))
    return [
        Row(NAME, f"stored a second, {SAVERS} savers, pages known", known, "1/s", "≥ 2,000"),
        Row(NAME, "CPU of one", known_cpu, "ms"),
        Row(NAME, f"stored a second, {SAVERS} savers, every page new (16 KiB)", fresh, "1/s"),
        Row(NAME, "CPU of one", fresh_cpu, "ms"),
    ]


def _copies(made: list[Result]) -> list[Result]:
    """As many as are stored: of 640 targets, ten rounds, each with a uid and a time of its own."""
    return list(_each(made))


def _each(made: list[Result]) -> Iterator[Result]:
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for n in range(SAVERS * EACH):
        result = made[n % len(made)]
        when = begun + timedelta(minutes=n // 640 * 10, milliseconds=n)
        measurement = msgspec.structs.replace(
            result.measurement,
            uid=f"{when:%Y%m%dT%H%M%S.%fZ}-{n:012x}",
            time=when,
            target=f"https://t{n % 640}.example/",
        )
        yield Result(measurement, result.verdict)


def _renewed(result: Result, n: int) -> Result:
    """The same with a page that nobody has seen before."""
    measurement = result.measurement
    body = next(iter(measurement.bodies.values()))[:-12] + b"%012d" % n
    digest = hashlib.sha256(body).hexdigest()
    operations = tuple(
        msgspec.structs.replace(op, body_sha256=digest) if isinstance(op, HTTPRoundTrip) else op
        for op in measurement.operations
    )
    renewed: Measurement = msgspec.structs.replace(measurement, operations=operations, bodies={digest: body})
    return Result(renewed, result.verdict)


async def _stored(results: list[Result]) -> tuple[float, float]:
    """(stored a second, ms of CPU of one)."""
    left = iter(results)

    async def saver(store: Store) -> None:
        for result in left:
            await store.save(result.measurement, result.verdict)

    with tempfile.TemporaryDirectory(prefix="wallwatch-bench-") as folder:
        async with asyncio.timeout(_LIMIT), Store.open(Path(folder) / "bench.db") as store:
            began, cpu = time.monotonic(), time.process_time()
            async with asyncio.TaskGroup() as group:
                for _ in range(SAVERS):
                    group.create_task(saver(store))
            wall, cpu = time.monotonic() - began, time.process_time() - cpu
    return len(results) / wall, cpu / len(results) * 1000
