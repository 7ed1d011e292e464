"""TLS handshakes against real servers, good and bad; and what is said of their certificates."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from probes import tcp, tls
from probes.certificate import INVALID_CERTIFICATE, INVALID_HOSTNAME, UNKNOWN_AUTHORITY, Authorities
from probes.doh import parse_doh
from probes.network import DirectNetwork
from probes.resolvers import parse_resolvers
from probes.tcp import TCPConnect
from probes.tls import TLSHandshake
from probes.trace import Limits, Trace
from tests.pki import TestAuthority

LIMITS = Limits(timeout=0.5, handshake_bytes=20_000)
PUBLIC = "93.184.215.14"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Mapped(DirectNetwork):
    """One public-looking address that is a server on loopback."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    async def connect(self, address: str, port: int) -> socket.socket:
        return await super().connect("127.0.0.1", self.port)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("pki"))


def handshake(handler: Handler, authorities: Authorities, name: str = "site.example", **server: object) -> TLSHandshake:
    async def play() -> TLSHandshake:
        served: list[asyncio.Event] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            served.append(done := asyncio.Event())
            try:
                await handler(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                done.set()

        listening = await asyncio.start_server(serve, "127.0.0.1", 0, **server)  # type: ignore[arg-type]
        async with listening:
            trace = Trace(Mapped(listening.sockets[0].getsockname()[1]), None, LIMITS)
            stream = await tcp.connect(trace, PUBLIC, 443)
            assert stream is not None
            secured = await tls.handshake(trace, stream, name, authorities=authorities)
            if secured is not None:
                secured.close()
            found = trace.operations[-1]
            assert isinstance(found, TLSHandshake)
            stream.close()
            for done in served:
                await asyncio.wait_for(done.wait(), 5)
            return found

    return asyncio.run(play())


async def end(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (lambda a: a.issue("site.example"), "site.example", None),
        (lambda a: a.issue("*.example"), "site.example", None),
        (lambda a: a.issue("other.example"), "site.example", INVALID_HOSTNAME),
        (lambda a: a.expired("site.example"), "site.example", INVALID_CERTIFICATE),
        (lambda a: a.self_signed("site.example"), "site.example", UNKNOWN_AUTHORITY),
    ],
)
def test_certificates(
    authority: TestAuthority, make: Callable[[TestAuthority], Path], name: str, expected: str | None
) -> None:
    context = authority.server_context(make(authority))
    found = handshake(end, Authorities(authority.root), name, ssl=context)
    assert found.failure is None
    assert found.certificate_failure == expected
    assert found.valid is (expected is None)
    assert found.version == "TLSv1.3"
    assert len(found.chain) >= 1


def test_a_root_that_nobody_knows(authority: TestAuthority) -> None:
    found = handshake(end, Authorities(), ssl=authority.server_context(authority.issue("site.example")))
    assert found.certificate_failure == UNKNOWN_AUTHORITY


def test_failures(authority: TestAuthority) -> None:
    trusted = Authorities(authority.root)

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.close()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(bytes([21, 3, 3, 0, 2, 2, 112]))  # fatal unrecognized_name, RFC 6066
        writer.close()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        for _ in range(4):  # handshake records that announce more and more
            writer.write(bytes([22, 3, 3, 64, 0]) + bytes([11, 0, 255, 255]) + bytes(16380))
        await writer.drain()
        await reader.read()
        writer.close()

    assert handshake(reset, trusted).failure == "connection_reset"
    assert handshake(close, trusted).failure == "eof_error"
    assert handshake(silent, trusted).failure == "generic_timeout_error"
    assert handshake(plain, trusted).failure == "ssl_failed_handshake"
    found = handshake(alert, trusted)
    assert (found.failure, found.received) == ("ssl_invalid_hostname", 7)
    assert found.alert
    found = handshake(endless, trusted)
    assert found.failure in ("ssl_failed_handshake", "generic_timeout_error")
    assert found.received <= LIMITS.handshake_bytes


def test_chains_that_are_none(authority: TestAuthority) -> None:
    authorities, now = Authorities(authority.root), datetime.now(UTC)
    assert authorities.failure_of([], "site.example", now) == INVALID_CERTIFICATE
    assert authorities.failure_of([b"garbage"], "site.example", now) == INVALID_CERTIFICATE
    assert authorities.failure_of([b"garbage"], "not a name \x00", now) == INVALID_CERTIFICATE


def test_dates_come_before_name_and_authority(authority: TestAuthority) -> None:
    import ssl

    pem = authority.issue("site.example").read_text()
    der = ssl.PEM_cert_to_DER_cert(
        pem[pem.index("-----BEGIN CERTIFICATE") :].split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----"
    )
    far = datetime.now(UTC) + timedelta(days=36500)
    assert Authorities().failure_of([der], "other.example", far) == INVALID_CERTIFICATE
    assert Authorities().failure_of([der], "other.example", datetime.now(UTC)) == UNKNOWN_AUTHORITY
    assert Authorities(authority.root).failure_of([der], "203.0.113.5", datetime.now(UTC)) == INVALID_HOSTNAME


def test_loopback_is_never_dialled_because_an_answer_says_so() -> None:
    async def play(address: str) -> str | None:
        trace = Trace(Mapped(9), None, LIMITS)
        assert await tcp.connect(trace, address, 443) is None
        (found,) = trace.operations
        assert isinstance(found, TCPConnect)
        return found.failure

    for address in ("127.0.0.1", "127.8.9.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
        assert asyncio.run(play(address)) == "not_tried: loopback"


def test_resolvers_of_the_configuration() -> None:
    found = parse_resolvers(["system", "udp://8.8.8.8", "udp://[2001:db8::1]:5353", "https://9.9.9.9/dns-query",
                             "https://dns.example/q?a=1&bootstrap=9.9.9.9"])  # fmt: skip
    assert found.system
    assert [server for _name, server in found.udp] == [("8.8.8.8", 53), ("2001:db8::1", 5353)]
    assert [r.bootstrap for r in found.doh] == ["9.9.9.9", "9.9.9.9"]
    assert str(found.doh[1].url) == "https://dns.example/q?a=1"
    assert parse_doh("https://dns.example/q").bootstrap == ""
    for text in (
        "udp://dns.example:53",
        "udp://8.8.8.8:many",
        "tls://9.9.9.9",
        "https://dns.example/q?bootstrap=x",
        "",
    ):
        with pytest.raises(ValueError, match="is no resolver"):
            parse_resolvers([text])
