"""Events that are one: most targets of a vantage, or most of one protocol, that change at the same moment.

Each event happened somewhere in (after, before]. Where one moment lies in the intervals of most of those series that
could have changed that way then, they changed together: one event takes the place of theirs, names them, and is dated
by what their intervals have in common. It follows from the single events alone, so a published table gives the same.
"""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import NamedTuple

import msgspec

from .detect import BECOMES, Event, State, kin

SHARE = 75  # percent of the series that could have changed
LEAST = 25  # percent of all that are there; what a few blocked sites do together is news of these
FEWEST = 5  # series; of a handful, most change together by chance
STILL = timedelta(days=1)  # a series counts so long after its last evidence: the next may be under way
LONGEST = timedelta(days=2)  # interval of a single event; a longer one names no moment
WITNESSES = 20  # uids that an event of many names
ALL = "*"
SCOPES = {ALL: "all targets", "https://*": "all https targets", "http://*": "all http targets"}
_SCHEMES = tuple(scope for scope in SCOPES if scope != ALL)
_STARTS = tuple(scope[:-1] for scope in _SCHEMES)
_REST = len(_SCHEMES)  # the class of what is neither, phrases for one: it counts among all targets only
_CLASSES = _REST + 1
_Path = tuple[int, list[tuple[float, str]], float]  # class of the target; when which state began; the end


class Span(msgspec.Struct, frozen=True):
    """The time in which a series has evidence, and the state that the first of it showed."""

    target: str
    first: datetime
    last: datetime
    state: str  # open | impaired | blocked


class _Turn(NamedTuple):
    """An event as the sweep needs it: its interval in Unix seconds, and the class of its target."""

    after: float
    before: float
    place: int
    event: Event


class _Pick(msgspec.Struct, frozen=True):
    """Moments in (low, high] at which most changed; `reach`: where the last of their intervals ends."""

    low: float
    high: float
    reach: float
    changing: int
    among: int


def span_of(target: str, state: State) -> Span | None:
    """The span of a series that stands at `state`; None without evidence."""
    last = state.pending[-1].time if state.pending else state.last
    if state.first is None or last is None:
        return None
    return Span(target, state.first, last, state.began)


def fold(events: Sequence[Event], spans: Iterable[Span], *, share: int = SHARE) -> list[Event]:
    """The events of one vantage with those of most series in place of the single ones; by detection, then target.

    `share`: percent. A moment counts where at least FEWEST series changed at it, LEAST of all that had evidence before
    it and did not lack it for a day after, and `share` of those of them that were not in the new state already.
    All targets are tried first; where those of one protocol changed and the others that were there did not, it is an
    event of the protocol. Events that are folded already, or whose interval is long, are left as they are.
    """
    left = list(events)
    if groups := _groups(left):
        paths = _paths(left, spans)
        there = _there(paths)
        for group in groups:
            left = _folded(left, group, (there, _could(paths, group[0].kind)), share)
    return sorted(left, key=lambda event: (event.detected_at, event.target, event.before))


def could_be_one(events: Iterable[Event]) -> bool:
    """Whether enough of them share a moment: where not, no span is needed to know that none are one."""
    return bool(_groups(events))


def holds(wide: Event, event: Event) -> bool:
    """Whether a single event is one of those that a wide one names."""
    return (
        (wide.vantage, wide.kind) == (event.vantage, event.kind)
        and event.target in wide.targets
        and event.after is not None
        and wide.after is not None
        and event.after <= wide.after
        and wide.before <= event.before
    )


def scope_words(event: Event) -> str:
    """`412 of 530 https targets`: how many of how many changed."""
    kind = {"https://*": "https ", "http://*": "http "}.get(event.target, "")
    return f"{len(event.targets):,} of {event.among:,} {kind}targets"


def _class(target: str) -> int:
    for number, start in enumerate(_STARTS):
        if target.startswith(start):
            return number
    return _REST


def _groups(events: Iterable[Event]) -> list[list[Event]]:
    """Events that may be one: of one kind, and of one layer where the technique is what changed; not folded yet."""
    groups: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        if event.targets:
            return []
        if event.after is not None and event.before - event.after <= LONGEST:
            layer = kin(event.technique) if event.kind not in BECOMES else ""
            groups.setdefault((event.kind, layer), []).append(event)
    return [group for _key, group in sorted(groups.items()) if _most_at_once(group) >= FEWEST]


def _most_at_once(group: Iterable[Event]) -> int:
    """How many of their intervals, open at the beginning, hold the moment that most of them hold."""
    edges: list[tuple[datetime, int]] = []
    for event in group:
        assert event.after is not None
        edges += [(event.after, 1), (event.before, -1)]
    return max(accumulate(change for _at, change in sorted(edges)))


def _paths(events: Iterable[Event], spans: Iterable[Span]) -> list[_Path]:
    """Each series' states. A state begins with the first measurement of it: until then the change lies ahead."""
    turns: dict[str, list[tuple[float, str]]] = {}
    for event in events:
        if event.kind in BECOMES:
            turns.setdefault(event.target, []).append((event.before.timestamp(), BECOMES[event.kind]))
    return [
        (
            _class(span.target),
            [(span.first.timestamp(), span.state), *sorted(turns.get(span.target, ()))],
            (span.last + STILL).timestamp(),
        )
        for span in spans
    ]


