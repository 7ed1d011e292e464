"""Neutral listeners: servers that speak TLS and HTTP under any name, so that only the path can object to one.

Whoever connects chooses the name; a handshake that fails here for one name only was cut on the way. So
nothing here may close with an RST: what the client sent is read before the socket goes.
Where the extra `quic` is installed they answer at the UDP port of the same number as well (`neutral_quic`).
"""

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from probes.quic import available

from .neutral_certificate import SelfSigned, self_signed
from .neutral_page import MAX_TRANSFERS, TRANSFER_DEADLINE, Reply, reply_to

if TYPE_CHECKING:
    from .neutral_quic import QUIC

MAX_CONNECTIONS = 256  # served at once; as many again may wait for their turn
MAX_READ = 64 * 1024  # bytes of one connection
DEADLINE = 10.0  # seconds of one connection
_LINGER = 2.0  # seconds in which the client may hang up first
_CHUNK = 16 * 1024
_TRIES = 8  # ports, where a free one is wanted
_HANDSHAKE = 0x16  # the first byte of a ClientHello, RFC 8446 section 5.1
T = TypeVar("T")


class Neutral:
    """The listeners from `start` to `stop`; `bound` holds their (host, port) with the actual ports.

    `protocols` are those that each of them speaks: `tcp`, and `quic` where the extra is installed.
    """

    def __init__(self, *, deadline: float = DEADLINE) -> None:
        self.bound: list[tuple[str, int]] = []
        self.protocols = ("tcp", "quic") if available() else ("tcp",)
        self._deadline = deadline
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._context: ssl.SSLContext | None = None
        self._quic: QUIC | None = None
        self._transfers = 0

    async def start(self, endpoints: Sequence[tuple[str, int]]) -> None:
        """Listen on each (host, port); port 0 takes a free one. Raises OSError, and then nothing listens."""
        if not endpoints:
            return
        own = await asyncio.to_thread(self_signed)
        self._context = await asyncio.to_thread(_server_context, own)
        if "quic" in self.protocols:
            from .neutral_quic import QUIC  # here, since it needs the extra

            self._quic = QUIC(own, deadline=self._deadline)
        try:
            for host, port in endpoints:
                self.bound.append((host, await self._open(host, port)))
        except OSError:
            await self.stop()
            raise

    async def _open(self, host: str, port: int) -> int:
        """Listen at one port, TCP and UDP; a free one is looked for until both are."""
        for attempt in range(_TRIES if port == 0 else 1):
            server = await asyncio.start_server(self._accept, host, port, limit=_CHUNK)
            number = int(server.sockets[0].getsockname()[1])
            try:
                if self._quic is not None:
                    await self._quic.listen(host, number)
            except OSError as error:
                server.close()
                if port or attempt == _TRIES - 1:
                    raise OSError(error.errno, f"UDP port {number} of {host}: {error.strerror}") from None
            else:
                self._servers.append(server)
                break
        return number

    async def stop(self) -> None:
        """Close the listeners and every connection."""
        if self._quic is not None:
            self._quic.close()
            self._quic = None
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
            async with asyncio.timeout(self._deadline) as limit, self._slots:
                await self._serve(_Client(reader, writer), limit)
        except (OSError, EOFError, TimeoutError):  # the client's affair; ssl.SSLError is an OSError
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _serve(self, client: "_Client", limit: asyncio.Timeout) -> None:
        """One connection: TLS where it begins like TLS, then one request, one answer, and a gentle end."""
        assert self._context is not None
        first = await client.read()
        if first[0] != _HANDSHAKE:
            return await self._answer(client, await _read_request(client.read, first), client, limit)
        secured = _Secured(client, self._context, first)
        try:
            await secured.handshake()
            return await self._answer(secured, await _read_request(secured.read), client, limit)
        except ssl.SSLError:  # the alert that says why is on its way
            await client.linger()

    async def _answer(
        self, channel: "_Client | _Secured", request: bytes, client: "_Client", limit: asyncio.Timeout
    ) -> None:
        reply = reply_to(request, busy=self._transfers >= MAX_TRANSFERS)
        if not reply.length:
            await _say(channel, reply)
            return await client.linger()
        limit.reschedule(asyncio.get_running_loop().time() + TRANSFER_DEADLINE)
        self._transfers += 1
        try:
            await _say(channel, reply)
            await client.linger(TRANSFER_DEADLINE)  # a slow line still has it to carry
        finally:
            self._transfers -= 1


async def _say(channel: "_Client | _Secured", reply: Reply) -> None:
    for data in reply.parts():
        await channel.write(data)
    await channel.finish()


async def _read_request(read: Callable[[], Awaitable[bytes]], data: bytes = b"") -> bytes:
    """What comes up to the empty line that ends the header; a body is left to `linger`."""
    while b"\r\n\r\n" not in data and b"\n\n" not in data:
        data += await read()
    return data


class _Client:
    """The bytes of one connection, at most `MAX_READ` of them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        writer.transport.set_write_buffer_limits(0)  # written is handed to the kernel, which goes on when we end
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

    async def finish(self) -> None:
        """Nothing is left to say."""

    async def linger(self, seconds: float = _LINGER) -> None:
        """Say that nothing more comes and let the client hang up: closing over unread bytes sends an RST."""
        self._writer.write_eof()
        try:
            async with asyncio.timeout(seconds):
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

    async def write(self, data: bytes) -> None:
        """Send plain bytes. Raises OSError."""
        self._tls.write(data)
        await self._client.write(self._outgoing.read())

    async def finish(self) -> None:
        """Send TLS's own goodbye, without waiting for the client's."""
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


def _server_context(own: SelfSigned) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory() as folder:  # OpenSSL reads a chain from files only
        path = Path(folder, "neutral.pem")
        path.touch(mode=0o600)
        path.write_bytes(own.pem())
        context.load_cert_chain(path)
    return context
