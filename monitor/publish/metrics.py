"""All metrics of the process (CONTRACT.md section 5), in a registry of their own.

An address, a path, an error text, a uid is never a label; a measurement's uid is an exemplar.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from monitor.judge.detect import Event, State
from monitor.judge.verdict import Verdict
from monitor.store import Row
from probes.address import parse
from probes.dns import DNSLookup
from probes.experiment import AnyOperation
from probes.failure import KNOWN
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement, SelfTest, VantageFacts
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from .agent_metrics import AgentMetrics
from .exposition import InTurns, encode
from .pairs import Pairs
from .vantage_metrics import VantageMetrics

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
_EXEMPLAR = 100  # characters of a uid; OpenMetrics allows 128 in all
_PHASES: dict[type[AnyOperation], str] = {
    DNSLookup: "dns",
    TCPConnect: "tcp",
    TLSHandshake: "tls",
    QUICHandshake: "quic",
    HTTPRoundTrip: "http",
}
_STATES = {"blocked": "blocked", "unblocked": "open", "impaired": "impaired"}


class Metrics:
    """What this process counts. Counters start at 0, gauges of targets can be restored from the store."""

    def __init__(self, *, per_target_limit: int = 20_000, simulated: bool = False, version: str = "") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry(auto_describe=False)
        self.pairs = Pairs(per_target_limit)
        self._helpers: dict[str, str] = {}  # helper's URL -> label
        self._about(simulated, version)
        self._measuring()
        self._vantages = VantageMetrics(self.registry)
        self.agents = AgentMetrics(self.registry)
        self._process()

    def _about(self, simulated: bool, version: str) -> None:
        self._gauge("build_info", "The version of Wallwatch.", "version").labels(version).set(1)
        self._gauge("simulated", "1 when the network is simulated: nothing here is about the Internet.").set(simulated)

    def _measuring(self) -> None:
        self._measurements = self._counter("measurements", "Measurements.", "vantage", "outcome", "technique")
        self._failures = self._counter("failures", "Operations that failed.", "vantage", "phase", "failure")
        self._events = self._counter("events", "Confirmed changes of state.", "vantage", "kind")
        self._phase = Histogram(
            "wallwatch_phase_seconds", "How long operations took; of a control: its page, as far as it says.",
            ["vantage", "phase"], buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self._control = self._counter("control_failures", "Requests that a control helper failed.", "helper")

    def _process(self) -> None:
        self._scheduler_lag = self._gauge("scheduler_lag_seconds", "How late the last measurement began.")
        self._loop_lag = self._gauge("event_loop_lag_seconds", "How late the event loop woke up.")
        self._queue = self._gauge("queue_depth", "Writes that wait for the store.")
        self._write = self._gauge("store_write_seconds", "How long the last write took to be on the disk.")
        self._failing = self._gauge("store_failing", "1 while nothing can be written; what waits is tried again.")
        self._spooled = self._gauge("spool_measurements", "Measurements that wait to be handed over.")
        self._dropped = self._gauge("spool_dropped_measurements", "Measurements that a full spool ever dropped.")
        self._reload = self._gauge("config_last_reload_successful", "1 when the configuration was last read well.")
        self._reload.set(1)
        self._reloaded = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When the configuration was last read well."
        )

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"wallwatch_{name}", about, labels, registry=self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"wallwatch_{name}", about, labels, registry=self.registry)

    # Measurements

    def observe(self, measurement: Measurement, verdict: Verdict, events: Sequence[Event] = ()) -> None:
        """Count a measurement, the plain client's operations and the events that it confirmed.

        Contacts of experiments are not counted: an address that runs no resolver is silent as it should be.
        """
        vantage = measurement.vantage.name
        if not self._vantages.has(vantage):
            return
        self._vantages.observe(measurement)
        self._measurements.labels(vantage, verdict.outcome, verdict.technique or "").inc()
        exemplar = {"measurement_id": measurement.uid} if len(measurement.uid) <= _EXEMPLAR else None
        for operation in measurement.operations:
            self._operation(vantage, operation, exemplar)
        for took in _control_seconds(measurement):
            self._phase.labels(vantage, "control").observe(took, exemplar)
        self.pairs.measured((measurement.target, vantage), verdict.outcome, measurement.time, verdict.technique)
        for event in events:
            self._event(event)

    def _operation(self, vantage: str, operation: AnyOperation, exemplar: dict[str, str] | None) -> None:
        phase = _PHASES[type(operation)]
        failure = operation.failure or getattr(operation, "certificate_failure", None)
        if failure:
            self._failures.labels(vantage, phase, failure if failure in KNOWN else "other").inc()
        if not (failure or "").startswith("not_tried"):
            took = max(0.0, operation.finished - operation.started)
            self._phase.labels(vantage, phase).observe(took, exemplar)

    def _event(self, event: Event) -> None:
        self._events.labels(event.vantage, event.kind).inc()
        key = (event.target, event.vantage)
        state = _STATES.get(event.kind) or self.pairs.state(key)
        since = event.before if event.kind in _STATES else None
        self.pairs.changed(key, state, None if state == "open" else event.technique, since)

    def restore(self, rows: Iterable[Row], states: Mapping[tuple[str, str], State]) -> None:
        """Take the gauges from the store's newest measurements and states, of the vantages named by now."""
        contacts: dict[str, float] = {}
        for row in rows:
            if self._vantages.has(row.vantage):
                self.pairs.measured((row.target, row.vantage), row.outcome, row.time, row.technique)
                contacts[row.vantage] = max(contacts.get(row.vantage, 0.0), row.time.timestamp())
        for vantage, timestamp in contacts.items():
            self._vantages.contact(vantage, timestamp)
        self.pairs.restore({key: state for key, state in states.items() if self._vantages.has(key[1])})

    def state(self, target: str, vantage: str, state: State) -> None:
        """The confirmed state of a series, as the store has it."""
        self.pairs.changed((target, vantage), state.state, state.technique, state.since)

    def set_targets(self, targets: Iterable[tuple[str, str, str]]) -> None:
        """(target, site, category) of all configured targets; the series of others disappear."""
        self.pairs.set_targets(targets)

    def set_limit(self, per_target_limit: int) -> None:
        """How many pairs of target and vantage have series of their own."""
        self.pairs.set_limit(per_target_limit)

    # Vantages and controls

    def set_vantages(self, vantages: Sequence[VantageFacts]) -> None:
        """All vantages; the series of others disappear."""
        self._vantages.show(vantages, self._forget)
        self.pairs.set_vantages({vantage.name for vantage in vantages})

    def _forget(self, vantage: str) -> None:
        for metric in (self._measurements, self._failures, self._events, self._phase):
            metric.remove_by_labels({"vantage": vantage})

    def set_vantage(self, name: str, kind: str, country: str, asn: int, as_name: str) -> None:
        """Name a vantage; what was said of it before is replaced."""
        self._vantages.rename(name, kind=kind, country=country, asn=asn, as_name=as_name)

    def restore_vantages(self, newest: Iterable[Measurement]) -> None:
        """Take over what the newest measurement of each vantage says of it."""
        for measurement in newest:
            self._vantages.observe(measurement)

    def vantage_tested(self, facts: VantageFacts, test: SelfTest, timestamp: float) -> None:
        """What a self-test at a time (Unix seconds) says of a vantage; an older one changes nothing."""
        self._vantages.tested(facts, test, timestamp)

    def vantage_up(self, name: str, up: bool) -> None:
        """Whether a vantage passed its last self-test."""
        self._vantages.up(name, up)

    def vantage_contact(self, name: str, timestamp: float) -> None:
        """When (Unix seconds) a vantage was last heard of; an older time changes nothing."""
        self._vantages.contact(name, timestamp)

    def control_failed(self, helper: str) -> None:
        """A helper, by its URL, failed a request."""
        self._control.labels(self._helper(helper)).inc()

    def _helper(self, url: str) -> str:
        """The helper's host name; `helper-N` in the place of an address."""
        if url not in self._helpers:
            try:
                host = urlsplit(url).hostname or ""
            except ValueError:
                host = ""
            self._helpers[url] = host if host and parse(host) is None else f"helper-{len(self._helpers) + 1}"
        return self._helpers[url]

    def job_missed(self, vantage: str) -> None:
        """A measurement could not be begun in time."""
        self._vantages.missed(vantage)

    # The process

    def scheduler_lag(self, seconds: float) -> None:
        """How late a measurement began."""
        self._scheduler_lag.set(seconds)

    def event_loop_lag(self, seconds: float) -> None:
        """How late the event loop woke up."""
        self._loop_lag.set(seconds)

    def queue_depth(self, n: int) -> None:
        """Writes that wait for the store."""
        self._queue.set(n)

    def store_write(self, seconds: float) -> None:
        """How long the last write took."""
        self._write.set(seconds)

    def store_failing(self, failing: bool) -> None:
        """Whether nothing can be written at present."""
        self._failing.set(failing)

    def spool(self, n: int, dropped: int = 0) -> None:
        """Measurements that wait to be handed over, and those that were dropped because there was no room."""
        self._spooled.set(n)
        self._dropped.set(dropped)

    def config_reload(self, successful: bool, timestamp: float = 0.0) -> None:
        """Whether the configuration was last read well, and when (Unix seconds) that was."""
        self._reload.set(successful)
        if successful:
            self._reloaded.set(timestamp)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The exposition and its content type for an Accept header; takes a while, any thread may call it."""
        return encode(InTurns(self.registry), accept, more=self.pairs.text())


def _control_seconds(measurement: Measurement) -> Iterator[float]:
    for reply in measurement.control:
        if reply.page is not None and reply.page.ttfb is not None:
            yield max(0.0, reply.page.ttfb + (reply.page.body_seconds or 0.0))
