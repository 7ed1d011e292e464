"""How packets leave: the seam between the probes and the world.

A `Network` gives connected, non-blocking sockets, and packets where it can, so every probe works unchanged over
the host's own network, over one bound to an interface, and over the simulated Internet.
Its methods raise OSError for what the network did; the probes turn that into failure strings.
"""

import asyncio
import errno
import random
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from . import address as addresses
from .capture import Capture

_UDP_RECEIVE_BUFFER = 64 * 1024  # bytes the kernel keeps for us while nobody reads: bounds a flood
_IP_RECVTTL = 12  # Linux; Python 3.11 does not name it
_SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)  # Linux; arrival time of a datagram by the kernel


class Network(Protocol):
    """What a probe needs of the world. `blind`: what cannot be measured through it (words of `capability`)."""

    @property
    def blind(self) -> frozenset[str]:
        """See the class."""

    async def connect(self, address: str, port: int) -> socket.socket:
        """A connected non-blocking TCP socket. The caller bounds the time."""

    async def open_udp(self, address: str, port: int) -> socket.socket:
        """A connected non-blocking UDP socket with a fresh source port."""

    async def getaddrinfo(self, name: str) -> list[str]:
        """The addresses that the host's own stub resolver gives."""

    def nameservers(self) -> Sequence[tuple[str, int]]:
        """The nameservers that the host is set up to use, as (address, port), first one first."""

    def capture(self) -> Capture | None:
        """The packets that pass, from now on; None where they cannot be seen. The caller closes it."""


class DirectNetwork:
    """The network of the host or namespace that the process runs in, optionally bound to an interface or source."""

    blind: frozenset[str] = frozenset()

    def __init__(self, *, interface: str = "", source: str = "", resolv_conf: Path = Path("/etc/resolv.conf")) -> None:
        self._interface = interface
        self._source = source
        self._resolv_conf = resolv_conf

    async def connect(self, address: str, port: int) -> socket.socket:
        """See `Network.connect`."""
        sock = self._socket(address, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().sock_connect(sock, (address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def open_udp(self, address: str, port: int) -> socket.socket:
        """See `Network.open_udp`."""
        sock = self._socket(address, socket.SOCK_DGRAM)
        try:
            prepare_udp(sock)
            sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def getaddrinfo(self, name: str) -> list[str]:
        """See `Network.getaddrinfo`; libc's answer, which no interface or source binds."""
        found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(entry[4][0]) for entry in found))

    def nameservers(self) -> Sequence[tuple[str, int]]:
        """See `Network.nameservers`; read anew each time, so a changed resolv.conf counts at once."""
        try:
            text = self._resolv_conf.read_text(errors="replace")
        except OSError:
            return [("127.0.0.1", 53)]
        words = [line.split() for line in text.splitlines()]
        found = [w[1] for w in words if len(w) > 1 and w[0] == "nameserver" and addresses.parse(w[1])]
        return [(server, 53) for server in found[:3]] or [("127.0.0.1", 53)]

    def capture(self) -> Capture | None:
        """See `Network.capture`; None without CAP_NET_RAW, and where the interface is not there."""
        return Capture.open(self._interface)

    def _socket(self, address: str, kind: int) -> socket.socket:
        family = socket.AF_INET6 if addresses.is_ipv6(address) else socket.AF_INET
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        try:
            if self._interface:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
            if self._source:
                if addresses.is_ipv6(self._source) != addresses.is_ipv6(address):
                    raise OSError(errno.EAFNOSUPPORT, "the source is of another address family")
                sock.bind((self._source, 0))
        except BaseException:
            sock.close()
            raise
        return sock


def prepare_udp(sock: socket.socket) -> None:
    """Make the kernel stamp each datagram's arrival and tell its TTL, and bound what it keeps."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _UDP_RECEIVE_BUFFER)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)


def query_id() -> int:
    """A fresh unpredictable 16-bit DNS query id."""
    return _random.getrandbits(16)


_random = random.SystemRandom()
