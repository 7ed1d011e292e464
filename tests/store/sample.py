"""Measurements to store: small ones and one with every part filled in."""

import hashlib
from datetime import UTC, datetime, timedelta

from monitor.judge.verdict import Verdict
from probes.dns import DNSLookup, Record, Response
from probes.http import HTTPRoundTrip
from probes.measurement import ControlPage, ControlReply, Measurement, SelfTest, VantageFacts
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

BEGAN = datetime(2026, 1, 31, 12, 0, 0, 123457, tzinfo=UTC)
TARGET = "https://example.com/"
OK = Verdict(outcome="ok", rules=("same.page",), rules_version=1, score=0.01, reason="The same page.")
DOWN = Verdict(outcome="down", cause="dead", rules_version=1)
BLOCKED = Verdict(
    outcome="blocked",
    technique="tls.reset.sni",
    techniques=("dns.injection.other", "tls.reset.sni"),
    score=0.99,
    rules=("tls.reset_only_with_the_name", "dns.two_answers"),
    rules_version=1,
    reason="Resets only with the name.",
)
BODY = b"<html><title>blocked</title></html>" * 50
CERTIFICATES = (b"leaf" * 300, b"root" * 300)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def measurement(
    number: int,
    *,
    target: str = TARGET,
    vantage: str = "home",
    minutes: float | None = None,
    simulated: bool = False,
) -> Measurement:
    """A small one; the number makes the uid, and the time unless `minutes` does."""
    return Measurement(
        uid=f"m{number:06}",
        time=BEGAN + timedelta(minutes=number if minutes is None else minutes),
        target=target,
        url=target,
        vantage=VantageFacts(name=vantage, country="CN", asn=4134, simulated=simulated),
        site="example.com",
        category="NEWS",
        duration=1.25,
    )


def whole(uid: str = "whole", body: bytes = BODY) -> Measurement:
    """One with every kind of operation, a control, a body and certificates."""
    chain = tuple(sha256(der) for der in CERTIFICATES)
    answer = Response(at=0.01, records=(Record("A", "192.0.2.1", 60),), flags=33152, hops=57)
    lookup = DNSLookup(
        started=0, finished=0.01, engine="udp", resolver="system", name="example.com", query_type="A",
        server="192.0.2.53 53", responses=(answer,),
    )  # fmt: skip
    connect = TCPConnect(started=0.01, finished=0.02, address="192.0.2.1", port=443, flow=1)
    handshake = TLSHandshake(
        started=0.02, finished=0.03, address="192.0.2.1", port=443, server_name="example.com", flow=1,
        chain=chain, certificate_failure="ssl_unknown_authority",
    )  # fmt: skip
    page = HTTPRoundTrip(
        started=0.03, finished=0.5, address="192.0.2.1", port=443, url=TARGET, flow=1, status=403,
        headers=(("Server", "nginx"),), title="六四", body_length=len(body), body_sha256=sha256(body),
    )  # fmt: skip
    return Measurement(
        uid=uid, time=BEGAN, target=TARGET, url=TARGET, site="example.com", category="NEWS",
        vantage=VantageFacts(name="home", country="CN", asn=4134),
        operations=(lookup, connect, handshake, page),
        control=(ControlReply(source="vantage:reference", url=TARGET, page=ControlPage(status=200)),),
        self_tests=(SelfTest(at=-3.0, opened=("a.example",), clock_skew=0.2),), asns=(("192.0.2.1", 64500),),
        duration=0.7, bodies={sha256(body): body},
        certificates=dict(zip(chain, CERTIFICATES, strict=True)),
    )  # fmt: skip
