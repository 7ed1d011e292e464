"""The metrics: names, types, labels, and what they say."""

import subprocess
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from monitor.judge.detect import Event, State
from monitor.judge.verdict import Verdict
from monitor.publish.metrics import Metrics
from monitor.store import Row
from probes.measurement import VantageFacts
from probes.tcp import TCPConnect

from . import sample, tried
from .tools import tool

TARGET = "https://example.com/"
PAIR = ("target", "vantage")
CONTRACT = {
    "wallwatch_target_outcome_code": ("gauge", PAIR),
    "wallwatch_target_blocked": ("gauge", PAIR),
    "wallwatch_target_technique_info": ("gauge", (*PAIR, "technique")),
    "wallwatch_target_last_measurement_timestamp_seconds": ("gauge", PAIR),
    "wallwatch_target_state_changed_timestamp_seconds": ("gauge", PAIR),
    "wallwatch_target_info": ("gauge", ("target", "site", "category")),
    "wallwatch_vantage_info": ("gauge", ("vantage", "kind", "country", "asn", "as_name")),
    "wallwatch_build_info": ("gauge", ("version",)),
    "wallwatch_measurements": ("counter", ("vantage", "outcome", "technique")),
    "wallwatch_failures": ("counter", ("vantage", "phase", "failure")),
    "wallwatch_phase_seconds": ("histogram", ("vantage", "phase")),
    "wallwatch_vantage_up": ("gauge", ("vantage",)),
    "wallwatch_vantage_last_contact_timestamp_seconds": ("gauge", ("vantage",)),
    "wallwatch_vantage_situation": ("gauge", ("vantage", "situation")),
    "wallwatch_vantage_clock_skew_seconds": ("gauge", ("vantage",)),
    "wallwatch_vantage_not_measured": ("gauge", ("vantage", "capability")),
    "wallwatch_vantage_last_self_test_timestamp_seconds": ("gauge", ("vantage",)),
    "wallwatch_events": ("counter", ("vantage", "kind")),
    "wallwatch_control_failures": ("counter", ("helper",)),
    "wallwatch_jobs_missed": ("counter", ("vantage",)),
    "wallwatch_scheduler_lag_seconds": ("gauge", ()),
    "wallwatch_event_loop_lag_seconds": ("gauge", ()),
    "wallwatch_queue_depth": ("gauge", ()),
    "wallwatch_store_write_seconds": ("gauge", ()),
    "wallwatch_store_failing": ("gauge", ()),
    "wallwatch_spool_measurements": ("gauge", ()),
    "wallwatch_spool_dropped_measurements": ("gauge", ()),
    "wallwatch_config_last_reload_successful": ("gauge", ()),
}
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
BLOCKED = Verdict(outcome="blocked", technique="tls.reset.sni", techniques=("tls.reset.sni",), score=0.99)
INSUFFICIENT = Verdict(outcome="insufficient", cause="no_control")


def event(kind: str = "blocked", technique: str = "tls.reset") -> Event:
    return Event(
        target=TARGET, vantage="home", kind=kind, after=sample.BEGAN, before=sample.BEGAN + timedelta(minutes=5),
        detected_at=sample.BEGAN + timedelta(minutes=9), technique=technique, confidence=0.9, measurements=2,
    )  # fmt: skip


def full() -> Metrics:
    """Everything happened once."""
    metrics = Metrics(version="1.2.3")
    metrics.set_targets([(TARGET, "example.com", "NEWS")])
    metrics.set_vantages([VantageFacts(name="home", country="CN", blind=("quic",))])
    metrics.set_vantage("home", "direct", "CN", 4134, "CHINANET")
    metrics.observe(*sample.resets(), [event()])
    metrics.vantage_up("home", True)
    metrics.vantage_contact("home", 1.5)
    metrics.control_failed("https://th.example/")
    metrics.job_missed("home")
    metrics.scheduler_lag(0.1)
    metrics.event_loop_lag(0.2)
    metrics.queue_depth(3)
    metrics.store_write(0.4)
    metrics.store_failing(True)
    metrics.spool(5)
    metrics.config_reload(False)
    return metrics


def families(metrics: Metrics, accept: str = OPENMETRICS) -> dict[str, Metric]:
    text = metrics.render(accept)[0].decode()
    read = read_openmetrics if accept == OPENMETRICS else read_plain
    found = read(text)
    return {family.name: family for family in found}


