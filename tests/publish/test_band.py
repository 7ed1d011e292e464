"""Bands and periods: gaps stay gaps, what is no evidence is never shown as reached, a change is an interval."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from monitor.judge.detect import Point, detect
from monitor.publish.band import Band, band
from monitor.publish.drawing import by_kind, drawn, interval_words, labels, step_words
from monitor.publish.period import DAY, HOUR, BadPeriod, Period, asked, cut, ticks
from monitor.publish.target import since_words
from monitor.store.daily import Count, Series

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
LETTERS = {"o": "ok", "b": "blocked", "l": "likely_blocked", "i": "impaired", "d": "down", "?": "insufficient"}


def made(hours: str, *, step: int = HOUR, technique: str = "tls.reset.sni") -> Band:
    """A series of one measurement an hour, half past; a space is an hour without any."""
    points = [
        Point(BEGAN + timedelta(hours=n, minutes=30), LETTERS[letter], technique if letter in "bli" else None, f"u{n}")
        for n, letter in enumerate(hours)
        if letter != " "
    ]
    events, state = detect(points, target="t", vantage="v")
    evidence = [point for point in points if point.outcome not in ("down", "insufficient")]
    series = Series(
        vantage="v", state=state, first=points[0].time, last=points[-1].time, every=3600.0,
        began=(evidence[0].time, evidence[0].outcome, evidence[0].technique) if evidence else None,
    )  # fmt: skip
    counted = Counter((int(point.time.timestamp()) // step * step, point.outcome) for point in points)
    counts = [Count("v", start, outcome, number) for (start, outcome), number in sorted(counted.items())]
    period = Period(since=BEGAN, until=BEGAN + timedelta(hours=len(hours)), step=step, piece=364 * DAY)
    return band(series, events, counts, period=period)


def pieces(found: Band) -> list[tuple[float, float, str]]:
    """(from hour, to hour, kind) of each piece."""
    zero = BEGAN.timestamp()
    return [((p.start - zero) / HOUR, (p.end - zero) / HOUR, p.kind) for p in found.pieces]


def test_a_gap_has_no_piece() -> None:
    assert pieces(made("oo   oo")) == [(0.5, 2, "open"), (5, 7, "open")]


@pytest.mark.parametrize(("hours", "kind"), [("o???o", "insufficient"), ("oddd?", "down"), ("b???b", "insufficient")])
def test_what_is_no_evidence_is_shown_as_such(hours: str, kind: str) -> None:
    found = made(hours)
    [[start, end]] = [(start, end) for start, end, shown in pieces(found) if shown == kind][:1]
    assert start == 1 and end == hours.rindex(hours[1]) + 1
    assert all(piece.kind != "open" for piece in found.pieces if set(piece.counts) <= {"down", "insufficient"})


def test_a_series_without_evidence_is_never_open() -> None:
    found = made("??dd??")
    assert {piece.kind for piece in found.pieces} == {"insufficient", "down"}
    assert since_words(found.series, found.events) == "unknown: no measurement was evidence"


def test_a_change_lies_between_two_stretches_and_nothing_is_drawn_there() -> None:
    found = made("oooobbbb")
    [event] = found.events
    assert event.after and (event.after.hour, event.before.hour) == (3, 4)
    assert pieces(found) == [(0.5, 3.5, "open"), (4.5, 8, "blocked")]
    assert since_words(found.series, found.events) == (
        "blocked since a time between 2026-01-01 03:30 and 2026-01-01 04:30"
    )


def test_a_change_over_a_gap_is_as_wide_as_the_gap() -> None:
    found = made("oo    bb")
    [event] = found.events
    assert event.after and event.before - event.after == timedelta(hours=5)
    assert pieces(found) == [(0.5, 1.5, "open"), (6.5, 8, "blocked")]


def test_a_day_in_which_it_changed_is_divided_at_the_change() -> None:
    found = made("o" * 30 + "b" * 30, step=DAY)
    assert pieces(found) == [(0.5, 29.5, "open"), (30.5, 60, "blocked")]
    assert not any(piece.contrary for piece in found.pieces)
    assert found.counts == {"ok": 30, "blocked": 30}


def test_a_short_block_within_a_day_is_seen() -> None:
    assert [kind for _start, _end, kind in pieces(made("o" * 8 + "bbb" + "o" * 13, step=DAY))] == [
        "open", "blocked", "open",
    ]  # fmt: skip


def test_a_contrary_measurement_alone_changes_nothing_and_is_marked() -> None:
    hourly = made("oooboooo")
    assert hourly.events == ()
    assert pieces(hourly) == [(0.5, 3, "open"), (3, 4, "unsettled"), (4, 8, "open")]
    [daily] = made("o" * 10 + "b" + "o" * 13, step=DAY).pieces
    assert (daily.kind, daily.contrary, daily.counts) == ("open", True, {"ok": 23, "blocked": 1})
    [calm] = made("o" * 24, step=DAY).pieces
    assert not calm.contrary


def test_blocked_that_was_never_open_has_no_onset() -> None:
    found = made("llbbbb")
    assert found.events == ()
    assert since_words(found.series, found.events) == "already blocked when first measured on 2026-01-01 00:30"
    opened = made("oooo")
    assert since_words(opened.series, opened.events) == "open when first measured on 2026-01-01 00:30"


def test_the_state_before_the_first_event_is_the_one_that_was_measured() -> None:
    assert pieces(made("bbbooo")) == [(0.5, 2.5, "blocked"), (3.5, 6, "open")]
    assert pieces(made("iiiooo")) == [(0.5, 2.5, "impaired"), (3.5, 6, "open")]
    assert pieces(made("iiibbb")) == [(0.5, 2.5, "impaired"), (3.5, 6, "blocked")]


def test_techniques_are_written_where_there_is_room() -> None:
    found = made("oooo" + "b" * 40)
    wide = Period(since=BEGAN, until=BEGAN + timedelta(hours=44), step=HOUR, piece=DAY)
    narrow = Period(since=BEGAN, until=BEGAN + timedelta(days=400), step=DAY, piece=DAY)
    assert [label for _x, _width, label in labels(found, wide)] == ["tls.reset.sni"]
    assert [label for _x, _width, label in labels(made("oooo"), wide)] == []
    ended = made("bbbb" + "o" * 40)
    assert list(labels(ended, narrow)) == []
    [(x, width, about)] = list(drawn(dict(by_kind(ended))["blocked"], narrow))
    assert float(x) + float(width) <= 100 and float(width) >= 0.3  # still seen
    assert about == "2026-01-01 00:30 to 03:30: 4 blocked; tls.reset.sni"


def ask(now: datetime = BEGAN, first: datetime | None = None, **query: str) -> Period:
    return asked(query, first=first, now=now)


def test_the_default_is_thirty_days_or_all_of_less() -> None:
    assert ask() == Period(since=BEGAN - timedelta(days=30), until=BEGAN)
    assert ask(first=BEGAN - timedelta(days=90)).since == BEGAN - timedelta(days=30)
    assert ask(first=BEGAN - timedelta(days=3)).since == BEGAN - timedelta(days=3)
    assert ask(first=BEGAN - timedelta(seconds=1)).seconds >= 60
    given = ask(since="2025-12-01", until="2025-12-02T08:00:00+08:00")
    assert given == Period(since=datetime(2025, 12, 1, tzinfo=UTC), until=datetime(2025, 12, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    "query",
    [
        {"since": "x"}, {"until": ""}, {"since": "2026-01-02", "until": "2026-01-02"}, {"since": "2026-01-02"},
        {"since": "0001-01-01T00:00:00+23:59"}, {"until": "9999-12-31T23:59:59-23:59"}, {"since": "1989-12-31"},
        {"since": "1990-01-01", "until": "2199-01-01"}, {"since": "<script>"}, {"since": "2026-W01-1" * 40},
    ],
)  # fmt: skip
def test_a_period_that_cannot_be_shown_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadPeriod):
        asked(query, first=None, now=BEGAN)


@pytest.mark.parametrize(
    ("days", "every", "vantages", "rows", "step"),
    [
        (7, HOUR, 5, 840, 2 * HOUR), (7, 900, 5, 3360, HOUR), (13.9, HOUR, 5, 1700, 2 * HOUR), (30, HOUR, 5, 0, DAY),
        (365, HOUR, 5, 0, DAY), (365, HOUR, 40, 0, 7 * DAY), (7, 1, 5, 10**7, DAY), (30, 2 * DAY, 1, 0, 7 * DAY),
        (0.02, 10, 3, 500, 15), (14600, HOUR, 40, 0, 364 * DAY),
    ],
)  # fmt: skip
def test_steps_fit_the_period_and_what_is_measured(
    days: float, every: float, vantages: int, rows: int, step: int
) -> None:
    period = Period(since=BEGAN - timedelta(days=days), until=BEGAN)
    found = cut(period, every=every, vantages=vantages, rows=rows, now=BEGAN)
    assert found.step == step and found.piece % found.step == 0
    assert found.since <= period.since and found.until >= period.until
    assert step < DAY or found.since.hour == found.since.minute == 0


def test_whole_days_are_counted_but_nothing_of_the_future() -> None:
    now = BEGAN + timedelta(hours=30)
    since, until = BEGAN - timedelta(days=30, hours=-5), BEGAN - timedelta(hours=7)
    past = cut(Period(since=since, until=until), every=HOUR, vantages=1, rows=0, now=now)
    assert (past.since, past.until) == (BEGAN - timedelta(days=30), BEGAN)
    assert cut(Period(since=since, until=now), every=HOUR, vantages=1, rows=0, now=now).until == now


@pytest.mark.parametrize(
    "seconds", [60, 90, 600, 5000, DAY, 3 * DAY, 7 * DAY, 30 * DAY, 100 * DAY, 365 * DAY, 14600 * DAY]
)
def test_an_axis_has_a_few_marks_in_order(seconds: int) -> None:
    found = ticks(Period(since=BEGAN + timedelta(seconds=37), until=BEGAN + timedelta(seconds=37 + seconds)))
    places = [tick.at for tick in found]
    assert 1 <= len(found) <= 9 and places == sorted(places) and all(0 <= at <= 100 for at in places)
    assert len({tick.label for tick in found}) == len(found) or seconds in (3 * DAY, 14600 * DAY)


def test_words() -> None:
    zero = BEGAN.timestamp()
    assert interval_words(zero, zero + DAY) == "2026-01-01"
    assert interval_words(zero, zero + 3 * DAY) == "2026-01-01 to 2026-01-03"
    assert interval_words(zero, zero + 2 * HOUR) == "2026-01-01 00:00 to 02:00"
    assert interval_words(zero + 23 * HOUR, zero + 25 * HOUR) == "2026-01-01 23:00 to 2026-01-02 01:00"
    assert [step_words(n) for n in (1, 15, 60, 2 * HOUR, DAY, 7 * DAY)] == [
        "1 second", "15 seconds", "1 minute", "2 hours", "1 day", "7 days",
    ]  # fmt: skip


def test_neighbours_never_look_as_if_there_were_a_gap() -> None:
    period = Period(since=BEGAN, until=BEGAN + timedelta(hours=333), step=HOUR, piece=HOUR)
    found = made("o" * 333)
    pieces_of_an_hour = band(
        found.series, (), [Count("v", int(BEGAN.timestamp()) + n * HOUR, "ok", 1) for n in range(333)], period=period
    ).pieces
    assert len(pieces_of_an_hour) == 333
    places = [(float(x), float(x) + float(width)) for x, width, _about in drawn(pieces_of_an_hour, period)]
    assert all(end > start for (_x, end), (start, _end) in pairwise(places))