class _Tally:
    """How many of some half-open intervals (start, stop] hold a moment, by class."""

    def __init__(self) -> None:
        self._starts: tuple[list[float], ...] = tuple([] for _ in range(_CLASSES))
        self._stops: tuple[list[float], ...] = tuple([] for _ in range(_CLASSES))

    def add(self, place: int, start: float, stop: float) -> None:
        self._starts[place].append(start)
        self._stops[place].append(max(start, stop))

    def sort(self) -> None:
        """To be called once, before anything is asked."""
        for times in (*self._starts, *self._stops):
            times.sort()

    def at(self, moment: float, places: Iterable[int]) -> list[int]:
        return [bisect_left(self._starts[n], moment) - bisect_left(self._stops[n], moment) for n in places]


def _there(paths: Iterable[_Path]) -> _Tally:
    """The series whose state is known at a moment."""
    tally = _Tally()
    for place, states, end in paths:
        tally.add(place, states[0][0], max(end, states[-1][0]))
    tally.sort()
    return tally


def _could(paths: Iterable[_Path], kind: str) -> _Tally:
    """Those of them that could change in that way: they are not in the new state yet."""
    new, tally = BECOMES.get(kind), _Tally()
    for place, states, end in paths:
        for number, (start, state) in enumerate(states):
            if (state != new) if new else (state != "open"):
                tally.add(place, start, states[number + 1][0] if number + 1 < len(states) else end)
    tally.sort()
    return tally


def _folded(events: list[Event], group: list[Event], series: tuple[_Tally, _Tally], share: int) -> list[Event]:
    """All events, with those of the group folded by every scope in turn."""
    made: list[Event] = []
    gone: set[int] = set()
    rest = sorted(_turns(group), key=itemgetter(0, 1))
    for scope in SCOPES:
        places = range(_CLASSES) if scope == ALL else (_SCHEMES.index(scope),)
        mine = [turn for turn in rest if turn.place in places]
        while len(mine) >= FEWEST and (picks := _sweep(mine, places, series, share)):
            for pick, members in _members(mine, picks):
                made.append(_event(members, scope, pick.among, share))
                gone.update(map(id, members))
            mine = [turn for turn in mine if id(turn.event) not in gone]
        rest = [turn for turn in rest if id(turn.event) not in gone]
    return [event for event in events if id(event) not in gone] + made


def _turns(group: Iterable[Event]) -> Iterator[_Turn]:
    for event in group:
        assert event.after is not None
        yield _Turn(event.after.timestamp(), event.before.timestamp(), _class(event.target), event)


def _sweep(turns: Sequence[_Turn], places: Sequence[int], series: tuple[_Tally, _Tally], share: int) -> list[_Pick]:
    """Moments at which most changed, of those with series in common the one at which the most did; in order.

    Who changes stays the same from the beginning or end of one interval to the next: the last moment before the next
    stands for all of them.
    """
    edges: list[tuple[float, int, int, float]] = []  # from here on; class; one more or less; where its interval ends
    for after, before, place, _event in turns:
        edges.append((after, place, 1, before))
        edges.append((before, place, -1, before))
    edges.sort()
    changing, reach, best = [0] * _CLASSES, -math.inf, None
    picks: list[_Pick] = []
    for (low, place, change, end), (high, *_next) in pairwise(edges):
        changing[place] += change
        reach = max(reach, end)
        if high == low or (total := sum(changing)) < FEWEST:
            continue
        if best is not None and low >= best.reach:
            picks.append(best)
            best = None
        among = _among(changing, places, high, series, share)
        if among and (best is None or (total, -among) > (best.changing, -best.among)):
            best = _Pick(low, high, reach, total, among)
    return picks if best is None else [*picks, best]


def _among(
    changing: Sequence[int], places: Sequence[int], moment: float, series: tuple[_Tally, _Tally], share: int
) -> int:
    """How many could have changed, where the share of them did; else 0.

    Where there are others than the protocol that most of them have, some of these must have changed too.
    """
    there, could = series
    total, among = sum(changing), could.at(moment, places)
    if 100 * total < max(share * sum(among), LEAST * sum(there.at(moment, places))):
        return 0
    main = max(places, key=lambda place: (changing[place], -place))
    if len(places) > 1 and main != _REST:
        others = total - changing[main]
        present = there.at(moment, [place for place in places if place != main])
        if sum(present) and (not others or 100 * others < share * (sum(among) - among[main])):
            return 0
    return sum(among)


def _members(turns: Sequence[_Turn], picks: Iterable[_Pick]) -> Iterator[tuple[_Pick, list[Event]]]:
    """The events whose interval holds each pick. Both in order: no event is in two of them."""
    number = 0
    for pick in picks:
        members = []
        while number < len(turns) and turns[number].after <= pick.low:
            if turns[number].before >= pick.high:
                members.append(turns[number].event)
            number += 1
        yield pick, members


def _event(members: Sequence[Event], scope: str, among: int, share: int) -> Event:
    known = sorted(members, key=lambda event: (event.detected_at, event.target))
    enough = min(len(known), max(FEWEST, math.ceil(share * among / 100)))
    techniques = Counter(event.technique for event in known if event.technique)
    uids = dict.fromkeys(uid for event in known for uid in event.witness)
    return Event(
        target=scope,
        vantage=known[0].vantage,
        kind=known[0].kind,
        after=max(event.after for event in known if event.after is not None),
        before=min(event.before for event in known),
        detected_at=known[enough - 1].detected_at,
        technique=max(techniques, key=lambda name: (techniques[name], name), default=None),
        confidence=max(event.confidence for event in known),
        measurements=sum(event.measurements for event in known),
        witness=tuple(uids)[:WITNESSES],
        targets=tuple(sorted(event.target for event in known)),
        among=among,
    )
