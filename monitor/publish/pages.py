"""HTML: one function a page, templates with every value escaped, no script, no link out.

What came from the network reaches a template only through `text.printable`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monitor.judge.detect import Event
from monitor.judge.verdict import Verdict
from monitor.judge.wide import scope_words
from monitor.store import Row
from monitor.turns import in_turns
from probes.measurement import Measurement, rfc3339

from . import replies
from .account import WHY, vantage_words
from .drawing import by_kind, counts_words, documented_words, drawn, extent, labels, step_words
from .matrix import Cell, Matrix
from .notebook import notebook
from .packets import HEAD
from .period import ticks
from .target import TargetHistory, stale
from .target import since_words as since_of_series
from .text import age, moment, printable, seconds
from .vantages import DIRECTIONS, METHODS, VantageState, situation_text
from .vantages import MEANING as MEANING_OF_STATES

_HERE = Path(__file__).parent
STYLE = (_HERE / "static" / "wallwatch.css").read_bytes()
MOST_EVENTS = 100  # in a page's table
WORDS = {
    "blocked": "blocked",
    "likely_blocked": "likely blocked",
    "impaired": "impaired",
    "down": "down",
    "ok": "ok",
    "insufficient": "insufficient",
    None: "no data",
}
MEANING = {
    "blocked": "stopped, and an artefact proves interference",
    "likely_blocked": "stopped again and again, nothing innocent explains it",
    "impaired": "reached, but with interference",
    "down": "the site's own fault: it fails everywhere alike",
    "ok": "reached, no interference seen",
    "insufficient": "cannot tell; says nothing about the site",
    None: "never measured",
}

EVENT_TAGS = {"blocked": "blocked", "unblocked": "ok", "impaired": "impaired"}


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    made.filters |= {
        "printable": printable,
        "age": age,
        "moment": moment,
        "seconds": seconds,
        "rfc3339": rfc3339,
    }
    made.globals |= {
        "words": WORDS, "meaning": MEANING, "measurement_path": measurement_path, "pair_path": pair_path,
        "target_path": target_path, "vantage_words": vantage_words, "why": WHY, "since_words": since_words,
        "by_kind": by_kind, "drawn": drawn, "extent": extent, "labels": labels, "counts_words": counts_words,
        "documented_words": documented_words, "since_of": lambda one: since_of_series(one.series, one.events),
        "stale": stale, "directions": DIRECTIONS, "methods": METHODS, "meaning_of_states": MEANING_OF_STATES,
        "situation_text": situation_text, "event_tags": EVENT_TAGS, "scope_words": scope_words,
    }  # fmt: skip
    return made


def _render(name: str, *, simulated: bool, title: str, **values: Any) -> str:
    return "".join(_pieces(name, simulated=simulated, title=title, **values))


def _pieces(name: str, *, simulated: bool, title: str, **values: Any) -> Iterator[str]:
    return _environment().get_template(name).generate(simulated=simulated, title=title, **values)


def measurement_path(uid: str) -> str:
    """Where a measurement's evidence is."""
    return f"/measurements/{quote(uid, safe='')}"


def pair_path(target: str, vantage: str) -> str:
    """Where the recent measurements of a target at a vantage are."""
    return f"/targets?target={_quoted(target)}&vantage={_quoted(vantage)}"


@lru_cache(maxsize=4096)
def _quoted(name: str) -> str:
    return quote_plus(name)


def target_path(target: str, since: str | None = None, until: str | None = None) -> str:
    """Where a target's page is, over the last 30 days or the period that is given."""
    query = {"target": target, "since": since, "until": until}
    return "/targets?" + urlencode({name: value for name, value in query.items() if value is not None})


def since_words(cell: Cell, now: datetime) -> str:
    """How long the confirmed state has lasted; names it where the newest outcome is another."""
    if cell.since is None:
        return ""
    agrees = cell.state == {"likely_blocked": "blocked", "ok": "open"}.get(cell.outcome or "", cell.outcome)
    named = "" if agrees else f"confirmed: {'ok' if cell.state == 'open' else cell.state} "
    return f"{named}{'' if cell.changed else 'at least '}since {cell.since:%Y-%m-%d %H:%M}"


def matrix_page(
    found: Matrix, *, now: datetime, simulated: bool, standing: Mapping[str, str] = MappingProxyType({}),
    outside: Collection[str] = (), wide: Sequence[Event] = (),
) -> str:  # fmt: skip
    """Every target at every vantage; `standing`: those that are quarantined or silent, and which of both; `outside`:
    those from which a network is measured from outside; `wide`: when most targets of one changed at once. It can be
    megabytes and is made in turns with other threads' work, so in a thread of its own."""
    made = _pieces(
        "matrix.html", simulated=simulated, title="Targets and vantage points", matrix=found, now=now,
        standing=standing, outside=outside, wide=wide,
    )  # fmt: skip
    return "".join(in_turns(made))


def vantages_page(states: Sequence[VantageState], *, now: datetime, simulated: bool) -> str:
    """Every configured vantage: its state, what is wrong, what it cannot measure."""
    return _render("vantages.html", simulated=simulated, title="Vantage points", states=states, now=now)


def pair_page(
    target: str, vantage: str, rows: Sequence[Row], *, found: TargetHistory, now: datetime, simulated: bool
) -> str:
    """The band of a target at a vantage, and its recent measurements, newest first."""
    title = f"{printable(target, 80)} at {printable(vantage, 64)}"
    return _render(
        "pair.html", simulated=simulated, title=title, target=target, vantage=vantage, rows=rows, now=now,
        found=found, marks=ticks(found.period),
    )  # fmt: skip


def target_page(found: TargetHistory, *, now: datetime, simulated: bool) -> str:
    """One target over time: bands, events, present state, and what others documented."""
    events = found.events()
    return _render(
        "target.html", simulated=simulated, title=printable(found.target, 80), found=found, now=now,
        marks=ticks(found.period), choices=found.choices(now), step=step_words(found.period.step),
        events=events[-MOST_EVENTS:], more_events=len(events[:-MOST_EVENTS]), reported=found.reported(),
    )  # fmt: skip


def evidence_page(measurement: Measurement, verdict: Verdict, *, simulated: bool) -> str:
    """One measurement: the verdict, then every step, the vantage beside the control, experiments and packets."""
    return _render(
        "evidence.html", simulated=simulated, title=f"Measurement {printable(measurement.uid, 90)}",
        m=measurement, verdict=verdict, told=notebook(measurement), packet_head=HEAD,
        replies=[(replies.source(r), r, replies.summary(r)) for r in measurement.control[:32]],
        self_tests=[(test.at, replies.self_test(test)) for test in measurement.self_tests[:8]],
    )  # fmt: skip


def error_page(status: int, reason: str, *, simulated: bool) -> str:
    """What went wrong, in one sentence."""
    return _render("error.html", simulated=simulated, title=f"Error {status}", status=status, reason=reason)
