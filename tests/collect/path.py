"""What stands on the way to servers in a network: it lets pass, or does something to whoever sends the name."""

import asyncio
from collections.abc import Awaitable, Callable

from probes.clock import Clock
from tests.probes.loopback import Serve

Act = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def nothing_said(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Drops what comes."""
    while await reader.read(4096):
        pass


def says_at_once(answer: bytes) -> Act:
    """Answers in the server's place."""

    async def act(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(0.05)

    return act


class Censor:
    """Acts on connections whose first bytes hold one of `names` (of TLS: the server name), at the `first` so many; for
    `memory` seconds after each of them on every connection to the same place."""

    def __init__(
        self, act: Act, clock: Clock, *, names: tuple[str, ...] = ("site.example",), memory: float = 0.0,
        first: int = 1000,
    ) -> None:  # fmt: skip
        self.act, self.clock, self.names, self.memory, self.left = act, clock, names, memory, first
        self.until: dict[int, float] = {}  # the server's port -> until when it remembers
        self.hits = self.running = 0

    def before(self, port: int) -> Serve:
        """Stands before a server on loopback."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.running += 1
            try:
                await stand(reader, writer)
            finally:
                self.running -= 1

        async def stand(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            first = await reader.read(4096)
            named = any(name.encode() in first for name in self.names)
            if (named and self.left > 0) or self.clock.monotonic() < self.until.get(port, 0.0):
                self.hits += 1
                self.left -= named
                if named and self.memory:
                    self.until[port] = self.clock.monotonic() + self.memory
                await self.act(reader, writer)
            else:
                await _pass_on(first, reader, writer, port)

        return serve

    async def settle(self) -> None:
        """Wait until every connection is over: the loop must not end before."""
        async with asyncio.timeout(5):
            while self.running:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)


async def _pass_on(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        far_writer.write(first)
        async with asyncio.TaskGroup() as group:
            back = group.create_task(_pump(far_reader, writer))
            await _pump(reader, far_writer)
            back.cancel()  # the client has gone
    except* OSError:
        pass
    finally:
        far_writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(16384):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
