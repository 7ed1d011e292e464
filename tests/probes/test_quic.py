"""QUIC handshakes with real aioquic servers on loopback, good and bad, behind addresses that look public."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import encode_quic_version_negotiation

from probes import quic
from probes.certificate import Authorities
from probes.quic import QUICHandshake
from probes.trace import Limits, Trace
from tests.pki import TestAuthority

from .loopback import SITE, Place, place
from .quic_server import Server, Treat, header_of, hello, take, take_first

NAME = "good.example"
LIMITS = Limits(timeout=5, dns_timeout=2, listen=0.02)
SHORT = Limits(timeout=0.6, dns_timeout=2, listen=0.02)


class Scene:
    def __init__(self, here: Place, pki: TestAuthority, authorities: Authorities) -> None:
        self.here, self.pki, self.authorities = here, pki, authorities
        here.limits = LIMITS

    async def serve(self, treat: Treat = take, *, pem: Path | None = None, at: int = 443, **options: Any) -> Server:
        chain = pem or self.pki.issue(NAME)
        configuration = QuicConfiguration(is_client=False, **({"alpn_protocols": ["h3"]} | options))
        configuration.load_cert_chain(chain, chain)
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(lambda: Server(configuration, treat), ("127.0.0.1", 0))
        self.here._stack.callback(transport.close)
        self.here.network.udp[SITE, at] = transport.get_extra_info("sockname")[1]
        return server

    async def shake(self, name: str = NAME, *, limits: Limits = LIMITS, **options: Any) -> tuple[QUICHandshake, Trace]:
        self.here.limits = limits
        trace = self.here.trace()
        found = await quic.handshake(trace, options.pop("address", SITE), 443, name,
                                     authorities=self.authorities, **options)  # fmt: skip
        assert trace.operations == [found]
        return found, trace


@asynccontextmanager
async def scene(pki: TestAuthority, authorities: Authorities) -> AsyncIterator[Scene]:
    async with place() as here:
        yield Scene(here, pki, authorities)


@pytest.fixture
def run(pki: TestAuthority, authorities: Authorities) -> Callable[..., Any]:
    def play(story: Callable[[Scene], Any]) -> Any:
        async def inner() -> Any:
            async with scene(pki, authorities) as net:
                return await story(net)

        return asyncio.run(inner())

    return play


def test_a_handshake_that_the_server_acknowledges(run: Any) -> None:
    async def story(net: Scene) -> Any:
        server = await net.serve()
        found, trace = await net.shake()
        await asyncio.sleep(0.05)
        return found, trace.certificates, server

    found, certificates, server = run(story)
    assert (found.failure, found.completed, found.alert) == (None, True, "")
    assert (found.version, found.alpn, found.certificate_failure) == ("v1", "h3", None)
    assert len(found.chain) == 1 and set(found.chain) <= set(certificates)
    assert 1200 < found.received < 10_000
    assert 0 <= found.started < found.finished < 3
    assert server.connection.configuration.alpn_protocols == ["h3"]
    assert server.connection._close_event.error_code == 0x100  # we said goodbye
    assert server.datagrams[0][1][1] > 443


def test_the_server_gets_the_name(run: Any) -> None:
    async def story(net: Scene) -> Any:
        server = await net.serve()
        await net.shake("forbidden.example")
        return server.datagrams[0][0]

    datagram = run(story)
    assert len(datagram) >= 1200  # RFC 9000 section 14.1
    assert hello(datagram).count(b"forbidden.example") == 1


@pytest.mark.parametrize(
    ("make", "failure"), [("self_signed", "ssl_unknown_authority"), ("expired", "ssl_invalid_certificate")]
)
def test_a_bad_certificate_is_a_fact(run: Any, make: str, failure: str) -> None:
    async def story(net: Scene) -> Any:
        await net.serve(pem=getattr(net.pki, make)(NAME))
        return await net.shake()

    found, trace = run(story)
    assert (found.failure, found.completed, found.certificate_failure) == (None, True, failure)
    assert set(found.chain) == set(trace.certificates)


def test_a_certificate_for_another_name(run: Any) -> None:
    async def story(net: Scene) -> Any:
        await net.serve(pem=net.pki.issue("other.example"))
        return (await net.shake())[0]

    assert run(story).certificate_failure == "ssl_invalid_hostname"


def test_what_we_send_afterwards_is_dropped(run: Any) -> None:
    """A handshake that is complete on our side proves nothing."""

    async def story(net: Scene) -> Any:
        await net.serve(take_first)
        return (await net.shake(limits=SHORT))[0]

    found = run(story)
    assert (found.failure, found.completed, found.alpn) == ("generic_timeout_error", True, "h3")
    assert len(found.chain) == 1
    assert 0.5 < found.finished - found.started < 2


def test_silence(run: Any) -> None:
    async def story(net: Scene) -> Any:
        server = await net.serve(lambda *_: None)
        return (await net.shake(limits=SHORT))[0], server.datagrams

    found, datagrams = run(story)
    assert (found.failure, found.completed, found.received) == ("generic_timeout_error", False, 0)
    assert len(datagrams) > 1  # what may be lost is sent again


def test_a_closed_port_refuses(run: Any) -> None:
    found, _trace = run(lambda net: net.shake())
    assert (found.failure, found.received) == ("connection_refused", 0)


def test_lost_datagrams_are_sent_again(run: Any) -> None:
    def lossy(server: Server, data: bytes, addr: Any) -> None:
        if len(server.datagrams) not in (1, 3):
            server.take(data, addr)

    async def story(net: Scene) -> Any:
        await net.serve(lossy)
        return (await net.shake())[0]

    assert run(story).failure is None


@pytest.mark.parametrize(
    ("code", "frame", "alert", "failure"),
    [
        (0x100 + 112, 6, "unrecognized_name", "ssl_invalid_hostname"),
        (0x100 + 40, 6, "handshake_failure", "ssl_failed_handshake"),
        (0x100 + 48, 6, "unknown_ca", "ssl_unknown_authority"),
        (0x100 + 45, 6, "certificate_expired", "ssl_invalid_certificate"),
        (0x1FE, 6, "0x1fe", "ssl_failed_handshake"),
        (0x2, 0, "CONNECTION_REFUSED", "connection_refused"),
        (0x11, 0, "VERSION_NEGOTIATION_ERROR", "quic_incompatible_version"),
        (0x0, 0, "NO_ERROR", "eof_error"),
        (0x3FFFFFFF, 0, "0x3fffffff", "ssl_failed_handshake"),
    ],
)
def test_a_server_that_closes_says_why(run: Any, code: int, frame: int, alert: str, failure: str) -> None:
    def refuses(server: Server, data: bytes, addr: Any) -> None:
        header = header_of(data)
        server.connection = QuicConnection(
            configuration=server.configuration, original_destination_connection_id=header.destination_cid
        )
        server.connection.receive_datagram(data, addr, server._now())
        server.connection.close(error_code=code, frame_type=frame, reason_phrase="\x1b[2J<b>")
        server.flush()

    async def story(net: Scene) -> Any:
        await net.serve(refuses)
        return (await net.shake())[0]

    found = run(story)
    assert (found.alert, found.failure, found.completed) == (alert, failure, False)
    assert found.finished - found.started < 1


def test_no_common_protocol_is_the_server_s_alert(run: Any) -> None:
    async def story(net: Scene) -> Any:
        await net.serve(alpn_protocols=["doq"])
        return (await net.shake())[0]

    found = run(story)
    assert (found.alert, found.failure) == ("no_application_protocol", "ssl_failed_handshake")


@pytest.mark.parametrize("versions", [[0x6B3343CF], [0xFF00001D], [0x1A2A3A4A]])
def test_a_server_that_speaks_other_versions(run: Any, versions: list[int]) -> None:
    def negotiates(server: Server, data: bytes, addr: Any) -> None:
        header = header_of(data)
        server.transport.sendto(
            encode_quic_version_negotiation(
                source_cid=header.destination_cid, destination_cid=header.source_cid, supported_versions=versions
            ), addr,
        )  # fmt: skip

    async def story(net: Scene) -> Any:
        await net.serve(negotiates)
        return (await net.shake())[0]

    found = run(story)
    assert (found.failure, found.alert) == ("quic_incompatible_version", "")
    assert found.finished - found.started < 1


def test_a_version_packet_that_names_ours_is_passed_over(run: Any) -> None:
    def forges(server: Server, data: bytes, addr: Any) -> None:
        header = header_of(data)
        if len(server.datagrams) == 1:
            server.transport.sendto(
                encode_quic_version_negotiation(
                    source_cid=header.destination_cid, destination_cid=header.source_cid, supported_versions=[1]
                ), addr,
            )  # fmt: skip
        server.take(data, addr)

    async def story(net: Scene) -> Any:
        await net.serve(forges)
        return (await net.shake())[0]

    assert run(story).failure is None


def test_a_flood_ends_at_the_limit(run: Any) -> None:
    def floods(server: Server, _data: bytes, addr: Any) -> None:
        for _ in range(200):
            server.transport.sendto(os.urandom(1200), addr)

    async def story(net: Scene) -> Any:
        await net.serve(floods)
        return (await net.shake(limits=Limits(timeout=3, handshake_bytes=20_000)))[0]

    found = run(story)
    assert (found.failure, found.completed) == ("ssl_failed_handshake", False)
    assert 20_000 < found.received < 22_000


def test_a_flood_of_empty_datagrams_ends_as_well(run: Any) -> None:
    async def story(net: Scene) -> Any:
        async def flood(server: Server, addr: Any) -> None:
            for number in range(3000):
                server.transport.sendto(b"\x40" if number % 2 else b"", addr)
                if number % 20 == 0:
                    await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            first: list[Any] = []

            def floods(server: Server, _data: bytes, addr: Any) -> None:
                if not first:
                    first.append(group.create_task(flood(server, addr)))

            await net.serve(floods)
            return (await net.shake(limits=Limits(timeout=5)))[0]

    assert run(story).failure == "ssl_failed_handshake"


def test_garbage_beside_the_answers_harms_nothing(run: Any) -> None:
    def noisy(server: Server, data: bytes, addr: Any) -> None:
        header = header_of(data)
        for junk in (b"", b"\x40", os.urandom(1200), data, b"\xc0\0\0\0\x01" + os.urandom(50),
                     b"\xf0\0\0\0\x01\x08" + header.source_cid + os.urandom(90)):  # fmt: skip
            server.transport.sendto(junk, addr)
        server.take(data, addr)

    async def story(net: Scene) -> Any:
        await net.serve(noisy)
        return (await net.shake())[0]

    assert run(story).failure is None


def test_what_a_server_puts_into_good_packets_never_raises(run: Any, capfd: Any) -> None:
    """Handshake bytes that are not TLS, well encrypted, of many kinds."""

    async def story(net: Scene) -> list[QUICHandshake]:
        found = []
        for kind in range(24):

            def answers(server: Server, data: bytes, addr: Any, kind: int = kind) -> None:
                header = header_of(data)
                connection = QuicConnection(
                    configuration=server.configuration, original_destination_connection_id=header.destination_cid
                )
                connection.receive_datagram(data, addr, server._now())
                for stream in connection._crypto_streams.values():
                    content = bytes(stream.sender._buffer)
                    at = (kind * 37) % max(1, len(content) - 8)
                    stream.sender._buffer[at : at + 4] = os.urandom(4) if content else b""
                for sent, to in connection.datagrams_to_send(server._now()):
                    server.transport.sendto(sent, to)

            await net.serve(answers)
            found.append((await net.shake(limits=Limits(timeout=0.25)))[0])
        return found

    found = run(story)
    assert all(op.failure and op.failure.isprintable() and len(op.failure) < 80 for op in found)
    assert not any(op.completed for op in found)
    assert capfd.readouterr() == ("", "")


def test_what_must_not_be_contacted_is_not(run: Any) -> None:
    async def story(net: Scene) -> list[str | None]:
        server = await net.serve()
        refused, _trace = await net.shake(refuse="not_tried: residual")
        found = [refused.failure]
        for address in ("127.0.0.1", "::1", "0.0.0.0", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1"):
            net.here.network.udp[address, 443] = net.here.network.udp[SITE, 443]
            found.append((await net.shake(address=address))[0].failure)
        assert server.datagrams == []
        return found

    assert run(story) == ["not_tried: residual"] + ["not_tried: loopback"] * 6


def test_an_address_that_the_server_prefers_is_left_alone(run: Any) -> None:
    async def story(net: Scene) -> Any:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as elsewhere:
            elsewhere.bind(("127.0.0.1", 0))
            elsewhere.setblocking(False)
            port = elsewhere.getsockname()[1].to_bytes(2, "big")
            preferred: bytes = b"\x7f\0\0\x01" + port + bytes(15) + b"\x01" + port + b"\x08" + b"elsewher" + bytes(16)

            class Prefers(QuicConnection):
                def _serialize_transport_parameters(self) -> bytes:
                    return super()._serialize_transport_parameters() + bytes([0x0D, len(preferred)]) + preferred

            def treat(server: Server, data: bytes, addr: Any) -> None:
                if server.connection is None:
                    server.connection = Prefers(
                        configuration=server.configuration,
                        original_destination_connection_id=header_of(data).destination_cid,
                    )
                server.take(data, addr)

            await net.serve(treat)
            found, _trace = await net.shake()
            await asyncio.sleep(0.1)
            with pytest.raises(BlockingIOError):
                elsewhere.recv(2000)
            return found

    assert run(story).failure is None


def test_the_port_is_above_the_server_s_where_one_can_be_had(run: Any) -> None:
    async def story(net: Scene) -> tuple[int, list[int]]:
        opened: list[int] = []
        real = net.here.network.open_udp

        async def open_udp(address: str, port: int) -> socket.socket:
            sock = await real(address, port)
            opened.append(sock.getsockname()[1])
            return sock

        net.here.network.open_udp = open_udp  # type: ignore[method-assign]
        trace = net.here.trace()
        net.here.network.udp[SITE, 45_000] = net.here.network.udp[SITE, 65_000] = net.here.network._closed
        await quic.handshake(trace, SITE, 45_000, NAME, authorities=net.authorities)
        lucky = opened.copy()
        await quic.handshake(trace, SITE, 65_000, NAME, authorities=net.authorities)
        return len(opened) - len(lucky), lucky

    tries, lucky = run(story)
    assert tries == 8  # the system gives no port as high: the last one has to do
    assert lucky[-1] > 45_000 or len(lucky) == 8
    assert all(port <= 45_000 for port in lucky[:-1])


def test_where_the_extra_is_missing_nothing_breaks(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "class Gone:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('aioquic', 'pylsqpack'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Gone())\n"
        "import importlib.util\n"
        "real = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, package=None: None if name == 'aioquic' else real(name, package)\n"
        "import msgspec\n"
        "from probes import quic, web\n"
        "from monitor.collect.neutral import Neutral\n"
        "assert not quic.available()\n"
        "assert Neutral().protocols == ('tcp',)\n"
        'kept = b\'{"type":"quic","started":1.0,"finished":2.0,"address":"192.0.2.1","port":443,"server_name":"a"}\'\n'
        "assert msgspec.json.decode(kept, type=quic.QUICHandshake).port == 443\n"
        "assert 'aioquic' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path.cwd())
    assert (done.returncode, done.stderr) == (0, "")


def test_a_handshake_holds_nobody_up(run: Any) -> None:
    async def story(net: Scene) -> float:
        await net.serve(lambda *_: None)
        longest, last = 0.0, time.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(net.shake(limits=SHORT))
            for _ in range(60):
                await asyncio.sleep(0.01)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
        return longest

    assert run(story) < 0.4
