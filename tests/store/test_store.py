"""What is saved, and what is read of it."""

import asyncio
import itertools
import random
import sqlite3
from collections import Counter
from datetime import UTC, timedelta
from pathlib import Path

import msgspec
import pytest

from monitor.judge.detect import Point, detect
from monitor.judge.verdict import Verdict
from monitor.store import RecordError, Selection, Store, StoreError
from tests.store.sample import (
    BEGAN,
    BLOCKED,
    BODY,
    CERTIFICATES,
    DOWN,
    OK,
    TARGET,
    measurement,
    sha256,
    whole,
)

OTHER = "phrase:六四"


def recounted(connection: sqlite3.Connection) -> dict[tuple[str, str, str, str], int]:
    """The daily counts as they follow from the measurements and the newest rules."""
    return Counter(
        connection.execute(
            "SELECT m.target, m.vantage, date(m.time, 'unixepoch'),"
            " (SELECT outcome FROM verdict WHERE uid = m.uid ORDER BY rules_version DESC LIMIT 1)"
            " FROM measurement m"
        )
    )


def daily(connection: sqlite3.Connection) -> dict[tuple[str, ...], int]:
    return {tuple(key): count for *key, count in connection.execute("SELECT * FROM daily")}


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            assert await store.save(whole(), BLOCKED) == []
            assert await store.measurement("whole") == (whole(), BLOCKED)
            assert await store.measurement("other") is None
            (row,) = await store.newest()
            assert (row.uid, row.time, row.target, row.vantage) == ("whole", BEGAN, TARGET, "home")
            assert (row.site, row.category, row.country, row.asn) == ("example.com", "NEWS", "CN", 4134)
            assert (row.outcome, row.technique, row.cause, row.score) == (
                "blocked",
                "tls.reset.sni",
                None,
                0.99,
            )
            assert (row.duration, row.reason) == (0.7, BLOCKED.reason)
            assert (row.rules, row.rules_version) == (BLOCKED.rules, 1)
            assert row.time.tzinfo is UTC
            assert list(store.iter_measurements()) == [(whole(), BLOCKED)]
            assert list(store.iter_rows()) == [row]

    asyncio.run(main())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.db", "a.db.lock"]


def test_a_second_save_changes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            await store.save(measurement(1), OK)
            first, second = [measurement(n) for n in (2, 3)]
            assert await store.save(first, BLOCKED) == []
            assert await store.save(first, BLOCKED) == []
            assert len(await store.save(second, BLOCKED)) == 1
            assert await store.save(second, OK) == []
            assert await store.counts() == {"ok": 1, "blocked": 2}
            assert len(await store.events()) == 1

    asyncio.run(main())


def test_bodies_and_certificates_are_kept_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            for number in range(5):
                await store.save(whole(f"whole{number}"), OK)
            without = msgspec.structs.replace(whole("without"), bodies={}, certificates={})
            await store.save(without, OK)
            stray = msgspec.structs.replace(measurement(1), bodies={sha256(b"stray"): b"stray"})
            await store.save(stray, OK)
            kept = await store.call(lambda db: [*db.execute("SELECT sha256 FROM body")])
            certificates = await store.call(lambda db: {*db.execute("SELECT sha256, der FROM certificate")})
            assert kept == [(sha256(BODY),)]
            assert certificates == {(sha256(der), der) for der in CERTIFICATES}
            assert await store.measurement("whole3") == (whole("whole3"), OK)
            assert await store.measurement("without") == (without, OK)  # judged as it was, without the body

    asyncio.run(main())


def test_content_that_contradicts_its_hash_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            forged = msgspec.structs.replace(whole("forged"), bodies={sha256(BODY): b"something else"})
            with pytest.raises(RecordError, match="SHA-256"):
                await store.save(forged, BLOCKED)
            assert await store.counts() == {} and await store.series_states() == {}
            await store.save(whole(), BLOCKED)
            assert await store.measurement("whole") == (whole(), BLOCKED)

    asyncio.run(main())


def test_events_are_those_of_the_judge(tmp_path: Path) -> None:
    fate = random.Random(4)
    verdicts = [fate.choice((OK, BLOCKED, DOWN)) for _ in range(200)]
    points = [
        Point(measurement(n).time, verdict.outcome, verdict.technique, measurement(n).uid)
        for n, verdict in enumerate(verdicts)
    ]
    expected, state = detect(points, target=TARGET, vantage="home")
    assert len(expected) > 5

    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            saved = [await store.save(measurement(n), verdict) for n, verdict in enumerate(verdicts)]
            assert list(itertools.chain(*saved)) == expected
            assert await store.events() == expected
            assert await store.series_states() == {(TARGET, "home"): state}
            assert await store.events(limit=2) == expected[-2:]
            assert await store.events(target=TARGET, vantage="home", since=expected[3].detected_at) == expected[3:]
            assert await store.events(until=expected[3].detected_at) == expected[:3]
            assert await store.events(target=OTHER) == await store.events(vantage="away") == []
        async with Store.open(tmp_path / "a.db") as store:
            assert await store.events() == expected

    asyncio.run(main())


