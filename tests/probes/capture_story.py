"""What a capture sees between real hosts: client, router and server in network namespaces of one process.

Run by tests/probes/test_capture_between_hosts.py as `unshare --net python -m tests.probes.capture_story FOLDER`.
The router forges resets. The client's address is on a bridge, so that every packet passes two of its interfaces.
"""

import asyncio
import ctypes
import os
import random
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset
import msgspec

from probes import ip
from probes.capture import MOST_PEERS, Capture
from probes.packets import Flow

from .wire import CLIENT, CLIENT6, SERVER, SERVER6, ipv4, ipv6, tcp

OTHER, NOBODY = "203.0.113.8", "203.0.113.66"
PORT, RESOLVER = 443, 53
_NEW_NET = 0x40000000  # CLONE_NEWNET
_libc = ctypes.CDLL(None, use_errno=True)


class Told(msgspec.Struct):
    """What one scene left."""

    flows: tuple[Flow, ...]
    counts: dict[str, int]
    error: str = ""


def _net() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


@contextmanager
def _in(net: int) -> Iterator[None]:
    """Sockets and commands in another network namespace."""
    here = _net()
    try:
        assert _libc.setns(net, _NEW_NET) == 0
        yield
    finally:
        assert _libc.setns(here, _NEW_NET) == 0
        os.close(here)


def _another() -> int:
    here = _net()
    assert _libc.unshare(_NEW_NET) == 0
    made = _net()
    assert _libc.setns(here, _NEW_NET) == 0
    os.close(here)
    return made


def _ip(*lines: str) -> None:
    for line in lines:
        subprocess.run(["ip", *line.split()], check=True)


def _build() -> tuple[int, int]:
    """Router and server; the client is where the process is."""
    router, server = _another(), _another()
    me = os.getpid()
    _ip("link set lo up", "link add br0 type bridge", "link add up0 type veth peer name down0")
    _ip("link set up0 master br0", "link set up0 up", "link set br0 up")
    _ip(f"link set down0 netns /proc/{me}/fd/{router}")
    _ip(f"addr add {CLIENT}/24 dev br0", f"addr add {CLIENT6}/64 dev br0 nodad")
    with _in(router):
        _ip("link set lo up", "link add up1 type veth peer name down1", f"link set down1 netns /proc/{me}/fd/{server}")
        _ip("addr add 10.7.1.1/24 dev down0", "addr add fd00:7:1::1/64 dev down0 nodad", "link set down0 up")
        _ip("addr add 203.0.113.1/24 dev up1", "addr add 2001:db8:2::1/64 dev up1 nodad", "link set up1 up")
        _ip(f"route add unreachable {NOBODY}/32")
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    with _in(server):
        _ip("link set lo up", f"addr add {SERVER}/24 dev down1", f"addr add {OTHER}/24 dev down1")
        _ip(f"addr add {SERVER6}/64 dev down1 nodad", "link set down1 up")
        _ip("route add default via 203.0.113.1", "-6 route add default via 2001:db8:2::1")
    _ip("route add default via 10.7.1.1", "-6 route add default via fd00:7:1::1")
    return router, server


