"""A measurement is the same after it was written and read."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from probes.dns import DNSLookup, Record, Response
from probes.http import HTTPRoundTrip
from probes.measurement import (
    ControlEndpoint,
    ControlPage,
    ControlReply,
    Measurement,
    SelfTest,
    VantageFacts,
    rfc3339,
)
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

NOON = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
FULL = Measurement(
    uid="01", time=NOON, target="https://good.example/", url="https://good.example/", site="good.example",
    vantage=VantageFacts(name="home", country="CN", asn=4134), category="NEWS", expect="六四",
    operations=(
        DNSLookup(
            started=0.0, finished=0.1, engine="udp", resolver="system", name="good.example", query_type="A",
            responses=(Response(at=0.01, records=(Record("A", "93.184.215.14", 60),), flags=0x8180, hops=51),
                       Response(at=0.02, rcode=3, malformed=True)),
        ),
        TCPConnect(started=0.1, finished=0.2, address="93.184.215.14", port=443, flow=1, hop=2, attempt=3),
        TLSHandshake(
            started=0.2, finished=0.3, failure="connection_reset", address="93.184.215.14", port=443, flow=1,
            server_name="good.example", chain=("ab", "cd"), certificate_failure="ssl_unknown_authority",
        ),
        HTTPRoundTrip(
            started=0.3, finished=0.4, address="93.184.215.14", port=443, url="https://good.example/", status=200,
            headers=(("Server", "café"), ("X", "")), title="\ufffd六", location="/caf%E9", expected=False,
        ),
    ),
    control=(
        ControlReply(
            source="https://helper.example/", url="https://good.example/", addresses=("93.184.215.14",),
            asns=(("93.184.215.14", 15133),), page=ControlPage(status=200, title="x", ttfb=0.5),
            endpoints=(ControlEndpoint(address="93.184.215.14", port=443, tls=False, tls_failure="eof_error"),),
        ),
    ),
    self_tests=(SelfTest(at=-1.5, opened=("a.example",), clock_skew=-3.0, ipv6=False, nat64=("64:ff9b::/96",)),),
    asns=(("93.184.215.14", 15133),), duration=1.5, bodies={"ab": b"\x00\xff"}, certificates={"cd": b"\x30"},
)  # fmt: skip


def test_there_and_back_again() -> None:
    wire = msgspec.json.encode(FULL)
    assert msgspec.json.decode(wire, type=Measurement) == FULL
    assert msgspec.json.decode(msgspec.json.encode(msgspec.json.decode(wire)), type=Measurement) == FULL
    kinds = [operation["type"] for operation in msgspec.json.decode(wire)["operations"]]
    assert kinds == ["dns", "tcp", "tls", "http"]


def test_a_bare_measurement_is_short() -> None:
    bare = Measurement(uid="1", time=NOON, target="t", url="u", vantage=VantageFacts(name="v"))
    wire = msgspec.json.encode(bare)
    assert set(msgspec.json.decode(wire)) == {"uid", "time", "target", "url", "vantage"}
    assert msgspec.json.decode(wire, type=Measurement) == bare


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        msgspec.structs.replace(FULL, time=NOON.replace(tzinfo=None))
    with pytest.raises(msgspec.ValidationError, match="aware"):
        msgspec.json.decode(msgspec.json.encode(FULL).replace(b"123456Z", b"123456"), type=Measurement)


def test_times_are_written_in_one_way() -> None:
    assert rfc3339(NOON) == "2026-01-31T12:00:00.123456Z"
    assert rfc3339(NOON.replace(microsecond=0)) == "2026-01-31T12:00:00.000000Z"
    assert rfc3339(NOON.astimezone(timezone(timedelta(hours=8)))) == "2026-01-31T12:00:00.123456Z"


def test_nothing_in_it_can_be_edited() -> None:
    with pytest.raises(AttributeError):
        FULL.uid = "02"  # type: ignore[misc]
