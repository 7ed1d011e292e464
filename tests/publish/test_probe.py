"""`/probe`: the newest measurement in blackbox_exporter's words, checked against what was recorded."""

import asyncio
import subprocess
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from cryptography import x509
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from blocklists import target_of
from monitor.judge.verdict import OUTCOMES, Verdict
from monitor.publish import probe
from probes.dns import DNSLookup
from probes.experiment import AnyOperation
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from tests.scenarios.connection_scenarios import SCENARIOS
from tests.scenarios.harness import Scenario, play

from . import sample
from .serving import Served, served, serving
from .test_prometheus import asked, prometheus
from .tools import tool

TARGET = "https://example.com/"
BLACKBOX = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: blackbox
    metrics_path: /probe
    params: {{module: [web], vantage: [home]}}
    static_configs: [{{targets: ["http://site.example/"]}}]
    relabel_configs:
      - {{source_labels: [__address__], target_label: __param_target}}
      - {{source_labels: [__param_target], target_label: instance}}
      - {{target_label: __address__, replacement: "{address}"}}
"""


def values(measurement: Measurement, verdict: Verdict) -> dict[str, float]:
    """Series, written with their labels' values, of what is said of a measurement."""
    text = probe.render(measurement, verdict, now=sample.NOW, accept="")[0].decode()
    return {
        "/".join([one.name, *one.labels.values()]): one.value for family in read_plain(text) for one in family.samples
    }


@lru_cache
def played(name: str) -> tuple[Measurement, Verdict]:
    """A measurement made in the simulated world."""
    found = {s.name: s for s in SCENARIOS} | {"redirect": Scenario(name="", outcome="ok", url="http://site.example/")}
    result = play(found[name])
    facts = msgspec.structs.replace(result.measurement.vantage, name="home")
    return msgspec.structs.replace(result.measurement, vantage=facts), result.verdict


