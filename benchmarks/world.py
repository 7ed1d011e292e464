"""The servers: `python -m benchmarks.world ROLE …` prints its ports as JSON and ends with its standard input.

`servers FOLDER` writes `root.pem` there; `helper FOLDER PORTS DEADLINE` is the control test helper.
"""

import asyncio
import ssl
import struct
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives import serialization

from monitor.collect.helper import Helper
from monitor.demo.pki import Authority
from monitor.garbage import look_seldom
from probes.certificate import Authorities
from probes.resolvers import parse_resolvers
from probes.trace import Limits

from .places import DOH_NAME, ZONE, MappedNetwork, Ports, addresses

ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 600.0  # seconds that a server lives, whatever happens to who started it
_PAGE_BYTES = 16 * 1024
_WORDS = " ".join(f"{n} and more of the text of this page" for n in range(500)).encode()
_FLOOD = 16 * 1024 * 1024  # bytes sent to one client
_RECORD = 16 * 1024  # bytes, the most that a TLS record holds
_A, _AAAA, _HTTPS = 1, 28, 65
_ALPN = b"\x00\x01\x00\x00\x01\x00\x03\x02h2"  # `1 . alpn=h2`, RFC 9460 section 2.2: no HTTP/3 in this world
_OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"  # EDNS, 1232 bytes

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Servers(msgspec.Struct, frozen=True):
    """What a client must know of the world."""

    folder: Path
    ports: Ports
    helper: str

    @property
    def root(self) -> Path:
        """The root certificate."""
        return self.folder / "root.pem"


@contextmanager
def world(*, helper_deadline: float = 10.0) -> Iterator[Servers]:
    """Start servers and helper in two processes, and end them. `helper_deadline` is in seconds."""
    with tempfile.TemporaryDirectory(prefix="wallwatch-bench-") as folder, _process("servers", folder) as told:
        ports = msgspec.convert(told, Ports)
        text = msgspec.json.encode(ports).decode()
        with _process("helper", folder, text, str(helper_deadline)) as other:
            yield Servers(Path(folder), ports, f"http://127.0.0.1:{other['helper']}/")


@contextmanager
def _process(*arguments: str) -> Iterator[dict[str, int]]:
    command = [sys.executable, "-m", "benchmarks.world", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield msgspec.json.decode(process.stdout.readline())
        finally:
            process.stdin.close()


def answer(wire: bytes) -> bytes:
    """The reply to a query (RFC 1035), put together by hand: the resolver's speed is not what is measured."""
    end = wire.index(b"\0", 12) + 5
    labels, at = [], 12
    while wire[at]:
        labels.append(wire[at + 1 : at + 1 + wire[at]].decode("latin-1"))
        at += 1 + wire[at]
    found = addresses(".".join(labels))
    (kind,) = struct.unpack_from("!H", wire, end - 4)
    data = b""
    if found is not None and kind in (_A, _AAAA):
        data = ip_address(found[kind == _AAAA]).packed
    elif found is not None and kind == _HTTPS:
        data = _ALPN
    records = b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 60, len(data)) + data if data else b""
    flags = 0x8180 if found is not None else 0x8183
    header = wire[:2] + struct.pack("!HHHHH", flags, 1, bool(data), 0, 1)
    return header + wire[12:end] + records + _OPT


