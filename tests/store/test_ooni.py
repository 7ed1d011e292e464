"""OONI's measurements: samples keep their facts, each rule has its case, and no JSON upsets the reader."""

import base64
import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.store.ooni import NotOONI, is_ooni, read
from probes.dns import DNSLookup
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

SAMPLES = Path(__file__).parents[3] / "shared/field/data/ooni"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the OONI samples are not on this machine")
A, B = "192.0.2.1", "192.0.2.2"

# file → lookups, connects, handshakes, round trips, endpoints of the control
COUNTS = {
    "20201029043459.005820_RU_webconnectivity_604f1cb2579d144d.json": (1, 1, 0, 3, 1),
    "20221110100919.165568_US_webconnectivity_782abf479bf32868.json": (2, 8, 8, 2, 8),
    "badSSLWithExpiredCertificate.json": (5, 1, 1, 0, 1),
    "controlFailureWithSuccessfulHTTPSWebsite.json": (5, 1, 1, 1, 0),
    "dnsBlockingBOGON.json": (5, 2, 1, 1, 1),
    "dnsBlockingNXDOMAIN.json": (5, 1, 1, 1, 1),
    "httpDiffWithConsistentDNS.json": (5, 2, 1, 1, 2),
    "largeFileWithHTTPS.json": (5, 1, 1, 1, 1),
    "redirectWithConsistentDNSAndThenConnectionResetForHTTPS.json": (8, 2, 2, 1, 1),
    "report2.json": (1, 1, 0, 2, 1),
    "requests_none.json": (2, 0, 0, 0, 0),
    "successWithHTTP.json": (5, 2, 1, 1, 2),
    "tcpBlockingConnectTimeout.json": (5, 1, 0, 0, 1),
    "tlsBlockingConnectionResetWithConsistentDNS.json": (5, 1, 1, 0, 1),
    "web_connectivity_ir_fp.json": (1, 1, 0, 0, 1),
    "websiteDownNXDOMAIN.json": (5, 0, 0, 0, 0),
}
# file → what failed outside DNS: (kind, hop, failure)
FAILED = {
    "20201029043459.005820_RU_webconnectivity_604f1cb2579d144d.json": [("http", 0, "eof_error")] * 3,
    "badSSLWithExpiredCertificate.json": [("tls", 0, "ssl_invalid_certificate")],
    "dnsBlockingBOGON.json": [("tcp", 0, "generic_timeout_error")],
    "redirectWithConsistentDNSAndThenConnectionResetForHTTPS.json": [("tls", 1, "connection_reset")],
    "tcpBlockingConnectTimeout.json": [("tcp", 0, "generic_timeout_error")],
    "tlsBlockingConnectionResetWithConsistentDNS.json": [("tls", 0, "connection_reset")],
    "web_connectivity_ir_fp.json": [("tcp", 0, "generic_timeout_error")],
}


def sample(name: str) -> Measurement:
    return read(json.loads((SAMPLES / name).read_text()))