class Forger:
    """On the router: answers a request that says `forbidden` with resets; the request goes on to the server."""

    def __init__(self, net: int) -> None:
        with _in(net):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._socket.bind(("down0", 3))
        self._client = b""
        asyncio.get_running_loop().add_reader(self._socket, self._hear)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def send(self, packet: bytes) -> None:
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
        self._socket.sendto(packet, ("down0", kind, 0, 0, self._client))

    def _hear(self) -> None:
        data, (_device, _protocol, kind, _link, mac) = self._socket.recvfrom(2048)
        header = ip.read(data)
        if kind != 0 or header is None:
            return
        self._client = mac
        ports = ip.ports(data, header)
        packet = ip.tcp_packet(data, header, at=0, inbound=False)
        if packet is None or ports is None or b"forbidden" not in data[header.start :]:
            return
        flow = (ports[1], ports[0])
        seq, ack = packet.acknowledged, packet.sequence + packet.length
        if len(header.source) == 16:
            self.send(ipv6(SERVER6, CLIENT6, tcp(SERVER6, CLIENT6, flow, "R", seq=seq), hops=250))
            return
        for _ in range(3):
            body = tcp(SERVER, CLIENT, flow, "RA", window=79, seq=seq, ack=ack)
            self.send(ipv4(SERVER, CLIENT, body, ttl=200, ip_id=0x0A03))
        self.send(ipv4(SERVER, CLIENT, tcp(SERVER, CLIENT, flow, "R", seq=seq), ttl=100, ip_id=0, df=False))


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers, and resets where it is asked to."""
    try:
        asked = await reader.read(1000)
        await asyncio.sleep(0.03)
        you = writer.get_extra_info("peername")[0].encode()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"you are " + you + b" and that is so " * 40)
        if asked.startswith(b"reset"):
            await asyncio.sleep(0.03)
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
        await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def _ask(request: bytes, address: str = SERVER, port: int = PORT) -> None:
    reader, writer = await asyncio.open_connection(address, port)
    try:
        writer.write(request)
        await reader.read()
    finally:
        writer.close()


async def _ask_from(net: int) -> None:
    """The same by a program in another namespace."""
    shell = f"exec 3<>/dev/tcp/{SERVER}/{PORT}; echo hello >&3; cat <&3 >/dev/null"
    command = ("nsenter", f"--net=/proc/{os.getpid()}/fd/{net}", "bash", "-c", shell)
    assert await (await asyncio.create_subprocess_exec(*command)).wait() == 0


async def _ask_udp(_forger: Forger) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.connect((SERVER, RESOLVER))
        sock.send(dns.message.make_query("name.example", "A").to_wire())
        await asyncio.get_running_loop().sock_recv(sock, 100)


async def _expire(_forger: Forger) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
        async with asyncio.timeout(0.1):
            await asyncio.get_running_loop().sock_connect(sock, (SERVER, PORT))


async def _expire6(_forger: Forger) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        async with asyncio.timeout(0.1):
            await asyncio.get_running_loop().sock_connect(sock, (SERVER6, PORT))


async def _flooded(forger: Forger) -> None:
    """Resets of connections that were never made, then one that is."""
    for number in range(1000):
        ports = (PORT, 1024 + number)
        forger.send(ipv4(SERVER, CLIENT, tcp(SERVER, CLIENT, ports, "R", seq=random.getrandbits(32))))
        if number % 50 == 0:
            await asyncio.sleep(0.01)
    await _ask(b"reset")


async def _elsewhere(forger: Forger) -> None:
    await _ask(b"hello", OTHER)


def _asking(request: bytes, address: str = SERVER, port: int = PORT) -> Callable[[Forger], Any]:
    return lambda _forger: _ask(request, address, port)


SCENES: dict[str, tuple[list[str], Callable[[Forger], Any]]] = {
    "answered": ([SERVER], _asking(b"hello")),
    "reset": ([SERVER], _asking(b"reset")),
    "forged": ([SERVER], _asking(b"forbidden")),
    "forged6": ([SERVER6], _asking(b"forbidden", SERVER6)),
    "refused": ([SERVER], _asking(b"", SERVER, 81)),
    "resolver": ([SERVER], _ask_udp),
    "expired": ([SERVER], _expire),
    "expired6": ([SERVER6], _expire6),
    "unreachable": ([NOBODY], _asking(b"", NOBODY)),
    "flooded": ([SERVER], _flooded),
    "elsewhere": ([SERVER], _elsewhere),
    "crowded": ([f"2001:db8:9::{n:x}" for n in range(1, MOST_PEERS)] + [SERVER6, SERVER], _asking(b"hello", SERVER6)),
}


async def _scene(folder: Path, name: str, forger: Forger, capture: Capture | None) -> None:
    peers, act = SCENES[name]
    assert capture is not None
    began, error = datetime.now(UTC), ""
    with capture:
        for peer in peers:
            capture.watch(peer)
        try:
            await act(forger)
        except (OSError, TimeoutError) as failed:
            error = type(failed).__name__
        await asyncio.sleep(0.1)
        told = Told(capture.flows(began), dict(capture.counts), error)
        (folder / f"{name}.pcap").write_bytes(capture.pcap())
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(told))


def _answer(udp: socket.socket) -> None:
    """An answer that tells the asker's address."""
    wire, client = udp.recvfrom(500)
    asked = dns.message.from_wire(wire)
    answer = dns.message.make_response(asked)
    answer.answer.append(dns.rrset.from_text(asked.question[0].name, 60, "IN", "A", client[0], OTHER))
    udp.sendto(answer.to_wire(), client)


async def _story(folder: Path) -> None:
    router, server = _build()
    with _in(server):
        servers = [await asyncio.start_server(_serve, address, PORT) for address in (SERVER, OTHER, SERVER6)]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        udp.bind((SERVER, RESOLVER))
    loop = asyncio.get_running_loop()
    loop.add_reader(udp, lambda: _answer(udp))
    forger = Forger(router)
    for address in (OTHER, SERVER6):
        await _ask(b"hello", address)  # so that the neighbours know each other
    for name in SCENES:
        await _scene(folder, name, forger, Capture.open())
    SCENES["bound"] = SCENES["answered"]
    await _scene(folder, "bound", forger, Capture.open("br0"))
    client = _net()
    SCENES["forwarded"] = ([SERVER], lambda _forger: _ask_from(client))
    with _in(router):  # a machine that forwards for others
        await _scene(folder, "forwarded", forger, Capture.open())
    forger.close()
    loop.remove_reader(udp)
    udp.close()
    for listening in servers:
        listening.close()
        await listening.wait_closed()


if __name__ == "__main__":
    asyncio.run(_story(Path(sys.argv[1])))
