"""A registry as Prometheus' text format, or as OpenMetrics where the Accept header asks for it."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics

from monitor.turns import in_turns

_PLAIN = "text/plain; version=0.0.4; charset=utf-8"
_END = b"# EOF\n"


def encode(registry: "CollectorRegistry | InTurns", accept: str, *, more: bytes = b"") -> tuple[bytes, str]:
    """A registry's exposition and its content type for an Accept header. `more`: gauges that are text already."""
    if _wants_openmetrics(accept):
        text = bytes(openmetrics.generate_latest(registry))  # type: ignore[no-untyped-call]
        return text.removesuffix(_END) + more + _END, openmetrics.CONTENT_TYPE_LATEST
    return generate_latest(registry) + more, _PLAIN


class InTurns:
    """A large registry, whose series come in turns with other threads' work: the library asks for them one by one.

    For a thread of its own, as `monitor.turns` is.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Each family."""
        for family in self._registry.collect():
            family.samples = in_turns(family.samples)  # type: ignore[assignment]
            yield family


def _wants_openmetrics(accept: str) -> bool:
    kinds = [part.split(";") for part in accept.lower().split(",")]
    return any(
        kind.strip() == "application/openmetrics-text" and not any(p.strip() in ("q=0", "q=0.0") for p in parameters)
        for kind, *parameters in kinds
    )