def document(*, keys: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A measurement in which nothing was done."""
    return {
        "test_name": "web_connectivity", "data_format_version": "0.2.0", "input": "https://www.example.org/",
        "measurement_start_time": "2024-02-12 20:33:47", "probe_cc": "IT", "probe_asn": "AS137",
        "test_keys": keys or {}, **more,
    }  # fmt: skip


def keys(**lists: Any) -> Measurement:
    return read(document(keys=lists))


def of(kind: type, measurement: Measurement) -> list[Any]:
    return [op for op in measurement.operations if isinstance(op, kind)]


def query(**more: Any) -> dict[str, Any]:
    answers = [{"answer_type": "A", "ipv4": A, "asn": 64500, "ttl": None}]
    return {
        "engine": "udp", "resolver_address": "8.8.8.8:53", "hostname": "www.example.org", "query_type": "A",
        "failure": None, "answers": answers, "t0": 0.5, "t": 0.75, "transaction_id": 20001, **more,
    }  # fmt: skip


def connect(ip: Any = A, port: Any = 443, failure: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "ip": ip,
        "port": port,
        "status": {"failure": failure, "success": failure is None},
        "t": 1.0,
        **more,
    }


def handshake(where: str = f"{A}:443", failure: Any = None, **more: Any) -> dict[str, Any]:
    return {"address": where, "failure": failure, "server_name": "www.example.org", "t": 2.0, **more}


def request(url: Any = "https://www.example.org/", failure: Any = None, **more: Any) -> dict[str, Any]:
    response = {"code": 0 if failure else 200, "body": "<title>Page</title>", "headers": None}
    return {"request": {"url": url}, "response": response, "failure": failure, "t": 3.0, **more}


def redirect(location: str, code: int = 302, **more: Any) -> dict[str, Any]:
    return request(**more) | {"response": {"code": code, "headers_list": [["location", location]], "body": None}}


# The samples


@needs_samples
@pytest.mark.parametrize("name", COUNTS)
def test_sample_keeps_its_operations(name: str) -> None:
    found = sample(name)
    kinds = (DNSLookup, TCPConnect, TLSHandshake, HTTPRoundTrip)
    assert tuple(len(of(kind, found)) for kind in kinds) == COUNTS[name][:4]
    assert sum(len(reply.endpoints) for reply in found.control) == COUNTS[name][4]
    assert len(found.control) == 1 and found.recorded == "ooni"
    flows = [op.flow for op in of(TCPConnect, found)]
    assert len(set(flows)) == len(flows)
    assert {op.flow for op in of(TLSHandshake, found)} <= set(flows)


@needs_samples
@pytest.mark.parametrize("name", COUNTS)
def test_sample_keeps_its_failures(name: str) -> None:
    found = sample(name)
    failed = [("tcp", op.hop, op.failure) for op in of(TCPConnect, found) if op.failure]
    failed += [("tls", op.hop, op.failure or op.certificate_failure)
               for op in of(TLSHandshake, found) if not op.valid]  # fmt: skip
    failed += [("http", op.hop, op.failure) for op in of(HTTPRoundTrip, found) if op.failure]
    assert failed == FAILED.get(name, [])


@needs_samples
@pytest.mark.parametrize("name", COUNTS)
def test_sample_survives_being_written_and_read(name: str) -> None:
    found = sample(name)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Measurement) == found


@needs_samples
def test_samples_keep_what_the_rules_need() -> None:
    assert [op.attempt for op in of(HTTPRoundTrip, sample(next(iter(COUNTS))))] == [0, 1, 2]
    guardian = sample("20221110100919.165568_US_webconnectivity_782abf479bf32868.json")
    pairs = zip(of(TCPConnect, guardian), of(TLSHandshake, guardian), strict=True)
    assert all((tcp.flow, tcp.address) == (tls.flow, tls.address) for tcp, tls in pairs)
    first, second = of(HTTPRoundTrip, guardian)
    assert (first.hop, first.status, first.location) == (0, 302, "/international")
    assert (second.hop, second.address, second.cut, second.body_length) == (1, "", "limit", 131072)
    failed = sample("controlFailureWithSuccessfulHTTPSWebsite.json").control[0]
    assert (failed.failure, failed.dns_known) == ("connection_reset", False)
    none = sample("requests_none.json").control[0]  # the helper gave nothing but a name
    assert (none.dns_known, none.dns_failure, none.addresses) == (True, None, ())
    assert sample("websiteDownNXDOMAIN.json").control[0].dns_failure == "dns_nxdomain_error"


# The document


def test_who_when_and_what() -> None:
    found = read(document(input="HTTP://WWW.Example.org", measurement_uid="20240212.1_IT_abc", test_runtime=1.5))
    assert (found.uid, found.target, found.url) == ("20240212.1_IT_abc", "HTTP://WWW.Example.org",
                                                    "http://www.example.org/")  # fmt: skip
    assert (found.vantage.name, found.vantage.country, found.vantage.asn) == ("ooni:IT:AS137", "IT", 137)
    assert found.time.isoformat() == "2024-02-12T20:33:47+00:00"
    assert (found.duration, found.site, found.control_configured) == (1.5, "example.org", True)


def test_uid_of_a_report_differs_for_each_of_its_measurements() -> None:
    one, two = (read(document(report_id="R", input=f"http://{host}.org/")).uid for host in ("a", "b"))
    assert one.startswith("R-") and two.startswith("R-") and one != two
    assert read(document(report_id="../../etc", measurement_uid=7)).uid == ""


@pytest.mark.parametrize(
    ("country", "asn", "name"),
    [("ZZ", "AS0", "ooni:ZZ:AS0"), (None, None, "ooni:ZZ:AS0"), ("it\n", "AS99999999999", "ooni:ZZ:AS0"),
     ("DE", "AS9999999999", "ooni:DE:AS0")],
)  # fmt: skip
def test_unknown_vantage(country: Any, asn: Any, name: str) -> None:
    vantage = read(document(probe_cc=country, probe_asn=asn)).vantage
    assert (vantage.name, vantage.asn) == (name, 0)
    assert vantage.country in ("", "DE")


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ([], "JSON object"), ({"test_name": "ndt"}, "test_name"), ({"test_name": ["\ud800"]}, "test_name"),
        ({"test_keys": None}, "test_keys"), ({"input": None}, "input"), ({"input": "ftp://x/"}, "input"),
        ({"measurement_start_time": "soon"}, "measurement_start_time"),
        ({"measurement_start_time": 5}, "start_time"),
        ({"measurement_start_time": "0001-01-01T00:00:00+23:00"}, "measurement_start_time"),
    ],
)  # fmt: skip
def test_anything_else_is_refused_in_one_line(wrong: Any, key: str) -> None:
    with pytest.raises(NotOONI, match=key) as caught:
        read(document() | wrong if isinstance(wrong, dict) else wrong)
    assert "\n" not in str(caught.value)


def test_times_with_a_zone_become_utc() -> None:
    assert read(document(measurement_start_time="2024-02-12T22:00:00+02:00")).time.hour == 20


def test_is_ooni() -> None:
    assert is_ooni(document()) and is_ooni({"test_keys": {}, "data_format_version": "0.2.0"})
    assert not is_ooni({"test_keys": {}}) and not is_ooni({"test_name": "x"}) and not is_ooni([document()])


# DNS


@pytest.mark.parametrize(
    ("record", "engine", "resolver"),
    [
        ({"engine": "getaddrinfo", "resolver_address": ""}, "getaddrinfo", "system"),
        ({"engine": "system"}, "getaddrinfo", "system"),
        ({"engine": "golang_net_resolver"}, "getaddrinfo", "system"),
        ({"engine": None, "resolver_address": None, "resolver_hostname": None}, "getaddrinfo", "system"),
        ({"engine": None, "resolver_address": None, "resolver_hostname": "9.9.9.9"}, "udp",
         "udp://9.9.9.9:53"),
        ({}, "udp", "udp://8.8.8.8:53"),
        ({"engine": "tcp"}, "tcp", "tcp://8.8.8.8:53"),
        ({"engine": "doh", "resolver_address": "https://dns.google/dns-query"}, "doh",
         "https://dns.google/dns-query"),
        ({"engine": "dot", "resolver_address": "dns.google:853"}, "dot", "dot://dns.google:853"),
        ({"resolver_address": "junk"}, "udp", "udp://junk"),
    ],
)  # fmt: skip
def test_engines(record: dict[str, Any], engine: str, resolver: str) -> None:
    (lookup,) = of(DNSLookup, keys(queries=[query(**record)]))
    assert (lookup.engine, lookup.resolver) == (engine, resolver)


def test_answers_become_one_response() -> None:
    answers = [
        {"answer_type": "A", "ipv4": A, "asn": 64500, "ttl": 60},
        {"answer_type": "AAAA", "ipv6": "2001:DB8::1"},
        {"answer_type": "CNAME", "hostname": "cdn.example.net."}, {"answer_type": "A", "ipv4": "[scrubbed]"},
        {"answer_type": "MX", "": A}, {"answer_type": "CNAME"}, None,
    ]  # fmt: skip
    found = keys(queries=[query(answers=answers)])
    (lookup,) = of(DNSLookup, found)
    (response,) = lookup.responses
    assert [(r.type, r.value, r.ttl) for r in response.records] == [
        ("A", A, 60), ("AAAA", "2001:db8::1", 0), ("CNAME", "cdn.example.net", 0)
    ]  # fmt: skip
    assert (response.at, lookup.started, lookup.finished, lookup.server) == (0.25, 0.5, 0.75, "8.8.8.8 53")
    assert found.asns == ((A, 64500),)


@pytest.mark.parametrize(
    ("engine", "failure", "modern", "rcode"),
    [
        ("udp", "dns_lookup_error", "dns_nxdomain_error", 3),
        ("udp", "dns_name_error", "dns_nxdomain_error", 3),
        ("udp", "dns_server_failure", "dns_servfail_error", 2),
        ("doh", "dns_refused_error", "dns_refused_error", 5),
        ("udp", "dns_no_answer", "dns_no_answer", 0),
        ("udp", "generic_timeout_error", "generic_timeout_error", None),
        ("system", "dns_nxdomain_error", "dns_nxdomain_error", None),
        ("udp", {"a": 1}, "unknown_failure", None),
        ("udp", "x" * 500, "x" * 200, None),
    ],
)  # fmt: skip
def test_dns_failures(engine: str, failure: Any, modern: str, rcode: int | None) -> None:
    (lookup,) = of(DNSLookup, keys(queries=[query(engine=engine, failure=failure, answers=None)]))
    assert lookup.failure == modern
    assert [response.rcode for response in lookup.responses] == ([] if rcode is None else [rcode])


def test_a_server_that_misbehaves() -> None:
    bad = query(failure="dns_server_misbehaving", answers=None)
    known, unknown = of(DNSLookup, keys(queries=[bad | {"rcode": 4}, bad]))
    assert (known.responses[0].rcode, known.responses[0].malformed) == (4, False)
    assert unknown.responses[0].malformed


def wire(address: str, ident: int = 7, name: str = "www.example.org") -> str:
    answer = dns.message.make_response(dns.message.make_query(name, "A", id=ident))
    answer.answer.append(dns.rrset.from_text(name + ".", 30, "IN", "A", address))
    return base64.b64encode(answer.to_wire()).decode()


def test_a_raw_response_says_more_than_its_summary() -> None:
    raws = [wire(A), {"format": "base64", "data": wire(A)}, wire(A, name="other.org"), "AAAA", "?", wire(B)]
    found = of(DNSLookup, keys(queries=[query(raw_response=raw) for raw in raws]))
    assert [lookup.addresses() for lookup in found] == [(A,)] * 6
    assert [lookup.responses[0].records[0].ttl for lookup in found] == [30, 30, 0, 0, 0, 0]
    alone = query(raw_response=wire(B), answers=None)
    assert of(DNSLookup, keys(queries=[alone]))[0].addresses() == (B,)
    chaos = base64.b64encode(base64.b64decode(wire(B)).replace(b"\xc0\x0c\0\1\0\1", b"\xc0\x0c\0\1\0\3"))
    strange = [alone | {"hostname": "a" * 70}, alone | {"raw_response": chaos.decode()}]
    assert [lookup.addresses() for lookup in of(DNSLookup, keys(queries=strange))] == [(), ()]


@pytest.mark.parametrize("name", ["x_dns_duplicate_responses", "x_dns_late_replies"])
def test_further_answers_join_their_lookup(name: str) -> None:
    late = query(answers=[{"answer_type": "A", "ipv4": B}], t=0.9)
    aaaa = query(query_type="AAAA", failure="dns_no_answer", answers=None)
    further = [late, query(failure="dns_reply_with_wrong_query_id"), query(transaction_id=9),
               query(hostname="x.org"),
               query(failure="generic_timeout_error", answers=None)]  # fmt: skip
    first, second = of(DNSLookup, keys(queries=[query(), aaaa], **{name: further}))
    assert [response.addresses() for response in first.responses] == [(A,), (B,)]
    assert first.responses[1].at == pytest.approx(0.4)
    assert len(second.responses) == 1


def test_further_answers_without_a_transaction() -> None:
    late = query(raw_response=wire(B), answers=[], transaction_id=0)
    (lookup,) = of(DNSLookup, keys(queries=[query()], x_dns_duplicate_responses=[late]))
    assert [response.addresses() for response in lookup.responses] == [(A,), (B,)]


def test_hop_of_a_lookup() -> None:
    asked = [request("http://second.org/"), redirect("http://second.org/", url="http://www.example.org/")]
    queries = [query(), query(hostname="second.org"), query(tags=["classic", "depth=3"]),
               query(hostname="third.org"),
               query(tags=["depth=x", 7, "depth=99999"])]  # fmt: skip
    assert [op.hop for op in of(DNSLookup, keys(queries=queries, requests=asked))] == [0, 1, 3, 0, 0]


def test_a_name_is_looked_up_once_and_used_again() -> None:
    tags: dict[str, Any] = {"tags": ["depth=1"], "transaction_id": 50002}
    found = keys(
        queries=[query(engine="getaddrinfo", tags=["depth=0"])],
        tcp_connect=[connect(port=80, transaction_id=40001, tags=["depth=0"]), connect(**tags)],
        tls_handshakes=[handshake(failure="connection_reset", **tags)],
        requests=[redirect("https://www.example.org/", url="http://www.example.org/", address=f"{A}:80",
                           transaction_id=40001, tags=["depth=0"])],
    )  # fmt: skip
    assert [(op.hop, op.addresses()) for op in of(DNSLookup, found)] == [(0, (A,)), (1, (A,))]


# TCP and TLS


def test_tcp_connects() -> None:
    records = [
        connect(transaction_id=50001), connect(B, 80, "connection_refused_error"), connect("[scrubbed]"),
        connect(A, 443) | {"status": {"success": False}}, connect(port=0), connect(port=True), connect(ip=5),
        connect(A, transaction_id=50001) | {"status": None},
    ]  # fmt: skip
    found = of(TCPConnect, keys(tcp_connect=records))
    assert [(op.address, op.port, op.failure) for op in found] == [
        (A, 443, None), (B, 80, "connection_refused"), (A, 443, "unknown_failure: connect"),
        (A, 443, "unknown_failure: connect"),
    ]  # fmt: skip
    assert found[0].flow == 50001 and len({op.flow for op in found}) == 4


def test_hop_of_a_connect() -> None:
    asked = [
        request(address=f"{B}:443", transaction_id=50002, tags=["depth=2"]),
        request(address="[2001:db8::1]:443"),
    ]
    connects = [
        connect(B, transaction_id=50002),
        connect("2001:DB8::1"),
        connect(tags=["depth=1"]),
        connect(B),
    ]
    assert [op.hop for op in of(TCPConnect, keys(tcp_connect=connects, requests=asked))] == [2, 0, 1, 2]


@pytest.mark.parametrize(
    ("failure", "verify", "own", "certificate"),
    [
        (None, False, None, None), ("connection_reset", False, "connection_reset", None),
        ("ssl_invalid_hostname", False, None, "ssl_invalid_hostname"),
        (None, True, None, "unknown_failure: not verified"),
        ("ssl_unknown_authority", False, None, "ssl_unknown_authority"),
        ("eof_error", True, "eof_error", None),
    ],
)  # fmt: skip
def test_handshakes(failure: str | None, verify: bool, own: str | None, certificate: str | None) -> None:
    ders = [b"leaf", b"root"]
    chain = [{"format": "base64", "data": base64.b64encode(der).decode()} for der in ders] + [
        {"data": "A" * 10**5},
        4,
    ]
    found = keys(
        tcp_connect=[connect(transaction_id=1), connect(B, transaction_id=2)],
        tls_handshakes=[handshake(failure=failure, no_tls_verify=verify, peer_certificates=chain,
                                  transaction_id=1,
                                  tls_version="TLSv1.3"), handshake(network="udp")],
    )  # fmt: skip
    (op,) = of(TLSHandshake, found)
    assert (op.failure, op.certificate_failure, op.flow, op.version) == (own, certificate, 1, "TLSv1.3")
    assert op.chain == tuple(hashlib.sha256(der).hexdigest() for der in ders)
    assert list(found.certificates.values()) == ders


def test_handshakes_that_do_not_say_where() -> None:
    events = [{"operation": "connect", "address": f"{B}:443"}, {"operation": "tls_handshake_done", "t": 2.0},
              {"operation": "connect"}, {"operation": "tls_handshake_done", "t": 9.0}]  # fmt: skip
    connects = [connect(), connect(B)]
    told = keys(tcp_connect=connects, tls_handshakes=[handshake("")], network_events=events)
    only = keys(tcp_connect=[connect(), connect(B, failure="eof_error")], tls_handshakes=[handshake("")])
    unknown = keys(tcp_connect=connects, tls_handshakes=[handshake("")])
    assert [of(TLSHandshake, found)[0].address for found in (told, only, unknown)] == [B, A, ""]
    proved = of(TCPConnect, unknown)[-1]
    assert (proved.address, proved.failure) == ("", None)
    assert proved.flow == of(TLSHandshake, unknown)[0].flow


def test_a_connect_that_is_missing_is_proved_by_what_came_above() -> None:
    found = keys(requests=[request(address=f"{A}:443", transaction_id=50001)])
    assert [(op.address, op.flow, op.failure) for op in of(TCPConnect, found)] == [(A, 50001, None)]


# HTTP


def test_requests_in_the_order_of_time() -> None:
    asked = [request("https://c.org/"), redirect("https://c.org/", 308, url="https://b.org/"),
             redirect("https://b.org/", 304, url="https://a.org/")]  # fmt: skip
    found = of(HTTPRoundTrip, keys(requests=asked))
    assert [(op.hop, op.url, op.status, op.location) for op in found] == [
        (0, "https://a.org/", 304, ""), (1, "https://b.org/", 308, "https://c.org/"),
        (2, "https://c.org/", 200, ""),
    ]  # fmt: skip


def test_a_redirect_that_leads_nowhere() -> None:
    (op,) = of(HTTPRoundTrip, keys(requests=[redirect("http://[")]))
    assert (op.status, op.location) == (302, "http://[")


def test_the_page() -> None:
    body = b"<title> A \n page</title>\xff"
    response = {
        "code": 200, "body": {"format": "base64", "data": base64.b64encode(body).decode()},
        "body_is_truncated": True,
        "headers_list": [["Server", "x"], ["Bytes", {"format": "base64", "data": "/w=="}], ["short"],
                         [None, "x"]],
    }  # fmt: skip
    found = keys(requests=[request(address=f"{A}:443", transaction_id=5) | {"response": response}],
                 tcp_connect=[connect(transaction_id=5)])  # fmt: skip
    (op,) = of(HTTPRoundTrip, found)
    assert (op.title, op.body_length, op.cut, op.flow) == ("A page", len(body), "limit", 5)
    assert op.headers == (("Server", "x"), ("Bytes", "\ufffd"))
    assert found.bodies == {op.body_sha256: body}


def test_a_body_is_kept_up_to_the_limit() -> None:
    long = request() | {"response": {"code": 200, "body": "é" * 400_000}}
    (op,) = of(HTTPRoundTrip, keys(requests=[long]))
    assert (op.body_length, op.cut) == (512 * 1024, "limit")


def test_an_unreadable_url_or_body_is_no_reason_to_stop() -> None:
    asked = [request("no url", "eof_error", response=None),
             request() | {"response": {"body": {"data": "AAAAA"}}}, request(""),
             request() | {"request": None}]  # fmt: skip
    assert [(op.url, op.status) for op in of(HTTPRoundTrip, keys(requests=asked))] == [
        ("https://www.example.org/", 0), ("no url", 0)
    ]  # fmt: skip


def test_old_requests_go_over_the_first_good_connection() -> None:
    connects = [connect(port=80), connect(A, failure="generic_timeout_error"), connect(B)]
    (op,) = of(HTTPRoundTrip, keys(tcp_connect=connects, requests=[request()]))
    assert (op.address, op.port) == (B, 443)


def test_what_went_by_tor_or_quic_is_left_out() -> None:
    by_tor, by_quic = request(), request()
    by_tor["request"] |= {"tor": {"is_tor": True}}
    by_quic["request"] |= {"x_transport": "udp"}
    assert keys(requests=[by_tor, by_quic, request(network="udp")]).operations == ()


def test_an_old_failure_below_http_is_told_once() -> None:
    tcp = keys(
        tcp_connect=[connect(failure="generic_timeout_error")],
        requests=[request(failure="generic_timeout_error")],
    )
    tls = keys(tcp_connect=[connect()], tls_handshakes=[handshake(failure="connection_reset")],
               requests=[request(failure="connection_reset")])  # fmt: skip
    lookup = query(engine="system", failure="dns_nxdomain_error", answers=None)
    dns = keys(queries=[lookup], requests=[request(failure="dns_nxdomain_error")])
    assert [len(found.operations) for found in (tcp, tls, dns)] == [1, 2, 1]


def test_an_old_failure_goes_to_its_layer() -> None:
    def last(failure: str, **more: Any) -> Any:
        return keys(requests=[request(failure=failure)], **more).operations[-1]

    lookup, tcp = last("dns_lookup_error"), last("connection_refused_error")
    assert isinstance(lookup, DNSLookup) and lookup.failure == "dns_nxdomain_error"
    assert isinstance(tcp, TCPConnect) and (tcp.address, tcp.failure) == ("", "connection_refused")
    wrong, broken = last("ssl_invalid_hostname", tcp_connect=[connect()]), last("ssl_failed_handshake")
    assert isinstance(wrong, TLSHandshake) and isinstance(broken, TLSHandshake)
    assert (wrong.address, wrong.failure, wrong.certificate_failure) == (A, None, "ssl_invalid_hostname")
    assert (broken.address, broken.failure, broken.certificate_failure) == ("", "ssl_failed_handshake", None)
    assert (wrong.server_name, broken.server_name) == ("www.example.org", "www.example.org")
    assert isinstance(last("connect_error"), HTTPRoundTrip)
    assert last("response_never_received").failure == "eof_error"


# The control


def control(said: Any, failure: Any = None, **more: Any) -> Any:
    found = read(document(keys={"control": said, "control_failure": failure}, **more)).control
    return found[0] if found else None


@pytest.mark.parametrize(
    "said", [None, {}, [], {"dns": {"failure": None, "addrs": None}, "http_request": {"status_code": 0}}]
)
def test_a_helper_that_said_nothing(said: Any) -> None:
    assert control(said) is None
    failed = control(said, "connection_refused_error")
    assert (failed.failure, failed.dns_known, failed.source) == ("connection_refused", False, "helper:ooni")


@pytest.mark.parametrize("backend", ["https://th.example/", {"address": "https://th.example/", "type": "https"}])
def test_the_name_of_the_helper(backend: Any) -> None:
    assert control({"dns": {"addrs": []}}, test_helpers={"backend": backend}).source == "helper:https://th.example/"


@pytest.mark.parametrize(
    ("dns", "failure", "addresses"),
    [
        ({"failure": None, "addrs": [A, "cname.example", A, 5]}, None, (A,)),
        ({"failure": None, "addrs": []}, None, ()),
        ({"failure": "dns_name_error", "addrs": None}, "dns_nxdomain_error", ()),
    ],
)  # fmt: skip
def test_dns_of_the_control(dns: Any, failure: str | None, addresses: tuple[str, ...]) -> None:
    reply = control({"dns": dns})
    assert (reply.dns_known, reply.dns_failure, reply.addresses) == (True, failure, addresses)


def test_endpoints_of_the_control() -> None:
    tcp = {f"{A}:80": {"status": True, "failure": None},
           f"{B}:443": {"status": False, "failure": "connect_error"},
           "www.example.org:443": {"status": True}, f"{A}:99999": {},
           "[2001:db8::1]:443": {"status": False}}  # fmt: skip
    tls = {f"{A}:443": {"status": False, "failure": "ssl_invalid_hostname", "server_name": "x.org"},
           "[2001:db8::1]:443": {"status": False}, f"{A}:80": None}  # fmt: skip
    reply = control({"tcp_connect": tcp, "tls_handshake": tls, "ip_info": {A: {"asn": 64500}, "x": {"asn": 1}, B: 7}})
    assert [(e.address, e.port, e.tcp_failure, e.tls, e.tls_failure) for e in reply.endpoints] == [
        (A, 80, None, None, None), (B, 443, "unknown_failure: connect_error", None, None),
        ("2001:db8::1", 443, "unknown_failure: connect", False, "unknown_failure: tls"),
        (A, 443, None, False, "ssl_invalid_hostname"),
    ]  # fmt: skip
    assert (reply.endpoints[-1].server_name, reply.asns, reply.dns_known) == ("x.org", ((A, 64500),), False)


def test_page_of_the_control() -> None:
    good = {
        "status_code": 200,
        "body_length": 12,
        "title": " A\n page ",
        "headers": {"Server": "x"},
        "failure": None,
    }
    page = control({"http_request": good}).page
    assert (page.status, page.body_length, page.title, page.headers) == (
        200,
        12,
        "A page",
        (("Server", "x"),),
    )
    bad = control({"http_request": {"status_code": -1, "body_length": -1, "failure": "dns_lookup_error"}}).page
    assert (bad.status, bad.body_length, bad.failure) == (0, -1, "dns_nxdomain_error")


# Hostile input


def full() -> dict[str, Any]:
    """A measurement with something in every list."""
    tags = ["depth=0"]
    lists = {
        "queries": [query(raw_response=wire(B), tags=tags),
                    query(engine="system", failure="dns_lookup_error")],
        "x_dns_duplicate_responses": [query()],
        "tcp_connect": [connect(transaction_id=1, tags=tags), connect(B)],
        "tls_handshakes": [handshake(transaction_id=1, peer_certificates=[{"data": "AAAA"}]), handshake("")],
        "network_events": [{"operation": "connect", "address": f"{B}:443"},
                           {"operation": "tls_handshake_done", "t": 2}],
        "requests": [request(), request(failure="ssl_invalid_hostname"), redirect("/x", tags=tags)],
        "control": {
            "dns": {"failure": None, "addrs": [A]},
            "tcp_connect": {f"{A}:443": {"status": True, "failure": None}},
            "tls_handshake": {f"{A}:443": {"status": True}}, "ip_info": {A: {"asn": 1}},
            "http_request": {"status_code": 200, "headers": {"a": "b"}, "title": "x", "body_length": 5},
        },
        "control_failure": None,
    }  # fmt: skip
    return document(keys=lists, report_id="R", test_helpers={"backend": {"address": "https://th.example/"}})


JUNK = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(),
        st.sampled_from([10**400, -1, 2**64, 1e308, float("nan"), float("inf")]),
        st.text(max_size=8),
        st.sampled_from(["\ud800", "\x00", "127.0.0.1:99999", "fe80::1%eth0", "depth=٣", "http://[", "ssl_x",
                         "dns_x", "udp",
                         "9999-12-31T23:59:59-23:00", "www.\ud800.org", "AS٣", "==", "[::1]:²"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, key) for key, _ in items] + [place for _, inner in items for place in places(inner)]


def mutated(draw: st.DrawFn, origin: dict[str, Any]) -> dict[str, Any]:
    """The document with up to six of its values replaced, taken away, doubled or put in another's place."""
    changed = copy.deepcopy(origin)
    for _ in range(draw(st.integers(1, 6))):
        where = places(changed)
        if not where:
            break
        container, key = draw(st.sampled_from(where))
        other, its = draw(st.sampled_from(where))
        change = draw(st.sampled_from(["junk", "junk", "drop", "copy"]))
        if change == "junk":
            container[key] = draw(JUNK)
        elif change == "copy":
            container[key] = copy.deepcopy(other[its])
        else:
            del container[key]
    return changed


def check(origin: Any) -> None:
    try:
        found = read(origin)
    except NotOONI as error:
        assert "\n" not in str(error)
        return
    assert msgspec.json.decode(msgspec.json.encode(found), type=Measurement) == found


@given(st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_change_of_a_document_upsets_the_reader(data: st.DataObject) -> None:
    check(data.draw(st.composite(mutated)(full())))


@given(st.dictionaries(st.sampled_from([*full(), "measurement_uid"]), JUNK))
def test_no_junk_upsets_the_reader(junk: dict[str, Any]) -> None:
    check(junk)
    check(full() | junk)
    is_ooni(junk)


@given(st.binary(min_size=12, max_size=120), st.booleans())
def test_no_raw_response_upsets_the_reader(data: bytes, as_answer: bool) -> None:
    head = base64.b64decode(wire(B))[:33] if as_answer else b""
    check(document(keys={"queries": [query(raw_response=base64.b64encode(head + data).decode())]}))


@needs_samples
@given(st.data())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)
def test_no_change_of_a_sample_upsets_the_reader(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(name for name in COUNTS if "webconn" not in name)))
    check(data.draw(st.composite(mutated)(json.loads((SAMPLES / name).read_text()))))
