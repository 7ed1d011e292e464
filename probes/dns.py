"""One DNS lookup over UDP: the first answer, and every further answer to the same query.

A forged answer arrives first and the true one a little later. The socket therefore stays open after the
first answer; the kernel stamps each datagram's arrival, and `Trace.settle` reads them when the time is up.
"""

import asyncio
import socket
import struct
import time
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import msgspec
from dns.rdtypes.svcbbase import ParamKey

from . import failure as failures
from .message import Query, simple_answer
from .network import query_id
from .trace import Operation, Trace

_MAX_RESPONSES = 16  # to one query; the rest is dropped
_MAX_RECORDS = 64  # of one response
_LONGEST = 1024  # characters of a record's text
_DATAGRAM = 8192  # bytes
_SCM_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
_ADDRESS_TYPES = ("A", "AAAA")
_ENCRYPTED = frozenset({"doh", "dot"})
_HINTS = (ParamKey.IPV4HINT, ParamKey.IPV6HINT)


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One resource record of an answer: `value` is an address, a name or the text of the record.

    The type `hint` is ours: an address that an HTTPS record gives.
    """

    type: str
    value: str
    ttl: int = 0


class Response(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One answer to a query. `at`: seconds after the query was sent; `hops`: the datagram's remaining IP TTL.

    `flags` are the header's 16 bits, with which forged answers can be told apart; `malformed`: it would not parse.
    """

    at: float
    rcode: int = 0
    records: tuple[Record, ...] = ()
    flags: int = 0
    hops: int | None = None
    malformed: bool = False

    def addresses(self) -> tuple[str, ...]:
        """The A and AAAA records."""
        return tuple(r.value for r in self.records if r.type in _ADDRESS_TYPES)

    def hints(self) -> tuple[str, ...]:
        """The addresses in HTTPS records."""
        return tuple(r.value for r in self.records if r.type == "hint")


class DNSLookup(Operation, frozen=True, kw_only=True, omit_defaults=True, tag="dns"):
    """One query and all its answers. `engine`: `getaddrinfo`, `udp`, `tcp`, `doh`, `dot`.

    `resolver` is as configured (`system`, `udp://8.8.8.8:53`, `https://…`, `tls://…`), `server` the endpoint asked.
    `failure` is that of the first answer, which is the one that a plain client believes.
    """

    engine: str
    resolver: str
    name: str
    query_type: str
    server: str = ""
    responses: tuple[Response, ...] = ()
    checking_disabled: bool = False

    def addresses(self) -> tuple[str, ...]:
        """The addresses of the first answer."""
        return self.responses[0].addresses() if self.responses else ()

    @property
    def encrypted(self) -> bool:
        """Whether the answer came behind a certificate that verified, so that nobody on the path can have made it."""
        return self.engine in _ENCRYPTED


def query(name: str, query_type: str, *, checking_disabled: bool = False, pad: int = 0) -> Query:
    """A recursive query with EDNS (1232 bytes, the DNS flag day's size); CD asks not to validate DNSSEC.

    `pad`: the wire is made up to a multiple of so many bytes (RFC 7830).
    """
    return Query(name, query_type, id=query_id(), checking_disabled=checking_disabled, pad=pad)


def read(wire: bytes, asked: Query, at: float, hops: int | None = None) -> Response | None:
    """The answer in a datagram; None where it answers something else. Never raises for what the wire holds."""
    if len(wire) < 12 or struct.unpack_from("!H", wire)[0] != asked.id:
        return None
    flags = struct.unpack_from("!H", wire, 2)[0]
    if not flags & dns.flags.QR:
        return None  # our own question, sent back
    simple = simple_answer(wire, asked.wire_question)
    if simple is not None:
        found = tuple(Record(kind, value[:_LONGEST], ttl) for kind, value, ttl in simple[:_MAX_RECORDS])
        return Response(at=at, rcode=flags & 0xF, records=found, flags=flags, hops=hops)
    try:
        answer = dns.message.from_wire(wire, ignore_trailing=True, raise_on_truncation=False)
        if answer.question and answer.question != asked.question:
            return None
        records = tuple(_records(answer))
    except (dns.exception.DNSException, ValueError, IndexError, struct.error):
        return Response(at=at, flags=flags, rcode=flags & 0xF, hops=hops, malformed=True)
    return Response(at=at, rcode=int(answer.rcode()), records=records, flags=flags, hops=hops)