def value(metrics: Metrics, sample_name: str, **labels: str) -> float | None:
    for family in families(metrics).values():
        for one in family.samples:
            if one.name == sample_name and labels.items() <= one.labels.items():
                return float(one.value)
    return None


@pytest.mark.parametrize("accept", [OPENMETRICS, "text/plain"])
def test_every_metric_of_the_contract_is_there_with_its_type_and_labels(accept: str) -> None:
    found = families(full(), accept)
    for name, (kind, labels) in CONTRACT.items():
        assert found[name].type == kind, name
        assert found[name].samples, name
        for one in found[name].samples:
            assert set(one.labels) - {"le"} == set(labels), name
    extra = set(found) - set(CONTRACT)
    assert extra == {
        "wallwatch_simulated", "wallwatch_targets_left_out", "wallwatch_config_last_reload_success_timestamp_seconds",
        "wallwatch_agent_refusals", "wallwatch_agent_clock_skew_seconds", "wallwatch_agent_spooled_measurements",
    }  # fmt: skip


def test_the_format_is_negotiated() -> None:
    metrics = full()
    assert metrics.render(OPENMETRICS)[1].startswith("application/openmetrics-text; version=1.0.0")
    for accept in ("", "*/*", "text/plain", "application/openmetrics-text;q=0, text/plain", ";;,\x00"):
        assert metrics.render(accept)[1].startswith("text/plain; version=0.0.4")
    assert b"_created" not in metrics.render(OPENMETRICS)[0]


def test_quic_handshakes_have_a_phase_and_experiments_are_not_counted() -> None:
    metrics = Metrics()
    measurement, verdict = tried.tried()
    lost = tried.quic(tried.NAME, 1.0, port=443, address=sample.ADDRESS, failure=tried.TIMEOUT)
    made = msgspec.structs.replace(measurement, operations=(*measurement.operations, lost))
    metrics.observe(made, verdict, [])
    assert value(metrics, "wallwatch_phase_seconds_count", phase="quic") == 2
    assert value(metrics, "wallwatch_phase_seconds_sum", phase="quic") == pytest.approx(10.05)
    assert value(metrics, "wallwatch_failures_total", phase="quic", failure=tried.TIMEOUT) == 1
    assert value(metrics, "wallwatch_failures_total", phase="tls", failure="connection_reset") == 4
    assert value(metrics, "wallwatch_failures_total", phase="dns") is None


def test_values() -> None:
    metrics = full()
    assert value(metrics, "wallwatch_target_outcome_code", target=TARGET, vantage="home") == 4
    assert value(metrics, "wallwatch_target_blocked") == 1
    assert value(metrics, "wallwatch_target_technique_info", technique="tls.reset") == 1
    assert value(metrics, "wallwatch_target_last_measurement_timestamp_seconds") == sample.BEGAN.timestamp()
    changed = value(metrics, "wallwatch_target_state_changed_timestamp_seconds")
    assert changed == event().before.timestamp()
    assert value(metrics, "wallwatch_target_info", site="example.com", category="NEWS") == 1
    assert value(metrics, "wallwatch_vantage_info", asn="4134", as_name="CHINANET") == 1
    assert value(metrics, "wallwatch_build_info", version="1.2.3") == 1
    counted = value(metrics, "wallwatch_measurements_total", outcome="likely_blocked", technique="tls.reset")
    assert counted == 1
    assert value(metrics, "wallwatch_failures_total", phase="tls", failure="connection_reset") == 4
    assert value(metrics, "wallwatch_phase_seconds_count", phase="dns") == 4
    assert value(metrics, "wallwatch_phase_seconds_sum", phase="control") == pytest.approx(0.6)
    assert value(metrics, "wallwatch_events_total", kind="blocked") == 1
    assert value(metrics, "wallwatch_config_last_reload_successful") == 0
    assert value(metrics, "wallwatch_simulated") == 0
    assert value(Metrics(simulated=True), "wallwatch_simulated") == 1


def test_exemplars_name_the_measurement() -> None:
    buckets = families(full())["wallwatch_phase_seconds"].samples
    named = [one.exemplar.labels for one in buckets if one.exemplar]
    assert named and all(labels == {"measurement_id": sample.resets()[0].uid} for labels in named)
    long = Metrics()
    long.observe(*sample.resets("u" * 500))
    assert value(long, "wallwatch_phase_seconds_count", phase="tls") == 4


