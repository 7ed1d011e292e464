"""`GET /probe`: the newest stored measurement in the words of blackbox_exporter. It never causes a probe.

The metrics tell of the plain client's first look. What was not recorded has no sample; 0 stands only where
blackbox_exporter says 0 for it, too. Names and meanings: prometheus/blackbox_exporter, prober/http.go.
"""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from aiohttp import web
from cryptography import x509
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from monitor.judge.verdict import OUTCOME_CODE, Verdict
from monitor.store import Store
from probes.address import is_ipv6
from probes.capability import CLIENT
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement

from .certificate import FAULTS
from .exposition import encode
from .way import Hop, span, walked

MODULE = "web"
SUCCESS = ("ok", "impaired")  # the outcomes in which the plain client reached the site (CONTRACT.md section 2)
_TLS_VERSIONS = {"TLSv1": "TLS 1.0", "TLSv1.1": "TLS 1.1", "TLSv1.2": "TLS 1.2", "TLSv1.3": "TLS 1.3"}  # as Go has it


async def respond(
    store: Store, request: web.Request, *, targets: Collection[str], vantages: Sequence[str], now: datetime
) -> web.Response:
    """The answer: metrics, or 400 and 404 with the reason as plain text."""
    fault = _fault(request, targets, vantages)
    if fault is not None:
        return fault
    vantage = request.query.get("vantage") or vantages[0]
    rows = await store.recent(request.query["target"], vantage, 1)
    found = await store.measurement(rows[0].uid) if rows else None
    if found is None:
        return _refuse(404, "this target has not been measured at this vantage yet")
    body, kind = await asyncio.to_thread(render, *found, now=now, accept=request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": kind})


def _fault(request: web.Request, targets: Collection[str], vantages: Sequence[str]) -> web.Response | None:
    target, vantage = request.query.get("target", ""), request.query.get("vantage", "")
    if request.query.get("module", MODULE) != MODULE:
        return _refuse(400, f"module: there is only one, {MODULE}")
    if not target:
        return _refuse(400, "target: is needed, a URL as the list has it")
    if not vantage and len(vantages) != 1:
        return _refuse(400, f"vantage: is needed, one of {', '.join(vantages)}")
    if vantage and vantage not in vantages:
        return _refuse(404, f"vantage: no such vantage; there are {', '.join(vantages)}")
    if target not in targets:
        return _refuse(404, "target: on no list of this service, or not written as the list has it")
    return None


def _refuse(status: int, reason: str) -> web.Response:
    return web.Response(status=status, text=reason + "\n")


def render(measurement: Measurement, verdict: Verdict, *, now: datetime, accept: str) -> tuple[bytes, str]:
    """The exposition and its content type for an Accept header."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Told(measurement, verdict, now))
    return encode(registry, accept)


class Told(Collector):
    """The families of one measurement."""

    def __init__(self, measurement: Measurement, verdict: Verdict, now: datetime) -> None:
        self._measurement, self._verdict, self._now = measurement, verdict, now

    def collect(self) -> Iterator[Metric]:
        """All families that have a sample."""
        way = walked(self._measurement)
        success = self._verdict.outcome in SUCCESS
        if not success or CLIENT not in self._measurement.vantage.blind:  # from outside nobody knows what it reaches
            yield _gauge("probe_success", "1 where the plain client reached the site: ok or impaired.", float(success))
        yield from _durations(way)
        yield from _page(way)
        yield from _connection(way, self._measurement)
        yield from _verdict(self._measurement, self._verdict, self._now)


def _durations(way: Sequence[Hop]) -> Iterator[Metric]:
    steps = [op for hop in way for op in (*hop.lookups, hop.connect, hop.handshake, hop.page) if op is not None]
    took = span(steps)
    if took is not None:
        yield _gauge("probe_duration_seconds", "How long the plain client's first look took.", took)
    if way and way[0].resolve is not None:
        yield _gauge("probe_dns_lookup_time_seconds", "How long its first name took to resolve.", way[0].resolve)
    phases: dict[str, list[float | None]] = {
        "resolve": [hop.resolve for hop in way],
        "connect": [span([hop.connect]) for hop in way if hop.connect],
        "tls": [span([hop.handshake]) for hop in way if hop.handshake],
        "processing": [_waited(hop.page) for hop in way if hop.page],
        "transfer": [_transferred(hop.page) for hop in way if hop.page],
    }
    family = GaugeMetricFamily(
        "probe_http_duration_seconds", "Duration by phase, summed over all redirects.", labels=["phase"]
    )
    for phase, found in phases.items():
        seconds = [one for one in found if one is not None]
        if seconds:
            family.add_metric([phase], sum(seconds))
    if family.samples:
        yield family


def _waited(page: HTTPRoundTrip) -> float:
    """Seconds from the request to the first byte of the answer, or to the end where none came."""
    return max(0.0, (page.finished if page.first_byte is None else page.first_byte) - page.started)


def _transferred(page: HTTPRoundTrip) -> float | None:
    return None if page.first_byte is None else max(0.0, page.finished - page.first_byte)


def _page(way: Sequence[Hop]) -> Iterator[Metric]:
    """Of the last response; where there was none though it was asked for, the zeros that blackbox_exporter gives."""
    if not way or way[-1].was_left:
        return
    last = way[-1].response
    about = "Status of the last response; 0: there was none."
    yield _gauge("probe_http_status_code", about, last.status if last else 0)
    yield _gauge("probe_http_redirects", "Redirects that were followed.", len(way) - 1)
    secured = last is not None and last.url.startswith("https:")
    yield _gauge("probe_http_ssl", "1 where the last response came over TLS.", secured)
    if last is not None:
        yield from _version(last.version)
        length = last.header("content-length").strip()
        known = length.isascii() and length.isdigit() and len(length) < 16
        yield _gauge("probe_http_content_length", "Its Content-Length; -1: unknown.", int(length) if known else -1)
        if not last.cut and last.failure is None:
            about = "Length of its body without the content coding."
            yield _gauge("probe_http_uncompressed_body_length", about, last.body_length)


def _version(version: str) -> Iterator[Metric]:
    """The version of HTTP as a number, where it was recorded."""
    if version in ("1.0", "1.1"):
        yield _gauge("probe_http_version", "The version of HTTP of the last response.", float(version))


def _connection(way: Sequence[Hop], measurement: Measurement) -> Iterator[Metric]:
    if way and way[0].connect is not None:
        about = "4 or 6: the protocol of the first connection."
        yield _gauge("probe_ip_protocol", about, 6 if is_ipv6(way[0].connect.address) else 4)
    handshake = way[-1].handshake if way and way[-1].response else None
    if handshake is None:
        return
    version = _TLS_VERSIONS.get(handshake.version)
    if version:
        family = GaugeMetricFamily("probe_tls_version_info", "The version of TLS.", labels=["version"])
        family.add_metric([version], 1)
        yield family
    ends = [_end(measurement.certificates.get(digest)) for digest in handshake.chain]
    known = [end for end in ends if end is not None]
    if known and len(known) == len(ends):
        about = "When (Unix seconds) the first certificate of the chain expires."
        yield _gauge("probe_ssl_earliest_cert_expiry", about, min(known))


def _end(der: bytes | None) -> float | None:
    """When a certificate expires; None where it was not kept or cannot be read."""
    if not der:
        return None
    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    except FAULTS:
        return None


def _verdict(measurement: Measurement, verdict: Verdict, now: datetime) -> Iterator[Metric]:
    about = "0 insufficient, 1 ok, 2 down, 3 impaired, 4 likely_blocked, 5 blocked."
    code = OUTCOME_CODE.get(verdict.outcome)
    if code is not None:
        yield _gauge("wallwatch_probe_outcome_code", about, code)
    info = GaugeMetricFamily(
        "wallwatch_probe_verdict_info", "What the rules conclude.", labels=["outcome", "technique", "cause"]
    )
    info.add_metric([verdict.outcome, verdict.technique or "", verdict.cause or ""], 1)
    yield info
    yield _gauge("wallwatch_probe_score", "The probability that interference was present.", verdict.score)
    age = max(0.0, (now - measurement.time).total_seconds())
    yield _gauge("wallwatch_probe_age_seconds", "How long ago the measurement began.", age)
    simulated = "1 when the network is simulated: nothing here is about the Internet."
    yield _gauge("wallwatch_simulated", simulated, measurement.vantage.simulated)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(name, about, value)
