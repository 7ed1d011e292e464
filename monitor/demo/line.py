"""The far end of one connection, as the middlebox holds it; and TLS over it, as a server speaks it."""

import asyncio
import ssl
import struct
from socket import SO_LINGER, SOL_SOCKET
from typing import Protocol

_CHUNK = 16 * 1024  # bytes
_TICKS = 20  # per second, in which a slowed line sends
_FIRST_BYTE = 0.05  # seconds that a reset waits for the client, so that its connect has returned


class Channel(Protocol):
    """What a server needs: a `Line`, or a `SecureLine` over one."""

    async def read(self) -> bytes:
        """Some bytes, empty at the end."""

    async def write(self, data: bytes) -> None:
        """Send all of it."""


class Line:
    """A real TCP connection. `rate`: bytes per second toward the client, 0 for no limit."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._unread = b""
        self.rate = 0

    async def read(self) -> bytes:
        """Some bytes, empty at the end."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        return await self._reader.read(_CHUNK)

    def unread(self, data: bytes) -> None:
        """Put bytes back, to be read first."""
        self._unread = data + self._unread

    async def write(self, data: bytes) -> None:
        """Send all of it, as fast as the line is."""
        step = max(64, self.rate // _TICKS) if self.rate else _CHUNK
        for at in range(0, len(data), step):
            piece = data[at : at + step]
            self._writer.write(piece)
            await self._writer.drain()
            if self.rate:
                await asyncio.sleep(len(piece) / self.rate)

    async def reset(self) -> None:
        """End it with a real RST, once the client has said something or has had the time to."""
        try:
            async with asyncio.timeout(_FIRST_BYTE):
                self.unread(await self.read())
        except TimeoutError:
            pass
        self._writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def finish(self) -> None:
        """Say that nothing more will come (FIN)."""
        if not self._writer.transport.is_closing():
            self._writer.write_eof()

    async def end(self) -> None:
        """End it in order: FIN, then read what the client still sends, lest the kernel make it an RST."""
        self.finish()
        await self.swallow()

    async def swallow(self) -> None:
        """Take everything and say nothing, until the client gives up."""
        while await self.read():
            pass

    def close(self) -> None:
        """Give the socket back."""
        self._writer.close()


class SecureLine:
    """TLS over a line, OpenSSL on memory, so that the line stays in hand below it."""

    def __init__(self, line: Line, context: ssl.SSLContext) -> None:
        self._line = line
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def handshake(self) -> None:
        """Complete the handshake; raises OSError and EOFError."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                if not await self._feed():
                    raise EOFError from None
            else:
                return await self._flush()

    async def read(self) -> bytes:
        """Some plain bytes, empty at the end."""
        while True:
            try:
                return self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                if not await self._feed():
                    return b""
            except ssl.SSLZeroReturnError:
                return b""

    async def write(self, data: bytes) -> None:
        """Send all of it."""
        for at in range(0, len(data), _CHUNK):
            self._tls.write(data[at : at + _CHUNK])
            await self._flush()

    async def _feed(self) -> bool:
        data = await self._line.read()
        self._incoming.write(data)
        return bool(data)

    async def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            await self._line.write(data)