def test_other_rules_may_conclude_otherwise(tmp_path: Path) -> None:
    older, newer = (Verdict(outcome=o, rules_version=v) for o, v in (("impaired", 0), ("down", 2)))

    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            for number in (1, 2):
                await store.save(measurement(number), BLOCKED)
            await store.add_verdict("m000001", older)
            assert await store.counts() == {"blocked": 2}
            await store.add_verdict("m000001", newer)
            await store.add_verdict("m000001", newer)
            assert await store.counts() == {"blocked": 1, "down": 1}
            assert await store.was_blocked(TARGET, "home", 10)
            assert not await store.was_blocked(TARGET, "elsewhere", 10)
            assert await store.measurement("m000001") == (measurement(1), newer)
            await store.add_verdict("m000002", newer)
            assert await store.call(daily) == await store.call(recounted)
            assert await store.counts() == {"down": 2}
            assert await store.recent_outcomes(TARGET, "home", 5) == ["down", "down"]
            assert not await store.was_blocked(TARGET, "home", 10)
            with pytest.raises(StoreError, match="no measurement m000009"):
                await store.add_verdict("m000009", newer)

    asyncio.run(main())


def test_the_daily_counts_equal_a_recount(tmp_path: Path) -> None:
    fate = random.Random(7)
    measurements = [
        measurement(number, target=fate.choice((TARGET, OTHER)), vantage=fate.choice("ab"), minutes=number * 17)
        for number in range(400)
    ]

    def outcomes(connection: sqlite3.Connection) -> list[tuple[str, int]]:
        return connection.execute("SELECT outcome, count(*) FROM verdict GROUP BY outcome").fetchall()

    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            await asyncio.gather(*(store.save(one, fate.choice((OK, BLOCKED, DOWN))) for one in measurements))
            counted = await store.call(daily)
            assert counted == await store.call(recounted)
            assert sum(counted.values()) == 400 and len({key[2] for key in counted}) == 6
            assert await store.counts() == dict(await store.call(outcomes))

    asyncio.run(main())


def test_lists_of_measurements(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            for number, (target, vantage) in enumerate(
                itertools.product(
                    (TARGET, OTHER),
                    "ab",
                )
            ):
                await store.save(measurement(number, target=target, vantage=vantage), DOWN)
                await store.save(measurement(number + 10, target=target, vantage=vantage), OK)
            newest = {(row.target, row.vantage): (row.uid, row.outcome) for row in await store.newest()}
            assert newest == {
                (TARGET, "a"): ("m000010", "ok"), (TARGET, "b"): ("m000011", "ok"),
                (OTHER, "a"): ("m000012", "ok"), (OTHER, "b"): ("m000013", "ok"),
            }  # fmt: skip
            assert [row.uid for row in await store.recent(OTHER, "b", 5)] == ["m000013", "m000003"]
            assert await store.recent_outcomes(OTHER, "b", 5) == ["ok", "down"]
            assert await store.recent_outcomes(OTHER, "b", 1) == ["ok"]
            assert await store.measured_since("a", measurement(12).time) == {OTHER}
            assert await store.measured_since("b", measurement(11).time) == {TARGET, OTHER}
            since, until = measurement(2).time, measurement(12).time
            chosen = Selection(vantage="a", since=since, until=until)
            assert [row.uid for row in store.iter_rows(chosen)] == ["m000002", "m000010"]
            assert [one.uid for one, _verdict in store.iter_measurements(chosen)] == ["m000002", "m000010"]
            assert len(list(store.iter_rows(Selection(target=OTHER)))) == 4

    asyncio.run(main())


def test_residual_blocking_ends(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            end, later = BEGAN + timedelta(seconds=90), BEGAN + timedelta(seconds=120)
            await store.set_residual("wg0", "192.0.2.1", 443, end, "m1")
            await store.set_residual("wg0", "2001:db8::1", 80, later, "m2")
            await store.set_residual("wg0", "2001:db8::1", 80, end, "m3")
            await store.set_residual("eth0", "192.0.2.1", 443, later, "m4")
            both = {("192.0.2.1", 443): (end, "m1"), ("2001:db8::1", 80): (later, "m2")}
            assert await store.residuals("wg0", BEGAN) == both
            assert await store.residuals("wg0", end) == {("2001:db8::1", 80): (later, "m2")}
            assert await store.residuals("wg0", later) == {}
            await store.set_residual("eth0", "192.0.2.9", 443, later + timedelta(days=2), "m5")
            assert await store.call(lambda db: db.execute("SELECT count(*) FROM residual").fetchone()) == (1,)

    asyncio.run(main())


def test_rounds_survive_a_restart(tmp_path: Path) -> None:
    later = BEGAN + timedelta(hours=1)

    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            assert await store.last_round("home", "release.csv") is None
            await store.start_round("home", "release.csv", BEGAN)
            await store.finish_round("home", "release.csv", BEGAN, later)
            await store.start_round("home", "release.csv", BEGAN)
            assert await store.last_round("home", "release.csv") == (BEGAN, later)
            await store.start_round("home", "release.csv", later)
        async with Store.open(tmp_path / "a.db") as store:
            assert await store.last_round("home", "release.csv") == (later, None)
            assert await store.last_round("home", "other.csv") is None

    asyncio.run(main())
