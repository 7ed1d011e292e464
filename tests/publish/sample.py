"""Measurements to publish: calm ones, blocked ones, and one in which every text is hostile."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from blocklists import Fingerprints, Target
from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from probes.dns import DNSLookup, Record, Response
from probes.experiment import AnyOperation, Attempt, Experiment
from probes.http import HTTPRoundTrip
from probes.measurement import (
    ControlEndpoint,
    ControlPage,
    ControlReply,
    Measurement,
    SelfTest,
    VantageFacts,
)
from probes.packets import Flow, Packet
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

BEGAN = datetime(2026, 1, 31, 12, 0, 0, 123457, tzinfo=UTC)
NOW = BEGAN + timedelta(hours=3)
ADDRESS, OTHER = "93.184.215.14", "93.184.215.15"
HELPER = "helper:https://th.example/"
BODY = b"<html><title>Example</title><script>alert(1)</script></html>"
HOSTILE = "<script>alert('x')</script>\x1b]0;owned\x07\x1b[2J\u202egnp\x9b31m\n\r\t\u2028" + "A" * 10_000
NONE = Fingerprints([])
VANTAGE = VantageFacts(name="home", country="CN", asn=4134)
OK = Verdict(outcome="ok", rules=("ok.same_page",), rules_version=1, score=0.01, reason="The page is the same.")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def target(name: str = "https://example.com/") -> Target:
    return Target(name=name, url=name, site="example.com", category="NEWS")


@lru_cache
def certificate(subject: str = "example.com") -> bytes:
    """A self-signed one, as DER; the subject may be any text."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, subject[:64])])
    made = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1,
        not_valid_before=BEGAN, not_valid_after=BEGAN + timedelta(days=90),
    )  # fmt: skip
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def lookup(at: float = 0.0, *, attempt: int = 0, resolver: str = "system", first: str = ADDRESS, second: str = "",
           name: str = "example.com") -> DNSLookup:  # fmt: skip
    answers = [Response(at=0.0123, records=(Record("A", first, 60),), flags=33152, hops=57)]
    if second:
        answers.append(Response(at=0.0451, records=(Record("A", second, 300),), flags=33152, hops=48))
    return DNSLookup(
        started=at, finished=at + 0.0123, attempt=attempt, engine="udp", resolver=resolver, name=name,
        query_type="A", server="192.0.2.53 53", responses=tuple(answers),
    )  # fmt: skip


def connection(at: float, flow: int, *, attempt: int = 0, reset: bool = False, title: str = "Example",
               address: str = ADDRESS) -> list[AnyOperation]:  # fmt: skip
    """TCP and TLS and, without a reset, a page."""
    der = certificate()
    connect = TCPConnect(started=at, finished=at + 0.03, attempt=attempt, address=address, port=443, flow=flow)
    handshake = TLSHandshake(
        started=at + 0.03, finished=at + 0.06, attempt=attempt, address=address, port=443, flow=flow,
        server_name="example.com", failure="connection_reset" if reset else None,
        version="" if reset else "TLSv1.3", chain=() if reset else (sha256(der),),
    )  # fmt: skip
    page = HTTPRoundTrip(
        started=at + 0.06, finished=at + 0.4, attempt=attempt, address=address, port=443, flow=flow,
        url="https://example.com/", status=200, headers=(("Server", "nginx"),), title=title,
        body_length=len(BODY), body_sha256=sha256(BODY),
    )  # fmt: skip
    return [connect, handshake] if reset else [connect, handshake, page]


def reply(at: float = 0.5, *, attempt: int = 0, title: str = "Example", source: str = HELPER) -> ControlReply:
    endpoint = ControlEndpoint(address=ADDRESS, port=443, tls=True, server_name="example.com")
    page = ControlPage(
        status=200, title=title, body_length=len(BODY), body_sha256=sha256(BODY), ttfb=0.2, body_seconds=0.1
    )
    return ControlReply(
        source=source, url="https://example.com/", at=at, attempt=attempt, addresses=(ADDRESS,),
        endpoints=(endpoint,), page=page,
    )  # fmt: skip


