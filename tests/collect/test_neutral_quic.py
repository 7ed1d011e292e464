"""The neutral listeners' QUIC: any name, a PING acknowledged, bounds, and nothing that amplifies."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType, pull_quic_header

from monitor.collect import neutral_quic
from monitor.collect.neutral import Neutral
from probes import quic
from probes.certificate import Authorities
from probes.quic import QUICHandshake
from probes.trace import Limits, Trace
from tests.collect.loopback import LoopbackNetwork

LISTENER = ("203.0.113.7", 443)
LIMITS = Limits(timeout=3.0)


class Scene:
    def __init__(self, neutral: Neutral) -> None:
        self.neutral = neutral
        self.port = neutral.bound[0][1]
        self.network = LoopbackNetwork(1)
        self.network.udp[LISTENER] = self.port

    async def shake(self, name: str, **options: Any) -> QUICHandshake:
        return await quic.handshake(
            Trace(self.network, limits=LIMITS), *LISTENER, name, authorities=Authorities(), **options
        )

    def socket(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(("127.0.0.1", self.port))
        return sock

    @property
    def open(self) -> int:
        assert self.neutral._quic is not None
        return self.neutral._quic.open


def play(story: Callable[[Scene], Awaitable[Any]], *, deadline: float = 10.0) -> Any:
    async def run() -> Any:
        neutral = Neutral(deadline=deadline)
        await neutral.start([("127.0.0.1", 0)])
        try:
            async with asyncio.timeout(15):
                return await story(Scene(neutral))
        finally:
            await neutral.stop()
            await asyncio.sleep(0)

    return asyncio.run(run())


pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")


def first_datagram(name: str = "a.example", version: int | None = None) -> bytes:
    configuration = QuicConfiguration(alpn_protocols=["h3"], server_name=name)
    client = QuicConnection(configuration=configuration)
    client.connect(("x", 1), 0.0)
    data = client.datagrams_to_send(0.0)[0][0]
    return data if version is None else data[:1] + version.to_bytes(4, "big") + data[5:]


async def heard(sock: socket.socket, seconds: float = 0.3) -> list[bytes]:
    found: list[bytes] = []
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds):
            while True:
                found.append(await loop.sock_recv(sock, 65535))
    except TimeoutError:
        return found


def kinds(datagrams: list[bytes]) -> list[QuicPacketType]:
    return [pull_quic_header(Buffer(data=data), host_cid_length=8).packet_type for data in datagrams]


@pytest.mark.parametrize("name", ["forbidden.example", "xn--ls8h.la", "a.b.c.d.invalid", ""])
def test_any_name_completes_and_is_acknowledged(name: str) -> None:
    found = play(lambda scene: scene.shake(name))
    assert (found.failure, found.completed, found.alpn) == (None, True, "h3")
    assert found.certificate_failure is not None and len(found.chain) == 1


@pytest.mark.parametrize("alpn", ["doq", "hq-interop", "h3-29"])
def test_other_protocols_are_taken_as_well(alpn: str) -> None:
    found = play(lambda scene: scene.shake("a.example", alpn=alpn))
    assert (found.failure, found.alpn) == (None, alpn)


def test_tcp_and_quic_answer_at_one_number() -> None:
    async def story(scene: Scene) -> Any:
        found = await scene.shake("a.example")
        reader, writer = await asyncio.open_connection("127.0.0.1", scene.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return found, answer, scene.neutral.protocols

    found, answer, protocols = play(story)
    assert found.failure is None
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert protocols == ("tcp", "quic")


def test_many_at_once_and_all_are_forgotten() -> None:
    async def story(scene: Scene) -> Any:
        found = await asyncio.gather(*(scene.shake(f"{n}.example") for n in range(20)))
        for _ in range(100):
            if not scene.open:
                break
            await asyncio.sleep(0.05)
        return [op.failure for op in found], scene.open

    assert play(story) == ([None] * 20, 0)


def test_who_stays_is_sent_away_at_the_deadline() -> None:
    async def story(scene: Scene) -> Any:
        with scene.socket() as sock:
            sock.send(first_datagram())
            await heard(sock, 0.2)
            before = scene.open
            await asyncio.sleep(0.4)
            return before, scene.open

    assert play(story, deadline=0.4) == (1, 0)


def test_strange_datagrams_are_passed_over(capfd: Any) -> None:
    async def story(scene: Scene) -> Any:
        good = first_datagram()
        with scene.socket() as sock:
            for junk in (
                b"", b"\x40", b"\xc0", os.urandom(40), os.urandom(1200), os.urandom(1500), good[:1199], b"\x40" * 1300,
                b"\xc0\0\0\0\x01\xff" + os.urandom(1300), b"\xc0\0\0\0\0\x08" + os.urandom(1300),
                b"\xd0" + good[1:], b"\xe0" + good[1:], b"\xf0" + good[1:],
            ):  # fmt: skip
                sock.send(junk)
            said = await heard(sock)
        return said, (await scene.shake("a.example")).failure

    said, failure = play(story)
    assert failure is None
    assert sum(map(len, said)) < 2000  # much less than what came
    assert capfd.readouterr() == ("", "")


def test_handshake_bytes_that_are_not_tls_end_with_a_close(capfd: Any) -> None:
    async def story(scene: Scene) -> Any:
        client = QuicConnection(configuration=QuicConfiguration(alpn_protocols=["h3"], server_name="a.example"))
        client.connect(("x", 1), 0.0)
        for stream in client._crypto_streams.values():
            stream.sender._buffer[4:40] = os.urandom(36) if stream.sender._buffer else b""
        with scene.socket() as sock:
            for data, _to in client.datagrams_to_send(0.0):
                sock.send(data)
            said = await heard(sock)
        return said, (await scene.shake("a.example")).failure

    said, failure = play(story)
    assert said and failure is None
    assert capfd.readouterr() == ("", "")


def test_a_version_is_negotiated_with_a_full_datagram_only() -> None:
    async def story(scene: Scene) -> Any:
        with scene.socket() as sock:
            sock.send(first_datagram(version=0x1A2A3A4A)[:600])
            short = await heard(sock)
            sock.send(first_datagram(version=0x1A2A3A4A))
            return short, await heard(sock), scene.open

    short, full, connections = play(story)
    assert short == [] and connections == 0
    assert kinds(full) == [QuicPacketType.VERSION_NEGOTIATION] and len(full[0]) < 60


def test_an_address_that_has_proved_nothing_gets_three_times_what_it_sent_at_most() -> None:
    async def story(scene: Scene) -> Any:
        with scene.socket() as sock:
            data = first_datagram()
            sock.send(data)
            return len(data), await heard(sock, 2.0), scene.open

    sent, said, connections = play(story, deadline=1.5)
    assert connections == 0
    assert said and sum(map(len, said)) <= 3 * sent


def test_where_many_are_open_an_address_must_prove_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neutral_quic, "_CALM", 2)

    async def story(scene: Scene) -> Any:
        strangers = [scene.socket() for _ in range(6)]
        said: list[list[bytes]] = []
        for sock in strangers:
            sock.send(first_datagram())
            said.append(await heard(sock, 0.1))
            sock.send(first_datagram())
        held = scene.open
        proved = await scene.shake("a.example")
        for sock in strangers:
            sock.close()
        return held, [kinds(answers)[:1] for answers in said], proved.failure

    held, answers, failure = play(story)
    assert held == 2
    assert answers[2:] == [[QuicPacketType.RETRY]] * 4
    assert failure is None


def test_a_forged_token_opens_nothing() -> None:
    async def story(scene: Scene) -> Any:
        client = QuicConnection(configuration=QuicConfiguration(alpn_protocols=["h3"], token=os.urandom(64)))
        client.connect(("x", 1), 0.0)
        with scene.socket() as sock:
            for data, _to in client.datagrams_to_send(0.0):
                sock.send(data)
            return await heard(sock), scene.open

    assert play(story) == ([], 0)


def test_no_more_than_so_many_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neutral_quic, "MAX_CONNECTIONS", 3)

    async def story(scene: Scene) -> int:
        strangers = [scene.socket() for _ in range(8)]
        for sock in strangers:
            sock.send(first_datagram())
        await asyncio.sleep(0.3)
        for sock in strangers:
            sock.close()
        return scene.open

    assert play(story) == 3


def test_who_sends_too_much_is_sent_away() -> None:
    async def story(scene: Scene) -> Any:
        with scene.socket() as sock:
            sock.send(first_datagram())
            await heard(sock, 0.1)
            before = scene.open
            for _ in range(60):
                sock.send(os.urandom(1300))
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            return before, scene.open

    assert play(story) == (1, 0)


def test_a_port_whose_udp_is_taken_leaves_nothing_open() -> None:
    async def run() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            neutral = Neutral()
            port = taken.getsockname()[1]
            with pytest.raises(OSError, match=f"UDP port {port} of 127.0.0.1: Address already in use"):
                await neutral.start([("127.0.0.1", 0), ("127.0.0.1", port)])
            assert neutral.bound == []
            await asyncio.sleep(0)

    asyncio.run(run())
