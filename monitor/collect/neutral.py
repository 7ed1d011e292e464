"""Neutral listeners: servers that speak TLS and HTTP under any name, so that only the path can object to one.

Whoever connects chooses the name; a handshake that fails here for one name only was cut on the way. So
nothing here may close with an RST: what the client sent is read before the socket goes.
"""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "neutral.invalid"  # RFC 2606: belongs to nobody
MAX_CONNECTIONS = 256  # served at once; as many again may wait for their turn
MAX_READ = 64 * 1024  # bytes of one connection
DEADLINE = 10.0  # seconds of one connection
_LINGER = 2.0  # seconds in which the client may hang up first
_CHUNK = 16 * 1024
_HANDSHAKE = 0x16  # the first byte of a ClientHello, RFC 8446 section 5.1
_BODY = b"<!doctype html><title>neutral</title><p>neutral</p>\n"
_PAGE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: no-store\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
)

T = TypeVar("T")


class Neutral:
    """The listeners from `start` to `stop`; `bound` holds their (host, port) with the actual ports."""

    def __init__(self, *, deadline: float = DEADLINE) -> None:
        self.bound: list[tuple[str, int]] = []
        self._deadline = deadline
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._context: ssl.SSLContext | None = None

    async def start(self, endpoints: Sequence[tuple[str, int]]) -> None:
        """Listen on each (host, port); port 0 takes a free one. Raises OSError, and then nothing listens."""
        if not endpoints:
            return
        self._context = await asyncio.to_thread(_server_context)
        try:
            for host, port in endpoints:
                server = await asyncio.start_server(self._accept, host, port, limit=_CHUNK)
                self._servers.append(server)
                self.bound.append((host, server.sockets[0].getsockname()[1]))
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the listeners and every connection."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(server.wait_closed() for server in self._servers))
        self._servers.clear()
        self.bound.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if len(self._tasks) >= 2 * MAX_CONNECTIONS or task is None or self._context is None:
            return writer.transport.abort()
        self._tasks.add(task)
        try:
            async with asyncio.timeout(self._deadline), self._slots:
                await _serve(_Client(reader, writer), self._context)
        except (OSError, EOFError, TimeoutError):  # the client's affair; ssl.SSLError is an OSError
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)


async def _serve(client: "_Client", context: ssl.SSLContext) -> None:
    """One connection: TLS where it begins like TLS, then one request, one page, and a gentle end."""
    first = await client.read()
    if first[0] != _HANDSHAKE:
        await _read_request(client.read, first)
        await client.write(_PAGE)
        return await client.linger()
    secured = _Secured(client, context, first)
    try:
        await secured.handshake()
        await _read_request(secured.read)
        await secured.finish(_PAGE)
    except ssl.SSLError:  # the alert that says why is on its way
        pass
    await client.linger()


async def _read_request(read: Callable[[], Awaitable[bytes]], data: bytes = b"") -> None:
    """Read up to the empty line that ends the header; a body is left to `linger`."""
    while b"\r\n\r\n" not in data and b"\n\n" not in data:
        data += await read()


class _Client:
    """The bytes of one connection, at most `MAX_READ` of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._room = MAX_READ

    async def read(self) -> bytes:
        """Some bytes. Raises EOFError at the end and at the limit, OSError for what the network did."""
        data = await self._reader.read(min(_CHUNK, self._room))
        self._room -= len(data)
        if not data:
            raise EOFError
        return data

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises OSError."""
        self._writer.write(data)
        await self._writer.drain()

    async def linger(self) -> None:
        """Say that nothing more comes and let the client hang up: closing over unread bytes sends an RST."""
        self._writer.write_eof()
        try:
            async with asyncio.timeout(_LINGER):
                while True:
                    await self.read()
        except (EOFError, TimeoutError):
            return


class _Secured:
    """The server's side of TLS over a `_Client`; `first` are the bytes already read."""

    def __init__(self, client: _Client, context: ssl.SSLContext, first: bytes) -> None:
        self._client = client
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._incoming.write(first)
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        """Complete the handshake. Raises ssl.SSLError after its alert is sent, EOFError and OSError."""
        await self._until_done(self._tls.do_handshake)

    async def read(self) -> bytes:
        """Some plain bytes. Raises EOFError at the end."""
        data = await self._until_done(lambda: self._tls.read(_CHUNK))
        if not data:
            raise EOFError
        return data

    async def finish(self, data: bytes) -> None:
        """Send the last plain bytes and TLS's own goodbye, without waiting for the client's."""
        self._tls.write(data)
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        await self._client.write(self._outgoing.read())

    async def _until_done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await self._client.write(self._outgoing.read())
                self._incoming.write(await self._client.read())
            finally:
                if self._outgoing.pending:
                    await self._client.write(self._outgoing.read())


def _server_context() -> ssl.SSLContext:
    """A context with a fresh self-signed certificate, good for a year."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory() as folder:  # OpenSSL reads a chain from files only
        path = Path(folder, "neutral.pem")
        path.touch(mode=0o600)
        path.write_bytes(_self_signed(datetime.now(UTC)))
        context.load_cert_chain(path)
    return context


def _self_signed(now: datetime) -> bytes:
    """Key and certificate in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret + certificate.public_bytes(serialization.Encoding.PEM)