class _Resolver(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._transport.sendto(answer(data), addr)


async def _site(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """HTTP/1.1 under any name: pages, an empty page, and DNS over HTTPS."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(fields.get("content-length", "0")))
            writer.write(_reply(head.split()[1], fields["host"], body))
            await writer.drain()
            if fields.get("connection") == "close":
                break
    writer.close()


def _reply(path: str, name: str, body: bytes) -> bytes:
    if path == "/dns-query":
        return _http("200 OK", "application/dns-message", answer(body))
    if path == "/generate_204":
        return b"HTTP/1.1 204 No Content\r\n\r\n"
    text = f"<!doctype html><title>The page of {name}</title><p>".encode()
    return _http("200 OK", "text/html; charset=utf-8", (text + _WORDS)[:_PAGE_BYTES])


def _http(status: str, kind: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nServer: nginx\r\nDate: {formatdate(usegmt=True)}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\nCache-Control: max-age=60\r\nVary: Accept-Encoding\r\n"
        "Strict-Transport-Security: max-age=31536000\r\nX-Frame-Options: DENY\r\n\r\n"
    )
    return head.encode() + body


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes everything and says nothing."""
    with suppress(OSError):
        while await reader.read(4096):
            pass
    writer.close()


def _flood(leaf: bytes) -> Serve:
    """Who answers a first message without end: with a page, or a TLS client with a handshake."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            secure = (await reader.read(4096)).startswith(b"\x16")
            writer.write(_endless_handshake(leaf) if secure else b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
            for _ in range(_FLOOD // _RECORD):
                writer.write(_record(b"x" * _RECORD) if secure else b"x" * _RECORD)
                await writer.drain()
        writer.close()

    return serve


def _endless_handshake(leaf: bytes) -> bytes:
    """TLS 1.2 (RFC 5246): a ServerHello, the largest chain that OpenSSL takes, and a key exchange of 100 KB."""
    hello = b"\x03\x03" + bytes(32) + b"\0\xc0\x2b\0" + b"\0\x05\xff\x01\0\x01\0"  # ECDHE, renegotiation_info
    chain = (len(leaf).to_bytes(3) + leaf) * (100_000 // (len(leaf) + 3))
    said = _message(2, hello) + _message(11, len(chain).to_bytes(3) + chain) + b"\x0c" + (100_000).to_bytes(3)
    return b"".join(_record(said[at : at + _RECORD]) for at in range(0, len(said), _RECORD))


def _message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3) + body


def _record(content: bytes) -> bytes:
    return b"\x16\x03\x03" + len(content).to_bytes(2) + content


async def _serve(folder: Path) -> None:
    authority = Authority("Benchmark Root")
    (folder / "root.pem").write_bytes(authority.pem)
    names = (f"*.{ZONE}", DOH_NAME)
    context, leaf = authority.context("valid", names), authority.leaf("valid", names)
    loop = asyncio.get_running_loop()
    transport, _protocol = await loop.create_datagram_endpoint(_Resolver, ("127.0.0.1", 0))
    ports = Ports(
        dns=transport.get_extra_info("sockname")[1],
        tls=await _listen(_site, context),
        silent=await _listen(_silent),
        flood=await _listen(_flood(leaf.public_bytes(serialization.Encoding.DER))),
    )
    await _until_the_end(msgspec.to_builtins(ports))


async def _listen(serve: Serve, context: ssl.SSLContext | None = None) -> int:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=2048)
    return int(server.sockets[0].getsockname()[1])


async def _help(folder: Path, ports: Ports, deadline: float) -> None:
    helper = Helper(
        MappedNetwork(ports), Authorities(folder / "root.pem"), resolvers=parse_resolvers(["system"]),
        rate=1e6, burst=10**6, limits=Limits(timeout=deadline, dns_timeout=4.0, listen=0.0),
    )  # fmt: skip
    look_seldom()  # as `wallwatch helper` does
    await helper.start(("127.0.0.1", 0))
    await _until_the_end({"helper": helper.port})


async def _until_the_end(told: dict[str, int]) -> None:
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
    sys.stdout.flush()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)  # clients may reset as they like
    with suppress(TimeoutError):
        async with asyncio.timeout(_LONGEST):
            reader = asyncio.StreamReader()
            protocol = asyncio.StreamReaderProtocol(reader)
            await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
            await reader.read()


def main(arguments: list[str]) -> None:
    """Play a role until standard input ends."""
    folder = Path(arguments[1])
    if arguments[0] == "servers":
        asyncio.run(_serve(folder))
    else:
        asyncio.run(_help(folder, msgspec.json.decode(arguments[2], type=Ports), float(arguments[3])))


if __name__ == "__main__":
    main(sys.argv[1:])
