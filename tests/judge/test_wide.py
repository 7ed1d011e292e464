"""Events that are one: made-up series (simulated, none of this was measured) of an outage and of what is none."""

import random
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.judge.detect import Event, Point, detect
from monitor.judge.wide import FEWEST, WITNESSES, Span, fold, holds, scope_words, span_of

MIDNIGHT = datetime(2025, 8, 19, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
BEGAN = datetime(2025, 8, 19, 16, 34, tzinfo=UTC)  # 20 August 2025, 00:34 to 01:48 in China: all TCP/443 was reset
ENDED = BEGAN + 74 * MINUTE
World = Callable[[str, datetime], tuple[str, str | None]]  # target, time -> outcome, technique


def https(number: int) -> list[str]:
    return [f"https://s{n}.example/" for n in range(number)]


def http(number: int) -> list[str]:
    return [f"http://p{n}.example/" for n in range(number)]


def port_443(target: str, at: datetime) -> tuple[str, str | None]:
    """What a plain client saw that night."""
    if target.startswith("https://") and BEGAN <= at < ENDED:
        return "likely_blocked", random.Random(target).choice(["tcp.reset", "tcp.reset", "tls.reset"])
    return "ok", None


def from_(moments: dict[str, datetime], *, to: str = "blocked") -> World:
    """Each of these targets changes at its own moment."""

    def world(target: str, at: datetime) -> tuple[str, str | None]:
        changed = target in moments and at >= moments[target]
        blocked = changed == (to == "blocked")
        return ("blocked", "dns.injection") if blocked and (changed or target in moments) else ("ok", None)

    return world


def simulated(
    targets: Iterable[str], world: World, *, every: timedelta, phase: timedelta = timedelta(), jitter: timedelta,
    start: datetime = MIDNIGHT, until: datetime = MIDNIGHT + 48 * HOUR,
) -> tuple[list[Event], list[Span]]:  # fmt: skip
    """The single events and spans of a vantage at which each round waits for each target up to `jitter`."""
    events: list[Event] = []
    spans: list[Span] = []
    for target in targets:
        fate, points, slot = random.Random(target), [], start + phase
        while slot < until:
            at = slot + fate.random() * jitter
            points.append(Point(at, *world(target, at), f"{target}@{at:%d%H%M%S}"))
            slot += every
        found, state = detect(points, target=target, vantage="cn")
        events += found
        span = span_of(target, state)
        assert span is not None
        spans.append(span)
    return events, spans


def shown(events: Sequence[Event]) -> list[tuple[str, str, int]]:
    return sorted((event.kind, event.target, len(event.targets)) for event in events if event.targets)


@pytest.mark.parametrize(
    ("every", "phase", "jitter"),
    [(15 * MINUTE, 3 * MINUTE, 5 * MINUTE), (15 * MINUTE, 11 * MINUTE, 2 * MINUTE), (HOUR, 36 * MINUTE, 5 * MINUTE)],
)
def test_20_august_2025_is_one_event_of_a_protocol_and_one_end(
    every: timedelta, phase: timedelta, jitter: timedelta
) -> None:
    singles, spans = simulated(https(190) + http(10), port_443, every=every, phase=phase, jitter=jitter)
    assert len(singles) == 380
    began, ended = fold(singles, spans)
    assert (began.kind, began.target, ended.kind, ended.target) == ("blocked", "https://*", "unblocked", "https://*")
    assert began.targets == ended.targets == tuple(sorted(https(190)))
    assert (began.among, began.vantage, began.technique) == (190, "cn", "tcp.reset")
    for event, moment in ((began, BEGAN), (ended, ENDED)):
        assert event.after is not None and event.after < moment <= event.before < event.detected_at
        mine = [single for single in singles if single.kind == event.kind]
        assert event.before - event.after < min(one.before - one.after for one in mine if one.after)
        assert sum(one.detected_at <= event.detected_at for one in mine) == 143  # three quarters of 190
        assert event.measurements == 380 and len(event.witness) == WITNESSES
    assert scope_words(began) == "190 of 190 https targets"


def test_an_hourly_round_that_the_outage_cuts_in_two() -> None:
    phase = 33 * MINUTE  # a fifth of the targets were measured before it began: they were found blocked once only
    singles, spans = simulated(https(200) + http(20), port_443, every=HOUR, phase=phase, jitter=5 * MINUTE)
    began, ended = fold(singles, spans)
    assert (began.kind, ended.kind, began.among) == ("blocked", "unblocked", 200)
    assert 150 <= len(began.targets) < 180 and began.targets == ended.targets
    assert began.after is not None and began.after < BEGAN <= began.before


def at_noon(targets: Iterable[str], *, spread: timedelta = timedelta(0), to: str = "blocked") -> World:
    fate, noon = random.Random(7), MIDNIGHT + 12 * HOUR
    return from_({target: noon + fate.random() * spread for target in targets}, to=to)


WEEK = MIDNIGHT + timedelta(days=9)
MIXED = [*https(60), *http(35), "phrase:a", "phrase:b b", "phrase:六四", "phrase:d", "phrase:e"]


@pytest.mark.parametrize(
    ("targets", "world", "expected"),
    [
        (https(100), at_noon(https(70)), []),
        (https(100), at_noon(https(75)), [("blocked", "*", 75)]),
        (https(4), at_noon(https(4)), []),
        (https(5), at_noon(https(5)), [("blocked", "*", 5)]),
        (https(100), at_noon(https(100), to="ok"), [("unblocked", "*", 100)]),
        (MIXED, at_noon(MIXED), [("blocked", "*", 100)]),
        (MIXED, at_noon(https(60)), [("blocked", "https://*", 60)]),
        (MIXED, at_noon(https(60) + http(35)), [("blocked", "*", 95)]),
        (MIXED, at_noon(http(30)), [("blocked", "http://*", 30)]),
        (MIXED, at_noon(http(20)), []),
        (MIXED, at_noon(MIXED[-5:]), []),
        ([*https(95), *http(5)], at_noon(https(95)), [("blocked", "https://*", 95)]),
    ],
    ids=[
        "70 of 100", "75 of 100", "4 of 4", "5 of 5", "all end", "all of every kind", "https of every kind",
        "all but phrases", "most of http", "few of http", "phrases alone", "https, the few others not",
    ],
)  # fmt: skip
@pytest.mark.parametrize("every", [15 * MINUTE, HOUR])
def test_what_changes_at_noon(
    targets: list[str], world: World, expected: list[tuple[str, str, int]], every: timedelta
) -> None:
    singles, spans = simulated(targets, world, every=every, jitter=5 * MINUTE)
    found = fold(singles, spans)
    assert shown(found) == sorted(expected)
    assert len(found) == len(singles) - sum(number - 1 for _kind, _scope, number in expected)


def test_changes_spread_over_a_week_stay_single() -> None:
    world = at_noon(https(100), spread=timedelta(days=7))
    singles, spans = simulated(https(100), world, every=HOUR, jitter=5 * MINUTE, until=WEEK)
    assert sorted(fold(singles, spans), key=str) == sorted(singles, key=str) and len(singles) == 100


def test_what_was_blocked_already_could_not_change() -> None:
    old = at_noon(https(100)[:50], to="blocked")

    def world(target: str, at: datetime) -> tuple[str, str | None]:
        if target in https(100)[50:]:
            return "blocked", "tls.reset.sni"
        return old(target, at)

    singles, spans = simulated(https(100), world, every=HOUR, jitter=5 * MINUTE)
    [event] = fold(singles, spans)
    assert (len(event.targets), event.among, event.target) == (50, 50, "*")


def test_a_few_blocked_sites_that_are_opened_together_are_news_of_these() -> None:
    def lifted(number: int) -> list[tuple[str, str, int]]:
        opened = at_noon(https(number), to="ok")
        singles, spans = simulated(https(100), opened, every=HOUR, jitter=5 * MINUTE)
        assert len(singles) == number
        return shown(fold(singles, spans))

    assert lifted(24) == []
    assert lifted(25) == [("unblocked", "*", 25)]


def test_what_changed_in_a_long_gap_is_not_said_to_have_changed_at_once() -> None:
    def away(days: int) -> list[tuple[str, str, int]]:
        events, spans = [], []
        for target in https(20):
            times = [MIDNIGHT - HOUR, MIDNIGHT] + [MIDNIGHT + timedelta(days=days) + n * HOUR for n in range(3)]
            points = [Point(at, *(("ok", None) if at <= MIDNIGHT else ("blocked", "tls.reset"))) for at in times]
            found, state = detect(points, target=target, vantage="cn")
            events += found
            spans += [span for span in [span_of(target, state)] if span]
        assert len(events) == 20
        return shown(fold(events, spans))

    assert away(2) == [("blocked", "*", 20)]
    assert away(3) == []


def test_what_is_no_longer_or_not_yet_measured_does_not_count() -> None:
    usual = simulated(https(40), at_noon(https(40)), every=HOUR, jitter=5 * MINUTE)
    past = simulated(http(100), at_noon([]), every=HOUR, jitter=5 * MINUTE, start=MIDNIGHT - 90 * HOUR,
                     until=MIDNIGHT - 20 * HOUR)  # fmt: skip
    later = simulated(http(100), at_noon([]), every=HOUR, jitter=5 * MINUTE, start=MIDNIGHT + 13 * HOUR)
    [event] = fold(usual[0], [*usual[1], *past[1], *later[1]])
    assert (event.among, len(event.targets)) == (40, 40)
    late = simulated(http(100), at_noon([]), every=HOUR, jitter=5 * MINUTE, until=MIDNIGHT + 11 * HOUR)
    [event] = fold(usual[0], [*usual[1], *late[1]])  # of these the next round may still be under way
    assert event.target == "https://*"


def test_a_straggler_neither_joins_nor_moves_the_moment() -> None:
    moments = dict.fromkeys(https(100), MIDNIGHT + 12 * HOUR) | {https(1)[0]: MIDNIGHT + 10 * HOUR}
    singles, spans = simulated(https(100), from_(moments), every=HOUR, jitter=5 * MINUTE)
    alone, event = fold(singles, spans)
    assert (alone.target, alone.targets, len(event.targets), event.among) == (https(1)[0], (), 99, 99)


def test_two_outages_in_a_row_are_two() -> None:
    def world(target: str, at: datetime) -> tuple[str, str | None]:
        hour = (at - MIDNIGHT) / HOUR
        return ("blocked", "tcp.timeout") if 6 <= hour < 9 or 12 <= hour < 15 else ("ok", None)

    for jitter in (timedelta(0), 5 * MINUTE):  # also where all are measured in the same second
        singles, spans = simulated(https(30), world, every=HOUR, jitter=jitter)
        assert [event.kind for event in fold(singles, spans)] == ["blocked", "unblocked"] * 2


def test_another_way_of_blocking_for_all_is_one_event_a_layer() -> None:
    def world(target: str, at: datetime) -> tuple[str, str | None]:
        changed = at >= MIDNIGHT + 12 * HOUR
        return "blocked", "dns.injection" if changed else "tls.reset"

    singles, spans = simulated(https(20), world, every=HOUR, jitter=5 * MINUTE)
    [event] = fold(singles, spans)
    assert (event.kind, event.technique, len(event.targets)) == ("technique_changed", "dns.injection", 20)

    def by_layer(target: str, at: datetime) -> tuple[str, str | None]:
        after = "dns.injection" if target in https(10) else "tcp.timeout"
        return "blocked", after if at >= MIDNIGHT + 12 * HOUR else "tls.reset"

    singles, spans = simulated(https(20), by_layer, every=HOUR, jitter=5 * MINUTE)
    assert shown(fold(singles, spans)) == []


def test_the_share_is_a_setting() -> None:
    singles, spans = simulated(https(100), at_noon(https(60)), every=HOUR, jitter=5 * MINUTE)
    assert shown(fold(singles, spans, share=60)) == [("blocked", "*", 60)]
    assert shown(fold(singles, spans, share=61)) == []


def test_a_whole_protocol_of_many_series_is_one_event_and_its_end_another() -> None:
    start = MIDNIGHT
    targets = https(1_500) + http(500)
    events, spans = [], []
    for number, target in enumerate(targets):
        wait = timedelta(seconds=number % 300)
        spans.append(Span(target, start, start + 48 * HOUR, "open"))
        if target.startswith("https://"):
            for kind, hour in (("blocked", 12), ("unblocked", 14)):
                at = start + hour * HOUR + wait
                events.append(Event(
                    target=target, vantage="cn", kind=kind, after=at - HOUR, before=at, detected_at=at + HOUR,
                    technique="tcp.reset", confidence=0.9, measurements=2, witness=("a", "b", "c"),
                ))  # fmt: skip
    assert shown(fold(events, spans)) == [("blocked", "https://*", 1_500), ("unblocked", "https://*", 1_500)]


# Any series

LETTERS = {".": ("ok", None), "X": ("blocked", "tls.reset"), "D": ("blocked", "dns.injection"), "i": ("impaired", "dns.injection"),
           "?": ("insufficient", None)}  # fmt: skip
SERIES = st.tuples(
    st.sampled_from(["https", "http", "phrase"]), st.integers(0, 50),
    st.lists(st.sampled_from(["....", "XXX", "DD", "ii", "?", ".", "X"]), max_size=8).map("".join),
)  # fmt: skip


def played(series: Sequence[tuple[str, int, str]]) -> tuple[list[Event], list[Span]]:
    events, spans = [], []
    for number, (scheme, wait, letters) in enumerate(series):
        target = f"{scheme}:t{number}" if scheme == "phrase" else f"{scheme}://t{number}.example/"
        points = [Point(MIDNIGHT + slot * HOUR + wait * MINUTE, *LETTERS[letter], f"{number}-{slot}")
                  for slot, letter in enumerate(letters)]  # fmt: skip
        found, state = detect(points, target=target, vantage="v")
        events += found
        if span := span_of(target, state):
            spans.append(span)
    return events, spans


@given(st.lists(SERIES, max_size=25), st.sampled_from(["", "....XXX....", "XXX...DD", "..XX"]), st.integers(50, 100))
def test_every_event_is_shown_once_alone_or_as_a_member(
    series: list[tuple[str, int, str]], same: str, share: int
) -> None:
    many = [*series, *((scheme, wait, same + letters[:3]) for scheme, wait, letters in series if same)]
    singles, spans = played(many)
    found = fold(singles, spans, share=share)
    assert fold(found, spans, share=share) == found
    assert found == fold(singles[::-1], spans[::-1], share=share)
    wide = [event for event in found if event.targets]
    alone = {(event.target, event.kind, event.before) for event in found if not event.targets}
    for event in singles:
        inside = [one for one in wide if holds(one, event)]
        assert len(inside) + ((event.target, event.kind, event.before) in alone) == 1
    assert sum(len(event.targets) or 1 for event in found) == len(singles)
    for event in wide:
        assert event.after is not None and event.after < event.before <= event.detected_at
        assert len(event.targets) == len(set(event.targets)) >= FEWEST
        assert 100 * len(event.targets) >= share * event.among and len(event.targets) <= event.among
        assert event.target == "*" or all(target.startswith(event.target[:-1]) for target in event.targets)
        assert len(event.witness) <= WITNESSES
        assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event
