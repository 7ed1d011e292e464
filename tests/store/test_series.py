"""States and events follow from the stored measurements, in whatever order these arrive or are judged again."""

import asyncio
import itertools
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.judge.detect import Event, Point, State, detect
from monitor.judge.verdict import OUTCOMES, Verdict
from monitor.store import Selection, Store, measurements, schema, series
from tests.store.sample import BLOCKED, DOWN, OK, TARGET, measurement

IMPAIRED = Verdict(outcome="impaired", technique="dns.injection.other", rules_version=1)
INJECTED = Verdict(outcome="blocked", technique="dns.injection.other", rules_version=1)
UNKNOWN = Verdict(outcome="insufficient", cause="ambiguous", rules_version=1)
VERDICTS = (OK, BLOCKED, DOWN, UNKNOWN, IMPAIRED, INJECTED)
LETTERS = {".": OK, "X": BLOCKED, "d": DOWN, "?": UNKNOWN, "i": IMPAIRED, "D": INJECTED}
Arrival = tuple[int, int, Verdict]  # number (the uid), minute, verdict


@pytest.fixture(name="database")
def _database() -> Iterator[sqlite3.Connection]:
    with closing(empty()) as connection:
        yield connection


def empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection, file="memory", simulated=False)
    return connection


def put(database: sqlite3.Connection, arrival: Arrival, *, defer: bool = False) -> list[Event]:
    number, minute, verdict = arrival
    return measurements.save(database, measurement(number, minutes=minute), verdict, defer=defer)


def expected(arrivals: list[Arrival]) -> tuple[list[Event], State]:
    made = [(measurement(number, minutes=minute), verdict) for number, minute, verdict in arrivals]
    points = [Point(m.time, verdict.outcome, verdict.technique, m.uid) for m, verdict in made]
    return detect(sorted(points, key=lambda p: (p.time, p.uid)), target=TARGET, vantage="home")


def kept(database: sqlite3.Connection) -> tuple[list[Event], State | None]:
    return series.events(database, Selection(), limit=-1), series.state_of(database, TARGET, "home")


def rebuilt(database: sqlite3.Connection) -> list[Event]:
    found = [event for key in series.stale(database) for event in series.rebuild(database, *key)]
    assert series.stale(database) == []
    return found


def arrivals_of(letters: str) -> list[Arrival]:
    return [(n, n, LETTERS[letter]) for n, letter in enumerate(letters)]


MINUTES = st.integers(0, 12)  # few, so that some measurements are of one time
ARRIVALS = st.lists(st.tuples(MINUTES, st.sampled_from(VERDICTS), st.booleans()), min_size=1, max_size=20)


@settings(max_examples=300, deadline=None)
@given(ARRIVALS)
def test_any_order_of_arrival_leaves_what_the_sorted_measurements_say(drawn: list[tuple[int, Verdict, bool]]) -> None:
    arrivals = [(number, minute, verdict) for number, (minute, verdict, _defer) in enumerate(drawn)]
    with closing(empty()) as database:
        for number, (arrival, (_minute, _verdict, defer)) in enumerate(zip(arrivals, drawn, strict=True)):
            put(database, arrival, defer=defer)
            if not series.stale(database):
                assert kept(database) == expected(arrivals[: number + 1])
        rebuilt(database)
        assert kept(database) == expected(arrivals)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(VERDICTS), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_events_that_are_told_are_as_many_as_there_are(verdicts: list[Verdict], chance: random.Random) -> None:
    """Where nothing is undone: each event is told once, in whatever order its measurements arrive."""
    arrivals = [(n, n, verdict) for n, verdict in enumerate(verdicts)]
    with closing(empty()) as database:
        told: list[Event] = []
        undone = 0
        for arrival in chance.sample(arrivals, len(arrivals)):
            before = kept(database)[0]
            new = put(database, arrival)
            told += new
            undone += len(before) + len(new) - len(kept(database)[0])
        assert len(told) == len(kept(database)[0]) + undone
        assert kept(database) == expected(arrivals)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(VERDICTS), st.sampled_from(OUTCOMES)), min_size=1, max_size=12))
def test_other_rules_leave_what_the_newest_verdicts_say(drawn: list[tuple[Verdict, str]]) -> None:
    with closing(empty()) as database:
        for number, (verdict, _newer) in enumerate(drawn):
            put(database, (number, number, verdict))
        newer = [
            Verdict(outcome=o, technique="tls.eof" if o in ("blocked", "likely_blocked") else None, rules_version=2)
            for _verdict, o in drawn
        ]
        for number, verdict in enumerate(newer):
            measurements.judge_again(database, f"m{number:06}", verdict)
        rebuilt(database)
        assert kept(database) == expected([(n, n, verdict) for n, verdict in enumerate(newer)])


def test_a_late_measurement_moves_the_interval_and_is_no_new_event(database: sqlite3.Connection) -> None:
    arrivals = [(0, 0, OK), (1, 60, BLOCKED), (2, 90, BLOCKED)]
    assert [len(put(database, arrival)) for arrival in arrivals] == [0, 0, 1]
    assert put(database, (3, 30, OK)) == []
    [event] = kept(database)[0]
    assert event.after == measurement(3, minutes=30).time
    assert event.before == measurement(1, minutes=60).time
    assert put(database, (4, 45, BLOCKED)) == []
    [event] = kept(database)[0]
    assert (event.before, event.detected_at) == (measurement(4, minutes=45).time, measurement(1, minutes=60).time)
    before = database.execute("SELECT id FROM event").fetchall()
    assert put(database, (5, 10, OK)) == put(database, (6, 20, DOWN)) == []
    assert database.execute("SELECT id FROM event").fetchall() == before  # an event that stays as it was keeps its row


