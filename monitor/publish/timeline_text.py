"""The timeline for a person at a terminal: states, how well they are known, and events."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import groupby

from monitor.judge.detect import CONFIRM, Event, Point
from monitor.judge.wide import scope_words

from .account import COLUMNS
from .text import moment, pad, printable, wrap
from .timeline import Series

SIMULATED = "*** SIMULATED: this network is made up, nothing here is about the Internet ***"
_NAME = 10  # columns of what stands before a line
_LEGEND = (
    f"(A, B]: after A and not later than B. An event is a change that {CONFIRM} contrary measurements in a row show:"
    " A is the last one of the old state, B the first one of the new. Measurements that found the site down, or"
    " could not tell, are no evidence: they neither confirm nor interrupt."
)
_NAMED = 20  # targets of one event
_EVENTS = {"technique_changed": "technique changed"}


def text(
    found: Iterable[Series], *, simulated: bool, wide: Iterable[Event] = (), events: bool = True
) -> Iterator[str]:
    """Lines with their ends. `events` False: the states alone. Series must come target by target.

    `wide`: events of many targets, in order; they come first.
    """
    if simulated:
        yield f"{SIMULATED}\n\n"
    for (scope, vantage), many in groupby(wide, key=lambda one: (one.target, one.vantage)):
        yield f"{scope}\n  at {printable(vantage, 64)}\n"
        for event in many:
            yield from (f"{line.rstrip()}\n" for line in _event(event))
        yield "\n"
    empty = True
    for target, group in groupby(found, key=lambda one: one.target):
        empty = False
        yield f"{printable(target)}\n"
        for one in group:
            yield from (f"{line.rstrip()}\n" for line in _series(one, events=events))
        yield "\n"
    yield from ["no measurements\n"] if empty else [f"{line}\n" for line in wrap(_LEGEND, COLUMNS)]


def _series(found: Series, *, events: bool) -> Iterator[str]:
    yield f"  at {printable(found.vantage, 64)}"
    yield from _field("state", _state(found))
    if found.state:
        yield from _field("since", _since(found))
    yield from _field("measured", f"{_times(found.measurements)}, {_period(found.first, found.last)}")
    yield from _field("outcomes", _outcomes(found))
    for point in found.contrary:
        yield from _field("contrary", f"{_seen(point)} at {moment(point.time)}; a change needs {CONFIRM} in a row")
    for event in found.events if events else ():
        yield from _event(event)
    for event in found.shared if events else ():
        told = f"{_kind(event)} in {_interval(event.after, event.before)}, told above under {event.target}"
        yield from _field("shared", f"{scope_words(event)}: {told}")


def _state(found: Series) -> str:
    if not found.state:
        return "unknown: nothing measured is evidence"
    technique = f" by {printable(found.technique, 60)}" if found.technique else ""
    return f"{found.state}{technique}{'' if found.confirmed else ', which one measurement alone says: unconfirmed'}"


def _since(found: Series) -> str:
    assert found.before is not None
    if found.after is not None:
        return _interval(found.after, found.before)
    first = "first measured" if found.before == found.first else "first measured with evidence"
    return f"not known: already {found.state} when {first}, {moment(found.before)}"


def _outcomes(found: Series) -> str:
    said = ", ".join(f"{number} {outcome}" for outcome, number in reversed(found.counts.items()) if number)
    if none := found.measurements - found.evidence:
        said += f"; {none} of {found.measurements} no evidence"
    if found.longest_gap is not None:
        said += f"; longest time without evidence {span(found.longest_gap)}"
    if found.last_evidence is not None and found.last_evidence != found.last:
        said += f"; last evidence {moment(found.last_evidence)}"
    return said


def _event(event: Event) -> Iterator[str]:
    many = f": {scope_words(event)} at once" if event.targets else ""
    yield from _field("event", f"{_kind(event)} in {_interval(event.after, event.before)}{many}")
    technique = f"{printable(event.technique, 60)}; " if event.technique else ""
    row = "" if event.targets else " in a row"
    known = f"known {moment(event.detected_at)} by {event.measurements} measurements{row}"
    yield from _field("", f"{technique}{known}; confidence {event.confidence:g}")
    for number, name in enumerate(event.targets[:_NAMED]):
        yield from _field("" if number else "targets", printable(name))
    if len(event.targets) > _NAMED:
        yield from _field("", f"and {len(event.targets) - _NAMED} more, which JSON and CSV name")
    for number, uid in enumerate(event.witness):
        yield from _field("" if number else "witness", printable(uid, 90))


def _kind(event: Event) -> str:
    return _EVENTS.get(event.kind, event.kind)


def _interval(after: datetime | None, before: datetime) -> str:
    return f"({moment(after) if after else 'unknown'}, {moment(before)}]"


def _seen(point: Point) -> str:
    return f"{point.outcome} by {printable(point.technique, 60)}" if point.technique else point.outcome


def _field(name: str, value: str) -> Iterator[str]:
    for row, line in enumerate(wrap(value, COLUMNS - _NAME - 4)):
        yield "    " + pad("" if row else name, _NAME) + line


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _period(first: datetime, last: datetime) -> str:
    return moment(first) if first == last else f"{moment(first)} to {moment(last)}"


def span(seconds: float) -> str:
    """`45 s`, `90 min`, `36 h`, `216 d`: a length of time, rounded to a unit of which there are two at least."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.3g} s"
