"""What was put in stays until it is acknowledged; what is dropped, refused, damaged, full; sudden death."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.agent.protocol import MAX_LINE, Rejected, measurement_of
from monitor.agent.spool import Spool
from monitor.agent.waiting import ROW
from monitor.store import StoreError, writer
from tests.agent.made import BEGAN, measurement
from tests.agent.running import in_loop

ROOT = Path(__file__).parents[2]
MANY = 1 << 30


async def waiting(spool: Spool) -> list[int]:
    """The numbers of what waits, oldest first."""
    return [int(one.uid[-12:], 16) for one in await spool.batch(10_000, MANY)]


@in_loop
async def test_oldest_first_and_only_what_is_acknowledged_goes(tmp_path: Path) -> None:
    made = [measurement(n) for n in range(5)]
    async with Spool(tmp_path / "spool.db", limit=MANY) as spool:
        for one in made:
            await spool.put(one, "ok")
            await spool.put(one, "ok")  # twice is once
        assert spool.count == 5 and spool.size > 5 * ROW
        assert [measurement_of(w.line) for w in await spool.batch(3, MANY)] == made[:3]
        await spool.acknowledge([made[1].uid, "of somebody else"])
        assert await waiting(spool) == [0, 2, 3, 4]
        await spool.postpone(made[0].uid)
        assert await waiting(spool) == [2, 3, 4, 0]
    async with Spool(tmp_path / "spool.db", limit=MANY) as spool:
        assert await waiting(spool) == [2, 3, 4, 0] and spool.count == 4
        assert (tmp_path / "spool.db").stat().st_mode & 0o077 == 0


@in_loop
async def test_a_batch_has_bounds_but_one_at_least_and_one_vantage(tmp_path: Path) -> None:
    async with Spool(tmp_path / "spool.db", limit=MANY) as spool:
        for n in range(6):
            await spool.put(measurement(n, size=10_000, vantage="inside" if n % 2 else "before"), "ok")
        assert len(await spool.batch(10, 1)) == 1
        assert len(await spool.batch(10, 40_000)) == 2  # 10,000 bytes are 13,334 characters of Base64
        assert [one.uid for one in await spool.batch(10, MANY, vantage="inside")] == [
            measurement(n).uid for n in (1, 3, 5)
        ]


@in_loop
async def test_a_full_spool_drops_what_says_least_and_never_the_newest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = ["blocked", "ok", "down", "insufficient", "ok", "likely_blocked"]
    room = 6 * (ROW + 3000)
    async with Spool(tmp_path / "spool.db", limit=room) as spool:
        for n, outcome in enumerate(outcomes):
            await spool.put(measurement(n, size=1500), outcome)  # Base64, packed again: some 1,900 bytes
        one = spool.size // 6
    async with Spool(tmp_path / "spool.db", limit=6 * one + one // 2) as spool:
        left = []
        for n in range(6, 12):
            await spool.put(measurement(n, size=1500), "ok" if n == 11 else "impaired")
            left.append(await waiting(spool))
        assert left == [
            [0, 2, 3, 4, 5, 6],  # the oldest `ok`
            [0, 2, 3, 5, 6, 7],  # the next one
            [0, 3, 5, 6, 7, 8],  # the oldest of `down` and `insufficient`
            [0, 5, 6, 7, 8, 9],
            [5, 6, 7, 8, 9, 10],  # the oldest of the rest
            [6, 7, 8, 9, 10, 11],  # an `ok` that is the newest stays
        ]
        assert spool.dropped == 6
        await spool.put(measurement(99, size=100_000), "ok")  # larger than all the room there is
        assert await waiting(spool) == [99]
    assert "is full; 1 measurements were dropped" in caplog.text
    async with Spool(tmp_path / "spool.db", limit=room) as spool:
        assert spool.dropped == 12


@in_loop
async def test_doubt_that_the_service_may_resolve_is_no_mere_insufficient(tmp_path: Path) -> None:
    async with Spool(tmp_path / "spool.db", limit=ROW + 700) as spool:
        await spool.put(measurement(0), "insufficient", cause="no_control")
        await spool.put(measurement(1), "insufficient", cause="offline")
        await spool.put(measurement(2), "blocked")
        assert await waiting(spool) == [0, 2]


@in_loop
async def test_what_is_refused_is_kept_apart_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "spool.db"
    async with Spool(path, limit=MANY) as spool:
        for n in range(1100):
            await spool.put(measurement(n), "ok")
        await spool.reject([Rejected(n + 1, measurement(n).uid, f"reason {n}\n" + "x" * 500) for n in range(1050)])
        assert await waiting(spool) == list(range(1050, 1100))
        await spool.put(measurement(2000, size=MAX_LINE), "blocked")
        assert 2000 not in await waiting(spool)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT uid, reason, length(line) FROM refused ORDER BY number").fetchall()
    assert len(rows) == 1 or len(rows) == 1000
    assert rows[-1][0] == measurement(2000).uid and all(len(reason) <= 200 for _uid, reason, _length in rows)
    assert f"{measurement(7).uid} was refused for good: 'reason 7\\n" in caplog.text


@in_loop
async def test_it_is_the_memory_of_the_schedule_whatever_was_handed_in(tmp_path: Path) -> None:
    slot = BEGAN + timedelta(minutes=10)
    async with Spool(tmp_path / "spool.db", limit=MANY) as spool:
        assert await spool.last_round("inside", "list") is None
        await spool.start_round("inside", "list", slot)
        assert await spool.last_round("inside", "list") == (slot, None)
        await spool.finish_round("inside", "list", slot, slot + timedelta(minutes=1))
        for n, target in ((9, "https://old.example/"), (10, "https://a.example/"), (11, "https://b.example/")):
            await spool.put(measurement(n, target=target), "ok")
        await spool.acknowledge([measurement(n).uid for n in (9, 10, 11)])
        assert spool.count == 0
        await spool.set_residual("out", "192.0.2.1", 443, slot, "u1")
        await spool.keep_assignment(b"{}", '"e"')
    async with Spool(tmp_path / "spool.db", limit=MANY) as spool:
        assert await spool.last_round("inside", "list") == (slot, slot + timedelta(minutes=1))
        assert await spool.measured_since("inside", slot) == {"https://a.example/", "https://b.example/"}
        assert await spool.measured_since("another", slot) == set()
        assert await spool.residuals("out", BEGAN) == {("192.0.2.1", 443): (slot, "u1")}
        assert await spool.assignment() == (b"{}", '"e"')


@in_loop
async def test_a_target_that_was_blocked_lately_is_known(tmp_path: Path) -> None:
    async with Spool(tmp_path / "spool.db", limit=MANY) as spool:
        await spool.put(measurement(0), "likely_blocked")
        for n in range(1, 10):
            await spool.put(measurement(n), "ok")
        assert await spool.was_blocked("https://site.example/", "inside", 10)
        assert not await spool.was_blocked("https://site.example/", "inside", 9)
        await spool.put(measurement(10), "ok")
        assert not await spool.was_blocked("https://site.example/", "inside", 100)  # no more than ten are kept


@pytest.mark.parametrize("content", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 9000])
@in_loop
async def test_a_damaged_file_is_moved_aside_and_never_deleted(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(content)
    async with Spool(path, limit=MANY) as spool:
        await spool.put(measurement(1), "ok")
        assert await waiting(spool) == [1]
    assert [one.read_bytes() for one in moved_aside(tmp_path)] == [content]
    assert [r.levelno for r in caplog.records] == [logging.ERROR] and "the spool is damaged" in caplog.text


@in_loop
async def test_damage_found_on_the_way_loses_nothing_that_is_put_then(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with Spool(path, limit=MANY) as spool:
        for n in range(300):
            await spool.put(measurement(n, size=4000), "ok")
    with path.open("r+b") as file:  # all pages but the first few
        file.seek(4096 * 20)
        file.write(b"\xff" * (path.stat().st_size - 4096 * 20))
    async with Spool(path, limit=MANY) as spool:
        await asyncio.gather(*(spool.put(measurement(n, size=4000), "ok") for n in range(1000, 1100)))
        with contextlib.suppress(StoreError, sqlite3.Error):
            await spool.batch(10_000, MANY)  # wherever the damage is met: what follows works
        assert set(range(1000, 1100)) <= await found_in(tmp_path, spool)


def moved_aside(folder: Path) -> list[Path]:
    return list(folder.glob("spool.db.damaged-*Z"))


async def found_in(folder: Path, spool: Spool) -> set[int]:
    """Numbers that wait here or were moved aside."""
    found = set(await waiting(spool))
    for aside in moved_aside(folder):
        with contextlib.closing(sqlite3.connect(aside)) as connection, contextlib.suppress(sqlite3.Error):
            for (uid,) in connection.execute("SELECT uid FROM waiting NOT INDEXED ORDER BY number DESC"):
                found.add(int(uid[-12:], 16))
    return found


@in_loop
async def test_a_damaged_row_is_never_sent(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    async with Spool(path, limit=MANY) as spool:
        for n in range(3):
            await spool.put(measurement(n), "ok")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE waiting SET line = substr(line, 1, 50) WHERE uid = ?", [measurement(0).uid])
    async with Spool(path, limit=MANY) as spool:
        assert [one.uid for one in await spool.batch(1, MANY)] == [measurement(1).uid]
        assert spool.count == 2


@in_loop
async def test_what_is_no_spool_or_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE precious (a)")
    with pytest.raises(StoreError, match="no spool"):
        Spool(path, limit=MANY)
    async with Spool(tmp_path / "spool.db", limit=MANY):
        with pytest.raises(StoreError, match="in use"):
            Spool(tmp_path / "spool.db", limit=MANY)
    with contextlib.closing(sqlite3.connect(tmp_path / "spool.db")) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer version"):
        Spool(tmp_path / "spool.db", limit=MANY)


@in_loop
async def test_a_full_disk_makes_put_wait_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "FIRST_WAIT", 0.02)
    async with Spool(tmp_path / "spool.db", limit=MANY) as spool:
        await spool.put(measurement(0), "ok")
        pages = await spool._do(lambda c: c.execute("PRAGMA max_page_count = 1").fetchone()[0])  # no more than it has
        assert pages > 1
        async with asyncio.TaskGroup() as group:
            putting = group.create_task(spool.put(measurement(1, size=100_000), "blocked"))
            while spool.failing is None:
                await asyncio.sleep(0.01)
            assert "full" in spool.failing and not putting.done()
            spool._writer._connection.execute("PRAGMA max_page_count = 100000")
        assert await waiting(spool) == [0, 1] and spool.failing is None


def test_sudden_death_loses_nothing_that_put_returned_for(tmp_path: Path) -> None:
    path, told, fate = tmp_path / "spool.db", tmp_path / "told", random.Random(5)
    for turn in range(10):
        arguments = [sys.executable, "-m", "tests.agent.filling", str(path), str(told), str(1 + turn * 100_000)]
        before = told.read_text().count("\nput ") if told.exists() else 0
        with subprocess.Popen(arguments, cwd=ROOT) as process:
            while not told.exists() or told.read_text().count("\nput ") == before:
                assert process.poll() is None
                time.sleep(0.01)
            time.sleep(fate.uniform(0, 0.3))
            os.kill(process.pid, signal.SIGKILL)
    said: dict[str, set[str]] = {word: set() for word in ("putting", "put", "taking", "taken")}
    for line in told.read_text().splitlines():
        word, uid = line.split()
        said[word].add(uid)
    kept = asyncio.run(_whole(path))
    assert len(said["put"]) > 50 and len(said["taken"]) > 5
    assert said["put"] - said["taking"] <= kept <= said["putting"] - said["taken"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count FROM total").fetchone() == (len(kept),)


async def _whole(path: Path) -> set[str]:
    """The uids of what waits; each is a whole measurement."""
    async with Spool(path, limit=MANY) as spool:
        found = await spool.batch(1_000_000, 1 << 40)
        assert all(measurement_of(one.line).uid == one.uid for one in found)
        return {one.uid for one in found}
