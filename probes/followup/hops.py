"""Packets that die after so many hops, and the routers that say so.

A router's word is an ICMP error, which the kernel keeps for the socket whose packet it quotes (ip(7), IP_RECVERR).
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Sequence

from probes import failure as failures
from probes.address import parse
from probes.capture import Capture
from probes.dns import readable
from probes.experiment import Attempt
from probes.network import Network
from probes.trace import Trace

from .setting import Setting

FIRST_TOLD = 3  # the hops before it are the vantage's own network: they are not asked, so nobody can publish them
LEFT_OUT_HOPS = "the sockets of this network do not lead there by themselves"
UNREACHABLE = "host_unreachable"  # what the kernel makes of "time exceeded"
NOT_TRIED = "not_tried: no hops"
_AT_ONCE, _PATIENCE = 3, 1.0  # hops asked at the same time; seconds for a router's word
_TRACEROUTE = 33434  # the UDP port at which nobody listens, by custom
_RECVERR = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}  # Linux's numbers
_TIME_EXCEEDED = {(2, 11), (3, 3)}  # (origin, type): ICMP and ICMPv6, linux/errqueue.h
_PORT_UNREACHABLE = {(2, 3, 3), (3, 1, 4)}  # with the code: it came to the end of the way


class NoHopsError(Exception):
    """The network's sockets end at a proxy or in a simulation: a TTL says nothing about the way to the address."""


class ShortNetwork:
    """A `Network` whose packets die after `ttl` hops: datagrams at once, connections from the connect on."""

    def __init__(self, network: Network, ttl: int) -> None:
        self._network = network
        self._ttl = ttl

    async def connect(self, address: str, port: int) -> socket.socket:
        """See `Network.connect`. Raises NoHopsError too."""
        sock = await self._network.connect(address, port)
        try:
            # Closed without a FIN: the kernel would send an unanswered trigger again for minutes.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except BaseException:
            sock.close()
            raise
        return self._shortened(sock, address)

    async def open_udp(self, address: str, port: int) -> socket.socket:
        """See `Network.open_udp`. Raises NoHopsError too."""
        return self._shortened(await self._network.open_udp(address, port), address)

    async def getaddrinfo(self, name: str) -> list[str]:
        """See `Network.getaddrinfo`."""
        return await self._network.getaddrinfo(name)

    @property
    def blind(self) -> frozenset[str]:
        """See `Network.blind`."""
        return self._network.blind

    def nameservers(self) -> Sequence[tuple[str, int]]:
        """See `Network.nameservers`."""
        return self._network.nameservers()

    def capture(self) -> Capture | None:
        """See `Network.capture`."""
        return self._network.capture()

    def _shortened(self, sock: socket.socket, address: str) -> socket.socket:
        try:
            peer = sock.getpeername()
            if not isinstance(peer, tuple) or parse(str(peer[0])) != parse(address):
                raise NoHopsError
            limit_hops(sock, self._ttl)
        except OSError as error:
            sock.close()
            if error.errno == errno.ENOTCONN:  # reset since
                raise ConnectionResetError(errno.ECONNRESET, "reset after the connect") from error
            raise NoHopsError from error
        except BaseException:
            sock.close()
            raise
        return sock


def limit_hops(sock: socket.socket, ttl: int) -> None:
    """Let what the socket sends from now on die after so many hops. Raises OSError."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


async def routers(trace: Trace, setting: Setting, address: str, last: int) -> list[Attempt]:
    """Who says that a datagram to the address ran out, from the third hop to the last; one datagram a hop."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(ttl: int) -> Attempt:
        async with places, setting.gate(address):
            started = trace.now()
            failure, router = await _ask(trace, address, ttl)
        return Attempt(
            sent="", innocuous=True, address=address, port=_TRACEROUTE + ttl, started=started, finished=trace.now(),
            failure=failure, ttl=ttl, router=router,
        )  # fmt: skip

    async with asyncio.TaskGroup() as group:
        running = [group.create_task(one(ttl)) for ttl in range(FIRST_TOLD, last + 1)]
    return [task.result() for task in running]


async def _ask(trace: Trace, address: str, ttl: int) -> tuple[str, str]:
    """The failure of one datagram and the router's address, where one said so: its word, which anybody can forge."""
    try:
        async with asyncio.timeout(_PATIENCE):
            with await ShortNetwork(trace.network, ttl).open_udp(address, _TRACEROUTE + ttl) as sock:
                sock.setsockopt(*_RECVERR[sock.family], 1)
                sock.send(bytes(32))
                while True:
                    await readable(sock)
                    found = _error(sock)
                    if found is not None:
                        return found
    except (TimeoutError, OSError) as error:
        return failures.of(error), ""
    except NoHopsError:
        return NOT_TRIED, ""


def _error(sock: socket.socket) -> tuple[str, str] | None:
    """The first ICMP error that waits for the socket; None where there is none."""
    try:
        _data, ancillary, _flags, _peer = sock.recvmsg(512, 512, socket.MSG_ERRQUEUE)
    except BlockingIOError:
        try:
            sock.recv(512)  # a datagram that nobody asked for
        except OSError:
            return None
        return None
    for level, kind, data in ancillary:
        if (level, kind) == _RECVERR[sock.family] and len(data) >= 16:
            return _read(data)
    return None


def _read(data: bytes) -> tuple[str, str]:
    """A `struct sock_extended_err` and the address of who sent the error (ip(7))."""
    origin, kind, code = data[4:7]
    if (origin, kind) not in _TIME_EXCEEDED:
        return (failures.REFUSED if (origin, kind, code) in _PORT_UNREACHABLE else UNREACHABLE), ""
    at, size, family = (20, 4, socket.AF_INET) if origin == 2 else (24, 16, socket.AF_INET6)
    raw = data[at : at + size]
    return UNREACHABLE, socket.inet_ntop(family, raw) if len(raw) == size else ""
