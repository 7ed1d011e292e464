"""The metrics of each target at each vantage, made from a plain table when they are asked for.

prometheus_client keeps an object per series and writes each label anew; 20,000 pairs with up to five series each are
rows, and their text is written here in a fifth of the time. `collect` says the same by the library's own means:
the documentation and the tests go by it.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice

import msgspec
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

from monitor.judge.detect import State, state_of
from monitor.judge.verdict import OUTCOME_CODE
from monitor.turns import in_turns

_P = "wallwatch_target_"
Key = tuple[str, str]  # target, vantage


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Where one target stands at one vantage. `state` as in `judge.detect.State`; times in Unix seconds."""

    outcome: str = ""
    measured: float = 0.0
    state: str = ""
    technique: str = ""
    since: float | None = None


class Pairs(Collector):
    """The table. Written by the event loop, read by the thread that renders; hence the lock."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[Key, Pair] = {}
        self._targets: dict[str, tuple[str, str]] | None = None  # None: any target
        self._vantages: frozenset[str] | None = None  # None: any vantage
        self._lock = threading.Lock()

    def set_targets(self, targets: Iterable[tuple[str, str, str]]) -> None:
        """(target, site, category) of all that have series; the rows of others go."""
        known = {target: (site, category) for target, site, category in targets}
        with self._lock:
            self._targets = known
            self._rows = {key: pair for key, pair in self._rows.items() if self._wanted(key)}

    def set_vantages(self, vantages: Iterable[str]) -> None:
        """All vantages that have series; the rows of others go."""
        with self._lock:
            self._vantages = frozenset(vantages)
            self._rows = {key: pair for key, pair in self._rows.items() if self._wanted(key)}

    def set_limit(self, limit: int) -> None:
        """How many pairs have series."""
        self._limit = limit

    def measured(self, key: Key, outcome: str, time: datetime, technique: str | None) -> None:
        """Take a measurement's outcome; an older one than the last changes nothing.

        The first evidence sets a series' state (CONTRACT.md section 3); later ones change it by events only.
        """
        with self._lock:
            old = self._rows.get(key, Pair())
            at = time.timestamp()
            if at < old.measured or not self._wanted(key):
                return
            new = msgspec.structs.replace(old, outcome=outcome, measured=at)
            state = state_of(outcome)
            if not old.state and state:
                new = msgspec.structs.replace(new, state=state, technique=technique or "", since=at)
            self._rows[key] = new

    def changed(self, key: Key, state: str, technique: str | None, since: datetime | None) -> None:
        """Take the confirmed state; an empty one changes nothing. `since` None: since when it was."""
        with self._lock:
            if state and self._wanted(key):
                old = self._rows.get(key, Pair())
                self._rows[key] = msgspec.structs.replace(
                    old,
                    state=state,
                    technique=technique or "",
                    since=since.timestamp() if since else old.since,
                )

    def restore(self, states: Mapping[Key, State]) -> None:
        """Take the confirmed states from the store."""
        for key, state in states.items():
            self.changed(key, state.state, state.technique, state.since)

    def state(self, key: Key) -> str:
        """The confirmed state, empty where none is known."""
        return self._rows.get(key, Pair()).state

    def _wanted(self, key: Key) -> bool:
        target, vantage = key
        known = self._targets is None or target in self._targets
        return known and (self._vantages is None or vantage in self._vantages)

    def collect(self) -> Iterator[Metric]:
        """The series, of the first `limit` pairs and targets."""
        rows, targets, left_out = self._shown()
        families = {name: Metric(name, about, "gauge") for name, about in _ABOUT.items()}
        for name, labels, value in _samples(rows, targets, left_out):
            families[name].samples.append(Sample(name, labels, value))
        yield from families.values()

    def text(self) -> bytes:
        """The same in the text format, which for gauges is that of OpenMetrics too."""
        rows, targets, left_out = self._shown()
        written: dict[str, list[str]] = {
            name: [f"# HELP {name} {about}\n# TYPE {name} gauge\n"] for name, about in _ABOUT.items()
        }
        words: dict[str, str] = {}  # a label's value -> how it is written
        last, inside = {"": ""}, ""
        for name, labels, value in in_turns(_samples(rows, targets, left_out)):
            if labels is not last:  # a row's series share them
                for word in labels.values():
                    if word not in words:
                        words[word] = word.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
                inside = ",".join([f'{label}="{words[labels[label]]}"' for label in sorted(labels)])
                last, inside = labels, f"{{{inside}}}" if inside else ""
            written[name].append(f"{name}{inside} {floatToGoString(value)}\n")  # type: ignore[no-untyped-call]
        return "".join(line for lines in written.values() for line in lines).encode()

    def _shown(self) -> tuple[list[tuple[Key, Pair]], list[tuple[str, tuple[str, str]]], int]:
        """Rows, targets and how many rows are left out."""
        with self._lock:
            rows = list(islice(self._rows.items(), self._limit))
            return rows, list(islice((self._targets or {}).items(), self._limit)), len(self._rows) - len(rows)


def _samples(
    rows: Iterable[tuple[Key, Pair]], targets: Iterable[tuple[str, tuple[str, str]]], left_out: int
) -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, labels, value of every series."""
    for (target, vantage), pair in rows:
        labels = {"target": target, "vantage": vantage}
        if pair.outcome in OUTCOME_CODE:
            yield _OUTCOME, labels, OUTCOME_CODE[pair.outcome]
        if pair.state:
            yield _BLOCKED, labels, pair.state == "blocked"
        if pair.state == "blocked":
            yield _TECHNIQUE, {**labels, "technique": pair.technique}, 1
        if pair.measured:
            yield _MEASURED, labels, pair.measured
        if pair.since is not None:
            yield _CHANGED, labels, pair.since
    for target, (site, category) in targets:
        yield _INFO, {"target": target, "site": site, "category": category}, 1
    yield _LEFT_OUT, {}, left_out


_OUTCOME, _BLOCKED, _TECHNIQUE = f"{_P}outcome_code", f"{_P}blocked", f"{_P}technique_info"
_MEASURED, _CHANGED = f"{_P}last_measurement_timestamp_seconds", f"{_P}state_changed_timestamp_seconds"
_INFO, _LEFT_OUT = f"{_P}info", "wallwatch_targets_left_out"
_ABOUT = {
    _OUTCOME: "Last outcome: 0 insufficient, 1 ok, 2 down, 3 impaired, 4 likely_blocked, 5 blocked.",
    _BLOCKED: "1 while the confirmed state is blocked; kept through insufficient and down.",
    _TECHNIQUE: "How the target is blocked, while it is.",
    _MEASURED: "When the target was last measured.",
    _CHANGED: "Since when the confirmed state holds.",
    _INFO: "A target's site and category.",
    _LEFT_OUT: "Pairs above per_target_limit, without series.",
}
