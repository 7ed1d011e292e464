"""How long a target's page takes with a year of hourly measurements of 200 targets at 5 vantages stored."""

import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import msgspec
from aiohttp import web

from blocklists import target_of
from monitor.judge.detect import Event, Point, State, detect
from monitor.publish import server
from monitor.publish.metrics import Metrics
from monitor.store import Store
from probes.measurement import VantageFacts

from .row import Row

NAME = "page"
TARGETS, VANTAGES, HOURS, ASKED = 200, 5, 365 * 24, 50
_KINDS = 50  # of targets: all of a kind have the same year
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
NOW = BEGAN + timedelta(hours=HOURS)
_PROMISE = "≤ 300 ms"
_OUTCOMES = {"ok": None, "blocked": "tls.reset.sni", "insufficient": None, "down": None}


def run() -> list[Row]:
    """Median and 95th percentile over 50 targets' pages, each asked for once, one after the other."""
    with tempfile.TemporaryDirectory(prefix="wallwatch-bench-") as folder:
        path = Path(folder) / "bench.db"
        asyncio.run(_make(path))
        size = path.stat().st_size / 1e9
        print(
            f"page: {TARGETS * VANTAGES * HOURS:,} measurements put into the tables by SQL with records of one byte,"
            f" {size:.1f} GB: the page does not read the records",
            file=sys.stderr,
        )
        return asyncio.run(_asked(path))


def name_of(number: int) -> str:
    """The targets' names."""
    return f"https://t{number:03}.example/"


def outcome_at(target: int, vantage: int, hour: int) -> str | None:
    """A year with everything in it: a block of 60 days, a gap, days that cannot tell, and a contrary hour a week."""
    day = hour // 24
    if vantage == 1 and 180 <= day < 190:
        return None
    if vantage == 2 and 200 <= day < 204:
        return "insufficient"
    if vantage == 3 and 250 <= day < 252:
        return "down"
    blocked = target % 2 == 0 and vantage < 3 and 40 + target % _KINDS <= day < 100 + target % _KINDS
    return "blocked" if blocked != (hour % 168 == 7 * vantage) else "ok"


async def _make(path: Path) -> None:
    """The tables as the program makes them, filled in the order of time: a target's rows lie all over the file."""
    async with Store.open(path, simulated=True):
        pass
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000; BEGIN;")
    connection.execute("CREATE TEMP TABLE plan (hour, kind, vantage, outcome, technique)")
    connection.executemany("INSERT INTO plan VALUES (?, ?, ?, ?, ?)", _plan())
    connection.execute("CREATE TEMP TABLE target (number, kind)")
    connection.executemany("INSERT INTO target VALUES (?, ?)", ((n, n % _KINDS) for n in range(TARGETS)))
    _measurements(connection)
    for kind in range(_KINDS):
        for vantage in range(VANTAGES):
            _series(connection, kind, vantage)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()


def _plan() -> Iterator[tuple[int, int, int, str, str | None]]:
    """What each of the different series shows in each hour."""
    for hour in range(HOURS):
        for kind in range(_KINDS):
            for vantage in range(VANTAGES):
                outcome = outcome_at(kind, vantage, hour)
                if outcome is not None:
                    yield hour, kind, vantage, outcome, _OUTCOMES[outcome]


def _measurements(connection: sqlite3.Connection) -> None:
    """Rows of measurements and verdicts; the indexes are made afterwards, which is faster and gives the same."""
    indexes = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'measurement' AND sql IS NOT NULL"
    ).fetchall()
    for name, _sql in indexes:
        connection.execute(f"DROP INDEX {name}")
    rows = "FROM plan p JOIN temp.target t ON t.kind = p.kind ORDER BY p.rowid"
    uid = "printf('%05d-%03d-%d', p.hour, t.number, p.vantage)"
    connection.execute(
        "INSERT INTO measurement (uid, time, target, vantage, site, category, country, asn, duration_s, recorded,"
        f" facts) SELECT {uid}, ? + p.hour * 3600 + 7, printf('https://t%03d.example/', t.number),"
        f" 'v' || p.vantage, '', 'NEWS', 'CN', 0, 1, '', x'00' {rows}",
        [BEGAN.timestamp()],
    )
    connection.execute(
        "INSERT INTO verdict (uid, rules_version, outcome, technique, techniques, cause, score, rules, reason)"
        f" SELECT {uid}, 1, p.outcome, p.technique, '[]', NULL, 0.5, '[]', '' {rows}"
    )
    for _name, sql in indexes:
        connection.execute(sql)


