"""The host's own network: sockets, bindings, nameservers; and a nameserver that misbehaves, over it."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from probes import dns as dns_probe
from probes import failure
from probes.network import DirectNetwork
from probes.trace import Limits, Trace

LIMITS = Limits(timeout=1.0, dns_timeout=0.6, listen=0.2)
Answer = Callable[[dns.message.Message, Callable[[bytes], None]], None]


class Nameserver:
    """A real UDP nameserver in a thread; `answer(query, send)` decides; TCP gives the whole answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self.port = int(self._udp.getsockname()[1])
        self._tcp = socket.create_server(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=self._udp_loop), threading.Thread(target=self._tcp_loop)]

    def __enter__(self) -> "Nameserver":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wake:
            wake.sendto(b"", ("127.0.0.1", self.port))
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _udp_loop(self) -> None:
        while True:
            wire, source = self._udp.recvfrom(4096)
            if not wire:
                return
            self._answer(dns.message.from_wire(wire), lambda reply, to=source: self._udp.sendto(reply, to))  # type: ignore[misc]

    def _tcp_loop(self) -> None:
        while True:
            connection, _ = self._tcp.accept()
            with connection:
                head = connection.recv(2)
                if len(head) < 2:
                    return
                wire = connection.recv(struct.unpack("!H", head)[0])
                reply = good(dns.message.from_wire(wire), *[f"203.0.113.{n}" for n in range(1, 41)])
                connection.sendall(struct.pack("!H", len(reply)) + reply)


def good(query: dns.message.Message, *addresses: str, kind: str = "A") -> bytes:
    reply = dns.message.make_response(query)
    if addresses:
        reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", kind, *addresses))
    return reply.to_wire(max_size=65535)


def look(answer: Answer, query_type: str = "A") -> dns_probe.DNSLookup:
    async def play(port: int) -> dns_probe.DNSLookup:
        with Trace(DirectNetwork(), None, LIMITS) as trace:
            await dns_probe.lookup(trace, "site.example", query_type, resolver="system", server=("127.0.0.1", port))
            await trace.settle()
            (found,) = trace.operations
        assert isinstance(found, dns_probe.DNSLookup)
        return found

    with Nameserver(answer) as server:
        return asyncio.run(play(server.port))


def test_a_good_answer_with_its_ttl_and_time() -> None:
    found = look(lambda query, send: send(good(query, "203.0.113.5")))
    (response,) = found.responses
    assert found.addresses() == ("203.0.113.5",)
    assert response.hops == 64
    assert 0 <= response.at < 0.5


def test_further_answers_are_kept_with_their_times() -> None:
    def twice(query: dns.message.Message, send: Callable[[bytes], None]) -> None:
        send(good(query, "203.0.113.5"))
        threading.Event().wait(0.1)
        send(good(query, "203.0.113.6"))

    found = look(twice)
    assert [r.addresses() for r in found.responses] == [("203.0.113.5",), ("203.0.113.6",)]
    assert found.responses[1].at - found.responses[0].at >= 0.08


def test_answers_to_something_else_are_passed_over() -> None:
    def strange(query: dns.message.Message, send: Callable[[bytes], None]) -> None:
        other = dns.message.make_query("other.example", "A", id=query.id)
        send(good(other, "203.0.113.9"))
        send(struct.pack("!H", query.id ^ 1) + good(query, "203.0.113.9")[2:])
        send(b"short")
        send(good(query, "203.0.113.5"))

    assert look(strange).addresses() == ("203.0.113.5",)


def test_a_malformed_answer_is_recorded_as_such() -> None:
    found = look(lambda query, send: send(good(query, "203.0.113.5")[:-2]))
    assert found.failure == "dns_server_misbehaving"
    assert found.responses[0].malformed


def test_a_flood_is_bounded() -> None:
    def flood(query: dns.message.Message, send: Callable[[bytes], None]) -> None:
        for n in range(100):
            send(good(query, f"203.0.113.{n}"))

    assert len(look(flood).responses) == 16


