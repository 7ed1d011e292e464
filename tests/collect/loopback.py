"""A small Internet on loopback: a network that maps, a nameserver, sites, a helper, and who asks it."""

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from monitor.collect.helper import Helper
from probes.certificate import Authorities
from probes.network import DirectNetwork
from probes.resolvers import Resolvers
from probes.trace import Limits
from tests.pki import TestAuthority

SITE, OTHER, SIX = "93.184.215.14", "93.184.215.15", "2606:2800:21f:cb07::1"
PAGE = b"<title> A  good page </title>" + b"x" * 1000
ZONE: dict[str, list[str] | int] = {
    "good.example": [SITE, SIX],
    "expired.example": [SITE],
    "self.example": [SITE],
    "other.example": [OTHER],
    "reset.example": [SITE],
    "silent.example": [SITE],
    "inside.example": ["10.0.0.1", "127.0.0.1"],
    "empty.example": [],
    "broken.example": dns.rcode.SERVFAIL,
    "bogus.example": dns.rcode.SERVFAIL,  # unless the client does without DNSSEC
}
LIMITS = Limits(timeout=2.0, dns_timeout=1.0, listen=0.0)


class LoopbackNetwork:
    """Public-looking endpoints that are servers on loopback; what is not mapped refuses, as a closed port."""

    def __init__(self, closed: int) -> None:
        self.tcp: dict[tuple[str, int], int] = {}
        self.udp: dict[tuple[str, int], int] = {}
        self.dialled: list[tuple[str, int]] = []
        self._closed = closed
        self._direct = DirectNetwork()

    async def connect(self, address: str, port: int) -> socket.socket:
        self.dialled.append((address, port))
        return await self._direct.connect("127.0.0.1", self.tcp.get((address, port), self._closed))

    async def open_udp(self, address: str, port: int) -> socket.socket:
        return await self._direct.open_udp("127.0.0.1", self.udp[address, port])

    async def getaddrinfo(self, name: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, name)

    blind: frozenset[str] = frozenset()

    def nameservers(self) -> Sequence[tuple[str, int]]:
        return list(self.udp)

    def capture(self) -> None:
        return None


class Nameserver(asyncio.DatagramProtocol):
    """Answers for `ZONE`; a number is a response code, and what is not there does not exist."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        asked = query.question[0]
        name = asked.name.to_text().removesuffix(".")
        found = ZONE.get(name, dns.rcode.NXDOMAIN)
        if name == "bogus.example" and query.flags & dns.flags.CD:
            found = [SITE]
        if isinstance(found, int):
            answer.set_rcode(dns.rcode.Rcode(found))
        else:
            kind = "A" if asked.rdtype == 1 else "AAAA"
            some = [address for address in found if (":" in address) == (kind == "AAAA")]
            if some:
                answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", kind, *some))
        self.transport.sendto(answer.to_wire(), addr)


def _page(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(body)}"))
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def _moved(location: str, *headers: str) -> bytes:
    return _page(b"", f"Location: {location}", *headers, status="302 Found")


class Site:
    """A web server; `requests` are the heads that it saw."""

    def __init__(self) -> None:
        self.requests: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            writer.write(self._answer(head.split()[1], head))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str, head: str) -> bytes:
        if path == "/chain":
            return _moved("http://other.example/two", "Set-Cookie: a=b; Path=/")
        if path == "/two":
            return _moved("http://good.example/three")
        if path == "/three":
            return _page(b"<title>arrived</title>") if "Cookie: a=b" in head else _moved("/chain")
        if path == "/inside":
            return _moved("http://inside.example/")
        if path == "/here":
            return _moved("http://192.168.1.1/")
        if path == "/circle":
            return _moved("/circle")
        if path == "/huge":
            return _page(b"x" * (600 * 1024))
        return _page(PAGE, 'Alt-Svc: h3=":443"; ma=60, h2=":443"', "X-Odd: one", "X-Odd: two")


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads the ClientHello and resets."""
    await reader.read(1024)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and says nothing."""
    while await reader.read(1024):
        pass
    writer.close()


class World:
    """A helper on loopback, what is around it, and a client that asks it."""

    def __init__(self, folder: Path, stack: AsyncExitStack, network: LoopbackNetwork) -> None:
        self.pki = TestAuthority(folder)
        self.network, self.site, self.clear = network, Site(), Site()
        self._stack = stack
        self.helper: Any = None
        self._session: Any = None

    async def open(self, **options: Any) -> None:
        authorities = Authorities(self.pki.root)
        self.helper = Helper(self.network, authorities, resolvers=Resolvers(), limits=LIMITS, **options)
        await self.helper.start(("127.0.0.1", 0), [("127.0.0.1", 0)])
        self._stack.push_async_callback(self.helper.stop)
        self._session = await self._stack.enter_async_context(aiohttp.ClientSession())

    async def secure(self, pem: Path, at: tuple[str, int] = (SITE, 443)) -> None:
        """A site with TLS and that certificate."""
        self.network.tcp[at] = await self.listen(self.site.serve, ssl=self.pki.server_context(pem))

    async def listen(self, serve: Callable[..., Awaitable[None]], **options: Any) -> int:
        server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
        self._stack.callback(server.close)
        return int(server.sockets[0].getsockname()[1])

    async def post(self, body: bytes) -> tuple[int, Any]:
        async with self._session.post(f"http://127.0.0.1:{self.helper.port}/", data=body) as response:
            return response.status, await response.json()

    async def ask(self, url: str, *endpoints: str, **headers: list[str]) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = {"http_request": url, "http_request_headers": named, "tcp_connect": list(endpoints)}
        status, reply = await self.post(json.dumps(request).encode())
        assert status == 200, reply
        return reply

    async def get(self, path: str) -> tuple[int, str]:
        async with self._session.get(f"http://127.0.0.1:{self.helper.port}{path}") as response:
            return response.status, await response.text()


@asynccontextmanager
async def open_world(folder: Path, **options: Any) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        closed = stack.enter_context(socket.socket())  # bound and not listening: refuses
        closed.bind(("127.0.0.1", 0))
        network = LoopbackNetwork(closed.getsockname()[1])
        loop = asyncio.get_running_loop()
        transport, _server = await loop.create_datagram_endpoint(Nameserver, ("127.0.0.1", 0))
        stack.callback(transport.close)
        network.udp["192.0.2.53", 53] = transport.get_extra_info("sockname")[1]
        world = World(folder, stack, network)
        for address in (SITE, OTHER):
            network.tcp[address, 80] = await world.listen(world.clear.serve)
        await world.open(**options)
        yield world