def test_late_measurements_make_and_undo_events(database: sqlite3.Connection) -> None:
    for arrival in [(0, 0, OK), (1, 100, BLOCKED), (2, 110, BLOCKED)]:
        put(database, arrival)
    assert put(database, (3, 40, BLOCKED)) == put(database, (4, 50, OK)) == []
    assert put(database, (5, 41, BLOCKED)) == []  # of one onset we know that it was earlier
    new = put(database, (6, 51, OK))  # and now that it was two, with an end between
    assert [event.kind for event in new] == ["unblocked", "blocked"]
    assert [event.kind for event in kept(database)[0]] == ["blocked", "unblocked", "blocked"]
    assert put(database, (7, 105, OK)) == []
    assert [event.kind for event in kept(database)[0]] == ["blocked", "unblocked"]
    state = series.state_of(database, TARGET, "home")
    assert state is not None and state.state == "open" and [p.uid for p in state.pending] == ["m000002"]


def test_without_evidence_nothing_is_late(database: sqlite3.Connection) -> None:
    for arrival in [(0, 50, OK), (1, 10, DOWN), (2, 20, UNKNOWN)]:
        put(database, arrival, defer=True)
    assert series.stale(database) == []


def test_deferred_work_waits_and_the_next_save_does_it(database: sqlite3.Connection) -> None:
    for arrival in [(0, 0, OK), (1, 60, BLOCKED)]:
        put(database, arrival)
    assert put(database, (2, 50, BLOCKED), defer=True) == []
    assert put(database, (3, 70, BLOCKED), defer=True) == []  # a stale series is not continued from a wrong state
    assert series.stale(database) == [(TARGET, "home")] and kept(database)[0] == []
    [event] = put(database, (4, 80, BLOCKED))
    assert event.before == measurement(2, minutes=50).time and series.stale(database) == []


def test_a_known_uid_is_never_late(database: sqlite3.Connection) -> None:
    for arrival in arrivals_of("..XX"):
        put(database, arrival)
    for arrival in arrivals_of("XX.."):
        assert put(database, arrival, defer=True) == []
    assert series.stale(database) == [] and kept(database) == expected(arrivals_of("..XX"))


def test_a_verdict_that_changes_nothing_leaves_the_series(database: sqlite3.Connection) -> None:
    for arrival in arrivals_of(".XX"):
        put(database, arrival)
    older = Verdict(outcome="ok", rules_version=0)
    same = Verdict(outcome="blocked", technique=BLOCKED.technique, score=0.5, rules_version=2)
    for verdict in (older, same):
        measurements.judge_again(database, "m000001", verdict)
    assert series.stale(database) == []
    measurements.judge_again(database, "m000001", Verdict(outcome="ok", rules_version=2))
    assert series.stale(database) == [(TARGET, "home")]
    assert rebuilt(database) == [] and kept(database)[0] == []


def test_the_store_rebuilds_and_a_process_that_died_is_made_up_for(tmp_path: Path) -> None:
    arrivals = [*arrivals_of("..XX..XX"), (20, -1, BLOCKED), (21, -2, BLOCKED)]

    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            for number, minute, verdict in arrivals:
                await store.save(measurement(number, minutes=minute), verdict, defer=True)
            assert len(await store.events()) == 3
        async with Store.open(tmp_path / "a.db") as store:
            [new] = await store.rebuild()
            assert (new.kind, new.before) == ("unblocked", measurement(0).time)
            assert (await store.events(), await store.series_state(TARGET, "home")) == expected(arrivals)
            assert await store.rebuild() == []
            points = [point for _target, _vantage, point in store.iter_points()]
            assert detect(points, target=TARGET, vantage="home") == expected(arrivals)
            await store.add_verdict("m000000", Verdict(outcome="down", rules_version=9))
            await store.add_verdict("m000001", Verdict(outcome="down", rules_version=9))
            await store.rebuild()
            assert [e.kind for e in await store.events()] == ["unblocked", "blocked"]

    asyncio.run(main())


def test_points_come_series_by_series_in_order(tmp_path: Path) -> None:
    async def main() -> None:
        async with Store.open(tmp_path / "a.db") as store:
            keys = list(itertools.product(("https://b.example/", "https://a.example/", "phrase:六四"), ("y", "x")))
            for number in (3, 1, 2):
                for place, (target, vantage) in enumerate(keys):
                    one = measurement(number * 10 + place, target=target, vantage=vantage, minutes=number // 2)
                    await store.save(one, OK)
            found = [(target, vantage, point.time, point.uid or "") for target, vantage, point in store.iter_points()]
            assert found == sorted(found) and len(found) == 18
            assert {key[:2] for key in found} == set(keys)
            chosen = Selection(target="phrase:六四", vantage="x", until=measurement(0, minutes=1).time)
            assert [point.uid for _t, _v, point in store.iter_points(chosen)] == ["m000015"]

    asyncio.run(main())


def test_a_database_of_before_is_computed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:3])
        asyncio.run(Store.open(path).close())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO series (target, vantage, state) VALUES ('t', 'v', '{\"state\":\"open\"}')")

    async def main() -> None:
        async with Store.open(path) as store:
            assert await store.rebuild() == []
            assert await store.series_states() == {("t", "v"): State()}

    asyncio.run(main())


def test_a_store_says_whether_it_is_simulated(tmp_path: Path) -> None:
    for name, simulated in (("a.db", False), ("b.db", True)):
        asyncio.run(Store.open(tmp_path / name, simulated=simulated).close())
        store = Store.open_any(tmp_path / name)
        assert store.simulated is simulated
        asyncio.run(store.close())
