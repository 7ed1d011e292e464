"""`SimulatedNetwork`: what the probes take for the network of one client, on real sockets of loopback.

A socket's own port says where it wanted to go: it is noted before the client connects, and read when the
connection or the datagram arrives. So one listener and one UDP socket serve every address of the world.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import dns.rcode

from probes import dns as dns_probe
from probes.network import prepare_udp

from . import trouble as troubles
from .answers import answers
from .censor import Censor
from .line import Line
from .middlebox import carry, fate
from .place import Place
from .trouble import Trouble
from .world import World

_HERE = "127.0.0.1"
_BACKLOG = 1024  # connections
_LAST_ARRIVALS = 0.01  # seconds: what the kernel had accepted when we stopped is handed over, and then cut
_STUB_TIMEOUT = 5.0  # seconds, resolv.conf(5)


class SimulatedNetwork:
    """A `probes.network.Network` for one client of a world. Closed by `World.stop`."""

    def __init__(
        self, world: World, client: str, censor: Censor | None = None, trouble: Trouble = troubles.NONE
    ) -> None:
        self._place = Place(world=world, client=client, censor=censor or Censor(), trouble=trouble)
        self._opening = asyncio.Lock()
        self._doors: _Doors | None = None
        world.attach(self)

    @property
    def censor(self) -> Censor:
        """The censor in the path."""
        return self._place.censor

    @property
    def trouble(self) -> Trouble:
        """What is wrong with the line; may be set at any time."""
        return self._place.trouble

    @trouble.setter
    def trouble(self, trouble: Trouble) -> None:
        self._place.trouble = trouble

    async def connect(self, address: str, port: int) -> socket.socket:
        """See `Network.connect`. Never returns where nobody answers a SYN."""
        await asyncio.sleep(self.trouble.latency)
        address = self._place.destination(address)
        becomes = fate(self._place, address, port)
        if becomes == "unreachable":
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        if becomes == "silent":
            await asyncio.Event().wait()
        doors = await self._open()
        sock = _loopback_socket(socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if becomes == "open":
                doors.connections[sock.getsockname()[1]] = (address, port)
            target = doors.listening if becomes == "open" else doors.closed
            await asyncio.get_running_loop().sock_connect(sock, target)
        except BaseException:
            doors.connections.pop(sock.getsockname()[1], None)
            sock.close()
            raise
        return sock

    async def open_udp(self, address: str, port: int) -> socket.socket:
        """See `Network.open_udp`."""
        if self.trouble.offline == "unreachable":
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        doors = await self._open()
        sock = _loopback_socket(socket.SOCK_DGRAM)
        try:
            prepare_udp(sock)
            service = self._place.world.service(address, port, "udp")
            doors.queries[sock.getsockname()[1]] = (address, port)
            sock.connect((_HERE, service) if service is not None else doors.hearing)
        except BaseException:
            sock.close()
            raise
        return sock

    async def getaddrinfo(self, name: str) -> list[str]:
        """See `Network.getaddrinfo`: the first answers of the client's resolver; raises socket.gaierror."""
        try:
            async with asyncio.timeout(_STUB_TIMEOUT), asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._ask(name, kind)) for kind in ("A", "AAAA")]
        except (TimeoutError, ExceptionGroup):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution") from None
        found = [task.result() for task in tasks]
        addresses = [address for response in found for address in response.addresses()]
        if addresses:
            return list(dict.fromkeys(addresses))
        rcode = found[0].rcode
        if rcode == dns.rcode.NXDOMAIN:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if rcode == dns.rcode.NOERROR:
            raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    blind: frozenset[str] = frozenset()

    def nameservers(self) -> Sequence[tuple[str, int]]:
        """See `Network.nameservers`."""
        return [(self._place.world.resolver_of(self._place.client), 53)]

    def capture(self) -> None:
        """See `Network.capture`: nothing of a simulated network is on a wire."""

    async def close(self) -> None:
        """Cut what is under way and give all sockets back; used again, it opens anew."""
        async with self._opening:
            if self._doors is not None:
                await self._doors.close()
            self._doors = None

    async def _open(self) -> "_Doors":
        async with self._opening:
            if self._doors is None:
                self._doors = _Doors(self._place)
                await self._doors.open()
            return self._doors

    async def _ask(self, name: str, query_type: str) -> dns_probe.Response:
        asked = dns_probe.query(name, query_type)
        sock = await self.open_udp(*self.nameservers()[0])
        try:
            sock.send(asked.to_wire())
            while True:
                await dns_probe.readable(sock)
                response = dns_probe.read(sock.recv(4096), asked, 0.0)
                if response is not None:
                    return response
        finally:
            sock.close()


class _Doors:
    """The listening sockets of one network, and the connections that came in by them."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._connected: set[asyncio.Task[Any]] = set()
        self._unlistened = _loopback_socket(socket.SOCK_STREAM)
        self.closed = self._unlistened.getsockname()  # refuses: nobody listens
        self.connections: dict[int, tuple[str, int]] = {}  # by the client's source port
        self.queries: dict[int, tuple[str, int]] = {}

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accepted, _HERE, 0, backlog=_BACKLOG)
        self.listening = self._server.sockets[0].getsockname()
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Port53(self._asked), (_HERE, 0))
        self.hearing = self._udp.get_extra_info("sockname")

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        self._server.close()
        self._udp.close()
        self._unlistened.close()
        await asyncio.sleep(_LAST_ARRIVALS)
        for task in self._connected:
            task.cancel()
        await asyncio.gather(*self._connected, return_exceptions=True)
        await asyncio.sleep(0)  # transports give their sockets back in the loop's next turn

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connected.add(task)
        line = Line(reader, writer)
        try:
            where = self.connections.pop(writer.get_extra_info("peername")[1], None)
            if where is not None:
                await carry(self._place, line, *where)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client is gone or spoke no TLS, or the world stops
        finally:
            self._connected.discard(task)
            line.close()

    def _asked(self, wire: bytes, source: tuple[str, int]) -> None:
        address, port = self.queries.get(source[1], ("", 0))
        if port != 53:
            return
        loop = asyncio.get_running_loop()
        for seconds, datagram in answers(self._place, wire, address):
            if seconds <= 0:
                self._tell(datagram, source)
            else:
                loop.call_later(seconds, self._tell, datagram, source)

    def _tell(self, wire: bytes, source: tuple[str, int]) -> None:
        if not self._udp.is_closing():
            self._udp.sendto(wire, source)


class _Port53(asyncio.DatagramProtocol):
    def __init__(self, asked: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._asked = asked

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A query came."""
        self._asked(data, addr)


def _loopback_socket(kind: int) -> socket.socket:
    """Bound to a port of the kernel's choice, so that the port is known before anything is sent."""
    sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    try:
        sock.bind((_HERE, 0))
    except BaseException:
        sock.close()
        raise
    return sock