def test_a_failure_that_is_not_known_is_other() -> None:
    metrics = Metrics()
    metrics.observe(*sample.hostile())
    assert value(metrics, "wallwatch_failures_total", phase="dns", failure="other") == 1
    assert b"<script>" not in metrics.render("")[0].replace(b"example.com/<script>", b"")


def test_a_contact_that_was_not_made_takes_no_time() -> None:
    metrics = Metrics()
    skipped = TCPConnect(started=0, finished=0, address="192.0.2.1", port=1, failure="not_tried: residual")
    metrics.observe(msgspec.structs.replace(sample.calm()[0], operations=(skipped,)), sample.OK)
    assert value(metrics, "wallwatch_failures_total", failure="not_tried: residual") == 1
    assert value(metrics, "wallwatch_phase_seconds_count", phase="tcp") is None


def test_the_confirmed_state_is_kept_through_insufficient_and_down() -> None:
    metrics = full()
    for minutes, verdict, code in ((20, INSUFFICIENT, 0), (30, Verdict(outcome="down", cause="dead"), 2)):
        metrics.observe(sample.calm(minutes=minutes)[0], verdict)
        assert value(metrics, "wallwatch_target_outcome_code") == code
        assert value(metrics, "wallwatch_target_blocked") == 1
        assert value(metrics, "wallwatch_target_technique_info") == 1
    metrics.observe(sample.calm(minutes=40)[0], sample.OK, [event("unblocked", "tls.reset")])
    assert value(metrics, "wallwatch_target_blocked") == 0
    assert value(metrics, "wallwatch_target_technique_info") is None


def test_one_contrary_measurement_changes_no_confirmed_state() -> None:
    metrics = Metrics()
    metrics.observe(sample.calm()[0], sample.OK)
    metrics.observe(sample.calm(minutes=1)[0], BLOCKED)
    assert value(metrics, "wallwatch_target_outcome_code") == 5
    assert value(metrics, "wallwatch_target_blocked") == 0


def test_without_evidence_there_is_no_state_and_so_no_series() -> None:
    metrics = Metrics()
    metrics.observe(sample.calm()[0], INSUFFICIENT)
    assert value(metrics, "wallwatch_target_outcome_code") == 0
    assert value(metrics, "wallwatch_target_blocked") is None


def test_another_technique_leaves_the_date() -> None:
    metrics = full()
    before = value(metrics, "wallwatch_target_state_changed_timestamp_seconds")
    metrics.observe(sample.calm(minutes=9)[0], BLOCKED, [event("technique_changed", "dns.nxdomain")])
    assert value(metrics, "wallwatch_target_technique_info", technique="dns.nxdomain") == 1
    assert value(metrics, "wallwatch_target_technique_info", technique="tls.reset") is None
    assert value(metrics, "wallwatch_target_state_changed_timestamp_seconds") == before


def test_a_late_arrival_does_not_replace_the_newest() -> None:
    metrics = Metrics()
    metrics.observe(sample.calm(minutes=9)[0], BLOCKED)
    metrics.observe(sample.calm(minutes=1)[0], sample.OK)
    assert value(metrics, "wallwatch_target_outcome_code") == 5


def row(target: str = TARGET, vantage: str = "home", minutes: float = 0) -> Row:
    return Row("u", sample.BEGAN + timedelta(minutes=minutes), target, vantage, "example.com", "NEWS", "CN", 1, 1.0,
               "insufficient", None, "offline", 0.1, "Offline.", (), 1)  # fmt: skip


def test_a_restart_keeps_the_gauges() -> None:
    metrics = Metrics()
    metrics.set_targets([(TARGET, "example.com", "NEWS")])
    metrics.set_vantage("home", "direct", "", 0, "")
    state = State(state="blocked", technique="dns.nxdomain", since=sample.BEGAN)
    metrics.restore(
        [row(), row(vantage="gone"), row(target="gone")], {(TARGET, "home"): state, ("gone", "home"): state}
    )
    assert value(metrics, "wallwatch_target_outcome_code", vantage="home") == 0
    assert value(metrics, "wallwatch_target_blocked", vantage="home") == 1
    assert value(metrics, "wallwatch_target_technique_info", technique="dns.nxdomain") == 1
    assert value(metrics, "wallwatch_target_state_changed_timestamp_seconds") == sample.BEGAN.timestamp()
    assert value(metrics, "wallwatch_vantage_last_contact_timestamp_seconds") == sample.BEGAN.timestamp()
    assert value(metrics, "wallwatch_measurements_total") is None
    assert b"gone" not in metrics.render("")[0]