def _series(connection: sqlite3.Connection, kind: int, vantage: int) -> None:
    """Daily counts, events and state of all targets of a kind, as Store would have made them."""
    found = [(BEGAN + timedelta(hours=hour, seconds=7), outcome_at(kind, vantage, hour)) for hour in range(HOURS)]
    made = [(when, outcome) for when, outcome in found if outcome]
    days = Counter((when.date().isoformat(), outcome) for when, outcome in made)
    points = [Point(when, outcome, _OUTCOMES[outcome], f"{number}") for number, (when, outcome) in enumerate(made)]
    events, state = detect(points, target="", vantage="")
    for number in range(kind, TARGETS, _KINDS):
        name, place = name_of(number), f"v{vantage}"
        connection.executemany(
            "INSERT INTO daily (target, vantage, day, outcome, measurements) VALUES (?, ?, ?, ?, ?)",
            ((name, place, day, outcome, count) for (day, outcome), count in days.items()),
        )
        _state(connection, name, place, events, state)


def _state(connection: sqlite3.Connection, target: str, vantage: str, events: list[Event], state: State) -> None:
    connection.execute(
        "INSERT INTO series (target, vantage, state) VALUES (?, ?, ?)",
        [target, vantage, msgspec.json.encode(state).decode()],
    )
    connection.executemany(
        'INSERT INTO event (target, vantage, kind, "after", "before", detected_at, technique, confidence,'
        " measurements, witness) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (target, vantage, event.kind, event.after and event.after.timestamp(), event.before.timestamp(),
             event.detected_at.timestamp(), event.technique, event.confidence, event.measurements,
             msgspec.json.encode(event.witness).decode())
            for event in events
        ),
    )  # fmt: skip


def _periods() -> Iterator[tuple[str, dict[str, str]]]:
    yield "the default, 30 days", {}
    yield "7 days, hour by hour", {"since": (NOW - timedelta(days=7)).date().isoformat()}
    yield "a year", {"since": (NOW - timedelta(days=365)).date().isoformat()}
    yield "all", {"since": BEGAN.isoformat()}


async def _asked(path: Path) -> list[Row]:
    targets = [target_of(name_of(number)) for number in range(TARGETS)]
    async with Store.open(path, simulated=True) as store, aiohttp.ClientSession() as client:
        application = server.app(
            store, Metrics(simulated=True), targets=targets, simulated=True, ready=lambda: None, now=lambda: NOW,
            vantages=[VantageFacts(name=f"v{number}", simulated=True) for number in range(VANTAGES)],
        )  # fmt: skip
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            return [row for name, query in _periods() for row in await _timed(client, url, name, query)]
        finally:
            await runner.cleanup()


async def _timed(client: aiohttp.ClientSession, url: str, name: str, query: dict[str, str]) -> list[Row]:
    taken, largest = [], 0
    for number in range(ASKED):
        path = "/targets?" + urlencode({"target": name_of(number * TARGETS // ASKED), **query})
        began = time.monotonic()
        async with client.get(url + path) as response:
            body = await response.read()
        taken.append((time.monotonic() - began) * 1000)
        if response.status != 200 or body.count(b'class="band"') != VANTAGES:
            raise RuntimeError(f"{path}: {response.status}")
        largest = max(largest, len(body))
    what = f"target page of {VANTAGES} vantages, {name}"
    p95 = statistics.quantiles(taken, n=20)[-1]
    return [
        Row(NAME, f"{what}: p95 of {ASKED}", p95, "ms", _PROMISE),
        Row(NAME, "median", statistics.median(taken), "ms"),
        Row(NAME, "its largest page", largest / 1000, "KB"),
    ]