def test_a_page_behind_a_redirect_is_told_as_it_was_recorded() -> None:
    measurement, verdict = played("redirect")
    found = values(measurement, verdict)
    plain = [op for op in measurement.operations if not isinstance(op, QUICHandshake)]
    first = [op for op in plain if op.attempt == 0]
    pages = sorted((op for op in first if isinstance(op, HTTPRoundTrip)), key=lambda op: op.hop)
    assert [page.status // 100 for page in pages] == [3, 2]
    ways = [[op for op in first if not isinstance(op, DNSLookup) and op.flow == page.flow] for page in pages]
    lookups = [
        [op for op in first if isinstance(op, DNSLookup) and op.hop == hop and op.resolver == "system"
         and op.query_type in ("A", "AAAA") and not op.checking_disabled]
        for hop in (0, 1)
    ]  # fmt: skip
    assert found["probe_success"] == 1
    assert found["probe_http_status_code"] == 200
    assert found["probe_http_redirects"] == 1
    assert found["probe_http_ssl"] == 1
    assert found["probe_ip_protocol"] == 4
    assert found["probe_http_uncompressed_body_length"] == pages[1].body_length > 500
    assert found["probe_http_content_length"] == int(pages[1].header("content-length"))
    resolved = [max(op.finished for op in ops) - min(op.started for op in ops) for ops in lookups]
    assert found["probe_dns_lookup_time_seconds"] == pytest.approx(resolved[0])
    phase = "probe_http_duration_seconds/"
    assert found[phase + "resolve"] == pytest.approx(sum(resolved))
    assert found[phase + "connect"] == pytest.approx(_took(ways, TCPConnect))
    assert found[phase + "tls"] == pytest.approx(_took(ways, TLSHandshake))
    halves = found[phase + "processing"], found[phase + "transfer"]
    assert sum(halves) == pytest.approx(_took(ways, HTTPRoundTrip))
    assert min(halves) > 0
    assert found["probe_http_version"] == 1.1
    assert 0 < found[phase + "connect"] < found["probe_duration_seconds"] <= measurement.duration
    ends = [x509.load_der_x509_certificate(der).not_valid_after_utc for der in measurement.certificates.values()]
    assert found["probe_ssl_earliest_cert_expiry"] == min(ends).timestamp()
    assert found["probe_tls_version_info/TLS 1.3"] == 1
    assert found["wallwatch_probe_outcome_code"] == 1
    assert found["wallwatch_probe_verdict_info//ok/"] == 1
    assert found["wallwatch_simulated"] == 1


def _took(ways: Sequence[Sequence[AnyOperation]], kind: type[AnyOperation]) -> float:
    return sum(op.finished - op.started for way in ways for op in way if isinstance(op, kind))


def test_a_reset_has_no_page_and_no_certificate() -> None:
    measurement, verdict = played("reset after the ClientHello")
    found = values(measurement, verdict)
    assert found["probe_success"] == 0
    assert found["probe_http_status_code"] == found["probe_http_ssl"] == found["probe_http_redirects"] == 0
    assert found["wallwatch_probe_outcome_code"] in (4, 5)
    assert found["probe_http_duration_seconds/tls"] > 0
    missing = ("processing", "content_length", "body_length", "expiry", "tls_version")
    assert not [name for name in found if any(part in name for part in missing)]
    assert verdict.technique is not None
    assert f"wallwatch_probe_verdict_info//{verdict.outcome}/{verdict.technique}" in found


def test_a_page_behind_a_bad_certificate_is_none() -> None:
    measurement, verdict = played("a self-signed certificate here only")
    found = values(measurement, verdict)
    assert verdict.outcome == "blocked"
    assert found["probe_success"] == found["probe_http_status_code"] == found["probe_http_ssl"] == 0
    assert not [name for name in found if "expiry" in name or "tls_version" in name]


def test_what_was_not_tried_is_neither_zero_nor_a_success() -> None:
    measurement, _verdict = sample.calm()
    contact = TCPConnect(
        started=0.1, finished=0.1, address=sample.ADDRESS, port=443, flow=1, failure="not_tried: residual"
    )
    left = msgspec.structs.replace(measurement, operations=(sample.lookup(), contact))
    found = values(left, Verdict(outcome="insufficient", cause="residual"))
    assert found["probe_success"] == 0
    assert found["wallwatch_probe_outcome_code"] == 0
    assert "probe_dns_lookup_time_seconds" in found
    assert not [name for name in found if name.startswith(("probe_http_status", "probe_http_ssl", "probe_ip"))]
    empty = values(msgspec.structs.replace(measurement, operations=()), Verdict(outcome="insufficient"))
    assert {name for name in empty if name.startswith("probe_")} == {"probe_success"}


def test_a_name_that_does_not_exist_has_the_zeros_of_blackbox_exporter() -> None:
    measurement, _verdict = sample.calm()
    lookup = msgspec.structs.replace(sample.lookup(), responses=(), failure="dns_nxdomain_error")
    gone = msgspec.structs.replace(measurement, operations=(lookup,))
    found = values(gone, Verdict(outcome="down", cause="dead"))
    assert found["probe_http_status_code"] == found["probe_http_redirects"] == found["probe_success"] == 0
    assert "probe_ip_protocol" not in found


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_a_site_that_was_reached_is_a_success(outcome: str) -> None:
    found = values(sample.calm()[0], Verdict(outcome=outcome))
    assert found["probe_success"] == (outcome in ("ok", "impaired"))


def test_a_redirect_that_leads_nowhere_is_not_counted() -> None:
    measurement, verdict = sample.calm()
    nowhere = HTTPRoundTrip(
        started=0.5, finished=0.5, hop=1, address="", port=0, url="x:", failure="http_invalid_redirect_location_host"
    )
    found = values(msgspec.structs.replace(measurement, operations=(*measurement.operations, nowhere)), verdict)
    assert (found["probe_http_status_code"], found["probe_http_redirects"]) == (200, 0)


def test_a_body_that_was_cut_has_no_length() -> None:
    measurement, verdict = sample.calm()
    operations = tuple(
        msgspec.structs.replace(op, cut="limit") if isinstance(op, HTTPRoundTrip) else op
        for op in measurement.operations
    )
    found = values(msgspec.structs.replace(measurement, operations=operations), verdict)
    assert "probe_http_uncompressed_body_length" not in found
    assert found["probe_http_content_length"] == -1  # the server did not say


def test_nothing_hostile_becomes_a_label() -> None:
    for measurement, verdict in (sample.hostile(), sample.resets(), sample.forged(), sample.calm()):
        text = probe.render(measurement, verdict, now=sample.NOW, accept="")[0].decode()
        for secret in ("<script>", "\x1b", sample.ADDRESS, measurement.uid, "connection_reset"):
            assert secret not in text
        labels = {name for family in read_plain(text) for one in family.samples for name in one.labels}
        assert labels <= {"phase", "version", "outcome", "technique", "cause"}


def test_the_newest_measurement_is_told_with_its_age(tmp_path: Path) -> None:
    async def use(running: Served) -> None:
        status, text, headers = await running.get(f"/probe?target={quote(TARGET)}&vantage=home&module=web")
        assert status == 200
        assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
        assert "probe_success 1.0" in text.splitlines()
        age = (sample.NOW - sample.BEGAN).total_seconds() - 600
        assert f"wallwatch_probe_age_seconds {age}" in text
        accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
        status, text, headers = await running.get(f"/probe?target={quote(TARGET)}&vantage=home", Accept=accept)
        assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        names = {family.name for family in read_openmetrics(text)}  # type: ignore[no-untyped-call]
        assert names >= {"probe_success", "wallwatch_probe_outcome_code"}

    served(tmp_path, [sample.resets(), sample.calm("later", minutes=10)], use)


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [
        ("", 400, "target: is needed"),
        (f"target={quote(TARGET)}", 400, "vantage: is needed, one of home, second"),
        (f"target={quote(TARGET)}&vantage=home&module=http_2xx", 400, "module: there is only one, web"),
        (f"target={quote(TARGET)}&vantage=%3Cb%3E", 404, "vantage: no such vantage; there are home, second"),
        ("target=https://elsewhere.example/&vantage=home", 404, "target: on no list"),
        ("target=https://example.com&vantage=home", 404, "target: on no list"),
        (f"target={quote(TARGET)}&vantage=second", 404, "has not been measured at this vantage yet"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_is_said_in_a_line(tmp_path: Path, query: str, status: int, reason: str) -> None:
    async def use(running: Served) -> None:
        found, text, headers = await running.get(f"/probe?{query}")
        assert found == status
        assert reason in text and text.count("\n") == 1
        assert headers["Content-Type"].startswith("text/plain")
        assert "probe_success" not in text and "<" not in text

    served(tmp_path, [sample.calm()], use)


def test_promtool_finds_nothing_to_say() -> None:
    for measurement, verdict in (played("redirect"), sample.resets()):
        text = probe.render(measurement, verdict, now=sample.NOW, accept="")[0]
        command = [tool("promtool"), "check", "metrics"]
        done = subprocess.run(command, input=text, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr.decode()) == (0, "")


@pytest.mark.timeout(120)
def test_prometheus_takes_it_by_the_relabelling_of_blackbox_exporter(tmp_path: Path) -> None:
    tool("prometheus")
    made = played("redirect")
    stored = values(*made)

    async def main() -> None:
        async with (
            serving(tmp_path, [made], simulated=True, targets=(target_of("http://site.example/"),)) as running,
            prometheus(tmp_path, running.url.removeprefix("http://"), BLACKBOX) as server,
        ):
            query = f"{server}/api/v1/query"
            for name in ("probe_success", "probe_http_status_code", "probe_ssl_earliest_cert_expiry",
                         "probe_duration_seconds", "wallwatch_probe_score"):  # fmt: skip
                (series,) = (await asked(running, query, query=name))["result"]
                assert series["metric"]["instance"] == "http://site.example/"
                assert float(series["value"][1]) == pytest.approx(stored[name])
            phases = (await asked(running, query, query="probe_http_duration_seconds"))["result"]
            assert len(phases) == 5
            (up,) = (await asked(running, query, query="up"))["result"]
            assert up["value"][1] == "1"

    asyncio.run(main())