def test_the_stores_word_on_the_state_counts() -> None:
    metrics = full()
    metrics.state(TARGET, "home", State(state="open", since=sample.NOW))
    assert value(metrics, "wallwatch_target_blocked") == 0
    metrics.state(TARGET, "home", State())
    assert value(metrics, "wallwatch_target_blocked") == 0


def test_series_of_removed_targets_disappear() -> None:
    metrics = full()
    metrics.set_targets([("https://other.example/", "other.example", "NEWS")])
    metrics.observe(*sample.resets())
    text = metrics.render("")[0].decode()
    assert TARGET not in text
    assert "https://other.example/" in text


def test_series_of_removed_vantages_disappear_and_do_not_come_back() -> None:
    metrics, other = full(), VantageFacts(name="other")
    metrics.set_vantages([sample.VANTAGE, other])
    assert value(metrics, "wallwatch_measurements_total", vantage="home") == 1
    metrics.set_vantages([other])
    assert b'"home"' not in metrics.render("")[0]
    metrics.observe(*sample.resets())  # it was under way
    metrics.vantage_up("home", True)
    metrics.vantage_contact("home", 1.0)
    metrics.job_missed("home")
    metrics.state(TARGET, "home", State(state="blocked", technique="tls.reset", since=sample.BEGAN))
    metrics.restore([row()], {(TARGET, "home"): State(state="open", since=sample.BEGAN)})
    assert b'"home"' not in metrics.render("")[0]
    metrics.set_vantages([sample.VANTAGE, other])
    metrics.observe(*sample.resets())
    assert value(metrics, "wallwatch_measurements_total", vantage="home") == 1


def test_the_last_good_reload_keeps_its_time() -> None:
    metrics = Metrics()
    metrics.config_reload(True, 5.0)
    metrics.config_reload(False, 9.0)
    assert value(metrics, "wallwatch_config_last_reload_successful") == 0
    assert value(metrics, "wallwatch_config_last_reload_success_timestamp_seconds") == 5.0
    metrics.config_reload(True, 9.0)
    assert value(metrics, "wallwatch_config_last_reload_success_timestamp_seconds") == 9.0


def test_the_limit_can_change() -> None:
    metrics = Metrics(per_target_limit=3)
    metrics.restore([row(target=f"t{n}", minutes=n) for n in range(5)], {})
    metrics.set_limit(4)
    assert value(metrics, "wallwatch_targets_left_out") == 1


def test_the_text_of_the_pairs_is_what_the_library_writes() -> None:
    hostile = 'https://a.example/"\\n\n{x="y"}é\u202e'
    metrics = full()
    metrics.set_targets([(TARGET, "example.com", "NEWS"), (hostile, "a.example", 'N"')])
    metrics.observe(msgspec.structs.replace(sample.calm()[0], target=hostile), sample.calm()[1])
    registry = CollectorRegistry()
    registry.register(metrics.pairs)
    assert hostile in {labels["target"] for f in metrics.pairs.collect() for _name, labels, *_rest in f.samples if labels}
    assert metrics.pairs.text() == generate_latest(registry)
    assert metrics.pairs.text() + b"# EOF\n" == openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]


def test_pairs_above_the_limit_are_left_out_and_counted() -> None:
    metrics = Metrics(per_target_limit=3)
    metrics.restore([row(target=f"t{n}", minutes=n) for n in range(5)], {})
    found = families(metrics)
    assert len(found["wallwatch_target_outcome_code"].samples) == 3
    assert value(metrics, "wallwatch_targets_left_out") == 2


def test_a_helper_is_labelled_by_its_name_and_never_by_an_address() -> None:
    metrics = Metrics()
    for url in (
        "https://th.example:8443/x",
        "http://192.0.2.7:8081/",
        "http://[2001:db8::1]/",
        "http://[bad",
    ):
        metrics.control_failed(url)
        metrics.control_failed(url)
    labels = [one.labels["helper"] for one in families(metrics)["wallwatch_control_failures"].samples]
    assert labels == ["th.example", "helper-2", "helper-3", "helper-4"]


def test_a_vantage_is_named_once() -> None:
    metrics = full()
    metrics.set_vantage("home", "direct", "CN", 4837, "")
    assert len(families(metrics)["wallwatch_vantage_info"].samples) == 1
    assert value(metrics, "wallwatch_vantage_info", asn="4837") == 1


def test_promtool_finds_nothing_to_say(tmp_path: Path) -> None:
    text = full().render("")[0]
    done = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=text, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