def test_a_truncated_answer_is_asked_again_over_tcp() -> None:
    def cut(query: dns.message.Message, send: Callable[[bytes], None]) -> None:
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.TC
        send(reply.to_wire())

    found = look(cut)
    assert len(found.addresses()) == 40
    assert found.failure is None


def test_a_record_of_another_class_is_no_address() -> None:
    def chaos(query: dns.message.Message, send: Callable[[bytes], None]) -> None:
        wire = bytearray(good(query, "203.0.113.5"))
        wire[-12:-10] = struct.pack("!H", 3)  # the class of the record, before TTL, length and address
        send(bytes(wire))

    assert look(chaos).addresses() == ()


@pytest.mark.parametrize(
    ("rcode", "expected"),
    [(3, failure.NXDOMAIN), (2, "dns_servfail_error"), (5, "dns_refused_error"), (4, "dns_server_misbehaving"),
     (0, failure.NO_ANSWER)],
)  # fmt: skip
def test_rcodes(rcode: int, expected: str) -> None:
    def answer(query: dns.message.Message, send: Callable[[bytes], None]) -> None:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.Rcode(rcode))
        send(reply.to_wire())

    assert look(answer).failure == expected


def test_silence_and_a_closed_port() -> None:
    assert look(lambda _query, _send: None).failure == failure.TIMEOUT

    async def closed() -> str | None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        with Trace(DirectNetwork(), None, LIMITS) as trace:
            server = ("127.0.0.1", port)
            return (await dns_probe.lookup(trace, "a.example", "A", resolver="system", server=server)).failure

    assert asyncio.run(closed()) == failure.REFUSED


def test_nameservers_of_resolv_conf(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("# mine\nsearch x\nnameserver 192.0.2.1\nnameserver fe80::1\nnameserver what\nnameserver 192.0.2.2\n"
                    "nameserver 192.0.2.3\n")  # fmt: skip
    network = DirectNetwork(resolv_conf=path)
    assert network.nameservers() == [("192.0.2.1", 53), ("fe80::1", 53), ("192.0.2.2", 53)]
    path.write_text("")
    assert network.nameservers() == [("127.0.0.1", 53)]
    path.unlink()
    assert network.nameservers() == [("127.0.0.1", 53)]


def test_source_and_interface() -> None:
    async def play() -> tuple[str, str]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            sock = await DirectNetwork(source="127.0.0.2").connect("127.0.0.1", server.getsockname()[1])
            peer, (source, _port) = server.accept()
            sock.close()
            peer.close()
        with pytest.raises(OSError, match=r"."):
            await DirectNetwork(interface="none0").connect("127.0.0.1", 9)
        with pytest.raises(OSError, match=r"."):
            await DirectNetwork(source="192.0.2.77").open_udp("127.0.0.1", 9)
        udp = await DirectNetwork(source="127.0.0.3").open_udp("127.0.0.1", 9)
        bound = udp.getsockname()[0]
        udp.close()
        return source, bound

    assert asyncio.run(play()) == ("127.0.0.2", "127.0.0.3")


def test_getaddrinfo_of_the_host() -> None:
    async def play() -> list[dns_probe.DNSLookup]:
        with Trace(DirectNetwork(), None, LIMITS) as trace:
            return [await dns_probe.getaddrinfo(trace, name) for name in ("localhost", "a..b")]

    local, broken = asyncio.run(play())
    assert "127.0.0.1" in local.addresses()
    assert broken.failure is not None


def test_failure_strings() -> None:
    import errno
    import ssl

    assert failure.of(ConnectionResetError()) == failure.EOF
    assert failure.of(ConnectionResetError(errno.ECONNRESET, "x")) == failure.RESET
    assert failure.of(EOFError()) == failure.EOF
    assert failure.of(TimeoutError()) == failure.TIMEOUT
    assert failure.of(TimeoutError(errno.ETIMEDOUT, "x")) == "timed_out"
    assert failure.of(OSError(9999, "203.0.113.5 is secret")) == "unknown_failure: OSError errno 9999"
    assert failure.of(KeyError("secret")) == "unknown_failure: KeyError"
    assert failure.of(ssl.SSLEOFError(8, "x")) == failure.EOF
    assert failure.of(ssl.SSLError(1, "x")) == "ssl_failed_handshake"
