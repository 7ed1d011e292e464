"""Servers on loopback behind addresses that look public, each as good or as bad as a test wants it."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import dns.message
import dns.rrset

from probes import http, tcp, tls
from probes.certificate import Authorities
from probes.http import HTTPRoundTrip
from probes.network import DirectNetwork
from probes.tls import TLSHandshake
from probes.trace import Limits, Trace
from probes.url import parse_url

SITE, OTHER, THIRD, SIX = "93.184.215.14", "93.184.215.15", "93.184.215.16", "2606:2800:21f:cb07::1"
RESOLVER = ("192.0.2.53", 53)
PATIENT = Limits(timeout=10, dns_timeout=5, listen=0.15)
HASTY = Limits(timeout=0.3, dns_timeout=0.3, listen=0.1)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answer = Callable[[dns.message.Message], Iterable[bytes | float]]


class MappedNetwork:
    """A `Network` of loopback servers. Who is not mapped refuses; a name that getaddrinfo does not know raises."""

    def __init__(self, closed: int) -> None:
        self.tcp: dict[tuple[str, int], int] = {}
        self.udp: dict[tuple[str, int], int] = {}
        self.hosts: dict[str, list[str]] = {}
        self.error: Exception = socket.gaierror(socket.EAI_NONAME, "unknown")
        self.dialled: list[tuple[str, int]] = []
        self.servers: list[tuple[str, int]] = [RESOLVER]
        self._closed = closed
        self._direct = DirectNetwork()

    async def connect(self, address: str, port: int) -> socket.socket:
        self.dialled.append((address, port))
        return await self._direct.connect("127.0.0.1", self.tcp.get((address, port), self._closed))

    async def open_udp(self, address: str, port: int) -> socket.socket:
        return await self._direct.open_udp("127.0.0.1", self.udp.get((address, port), self._closed))

    async def getaddrinfo(self, name: str) -> list[str]:
        if name not in self.hosts:
            raise self.error
        return self.hosts[name]

    blind: frozenset[str] = frozenset()

    def nameservers(self) -> Sequence[tuple[str, int]]:
        return self.servers

    def capture(self) -> None:
        return None


class Nameserver(asyncio.DatagramProtocol):
    """Sends what `answer` gives for each query; a number is a pause in seconds."""

    def __init__(self, answer: Answer) -> None:
        self.queries: list[dns.message.Message] = []
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asked = dns.message.from_wire(data)
        self.queries.append(asked)
        at = 0.0
        for item in self._answer(asked):
            if isinstance(item, float):
                at += item
            elif at:
                asyncio.get_running_loop().call_later(at, self._send, item, addr)
            else:
                self._send(item, addr)

    def _send(self, wire: bytes, addr: Any) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(wire, addr)


class Place:
    """The network, its servers, and the probes sent at them."""

    def __init__(self, stack: AsyncExitStack, network: MappedNetwork) -> None:
        self.network = network
        self.limits = PATIENT
        self._stack = stack

    def trace(self) -> Trace:
        return self._stack.enter_context(Trace(self.network, limits=self.limits))

    async def listen(self, serve: Serve, at: tuple[str, int] = (SITE, 80), **options: Any) -> int:
        """Start a server; connections are closed when `serve` ends."""

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await serve(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
        self._stack.callback(server.close)
        self.network.tcp[at] = port = int(server.sockets[0].getsockname()[1])
        return port

    async def resolve(self, answer: Answer, at: tuple[str, int] = RESOLVER, *, hops: int = 64) -> Nameserver:
        """Start a nameserver whose datagrams have that TTL."""
        loop = asyncio.get_running_loop()
        transport, server = await loop.create_datagram_endpoint(lambda: Nameserver(answer), ("127.0.0.1", 0))
        self._stack.callback(transport.close)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
        self.network.udp[at] = transport.get_extra_info("sockname")[1]
        return server

    async def fetch(
        self, url: str = "http://good.example/", *, wait: float = 0, authorities: Authorities | None = None,
        cookie: str = "", referer: str = "", expect: str = "",
    ) -> tuple[HTTPRoundTrip, Trace]:  # fmt: skip
        """One exchange with SITE."""
        trace, parsed = self.trace(), parse_url(url)
        stream = await tcp.connect(trace, SITE, parsed.port)
        assert stream is not None, trace.operations
        await asyncio.sleep(wait)
        try:
            channel: http.ByteStream | None = stream
            if authorities is not None:
                channel = await tls.handshake(trace, stream, parsed.host, authorities=authorities)
            assert channel is not None, trace.operations
            page = await http.fetch(
                trace, channel, parsed, address=SITE, port=parsed.port, flow=stream.flow,
                received=lambda: stream.received, cookie=cookie, referer=referer, expect=expect,
            )  # fmt: skip
        finally:
            stream.close()
        assert trace.operations[-1] is page
        return page, trace

    async def shake(self, authorities: Authorities, name: str = "good.example") -> tuple[TLSHandshake, Trace]:
        """One handshake with SITE, port 443."""
        trace = self.trace()
        stream = await tcp.connect(trace, SITE, 443)
        assert stream is not None, trace.operations
        secured = await tls.handshake(trace, stream, name, authorities=authorities)
        if secured is not None:
            secured.close()
        found = trace.operations[-1]
        assert isinstance(found, TLSHandshake)
        return found, trace


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        closed = stack.enter_context(socket.socket())  # bound and not listening: refuses
        closed.bind(("127.0.0.1", 0))
        yield Place(stack, MappedNetwork(closed.getsockname()[1]))


def says(*parts: bytes | float, reset: bool = False) -> Serve:
    """Reads a request, says the parts (a number is a pause in seconds) and closes, or resets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                writer.write(part)
                await writer.drain()
        if reset:
            await abort(writer)

    return serve


