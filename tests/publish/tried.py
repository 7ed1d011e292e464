"""A measurement with an experiment of every kind, a QUIC handshake, and the packets of a reset connection."""

import struct
from ipaddress import ip_address
from typing import Any

import msgspec

from monitor.judge.analyze import analyze
from monitor.judge.verdict import Verdict
from probes import pcap
from probes.dns import DNSLookup, Record, Response
from probes.experiment import AnyOperation, Attempt, Experiment
from probes.http import HTTPRoundTrip
from probes.measurement import Measurement
from probes.packets import Flow, Packet
from probes.quic import QUICHandshake
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake

from . import sample

NAME, CONTROL = "example.com", "control.example"
LISTENER, SILENT, HOPS = "198.51.100.7", "203.0.113.8", ("192.168.1.1", "36.110.4.1", "100.64.3.9", "202.97.12.9")
RESET, TIMEOUT, UNKNOWN = "connection_reset", "generic_timeout_error", "ssl_unknown_authority"
OWN_IN_PCAP = "192.0.2.1"


def attempt(sent: str, at: float, operations: list[AnyOperation], *, port: int = 20000, took: float = 0.06,
            **fields: Any) -> Attempt:  # fmt: skip
    fields = {"address": LISTENER, "failure": operations[-1].failure if operations else None} | fields
    return Attempt(sent=sent, innocuous=sent != NAME and "innocuous" not in fields and "六四" not in sent, started=at,
                   finished=at + took, port=port, operations=tuple(operations), **fields)  # fmt: skip


def tls(sent: str, at: float, *, port: int, address: str = LISTENER, reset: bool = False) -> Attempt:
    where: dict[str, Any] = {"address": address, "port": port, "flow": 1}
    connect = TCPConnect(started=at, finished=at + 0.03, local_port=41_000 + port % 1000 + 500 * reset, **where)
    how: dict[str, Any] = (
        {"failure": RESET} if reset
        else {"version": "TLSv1.3", "chain": (sample.sha256(b"neutral"),), "certificate_failure": UNKNOWN, "received": 900}
    )  # fmt: skip
    handshake = TLSHandshake(started=at + 0.03, finished=at + 0.06, server_name=sent, **where, **how)
    return attempt(sent, at, [connect, handshake], port=port, address=address)


def http(sent: str, at: float, *, port: int, failure: str | None = None, body: bytes = b"neutral", took: float = 0.06,
         address: str = LISTENER) -> Attempt:  # fmt: skip
    where: dict[str, Any] = {"address": address, "port": port, "flow": 1}
    got: dict[str, Any] = {} if failure else {
        "status": 200, "body_length": len(body), "body_sha256": sample.sha256(body), "first_byte": at + 0.04,
    }  # fmt: skip
    page = HTTPRoundTrip(started=at + 0.03, finished=at + took, url=f"http://{address}:{port}/", failure=failure,
                         **where, **got)  # fmt: skip
    connect = TCPConnect(started=at, finished=at + 0.03, **where)
    return attempt(sent, at, [connect, page], port=port, took=took, address=address)


def dns(sent: str, at: float, *answers: str) -> Attempt:
    responses = tuple(
        Response(at=0.005 + 0.002 * n, records=(Record("A", address, 60),), flags=33152, hops=48 + n)
        for n, address in enumerate(answers)
    )
    op = DNSLookup(started=at, finished=at + 4, engine="udp", resolver="silent", name=sent, query_type="A",
                   server=f"{SILENT} 53", responses=responses, failure=None if answers else TIMEOUT)  # fmt: skip
    return attempt(sent, at, [op], address=SILENT, port=53, took=4.0)


def quic(sent: str, at: float, *, port: int, address: str = LISTENER, failure: str | None = None,
         hop: int = 0) -> QUICHandshake:  # fmt: skip
    return QUICHandshake(started=at, finished=at + (10 if failure else 0.05), address=address, port=port,
                         server_name=sent, failure=failure, version="" if failure else "v1", hop=hop,
                         alpn="" if failure else "h3", received=0 if failure else 2400)  # fmt: skip


def quic_try(sent: str, at: float, **fields: Any) -> Attempt:
    op = quic(sent, at, **fields)
    return attempt(sent, at, [op], port=op.port, address=op.address, took=op.finished - at)


def trigger(ttl: int, at: float, *, sent: str = NAME, reset: bool = False) -> Attempt:
    """A ClientHello that dies after so many hops."""
    made = tls(sent, at, port=443, address=sample.ADDRESS, reset=True)
    [connect, shake] = made.operations
    if not reset:
        shake = msgspec.structs.replace(shake, failure=TIMEOUT, finished=at + 2.0)
    return msgspec.structs.replace(
        made, ttl=ttl, operations=(connect, shake), failure=shake.failure, finished=shake.finished
    )


def router(ttl: int, at: float, address: str) -> Attempt:
    return Attempt(sent="", innocuous=True, address=sample.ADDRESS, port=33434 + ttl, started=at, finished=at + 0.02,
                   failure="host_unreachable", ttl=ttl, router=address)  # fmt: skip


