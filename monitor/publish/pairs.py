"""The metrics of each target at each vantage, made from a plain table when they are asked for.

prometheus_client keeps an object per series; 20,000 pairs with six series each are cheaper as rows.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice

import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from monitor.judge.detect import State, state_of
from monitor.judge.verdict import OUTCOME_CODE

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
        with self._lock:
            rows = list(islice(self._rows.items(), self._limit))
            left_out = len(self._rows) - len(rows)
            targets = list(islice((self._targets or {}).items(), self._limit))
        yield from _families(rows)
        info = _family("info", "A target's site and category.")
        for target, (site, category) in targets:
            info.samples.append(_sample("info", {"target": target, "site": site, "category": category}, 1))
        yield info
        yield GaugeMetricFamily("wallwatch_targets_left_out", "Pairs above per_target_limit, without series.", left_out)


def _families(rows: list[tuple[Key, Pair]]) -> Iterator[Metric]:
    families = {name: _family(name, about) for name, about in _ABOUT.items()}
    for (target, vantage), pair in rows:
        labels = {"target": target, "vantage": vantage}
        values: dict[str, float | None] = {
            "outcome_code": OUTCOME_CODE.get(pair.outcome),
            "blocked": float(pair.state == "blocked") if pair.state else None,
            "last_measurement_timestamp_seconds": pair.measured or None,
            "state_changed_timestamp_seconds": pair.since,
        }
        for name, value in values.items():
            if value is not None:
                families[name].samples.append(_sample(name, labels, value))
        if pair.state == "blocked":
            labels = {**labels, "technique": pair.technique}
            families["technique_info"].samples.append(_sample("technique_info", labels, 1))
    return iter(families.values())


_ABOUT = {
    "outcome_code": "Last outcome: 0 insufficient, 1 ok, 2 down, 3 impaired, 4 likely_blocked, 5 blocked.",
    "blocked": "1 while the confirmed state is blocked; kept through insufficient and down.",
    "technique_info": "How the target is blocked, while it is.",
    "last_measurement_timestamp_seconds": "When the target was last measured.",
    "state_changed_timestamp_seconds": "Since when the confirmed state holds.",
}


def _family(name: str, about: str) -> Metric:
    return Metric(_P + name, about, "gauge")


def _sample(name: str, labels: dict[str, str], value: float) -> Sample:
    return Sample(_P + name, labels, value)