def measurement(
    uid: str,
    operations: list[AnyOperation],
    *,
    minutes: float = 0,
    name: str = "https://example.com/",
    vantage: VantageFacts = VANTAGE,
    control: tuple[ControlReply, ...] = (),
) -> Measurement:
    """One with a control, a self-test, and the contents that its operations name."""
    carries_page = any(isinstance(op, HTTPRoundTrip) for op in operations)
    return Measurement(
        uid=uid, time=BEGAN + timedelta(minutes=minutes), target=name, url=name, site="example.com",
        category="NEWS", vantage=vantage, operations=tuple(operations), duration=2.4,
        control=control or (reply(), reply(12.0, attempt=3, source="vantage:reference")),
        self_tests=(SelfTest(at=-3.0, opened=("a.example", "b.example", "c.example"), clock_skew=0.2, ipv6=False),),
        bodies={sha256(BODY): BODY} if carries_page else {},
        certificates={sha256(certificate()): certificate()} if carries_page else {},
    )  # fmt: skip


def calm(uid: str = "20260131T120000.123457Z-calm", **changes: object) -> tuple[Measurement, Verdict]:
    """A page as it should be."""
    made = measurement(uid, [lookup(), *connection(0.02, 1)], **changes)  # type: ignore[arg-type]
    return made, analyze(made, NONE)


def resets(uid: str = "20260131T120000.123457Z-reset", **changes: object) -> tuple[Measurement, Verdict]:
    """Every handshake is reset, the control's is not."""
    operations: list[AnyOperation] = []
    for attempt in range(4):
        at = attempt * 3.0
        operations += [
            lookup(at, attempt=attempt),
            *connection(at + 0.02, attempt + 1, attempt=attempt, reset=True),
        ]
    made = measurement(uid, operations, **changes)  # type: ignore[arg-type]
    return made, analyze(made, NONE)


def forged(uid: str = "20260131T120000.123457Z-forged", **changes: object) -> tuple[Measurement, Verdict]:
    """Two answers to one query; the first leads nowhere."""
    operations: list[AnyOperation] = [
        lookup(first="31.13.94.37", second=ADDRESS),
        lookup(0.001, resolver="udp://8.8.8.8:53", first="31.13.94.38", second=ADDRESS),
        TCPConnect(
            started=0.02,
            finished=10.02,
            address="31.13.94.37",
            port=443,
            flow=1,
            failure="generic_timeout_error",
        ),
    ]
    made = measurement(uid, operations, **changes)  # type: ignore[arg-type]
    return made, analyze(made, NONE)


def _attacks(kind: str, answer: Response) -> Experiment:
    steps: tuple[AnyOperation, ...] = (
        DNSLookup(started=0, finished=1, engine=HOSTILE, resolver=HOSTILE, name=HOSTILE, query_type=HOSTILE,
                  responses=(answer,)),
        TLSHandshake(started=0, finished=1, server_name=HOSTILE, address=HOSTILE, port=1, failure=HOSTILE),
    )  # fmt: skip
    tries = (Attempt(sent=HOSTILE, started=1, finished=2, address=HOSTILE, port=1, failure=HOSTILE, router=HOSTILE,
                     matched=(HOSTILE,), operations=steps),
             Attempt(sent=HOSTILE, started=1, finished=2, innocuous=True))  # fmt: skip
    return Experiment(
        kind=kind, place=f"{HOSTILE}:{HOSTILE}" if kind == HOSTILE else "own", tries=tries, left_out=HOSTILE
    )


