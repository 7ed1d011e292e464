"""Events of a series: made-up ones point by point, and real ones of 258 days."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.judge.detect import Event, Point, State, advance, detect
from monitor.judge.verdict import OUTCOMES

ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "field" / "data" / "gfw-sni-daily-even.json"
START = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = {".": "ok", "X": "blocked", "x": "likely_blocked", "i": "impaired", "d": "down", "?": "insufficient"}


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def point(number: int, letter: str, technique: str | None = None) -> Point:
    outcome = WORDS[letter]
    usual = "tls.reset" if letter in "Xxi" else None
    return Point(time=day(number), outcome=outcome, technique=technique or usual, uid=f"m{number}")


def play(letters: str) -> tuple[list[Event], State]:
    """One letter a day; a space is a day without a measurement."""
    return detect((point(n, x) for n, x in enumerate(letters) if x != " "), target="t", vantage="v")


def kinds(letters: str) -> list[str]:
    return [event.kind for event in play(letters)[0]]


def test_two_in_a_row_confirm_and_the_interval_is_between_old_and_new() -> None:
    events, state = play("..XX")
    [event] = events
    assert event == Event(
        target="t", vantage="v", kind="blocked", after=day(1), before=day(2), detected_at=day(3),
        technique="tls.reset", confidence=0.9, measurements=2, witness=("m1", "m2", "m3"),
    )  # fmt: skip
    assert (state.state, state.since, state.last, state.technique) == ("blocked", day(2), day(3), "tls.reset")


def test_an_end_names_the_technique_that_ended() -> None:
    [event] = play("XX..")[0]
    assert (event.kind, event.after, event.before, event.technique) == ("unblocked", day(1), day(2), "tls.reset")


@pytest.mark.parametrize("letters", ["..X..", ".X.X.X.", "XX.XX", "X.X.X", "..i..", ".Xi.", "..X"])
def test_blips_are_no_events(letters: str) -> None:
    assert kinds(letters) == []


@pytest.mark.parametrize("letters", ["", "X", ".", "i", "XXXX", "....", "xXxX"])
def test_the_first_measurement_and_more_of_the_same_are_no_events(letters: str) -> None:
    assert kinds(letters) == []


@pytest.mark.parametrize("letters", ["?", "d?", " "])
def test_without_evidence_there_is_no_state(letters: str) -> None:
    assert play(letters) == ([], State())


@pytest.mark.parametrize("nothing", ["?", "d", " ", "d? d"])
def test_no_evidence_neither_confirms_nor_interrupts(nothing: str) -> None:
    assert kinds(f"..{nothing}X{nothing}") == []
    [event] = play(f"..{nothing}X{nothing}X")[0]
    assert (event.after, event.before) == (day(1), day(2 + len(nothing)))
    assert event.detected_at == day(3 + 2 * len(nothing))


@pytest.mark.parametrize("letters", [".Xx", ".xX", ".xx"])
def test_proved_and_likely_are_one_state(letters: str) -> None:
    assert kinds(letters) == ["blocked"]


def test_impaired_is_a_state_of_its_own() -> None:
    assert kinds("..iiXX..") == ["impaired", "blocked", "unblocked"]


def test_contrary_measurements_of_different_states_confirm_nothing() -> None:
    assert kinds("..XiXi..") == []
    [event] = play("..Xii")[0]
    assert (event.kind, event.after, event.before) == ("impaired", day(1), day(3))


def test_agreement_moves_the_beginning_of_the_interval_up() -> None:
    [event] = play("..X.XX")[0]
    assert (event.after, event.before) == (day(3), day(4))


def _techniques(*techniques: str) -> list[Event]:
    return detect((point(n, "X", t) for n, t in enumerate(techniques)), target="t", vantage="v")[0]


def test_another_way_within_a_layer_is_no_event() -> None:
    assert _techniques("tls.reset", "tls.timeout", "tls.timeout", "tls.mitm") == []
    assert _techniques("dns.injection.other", "dns.nxdomain", "dns.nxdomain") == []


def test_another_layer_is_a_change_of_technique_and_the_block_began_before() -> None:
    points = [point(n, "X", t) for n, t in enumerate(("tls.reset", "dns.injection", "dns.injection"))]
    events, state = detect(points, target="t", vantage="v")
    assert [(e.kind, e.after, e.before, e.technique) for e in events] == [
        ("technique_changed", day(0), day(1), "dns.injection")
    ]
    assert (state.since, state.technique) == (day(0), "dns.injection")
    assert _techniques("tls.reset", "dns.injection", "tls.reset", "dns.injection") == []


def test_late_points_are_ignored() -> None:
    state = State()
    for number, letter in ((0, "."), (5, "X"), (3, "X"), (5, "X"), (0, "X")):
        assert advance(state, point(number, letter), target="t", vantage="v") is None
    assert [p.time for p in state.pending] == [day(5)]
    event = advance(state, point(6, "X"), target="t", vantage="v")
    assert event is not None and (event.after, event.before, event.detected_at) == (day(0), day(5), day(6))


def test_a_point_without_an_id_is_no_witness() -> None:
    points = [Point(day(n), "ok" if n < 2 else "blocked", None if n < 2 else "tls.reset") for n in range(4)]
    [event] = detect(points, target="t", vantage="v")[0]
    assert event.witness == ()


@given(st.lists(st.sampled_from(OUTCOMES), max_size=40))
def test_events_are_ordered_intervals_and_the_state_is_the_last_event(outcomes: list[str]) -> None:
    letters = "".join(next(k for k, v in WORDS.items() if v == outcome) for outcome in outcomes)
    events, state = play(letters)
    for event in events:
        assert event.after is not None
        assert event.after < event.before < event.detected_at
        assert event.measurements == 2
        assert event.kind != "technique_changed"
    for one, other in pairwise(events):
        assert one.detected_at <= other.after
        assert one.kind != other.kind
    if events:
        named = {"unblocked": "open", "blocked": "blocked", "impaired": "impaired"}
        assert state.state == named[events[-1].kind]
        assert state.since == events[-1].before
    silent = "".join(x for x in letters if x not in "d?")
    assert kinds(silent) == [event.kind for event in events]


# Real series: one digit a measuring day, 1 where the name's SNI was reset.


def _real(group: str) -> list[tuple[str, str, list[datetime]]]:
    data = json.loads(REAL.read_text())
    days = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in data["days"]]
    return [(name, digits, days) for name, digits in data["series"][group].items()]


def _events(digits: str, days: list[datetime]) -> list[Event]:
    points = [
        Point(moment, "blocked" if digit == "1" else "ok", "tls.reset" if digit == "1" else None, moment.isoformat())
        for moment, digit in zip(days, digits, strict=True)
    ]
    return detect(points, target="t", vantage="v")[0]


real = pytest.mark.skipif(not REAL.is_file(), reason=f"the real series are not here ({REAL.name})")


@real
@pytest.mark.parametrize(("group", "kind", "change"), [("on", "blocked", "01"), ("on_in_gap", "blocked", "01"), ("off", "unblocked", "10")])  # fmt: skip
def test_real_onsets_and_ends_are_found_once_in_the_right_interval(group: str, kind: str, change: str) -> None:
    series = _real(group)
    assert series
    for name, digits, days in series:
        index = digits.index(change)
        found = [(e.kind, e.after, e.before, e.detected_at) for e in _events(digits, days)]
        assert found == [(kind, days[index], days[index + 1], days[index + 2])], name


@real
def test_an_onset_in_the_long_pause_is_dated_to_the_pause() -> None:
    for _name, digits, days in _real("on_in_gap"):
        [event] = _events(digits, days)
        assert event.after is not None
        assert event.before - event.after > timedelta(days=200)


@real
@pytest.mark.parametrize("group", ["blip", "brief"])
def test_real_blips_and_flat_series_have_no_events(group: str) -> None:
    series = _real(group)
    assert series
    assert {name: _events(digits, days) for name, digits, days in series if _events(digits, days)} == {}


@real
def test_real_noise_has_as_many_events_as_runs_of_two_days_allow() -> None:
    for name, digits, days in _real("noisy"):
        state, expected = digits[0], 0
        for one, other in pairwise(digits):
            if one == other != state:
                state, expected = other, expected + 1
        assert len(_events(digits, days)) == expected, name
