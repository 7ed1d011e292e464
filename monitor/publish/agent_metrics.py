"""What is counted about agents: requests and measurements that were refused, their clocks, and what waits there."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

REFUSALS = (
    "no_token", "unknown_token", "revoked_token", "unknown_vantage", "foreign_vantage", "plain_http", "too_many",
    "too_many_failures", "too_many_bytes", "busy", "store", "too_large", "too_slow", "batch", "cut",
    "schema", "uid", "time", "vantage", "simulated", "target", "value", "operations", "address", "content", "judging",
)  # fmt: skip
"""Every reason why something is refused: first whole requests, then single measurements."""


class AgentMetrics:
    """Counters start at 0 for every reason; gauges are there from an agent's first contact on."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refusals = Counter(
            "wallwatch_agent_refusals", "Requests of agents, and measurements in them, that were refused.", ["reason"],
            registry=registry,
        )  # fmt: skip
        for reason in REFUSALS:
            self._refusals.labels(reason)
        self._skew = Gauge(
            "wallwatch_agent_clock_skew_seconds", "How far an agent's clock is ahead.", ["vantage"], registry=registry
        )
        self._spooled = Gauge(
            "wallwatch_agent_spooled_measurements", "Measurements that wait at an agent.", ["vantage"],
            registry=registry,
        )  # fmt: skip
        self._vantages: set[str] = set()

    def refused(self, reason: str) -> None:
        """Something was refused, for one of `REFUSALS`."""
        self._refusals.labels(reason).inc()

    def heard(self, vantage: str, *, skew: float | None, spooled: int | None) -> None:
        """What an agent says of itself; None: it does not say."""
        self._vantages.add(vantage)
        if skew is not None:
            self._skew.labels(vantage).set(skew)
        if spooled is not None:
            self._spooled.labels(vantage).set(spooled)

    def keep_only(self, vantages: Iterable[str]) -> None:
        """The series of other vantages disappear."""
        for gone in self._vantages - set(vantages):
            for metric in (self._skew, self._spooled):
                metric.remove_by_labels({"vantage": gone})
        self._vantages &= set(vantages)