def _records(answer: dns.message.Message) -> list[Record]:
    found: list[Record] = []
    for rrset in answer.answer:
        kind = dns.rdatatype.to_text(rrset.rdtype)
        if rrset.rdclass == dns.rdataclass.IN and kind in (*_ADDRESS_TYPES, "CNAME", "HTTPS"):
            found += [Record(kind, _text(kind, item), rrset.ttl) for item in rrset]
            found += [Record("hint", address, rrset.ttl) for item in rrset for address in _hints(item)]
    return found[:_MAX_RECORDS]


def _hints(item: Any) -> list[str]:
    """The addresses that an HTTPS record gives beside it (RFC 9460 section 7.3)."""
    params = getattr(item, "params", None) or {}
    return [str(address) for key in _HINTS if key in params for address in params[key].addresses]


def _text(kind: str, item: Any) -> str:
    return str(item.address) if kind in _ADDRESS_TYPES else item.to_text().removesuffix(".")[:_LONGEST]


def failure_of(response: Response, query_type: str) -> str | None:
    """The failure string of one answer to a query of that type."""
    if response.malformed:
        return "dns_server_misbehaving"
    answered = any(record.type == query_type for record in response.records)
    return failures.of_rcode(response.rcode, answered)


async def lookup(
    trace: Trace,
    name: str,
    query_type: str,
    *,
    resolver: str,
    server: tuple[str, int],
    hop: int = 0,
    checking_disabled: bool = False,
) -> DNSLookup:
    """Ask one server once over UDP; returns with the first answer, the ear stays open for `limits.listen`.

    A truncated answer is asked again over TCP. Network failures are recorded, never raised.
    """
    started = trace.now()
    asked = query(name, query_type, checking_disabled=checking_disabled)
    ear = _Ear(asked)
    failure: str | None = None
    try:
        async with asyncio.timeout(trace.limits.dns_timeout):
            ear.socket = await trace.network.open_udp(*server)
            ear.send()
            await ear.first()
        if ear.responses[0].flags & dns.flags.TC:
            await _again_by_tcp(trace, ear, server)
    except (OSError, TimeoutError) as error:
        failure = failures.of(error)
    except BaseException:
        ear.close()
        raise
    finished = trace.now()

    def result() -> DNSLookup:
        ear.drain()
        first = ear.responses[0] if ear.responses else None
        return DNSLookup(
            started=started, finished=finished, hop=hop, attempt=attempt, engine="udp", resolver=resolver,
            server=f"{server[0]} {server[1]}", name=name, query_type=query_type, responses=tuple(ear.responses),
            checking_disabled=checking_disabled, failure=failure_of(first, query_type) if first else failure,
        )  # fmt: skip

    def settled() -> DNSLookup:
        ear.close()
        return result()

    attempt = trace.attempt
    now = result()
    if ear.socket is not None and ear.responses:
        trace.listen(finished + trace.limits.listen, settled, now=now)
    else:
        ear.close()
        trace.record(now)
    return now


async def _again_by_tcp(trace: Trace, ear: "_Ear", server: tuple[str, int]) -> None:
    """Put the whole answer in the place of the truncated one, where TCP gives it."""
    try:
        async with asyncio.timeout(trace.limits.dns_timeout):
            wire = await exchange_tcp(trace, ear.asked.to_wire(), server)
    except (OSError, TimeoutError, EOFError):
        return
    whole = read(wire, ear.asked, ear.responses[0].at)
    if whole is not None:
        ear.responses[0] = whole