def experiments() -> tuple[Experiment, ...]:
    """One of every kind, and one that was left out."""

    def pairs(make: Any, at: float, first: int, failure: Any) -> tuple[Attempt, ...]:
        return tuple(
            t for n in range(3)
            for t in (make(CONTROL, at + n, port=first + n), make(NAME, at + n + 0.5, port=first + n, **failure))
        )  # fmt: skip

    query = "https://search.example/?q=六四"
    return (
        Experiment(kind="sni", place="neutral", started=3.0, tries=pairs(tls, 3.0, 20000, {"reset": True})),
        Experiment(kind="sni", place="own", started=2.9,
                   tries=tuple(tls(CONTROL, 2.9 + 3 * n, port=443, address=sample.ADDRESS) for n in range(3))),
        Experiment(kind="host", place="neutral", started=3.2, left_out="no neutral listener is free"),
        Experiment(kind="phrase", place="neutral", started=7.0, tries=(
            http("weather", 7.0, port=20010), http("六四", 7.5, port=20010, failure=RESET))),
        Experiment(kind="injection", place="silent", started=3.1, tries=(
            dns(CONTROL, 3.1), dns(NAME, 3.3, "31.13.94.37", "31.13.94.38"), dns(CONTROL, 3.5),
            dns(NAME, 3.7, "31.13.94.39"))),
        Experiment(kind="quic", place="neutral", started=12.0,
                   tries=pairs(quic_try, 12.0, 20000, {"failure": TIMEOUT})),
        Experiment(kind="throughput", place="own", started=40.0, tries=(
            http(CONTROL, 40.0, port=443, body=b"x" * 262_144, took=1.04, address=sample.ADDRESS),
            http(NAME, 43.0, port=443, body=b"x" * 262_144, took=10.04, address=sample.ADDRESS))),
        Experiment(kind="path", place="own", started=60.0, tries=(
            trigger(4, 60.0, reset=True), trigger(2, 60.5), *(trigger(3, 60.6 + 0.2 * n) for n in range(4)),
            trigger(4, 68.0, reset=True), trigger(4, 68.5, sent=CONTROL),
            *(router(ttl, 71.0 + ttl / 10, address) for ttl, address in enumerate(HOPS, 1)))),
        Experiment(kind="search", place="platform:search.example", started=75.0, tries=(
            attempt("https://search.example/?q=weather", 75.0, [], matched=("present",), port=443),
            attempt(query, 77.0, [], matched=("present", "notice:0"), port=443),
            attempt("https://search.example/?q=weather", 79.0, [], matched=("present",), port=443),
            attempt(query, 81.0, [], matched=("present", "notice:0"), port=443))),
    )  # fmt: skip


def flow(local_port: int, at: float) -> Flow:
    """Reset three times alike 15 ms after the ClientHello, while the server goes on."""

    def inbound(after: float, flags: str, ttl: int, **fields: Any) -> Packet:
        return Packet(at=at + after, inbound=True, flags=flags, ttl=ttl, **fields)

    reset: dict[str, Any] = {"ip_id": 0x4242, "df": True, "window": 8192, "sequence": 8, "acknowledged": 600}
    return Flow(
        address=sample.ADDRESS, port=443, local_port=local_port,
        packets=(
            Packet(at=at, inbound=False, flags="S", ttl=64, window=64240, sequence=1),
            inbound(0.03, "SA", 52, ip_id=0, df=True, window=65160, sequence=7, acknowledged=2),
            Packet(at=at + 0.0301, inbound=False, flags="A", ttl=64, window=502),
            Packet(at=at + 0.0302, inbound=False, flags="PA", ttl=64, window=502, length=517, sequence=2),
            *(inbound(0.045, "RA", 119, **reset) for _ in range(3)),
            inbound(0.062, "PA", 52, ip_id=31, df=True, window=501, length=1448, sequence=8, acknowledged=519),
        ),
    )  # fmt: skip


def tcp_segment(source: str, destination: str, payload: bytes = b"", *, protocol: int = 6, flags: int = 0x18) -> bytes:
    """An IPv4 packet; its checksums are not right, 0x1234 stands in their place."""
    body = struct.pack("!HHIIBBHHH", 443, 41000, 1, 1, 0x50, flags, 512, 0x1234, 0) + payload
    if protocol == 1:
        body = bytes((11, 0)) + b"\x12\x34" + bytes(4) + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 52, protocol, 0x1234)
    return head + ip_address(source).packed + ip_address(destination).packed + body


def capture(*packets: bytes, missing: int = 0) -> bytes:
    """A capture file of these; of each, so many bytes more were on the wire."""
    return pcap.file([(10**18 + n, data, len(data) + missing) for n, data in enumerate(packets)], snaplen=256)


PCAP = capture(tcp_segment(sample.ADDRESS, OWN_IN_PCAP, flags=0x12), tcp_segment(sample.ADDRESS, OWN_IN_PCAP, flags=4))


def tried(uid: str = "20260131T120000.123457Z-tried", **changes: object) -> tuple[Measurement, Verdict]:
    """Every handshake is reset; experiments show that the name is why."""
    operations: list[AnyOperation] = [quic(NAME, 0.5, port=443, address=sample.ADDRESS)]
    for number in range(4):
        at = number * 3.0
        operations += [
            sample.lookup(at, attempt=number),
            *sample.connection(at + 0.02, number + 1, attempt=number, reset=True),
        ]
    operations = [
        msgspec.structs.replace(op, local_port=40_000 + op.flow) if isinstance(op, TCPConnect) else op
        for op in operations
    ]
    made = msgspec.structs.replace(
        sample.measurement(uid, operations, **changes),  # type: ignore[arg-type]
        experiments=experiments(),
        flows=(flow(40_001, 0.02),),
        pcap=PCAP,
    )
    return made, analyze(made, sample.NONE)
