"""Events of one series (a target at a vantage): when a block began or ended, as an interval.

A change needs contrary measurements in a row; `down`, `insufficient` and gaps are no evidence, so they neither
confirm nor interrupt. The change happened after the last measurement of the old state and before or at the first of
the new one; it is known only at the measurement that confirms it.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from .verdict import STOPPED

CONFIRM = 2  # contrary measurements in a row; one-day blips are 885 of 8,442 names in GFW Report's data
_STATES = {"ok": "open", "impaired": "impaired", **dict.fromkeys(STOPPED, "blocked")}
BECOMES = {"blocked": "blocked", "unblocked": "open", "impaired": "impaired"}  # kind of event -> state after it
_KINDS = {state: kind for kind, state in BECOMES.items()}
_CONFIDENCE = 0.9  # that a change is real which two measurements in a row show


class Point(msgspec.Struct, frozen=True):
    """One measurement of a series, as detection needs it."""

    time: datetime
    outcome: str
    technique: str | None = None
    uid: str | None = None


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A change of the confirmed state: it happened in (`after`, `before`], and was known at `detected_at`.

    One of many targets (see `wide`) names them in `targets`; `among`: how many could have changed that way.
    """

    target: str
    vantage: str
    kind: str  # blocked | unblocked | impaired | technique_changed
    after: datetime | None
    before: datetime
    detected_at: datetime
    technique: str | None
    confidence: float
    measurements: int
    witness: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    among: int = 0


class State(msgspec.Struct, kw_only=True):
    """Where a series stands; kept between measurements. `state`: `` (unknown), `open`, `impaired`, `blocked`.

    `first`: the first measurement that was evidence; `began`: the state that it showed.
    """

    state: str = ""
    technique: str | None = None
    since: datetime | None = None  # first measurement of the state
    changed: bool = False  # whether the beginning of the state was seen; else it is older than the first measurement
    last: datetime | None = None  # last measurement that agreed with the state
    last_uid: str | None = None
    pending: list[Point] = msgspec.field(default_factory=list)
    first: datetime | None = None
    began: str = ""


def state_of(outcome: str) -> str:
    """The state that an outcome is evidence for; empty for none."""
    return _STATES.get(outcome, "")


def is_late(state: State, point: Point) -> bool:
    """Whether a point is no newer than the evidence that `state` rests on, so that only `detect` can use it.

    Of several at one time the first counts, in order of uid: a change needs two moments.
    """
    newest = state.pending[-1].time if state.pending else state.last
    return newest is not None and point.time <= newest


def advance(state: State, point: Point, *, target: str, vantage: str) -> Event | None:
    """Take one more measurement, in order of time; changes `state` and returns the event that it confirms."""
    seen = state_of(point.outcome)
    if not seen or is_late(state, point):
        return None
    if not state.state:
        state.state, state.technique, state.since = seen, point.technique, point.time
        state.first, state.began = point.time, seen
    if (seen, kin(point.technique)) == (state.state, kin(state.technique)):
        state.last, state.last_uid, state.pending = point.time, point.uid, []
        return None
    if state.pending and not _agree(state, state.pending[-1], point):
        state.pending = []
    state.pending.append(point)
    if len(state.pending) < CONFIRM:
        return None
    return _confirm(state, target, vantage, seen)


def _confirm(state: State, target: str, vantage: str, seen: str) -> Event:
    first, *_, last = state.pending
    kind = "technique_changed" if seen == state.state else _KINDS[seen]
    witness = (state.last_uid, *(point.uid for point in state.pending))
    event = Event(
        target=target, vantage=vantage, kind=kind, after=state.last, before=first.time, detected_at=last.time,
        technique=last.technique if seen != "open" else state.technique,
        confidence=_CONFIDENCE, measurements=len(state.pending),
        witness=tuple(uid for uid in witness if uid),
    )  # fmt: skip
    if seen != state.state:
        state.since, state.changed = first.time, True
    state.state, state.technique, state.last, state.last_uid = seen, last.technique, last.time, last.uid
    state.pending = []
    return event


def detect(points: Iterable[Point], *, target: str, vantage: str) -> tuple[list[Event], State]:
    """The events of a whole series in order of time (and uid), and the state in which it ends."""
    state = State()
    events = [advance(state, point, target=target, vantage=vantage) for point in points]
    return [event for event in events if event is not None], state


def _agree(state: State, one: Point, other: Point) -> bool:
    """Two contrary measurements speak for the same new state; where only the technique changed, for the same layer."""
    if state_of(one.outcome) != state_of(other.outcome):
        return False
    return state_of(other.outcome) != state.state or kin(one.technique) == kin(other.technique)


def kin(technique: str | None) -> str:
    """Techniques of one layer are one way of blocking: a flaky filter shows now a reset, now a timeout."""
    return (technique or "").split(".")[0]
