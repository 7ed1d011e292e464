"""Databases that are made, brought up to date, or refused with one line."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.store import Store, StoreError, schema
from tests.store.sample import OK, measurement

ROOT = Path(__file__).parents[2]


def opened_and_closed(path: Path, *, simulated: bool = False, read_only: bool = False) -> None:
    asyncio.run(Store.open(path, simulated=simulated, read_only=read_only).close())


def refusal(path: Path, *, simulated: bool = False, read_only: bool = False) -> str:
    with pytest.raises(StoreError) as refused:
        Store.open(path, simulated=simulated, read_only=read_only)
    line = str(refused.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


def changed(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sql)


def test_migrations_run_once(tmp_path: Path) -> None:
    path = tmp_path / "a b?.db"
    opened_and_closed(path)
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute("SELECT name, applied FROM migration").fetchall()
    opened_and_closed(path)
    opened_and_closed(path, read_only=True)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name, applied FROM migration").fetchall() == before
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert [name for name, _applied in before] == [name for name, _step in schema.MIGRATIONS]
    assert tables == {
        "migration", "meta", "measurement", "verdict", "daily", "body", "certificate", "series", "event",
        "residual", "round", "agent_token", "agent", "control_reply", "egress",
    }  # fmt: skip


def test_a_failed_migration_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.db"

    def broken(_db: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("9999_broken", broken)))
    assert "disk I/O error" in refusal(path)
    monkeypatch.undo()
    assert "empty" in refusal(path, read_only=True)
    opened_and_closed(path)


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    opened_and_closed(path)
    changed(path, "INSERT INTO migration VALUES ('0099_from_the_future', '')")
    for read_only in (False, True):
        assert "newer version" in refusal(path, read_only=read_only)


def test_an_older_database_cannot_be_read_but_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.db"
    opened_and_closed(path)
    done: list[object] = []
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("0099_more", done.append)))
    assert "older version" in refusal(path, read_only=True)
    opened_and_closed(path)
    opened_and_closed(path)
    opened_and_closed(path, read_only=True)
    assert len(done) == 1


def test_simulated_and_real_are_never_mixed(tmp_path: Path) -> None:
    real, simulated = tmp_path / "real.db", tmp_path / "simulated.db"
    opened_and_closed(real)
    opened_and_closed(simulated, simulated=True)
    for read_only in (False, True):
        assert "holds real" in refusal(real, simulated=True, read_only=read_only)
        assert "holds simulated" in refusal(simulated, read_only=read_only)

    async def main() -> None:
        async with Store.open(real) as store:
            with pytest.raises(StoreError, match="simulated measurement among real"):
                await store.save(measurement(1, simulated=True), OK)
            assert await store.counts() == {}
        async with Store.open(simulated, simulated=True) as store:
            await store.save(measurement(1, simulated=True), OK)
            assert await store.counts() == {"ok": 1}

    asyncio.run(main())


def test_places_where_there_can_be_no_database(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("no database\n" * 1000)
    changed(tmp_path / "other.db", "CREATE TABLE thing (a)")
    assert "there is no folder" in refusal(tmp_path / "missing" / "a.db")
    assert "there is no folder" in refusal(tmp_path / "file" / "a.db")
    assert "unable to open" in refusal(tmp_path / "folder")
    assert "not a database" in refusal(tmp_path / "text.db")
    assert "another program" in refusal(tmp_path / "other.db")
    assert "there is no database" in refusal(tmp_path / "none.db", read_only=True)
    assert not (tmp_path / "none.db").exists()
    assert "cannot be written" in refusal(Path("/proc/a.db"))


def test_one_service_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    code = "import sys, pathlib; from monitor.store import Store; Store.open(pathlib.Path(sys.argv[1]))"

    async def main() -> None:
        async with Store.open(path) as store:
            assert "in use" in refusal(path)
            other = await asyncio.create_subprocess_exec(
                sys.executable, "-c", code, str(path), stderr=asyncio.subprocess.PIPE, cwd=ROOT
            )
            _out, errors = await other.communicate()
            assert other.returncode == 1 and b"in use by another process" in errors
            await store.save(measurement(1), OK)
            async with Store.open(path, read_only=True) as reading:
                assert await reading.counts() == {"ok": 1}

    asyncio.run(main())
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=ROOT)


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    opened_and_closed(tmp_path / "a.db")

    async def main() -> None:
        async with Store.open(tmp_path / "a.db", read_only=True) as store:
            with pytest.raises(StoreError, match="reading only"):
                await store.save(measurement(1), OK)
            assert (store.failing, store.queue_depth, store.write_seconds) == (None, 0, 0.0)

    asyncio.run(main())


def test_a_measure_beside_the_service_may_note_residual_blocking(tmp_path: Path) -> None:
    async def play() -> dict[tuple[str, int], object]:
        path, now = tmp_path / "a.db", datetime.now(UTC)
        async with Store.open(path) as service:
            async with Store.open(path, shared=True) as beside:
                await beside.set_residual("wg0", "203.0.113.5", 443, now + timedelta(seconds=60), "uid")
            return dict(await service.residuals("wg0", now))

    assert set(asyncio.run(play())) == {("203.0.113.5", 443)}