async def abort(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with a RST, after what was written has left."""
    await asyncio.sleep(0.05)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and says nothing."""
    while await reader.read(1024):
        pass


async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads what comes first and resets."""
    await reader.read(4096)
    await abort(writer)


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads what comes first and closes."""
    await reader.read(4096)


def refusing(context: ssl.SSLContext) -> Serve:
    """A TLS server whose handshake fails; unlike asyncio's, it lets its alert out before it closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        secured = context.wrap_bio(incoming, outgoing, server_side=True)
        while data := await reader.read(4096):
            incoming.write(data)
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
            except ssl.SSLError:
                writer.write(outgoing.read())
                await asyncio.sleep(0.05)  # what the client says meanwhile is read, so that no reset follows
                return

    return serve


def page(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    """A response with its content-length."""
    return head(*headers, f"Content-Length: {len(body)}", status=status) + body


def head(*headers: str, status: str = "200 OK") -> bytes:
    """The head of a response."""
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, "")).encode()


def records(asked: dns.message.Message, kind: str, *values: str, rcode: int = 0, ttl: int = 60) -> bytes:
    """An answer that has the records where they are of the kind that was asked for."""
    answer = dns.message.make_response(asked)
    answer.set_rcode(rcode)  # type: ignore[arg-type]
    rrset = dns.rrset.from_text(asked.question[0].name, ttl, "IN", kind, *values)
    if rrset.rdtype == asked.question[0].rdtype:
        answer.answer.append(rrset)
    return answer.to_wire(max_size=65535)


def zone(**names: Sequence[str]) -> Answer:
    """Addresses by name (`good_example` is good.example); other names do not exist."""
    known = {name.replace("_", "."): addresses for name, addresses in names.items()}

    def answer(asked: dns.message.Message) -> list[bytes]:
        name, kind = asked.question[0].name.to_text().removesuffix("."), asked.question[0].rdtype.name
        if name not in known:
            return [records(asked, "A", SITE, rcode=3) if kind != "A" else _nothing(asked, 3)]
        fitting = [a for a in known[name] if (":" in a) == (kind == "AAAA")]
        return [records(asked, kind, *fitting) if fitting and kind in ("A", "AAAA") else _nothing(asked, 0)]

    return answer


def _nothing(asked: dns.message.Message, rcode: int) -> bytes:
    answer = dns.message.make_response(asked)
    answer.set_rcode(rcode)  # type: ignore[arg-type]
    return answer.to_wire(max_size=65535)


def der(pem: bytes) -> bytes:
    """The first certificate in a PEM file."""
    text, end = pem.decode(), "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") : text.index(end)] + end)
