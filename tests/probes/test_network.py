"""The host's own network: how sockets are made, bound and prepared, and where the nameservers come from."""

import asyncio
import errno
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from probes import network as networks
from probes.network import DirectNetwork, query_id

from .loopback import place, says, silent

_IP_RECVTTL, _SO_TIMESTAMPNS = 12, 35


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 9.9.9.9\n", ["9.9.9.9"]),
        (
            "# nameserver 1.1.1.1\nsearch x\n nameserver\t2620:fe::fe extra\nnameserver 8.8.8.8",
            ["2620:fe::fe", "8.8.8.8"],
        ),
        ("nameserver a.example\nnameserver\nnameserver 8.8.8.8\n", ["8.8.8.8"]),
        ("".join(f"nameserver 10.0.0.{n}\n" for n in range(1, 6)), ["10.0.0.1", "10.0.0.2", "10.0.0.3"]),
        ("nameserver fe80::1%eth0\n", ["fe80::1%eth0"]),
        ("options rotate\n\xff", ["127.0.0.1"]),
        ("", ["127.0.0.1"]),
    ],
)
def test_the_nameservers_of_resolv_conf(tmp_path: Path, text: str, expected: list[str]) -> None:
    path = tmp_path / "resolv.conf"
    network = DirectNetwork(resolv_conf=path)
    assert network.nameservers() == [("127.0.0.1", 53)]
    path.write_bytes(text.encode("latin-1"))
    assert network.nameservers() == [(server, 53) for server in expected]


def test_a_source_address_is_used_for_tcp_and_udp() -> None:
    async def run() -> None:
        async with place() as here:
            port = await here.listen(silent)
            network = DirectNetwork(source="127.0.0.2")
            with await network.connect("127.0.0.1", port) as sock:
                assert sock.getsockname()[0] == "127.0.0.2"
                assert sock.getpeername() == ("127.0.0.1", port)
                assert not sock.getblocking()
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            with await network.open_udp("127.0.0.1", 9) as sock:
                assert sock.getsockname()[0] == "127.0.0.2"

    asyncio.run(run())


@pytest.mark.parametrize("source", ["127.0.0.2", "::1"])
def test_a_source_of_the_other_family_cannot_reach(source: str) -> None:
    async def run() -> None:
        network = DirectNetwork(source=source)
        address = "127.0.0.1" if ":" in source else "::1"
        for attempt in (network.connect, network.open_udp):
            with pytest.raises(OSError) as failed:
                await attempt(address, 9)
            assert failed.value.errno == errno.EAFNOSUPPORT

    asyncio.run(run())


@pytest.mark.parametrize(
    ("network", "address", "number"),
    [
        (DirectNetwork(source="192.0.2.77"), "127.0.0.1", {errno.EADDRNOTAVAIL}),
        (DirectNetwork(interface="nosuch0"), "127.0.0.1", {errno.ENODEV, errno.EPERM}),
    ],
)
def test_a_source_or_interface_that_is_not_there(network: DirectNetwork, address: str, number: set[int]) -> None:
    async def run() -> None:
        attempts: tuple[Callable[[str, int], Awaitable[socket.socket]], ...] = (network.connect, network.open_udp)
        for attempt in attempts:
            with pytest.raises(OSError) as failed:
                await attempt(address, 9)
            assert failed.value.errno in number

    asyncio.run(run())


def test_a_closed_port_refuses() -> None:
    async def run() -> None:
        async with place() as here:
            with pytest.raises(ConnectionRefusedError):
                await here.network.connect("8.8.8.8", 80)

    asyncio.run(run())


def test_an_address_that_cannot_be_connected_to_gives_no_socket() -> None:
    async def run() -> None:
        with pytest.raises(OSError):
            await DirectNetwork().open_udp("255.255.255.255", 53)

    asyncio.run(run())


def test_ipv6_sockets() -> None:
    async def run() -> None:
        server = await asyncio.start_server(says(), "::1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with await DirectNetwork(source="::1").connect("::1", port) as sock:
                assert sock.family == socket.AF_INET6
            with await DirectNetwork().open_udp("::1", port) as sock:
                assert sock.family == socket.AF_INET6

    asyncio.run(run())


def test_udp_tells_ttl_and_time_of_arrival() -> None:
    async def run() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 37)
            with await DirectNetwork().open_udp(*peer.getsockname()) as sock:
                peer.sendto(b"hello", sock.getsockname())
                await asyncio.sleep(0.05)
                data, ancillary, _flags, _from = sock.recvmsg(64, 256)
                assert data == b"hello"
                told = {(level, kind): value for level, kind, value in ancillary}
                assert struct.unpack_from("@i", told[socket.IPPROTO_IP, socket.IP_TTL])[0] == 37
                assert len(told[socket.SOL_SOCKET, _SO_TIMESTAMPNS]) >= 16
                assert sock.getsockopt(socket.IPPROTO_IP, _IP_RECVTTL) == 1
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 4 * networks._UDP_RECEIVE_BUFFER

    asyncio.run(run())


def test_getaddrinfo_gives_each_address_once() -> None:
    assert asyncio.run(DirectNetwork().getaddrinfo("127.0.0.1")) == ["127.0.0.1"]
    assert asyncio.run(DirectNetwork().getaddrinfo("::1")) == ["::1"]


def test_query_ids_are_16_bits_and_differ() -> None:
    drawn = {query_id() for _ in range(100)}
    assert len(drawn) > 50
    assert all(0 <= number < 65536 for number in drawn)
