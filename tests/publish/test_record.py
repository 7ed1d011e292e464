"""A measurement as JSON, and back."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from monitor.publish.record import NotOurs, as_json, document, read_json
from probes.measurement import VantageFacts

from . import sample, tried


def decoded(uid: str = "u") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(as_json(*sample.resets(uid), version="1.2.3"))
    return found


def test_it_has_the_contracts_shape_on_one_line() -> None:
    measurement, verdict = sample.resets()
    line = as_json(measurement, verdict, version="1.2.3")
    assert b"\n" not in line
    found = json.loads(line)
    assert found["uid"] == measurement.uid
    assert found["time"] == "2026-01-31T12:00:00.123457Z"
    assert found["target"] == "https://example.com/"
    assert found["vantage"] == {
        "name": "home", "kind": "direct", "country": "CN", "asn": 4134, "direction": "inside-out",
        "blind": [],
    }  # fmt: skip
    assert msgspec.convert(found["verdict"], Verdict) == verdict
    assert set(found["verdict"]) == {
        "outcome", "technique", "techniques", "cause", "score", "rules", "rules_version", "reason",
    }  # fmt: skip
    assert found["software"] == {"name": "wallwatch", "version": "1.2.3"}
    assert len(found["observations"]) == 4
    assert found["observations"][0]["failure"] == "connection_reset"
    assert found["observations"][0]["control_tls"] == "ok"
    assert len(found["lookups"]) == 4
    assert [reply["source"] for reply in found["control"]["replies"]] == [sample.HELPER, "vantage:reference"]
    assert "simulated" not in found


def test_control_is_null_where_there_is_none() -> None:
    measurement, verdict = sample.calm()
    bare = msgspec.structs.replace(measurement, control=())
    assert document(bare, verdict, version="1")["control"] is None


def test_a_simulated_one_says_so() -> None:
    measurement, verdict = sample.calm(vantage=VantageFacts(name="demo", simulated=True))
    assert document(measurement, verdict, version="1")["simulated"] is True


def test_it_says_how_it_was_measured_and_what_was_not() -> None:
    facts = VantageFacts(name="far", kind="remote", direction="outside-in", method="injection", blind=("http", "quic"))
    found = document(*sample.calm(vantage=facts), version="1")["vantage"]
    assert found == {
        "name": "far", "kind": "remote", "country": "", "asn": 0, "direction": "outside-in",
        "blind": ["http", "quic"], "method": "injection",
    }  # fmt: skip


@pytest.mark.parametrize("make", [sample.calm, sample.resets, sample.forged, sample.hostile, tried.tried])
def test_what_is_read_back_is_judged_alike(make: Any) -> None:
    measurement, verdict = make()
    back = read_json(json.loads(as_json(measurement, verdict, version="1")))
    expected = msgspec.structs.replace(measurement, bodies={}) if verdict.outcome == "ok" else measurement
    assert back == expected
    assert analyze(back, sample.NONE) == analyze(measurement, sample.NONE)


def test_bodies_are_left_out_only_where_all_is_well() -> None:
    measurement, verdict = sample.calm()
    assert verdict.outcome == "ok"
    assert read_json(document(measurement, verdict, version="1")).bodies == {}
    bad = msgspec.structs.replace(verdict, outcome="insufficient")
    assert read_json(document(measurement, bad, version="1")).bodies == measurement.bodies


def test_experiments_and_packets_are_facts_and_the_verdict_rests_on_them() -> None:
    measurement, verdict = tried.tried()
    found = json.loads(as_json(measurement, verdict, version="1"))
    facts = found["facts"]
    assert [e["kind"] for e in facts["experiments"]] == [e.kind for e in measurement.experiments]
    assert facts["flows"][0]["packets"][4]["ttl"] == 119
    assert base64.b64decode(facts["pcap"]) == tried.PCAP
    assert len(found["observations"]) == 4  # the plain client's
    assert {"tls.reset.sni", "quic.timeout.sni"} <= set(found["verdict"]["techniques"])
    del facts["experiments"]
    assert analyze(read_json(found), sample.NONE).techniques == ("tls.reset",)


def test_packets_are_left_out_where_all_is_well() -> None:
    measurement, verdict = tried.tried()
    fine = msgspec.structs.replace(verdict, outcome="ok")
    back = read_json(document(measurement, fine, version="1"))
    assert back.pcap == b"" and back.flows == measurement.flows and back.experiments == measurement.experiments


def spoilt(**changes: Any) -> dict[str, Any]:
    found = decoded()
    found["facts"].update(changes)
    return found


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"facts": None},
        {"facts": {}},
        {"facts": {"uid": "u\x1b[2J"}},
        spoilt(time="yesterday"),
        spoilt(time="2026-01-31T12:00:00"),
        spoilt(uid=""),
        spoilt(uid="another"),
        spoilt(target="another"),
        spoilt(operations=[{"type": "smtp", "started": 0, "finished": 0}]),
        spoilt(operations=[{"started": 0}]),
        spoilt(duration=10**400),
        spoilt(bodies={"00": "not base64!"}),
        spoilt(bodies={"00" * 32: "QUJD"}),
        spoilt(certificates={"\x1b" * 32: "QUJD"}),
        spoilt(vantage={"name": ""}),
        spoilt(vantage="home"),
        spoilt(pcap="not base64!"),
        spoilt(experiments=[{"kind": "sni"}]),
        spoilt(flows=[{"address": "192.0.2.1", "port": 443, "local_port": 1, "packets": [{}]}]),
    ],
)
def test_anything_else_is_refused_with_one_line(document: Any) -> None:
    with pytest.raises(NotOurs) as refused:
        read_json(document)
    text = str(refused.value)
    assert text and text.isprintable()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(decoded()["facts"])), _JSON)
def test_no_value_of_any_field_raises_anything_else(field: str, value: Any) -> None:
    try:
        read_json(spoilt(**{field: value}))
    except NotOurs as error:
        assert "\n" not in str(error)
