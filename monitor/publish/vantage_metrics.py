"""The metrics of vantages: who they are, whether they are fit to say anything, what is wrong, what they cannot see."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics import MetricWrapperBase

from monitor.judge.vantage import QUARANTINE, situations
from probes.measurement import Measurement, SelfTest, VantageFacts

from .vantages import last_test, learned


class VantageMetrics:
    """Gauges of each vantage that was named, or of every one where none was.

    A self-test older than the one that is shown, and a contact that is, change nothing: agents hand in late.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"wallwatch_vantage_{name}", about, ("vantage", *labels), registry=registry)

        self._info = gauge("info", "A vantage point.", "kind", "country", "asn", "as_name")
        self._up = gauge("up", "1 when the vantage passed its last self-test, 0 when it is quarantined.")
        self._contact = gauge("last_contact_timestamp_seconds", "When it last measured.")
        self._situation = gauge("situation", "1: what its last self-test found wrong.", "situation")
        self._skew = gauge("clock_skew_seconds", "By how much its clock is fast.")
        self._not_measured = gauge("not_measured", "1: what cannot be measured from there.", "capability")
        self._tested = gauge("last_self_test_timestamp_seconds", "When it last tested itself.")
        self._missed = Counter(
            "wallwatch_jobs_missed", "Measurements that could not be begun in time.", ["vantage"], registry=registry
        )
        self._facts: dict[str, VantageFacts] = {}
        self._times: dict[tuple[str, str], float] = {}  # (what, vantage) -> Unix seconds
        self._present: dict[tuple[Gauge, str], set[tuple[str, ...]]] = {}  # (metric, vantage) -> its other labels

    @property
    def all(self) -> tuple[MetricWrapperBase, ...]:
        """Every metric here; each has the label `vantage`."""
        return (
            self._info, self._up, self._contact, self._situation, self._skew, self._not_measured, self._tested,
            self._missed,
        )  # fmt: skip

    def has(self, vantage: str) -> bool:
        """Whether the vantage has series; where none was named, every one has."""
        return not self._facts or vantage in self._facts

    def show(self, vantages: Iterable[VantageFacts], forget: Callable[[str], None]) -> None:
        """Name all vantages; the series of others disappear, here and where `forget` makes them."""
        wanted = {vantage.name: vantage for vantage in vantages}
        for gone in self._facts.keys() - wanted.keys():
            for metric in self.all:
                metric.remove_by_labels({"vantage": gone})
            self._times = {key: time for key, time in self._times.items() if key[1] != gone}
            self._present = {key: labels for key, labels in self._present.items() if key[1] != gone}
            forget(gone)
        self._facts = {}
        for vantage in wanted.values():
            self.name(vantage)

    def name(self, vantage: VantageFacts) -> None:
        """Name a vantage; what was said of it before is replaced."""
        self._facts[vantage.name] = vantage
        self._describe(learned(vantage, vantage, SelfTest()))
        self._missed.labels(vantage.name)

    def rename(self, name: str, **changes: Any) -> None:
        """Name a vantage, or say something else of the one with that name; the rest of its facts stays."""
        self.name(msgspec.structs.replace(self._facts.get(name, VantageFacts(name=name)), **changes))

    def _describe(self, vantage: VantageFacts) -> None:
        info = (vantage.kind, vantage.country, str(vantage.asn or ""), vantage.as_name)
        self._exactly(self._info, vantage.name, {info})
        self._exactly(self._not_measured, vantage.name, {(word,) for word in vantage.blind})

    def _exactly(self, gauge: Gauge, vantage: str, wanted: set[tuple[str, ...]]) -> None:
        """Let a vantage have these series at 1 and no others; those that stay are not touched while somebody reads."""
        key = (gauge, vantage)
        before = self._present.get(key, set())
        for labels in before - wanted:
            gauge.remove(vantage, *labels)
        for labels in wanted - before:
            gauge.labels(vantage, *labels).set(1)
        self._present[key] = wanted

    def observe(self, measurement: Measurement) -> None:
        """Take the last self-test beside a measurement."""
        found = last_test(measurement)
        if found is not None:
            self.tested(measurement.vantage, found[1], found[0].timestamp())

    def tested(self, facts: VantageFacts, test: SelfTest, timestamp: float) -> None:
        """What a self-test at a time (Unix seconds) says of the vantage with these facts."""
        name = facts.name
        if not self.has(name) or not self._is_newer("test", name, timestamp):
            return
        found = situations(test, facts)
        self._up.labels(name).set(all(one.effect != QUARANTINE for one in found))
        self._exactly(self._situation, name, {(one.id,) for one in found})
        if test.clock_skew is not None:
            self._skew.labels(name).set(test.clock_skew)
        else:
            self._skew.remove_by_labels({"vantage": name})
        self._tested.labels(name).set(timestamp)
        if name in self._facts:
            self._describe(learned(self._facts[name], facts, test))

    def up(self, name: str, up: bool) -> None:
        """Whether a vantage passed its last self-test."""
        if self.has(name):
            self._up.labels(name).set(up)

    def contact(self, name: str, timestamp: float) -> None:
        """When (Unix seconds) a vantage was last heard of."""
        if self.has(name) and self._is_newer("contact", name, timestamp):
            self._contact.labels(name).set(timestamp)

    def missed(self, name: str) -> None:
        """A measurement could not be begun in time."""
        if self.has(name):
            self._missed.labels(name).inc()

    def _is_newer(self, what: str, vantage: str, timestamp: float) -> bool:
        if timestamp < self._times.get((what, vantage), timestamp):
            return False
        self._times[what, vantage] = timestamp
        return True
