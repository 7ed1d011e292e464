"""The lab's own servers, in one process: what nginx and unbound cannot do, and the censor's server for what it diverts.

odd TCP sites    resets, silence, a close
DNS over HTTPS   by HTTP/1.1, before unbound
a slow backend   answers after the seconds that a header says
a broken zone    answers without signatures
HTTP/3           aioquic
the box          terminates what the link diverts, see `box`
"""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import dns.message
import dns.rrset

from monitor.demo.sites import page

from .box import Box
from .dns_zone import PLAIN, PORT_OF_BROKEN
from .hello import request, server_name
from .listening import HOME, tcp_listener, udp_socket
from .namespaces import enter
from .plan import ENCRYPTED
from .sites import BROKEN_ADDRESS, SITES, Site
from .web import TARDY_PORT

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
_PATIENCE = 60.0  # seconds that a silent server stays silent


async def listen(serve: Serve, sock: socket.socket, context: ssl.SSLContext | None = None) -> None:
    """Serve each connection; what the client does wrong ends it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, TimeoutError, ValueError):
            async with asyncio.timeout(_PATIENCE):
                await serve(reader, writer)
        writer.transport.abort() if writer.is_closing() else writer.close()

    await asyncio.start_server(handle, sock=sock, ssl=context, limit=1 << 16)


def abort(writer: asyncio.StreamWriter) -> None:
    """Close by an RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def odd_site(site: Site, pem: str) -> Serve:
    """One TCP site that behaves as its row says; `reset_others` completes TLS for its own name."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(4096)
        match site.by:
            case "reset":
                abort(writer)
            case "silence":
                while await reader.read(4096):
                    pass
            case "reset_others" if (server_name(first) or getattr(request(first), "host", "")) != site.name:
                abort(writer)
            case "reset_others":
                await _secured(reader, writer, first, pem, site.name)

    return serve


async def _secured(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes, pem: str, name: str
) -> None:
    """TLS and one page over a connection of which the first bytes are read."""
    if first[:1] != b"\x16":
        writer.write(b"HTTP/1.1 301 Moved\r\nLocation: https://%s/\r\nContent-Length: 0\r\n\r\n" % name.encode())
        return await writer.drain()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    await answer_tls(reader, writer, first, context, http_page(page(f"The page of {name}", seed=name)))


async def answer_tls(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes, context: ssl.SSLContext, content: bytes
) -> None:
    """A handshake in memory, then `content` for the first request."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(first)
    tls = context.wrap_bio(incoming, outgoing, server_side=True)

    async def until_done(step: Callable[[], Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                await writer.drain()
                data = await reader.read(16384)
                if not data:
                    raise EOFError from None
                incoming.write(data)
            finally:
                if outgoing.pending:
                    writer.write(outgoing.read())
                    await writer.drain()

    await until_done(tls.do_handshake)
    await until_done(lambda: tls.read(4096))
    tls.write(content)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.unwrap()
    writer.write(outgoing.read())
    await writer.drain()


def http_page(body: bytes, status: str = "200 OK") -> bytes:
    """A whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


async def doh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """DNS over HTTPS: POST only; asks unbound."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii", "replace").lower()
        length = int(head.partition("content-length:")[2].split("\r\n")[0] or 0)
        query = await reader.readexactly(min(length, 4096))
        answer = await _ask_unbound(query)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/dns-message\r\nContent-Length: %d\r\n\r\n%s"
            % (len(answer), answer)
        )
        await writer.drain()


async def _ask_unbound(query: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    with udp_socket(HOME, PLAIN, 0) as sock:
        sock.connect((PLAIN, 53))
        await loop.sock_sendall(sock, query)
        async with asyncio.timeout(4):
            return await loop.sock_recv(sock, 4096)


async def tardy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A page after `X-Wait` seconds."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii", "replace").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    await asyncio.sleep(min(10.0, float(fields.get("x-wait", "1"))))
    name = fields.get("host", "")
    writer.write(http_page(page(f"The page of {name}", seed="late")))
    await writer.drain()


class BrokenZone(asyncio.DatagramProtocol):
    """Answers every question of the zone with one address, and without a signature."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= 0x0400
        asked = query.question[0]
        if asked.rdtype == 1:
            answer.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "A", BROKEN_ADDRESS))
        self._transport.sendto(answer.to_wire(), addr)


async def serve_all(folder: Path, control: socket.socket) -> None:
    """Open everything, say so, and obey until the control socket closes."""
    pems = json.loads((folder / "certificates.json").read_text())
    for site in SITES:
        if site.by in ("nginx", "nobody"):
            continue
        for address in site.addresses:
            for port in (443, 80):
                await listen(odd_site(site, pems[site.name]), tcp_listener("sites", address, port))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pems["dns.example"])
    await listen(doh, tcp_listener("sites", ENCRYPTED, 443), context)
    for namespace in ("sites", "crowd"):
        await listen(tardy, tcp_listener(namespace, "127.0.0.1", TARDY_PORT))
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(BrokenZone, sock=udp_socket("sites", "127.0.0.1", PORT_OF_BROKEN))
    await _serve_h3(pems)
    box = Box(folder)
    for address in ("0.0.0.0", "::"):
        for port in (443, 80):
            await listen(box.serve, tcp_listener("box", address, port))
    control.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=control)
    writer.write(b"true\n")
    while line := await reader.readline():
        order = json.loads(line)
        box.obey(order["client"], order["rules"])
        writer.write(b"true\n")


async def _serve_h3(pems: dict[str, str]) -> None:
    try:
        from .http3 import serve
    except ImportError:
        return
    for site in SITES:
        if site.h3:
            for address in site.addresses:
                await serve(udp_socket("sites", address, 443), pems[site.name], site.name)


if __name__ == "__main__":
    enter(HOME)
    asyncio.run(serve_all(Path(sys.argv[2]), socket.socket(fileno=int(sys.argv[1]))))
