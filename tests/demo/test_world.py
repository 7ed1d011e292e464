"""Services in the world, many connections at once, and the end of it."""

import asyncio
import os
from typing import cast

from monitor.demo.censor import Rule
from monitor.demo.opening import Opening, host_name, parse_opening, server_name

from .scene import HASTY, NEWS, scene

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(PAGE)
    await writer.drain()
    writer.close()


def test_a_service_on_loopback_has_an_address_of_the_world() -> None:
    async def run() -> None:
        server = await asyncio.start_server(_serve, "127.0.0.1", 0)
        async with server, scene() as here:
            port = server.sockets[0].getsockname()[1]
            here.world.add_service("helper.test", "198.51.100.30", 80, port)
            assert (await here.ask("helper.test")).addresses() == ("198.51.100.30",)
            assert (await here.fetch("http://helper.test/", "198.51.100.30")).body_length == 5
            assert (await here.dial("198.51.100.30", 443)).failure == "connection_refused"
            here.censor.rules.append(Rule(kind="http_reset", names=("news.test",)))
            stopped = await here.fetch("http://www.news.test/", "198.51.100.30")
            assert stopped.failure == "connection_reset"

    asyncio.run(run())


def test_a_service_over_udp() -> None:
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast(asyncio.DatagramTransport, transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            self.transport.sendto(data, addr)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Echo, ("127.0.0.1", 0))
        async with scene() as here:
            port = transport.get_extra_info("sockname")[1]
            here.world.add_service("helper.test", "198.51.100.30", 443, port, protocol="udp")
            sock = await here.network.open_udp("198.51.100.30", 443)
            sock.send(b"ping")
            assert await loop.sock_recv(sock, 10) == b"ping"
            sock.close()
        transport.close()

    asyncio.run(run())


def test_many_connections_at_once_leave_nothing_open() -> None:
    async def run() -> None:
        before = len(os.listdir("/proc/self/fd"))
        async with scene(Rule(kind="tls_drop", names=("held.test",))) as here:
            steps = await asyncio.gather(*(here.fetch() for _ in range(100)))
            assert {step.status for step in steps} == {200}
            here.limits = HASTY
            await asyncio.gather(*(here.shake("held.test", NEWS) for _ in range(20)))
            held = await here.network.connect(NEWS, 443)
        held.close()
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(run())


def test_a_network_opens_anew_after_the_world_stopped() -> None:
    async def run() -> None:
        async with scene() as here:
            assert (await here.dial()).failure is None
            await here.network.close()
            assert (await here.dial()).failure is None

    asyncio.run(run())


def test_openings_are_read_without_trust() -> None:
    assert parse_opening(b"\x16\x03\x01\x00\x10") is None
    assert parse_opening(b"\x16\x03\x01\x00\x02\x01\x00") == Opening("tls")
    assert parse_opening(b"\x00\x1fquery") == Opening("other")
    assert parse_opening(b"GET / HTTP/1.1\r\nHost: a.te") is None
    assert parse_opening(b"GET /x HTTP/1.1\r\nHost: A.test:8080\r\n\r\n") == Opening(
        "http", "a.test", "GET /x HTTP/1.1"
    )
    assert host_name("[2001:db8::1]:80") == "2001:db8::1"
    for size in range(80):
        assert server_name(b"\x16" + b"\xff" * size) == ""