async def exchange_tcp(trace: Trace, wire: bytes, server: tuple[str, int]) -> bytes:
    """Send one message with its two-byte length (RFC 1035 4.2.2) and read one; raises OSError and EOFError."""
    loop = asyncio.get_running_loop()
    sock = await trace.network.connect(*server)
    try:
        await loop.sock_sendall(sock, struct.pack("!H", len(wire)) + wire)
        data = b""
        while len(data) < 2 or len(data) < 2 + struct.unpack_from("!H", data)[0]:
            chunk = await loop.sock_recv(sock, 65537 - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data[2 : 2 + struct.unpack_from("!H", data)[0]]
    finally:
        sock.close()


async def getaddrinfo(trace: Trace, name: str, *, hop: int = 0) -> DNSLookup:
    """What the host's own stub resolver says; one record of type ANY, as OONI has it."""
    started = trace.now()
    failure: str | None = None
    found: list[str] = []
    try:
        async with asyncio.timeout(trace.limits.dns_timeout):
            found = await trace.network.getaddrinfo(name)
    except socket.gaierror as error:
        failure = _GAI.get(error.errno or 0, "dns_server_misbehaving")
    except (OSError, TimeoutError, UnicodeError) as error:
        failure = failures.of(error)
    records = tuple(Record("AAAA" if ":" in address else "A", address) for address in found[:_MAX_RECORDS])
    finished = trace.now()
    operation = DNSLookup(
        started=started, finished=finished, hop=hop, attempt=trace.attempt, engine="getaddrinfo", resolver="system",
        name=name, query_type="ANY", failure=failure,
        responses=(Response(at=round(finished - started, 6), records=records),) if failure is None else (),
    )  # fmt: skip
    trace.record(operation)
    return operation


# getaddrinfo tells a missing name and a missing record by the same code on Linux.
_GAI = {
    socket.EAI_NONAME: failures.NXDOMAIN,
    getattr(socket, "EAI_NODATA", -5): failures.NO_ANSWER,
    socket.EAI_AGAIN: "dns_temporary_failure",
    socket.EAI_FAIL: "dns_non_recoverable_failure",
}


class _Ear:
    """The socket of one query and what was heard on it."""

    def __init__(self, asked: Query) -> None:
        self.asked = asked
        self.socket: socket.socket | None = None
        self.responses: list[Response] = []
        self._sent = (0.0, 0.0)

    def send(self) -> None:
        assert self.socket is not None
        self._sent = (time.time(), time.monotonic())
        self.socket.send(self.asked.to_wire())

    async def first(self) -> None:
        """Wait for the first answer; datagrams that answer something else are passed over."""
        assert self.socket is not None
        while not self.responses:
            await readable(self.socket)
            self._hear()

    def drain(self) -> None:
        """Read what the kernel has kept since."""
        try:
            while self.socket is not None and len(self.responses) < _MAX_RESPONSES:
                self._hear()
        except OSError:  # nothing left, or an ICMP error after the first answer
            return

    def close(self) -> None:
        self.drain()
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _hear(self) -> None:
        assert self.socket is not None
        wire, ancillary, _flags, _peer = self.socket.recvmsg(_DATAGRAM, 256)
        at, hops = time.monotonic() - self._sent[1], None
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SCM_TIMESTAMPNS and len(data) >= 16:
                seconds, nanoseconds = struct.unpack_from("@ll", data)
                at = min(at, max(0.0, seconds + nanoseconds / 1e9 - self._sent[0]))
            elif level == socket.IPPROTO_IP and kind == socket.IP_TTL and len(data) >= 4:
                hops = struct.unpack_from("@i", data)[0]
        response = read(wire, self.asked, round(at, 6), hops)
        if response is not None:
            self.responses.append(response)


async def readable(sock: socket.socket) -> None:
    """Wait until a read from the socket would not block."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(sock, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(sock)
