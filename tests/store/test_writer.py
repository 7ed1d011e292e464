"""Batches, failing jobs, full disks, sudden death."""

import asyncio
import contextlib
import itertools
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from monitor.store import Store, StoreError, writer
from tests.store.sample import BLOCKED, OK, measurement, whole

ROOT = Path(__file__).parents[2]
WRITES = """
import asyncio, itertools, pathlib, sys
from monitor.store import Store
from tests.store.sample import BLOCKED, measurement

async def main(path, first):
    numbers = itertools.count(first)
    async def saver():
        for number in numbers:
            await store.save(measurement(number), BLOCKED)
            sys.stdout.write(f"m{number:06}\\n")
            sys.stdout.flush()
    async with Store.open(pathlib.Path(path)) as store, asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(saver())

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_what_was_told_survives_sudden_death(tmp_path: Path) -> None:
    path, told, fate = tmp_path / "a.db", set[str](), random.Random()
    for turn in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", WRITES, str(path), str(turn * 100_000)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        ) as process:
            assert process.stdout is not None
            told.add(process.stdout.readline().strip())
            time.sleep(fate.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
            told |= {line.strip() for line in process.stdout if line.endswith("\n")}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        kept = {uid for (uid,) in connection.execute("SELECT uid FROM measurement")}
        judged = {uid for (uid,) in connection.execute("SELECT uid FROM verdict")}
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT sum(measurements) FROM daily").fetchone() == (len(kept),)
    assert "" not in told and len(told) > 5 and told <= kept and judged == kept


async def until(holds: Callable[[], object]) -> None:
    """Wait for something that another thread does."""
    async with asyncio.timeout(10):
        for _ in itertools.takewhile(lambda _: not holds(), itertools.count()):
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def held(store: Store) -> AsyncIterator[None]:
    """Keep the writer busy, so that what comes meanwhile makes one batch."""
    started, release = threading.Event(), threading.Event()

    def hold(_connection: sqlite3.Connection) -> None:
        started.set()
        release.wait(10)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(store.call(hold))
        await until(started.is_set)
        yield
        release.set()


async def commits(store: Store) -> list[str]:
    """A list that grows with the statements of the writer, empty now."""
    said: list[str] = []
    await store.call(lambda db: db.set_trace_callback(said.append))
    said.clear()
    return said


def test_what_waits_is_one_batch_and_a_failing_job_fails_alone(tmp_path: Path) -> None:
    def broken(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM measurement")
        raise KeyError("our own bug")

    def wrong(connection: sqlite3.Connection) -> None:
        connection.execute("SELECT * FROM nowhere")

    def ends_the_transaction(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")

    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            said = await commits(store)
            async with held(store):
                jobs: list[Awaitable[object]] = [store.save(measurement(number), OK) for number in range(20)]
                jobs[3:3] = [store.call(broken), store.call(wrong), store.call(ends_the_transaction)]
                waiting = asyncio.gather(*jobs, return_exceptions=True)
                await until(lambda: store.queue_depth == 1 + len(jobs))
            results = await waiting
            errors = [KeyError, sqlite3.OperationalError, sqlite3.OperationalError]
            assert [type(result) for result in results[3:6]] == errors
            assert results[:3] + results[6:] == [[]] * 20
            assert await store.counts() == {"ok": 20}
            assert said.count("COMMIT") == 2  # of the job that held the writer, and of the batch
            assert store.queue_depth == 0 and store.failing is None and store.write_seconds > 0

    asyncio.run(main())


def test_who_stops_waiting_does_not_undo_the_writing(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            async with held(store):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await store.save(measurement(1), OK)
            await store.save(measurement(2), OK)
            assert await store.counts() == {"ok": 2}

    asyncio.run(main())


def test_closing_writes_what_waits_in_bounded_batches(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store.open(tmp_path / "a.db")
        said = await commits(store)
        async with held(store):
            waiting = asyncio.gather(*(store.save(measurement(number), OK) for number in range(600)))
            await until(lambda: store.queue_depth == 601)
        await store.close()
        await store.close()
        assert await waiting == [[]] * 600
        assert said.count("COMMIT") == 4  # 1 and 256, 256, 88
        late: tuple[Awaitable[object], ...] = (store.save(measurement(601), OK), store.counts())
        for one in late:
            with pytest.raises(StoreError, match="closed"):
                await one
        assert len(list(store.iter_rows())) == 600

    asyncio.run(main())


def test_a_full_database_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FIRST_WAIT", 0.02)

    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            connection = await store.call(lambda db: db)
            pages = await store.call(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
            connection.execute(f"PRAGMA max_page_count = {pages}")
            waiting = [asyncio.ensure_future(store.save(whole(f"u{n}", os.urandom(9999)), OK)) for n in range(5)]
            await until(lambda: store.failing is not None)
            await asyncio.sleep(0.1)
            assert store.failing == "database or disk is full" and store.queue_depth == 5
            assert not any(one.done() for one in waiting) and await store.counts() == {}
            connection.execute("PRAGMA max_page_count = 1000000")
            assert await asyncio.gather(*waiting) == [[]] * 5
            assert await store.counts() == {"ok": 5}
            assert store.failing is None and store.queue_depth == 0

    asyncio.run(main())


def test_closing_a_full_database_says_what_was_not_written(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store.open(tmp_path / "a.db")
        connection = await store.call(lambda db: db)
        connection.execute("PRAGMA max_page_count = 1")
        waiting = asyncio.ensure_future(store.save(whole("u", os.urandom(99999)), OK))
        await until(lambda: store.failing is not None)
        await store.close()
        with pytest.raises(StoreError, match="not written: database or disk is full"):
            await waiting

    asyncio.run(main())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1M", "wallwatch-test", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("no right to mount a file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FIRST_WAIT", 0.02)

    async def main() -> None:
        async with Store.open(small_disk / "a.db") as store:
            await store.save(measurement(1), OK)
            filler = small_disk / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            waiting = [asyncio.ensure_future(store.save(whole(f"u{n}", os.urandom(20_000)), BLOCKED)) for n in range(5)]
            await until(lambda: store.failing is not None)
            await asyncio.sleep(0.1)
            assert not any(one.done() for one in waiting)
            filler.unlink()
            async with asyncio.timeout(10):
                await asyncio.gather(*waiting)
            assert store.failing is None
            assert await store.counts() == {"ok": 1, "blocked": 5}
            assert await store.call(lambda db: db.execute("PRAGMA integrity_check").fetchone()) == ("ok",)

    asyncio.run(main())


def test_another_programs_lock_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FIRST_WAIT", 0.02)

    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            await store.call(lambda db: db.execute("PRAGMA busy_timeout = 10"))
            with contextlib.closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                waiting = asyncio.ensure_future(store.save(measurement(1), OK))
                await until(lambda: store.failing is not None)
                other.execute("COMMIT")
                assert await waiting == []

    asyncio.run(main())