def hostile(uid: str = "20260131T120000.123457Z-hostile") -> tuple[Measurement, Verdict]:
    """Every text that somebody else wrote is an attack."""
    body = HOSTILE.encode()
    der = certificate("<script>alert('x')</script>\x1b[2J")
    answer = Response(at=0.01, records=(Record(HOSTILE, HOSTILE), Record("CNAME", HOSTILE)), rcode=77)
    where: dict[str, Any] = {"address": ADDRESS, "port": 443, "flow": 1}
    operations: list[AnyOperation] = [
        DNSLookup(started=0, finished=0.1, engine=HOSTILE, resolver=HOSTILE, name=HOSTILE, query_type=HOSTILE,
                  server=HOSTILE, responses=(answer,), failure=HOSTILE),
        TCPConnect(started=0.1, finished=0.2, **where),
        TLSHandshake(started=0.2, finished=0.3, server_name=HOSTILE, version=HOSTILE, cipher=HOSTILE,
                     certificate_failure=HOSTILE, chain=(sha256(der), HOSTILE), **where),
        HTTPRoundTrip(started=0.3, finished=0.4, url=HOSTILE, status=302, headers=((HOSTILE, HOSTILE),),
                      title=HOSTILE, location=HOSTILE, cut=HOSTILE, body_length=len(body), body_sha256=sha256(body),
                      **where),
        TCPConnect(started=1, finished=2, attempt=1, hop=1, address=HOSTILE, port=443, flow=2, failure=HOSTILE),
        TLSHandshake(started=2, finished=3, attempt=1, hop=1, address=HOSTILE, port=443, flow=2,
                     server_name=HOSTILE, failure=HOSTILE, alert=HOSTILE),
        QUICHandshake(started=3, finished=4, address=HOSTILE, port=443, server_name=HOSTILE, failure=HOSTILE,
                      version=HOSTILE, alpn=HOSTILE, alert=HOSTILE, certificate_failure=HOSTILE, chain=(HOSTILE,)),
    ]  # fmt: skip
    flow = Flow(address=HOSTILE, port=443, local_port=1, packets=(
        Packet(at=1, inbound=True, ttl=10**12, flags="SA", window=10**12, ip_id=10**12),
        Packet(at=1, inbound=True, ttl=1, flags=f"R{HOSTILE}", window=0, payload=HOSTILE)))  # fmt: skip
    endpoint = ControlEndpoint(address=ADDRESS, port=443, tcp_failure=HOSTILE, tls=False, tls_failure=HOSTILE)
    replies = (
        ControlReply(source=f"helper:https://{HOSTILE}/", url=HOSTILE, addresses=(HOSTILE,), endpoints=(endpoint,),
                     page=ControlPage(failure=HOSTILE)),
        ControlReply(source=HOSTILE, url=HOSTILE, dns_failure=HOSTILE, page=ControlPage(status=200, title=HOSTILE)),
        ControlReply(source="vantage:x", url=HOSTILE, failure=HOSTILE),
    )  # fmt: skip
    test = SelfTest(opened=(HOSTILE,), failed=(HOSTILE,), failed_resolvers=(HOSTILE,), untrusted=(HOSTILE,),
                    not_empty=(HOSTILE,), nat64=(HOSTILE,))  # fmt: skip
    made = Measurement(
        uid=uid, time=BEGAN, target=f"https://example.com/{HOSTILE}", url="https://example.com/", site=HOSTILE,
        category=HOSTILE, vantage=VantageFacts(name="home", kind=HOSTILE, country=HOSTILE, direction=HOSTILE),
        operations=tuple(operations), control=replies, self_tests=(test,), recorded=HOSTILE,
        bodies={sha256(body): body}, certificates={sha256(der): der}, flows=(flow,), pcap=body,
        experiments=tuple(_attacks(kind, answer) for kind in ("sni", "injection", "path", "search", HOSTILE)),
    )  # fmt: skip
    verdict = Verdict(outcome="blocked", technique="http.blockpage", techniques=("http.blockpage",), score=0.9,
                      rules=("http.known_block_page", HOSTILE), rules_version=1, reason=HOSTILE)  # fmt: skip
    return made, verdict
