"""A bad link on loopback: of every eight connections through it four are cut, in every way in which that can hurt."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

HELLO = 1500  # bytes from the client: more than a TLS handshake and a request without a body
_QUIET = 0.03  # seconds after an answer in which nothing follows it
_ANSWER = 600  # bytes: more than the session tickets of a handshake
_PATIENCE = 0.7  # seconds in which something new is stored, else nothing is to be lost
# `up`, `down`: after some bytes of the client's or of the service's; `lost`: the answer to what was stored is thrown away
_DECK = ("whole", "whole", "whole", "whole", "up", "up", "down", "lost")


class Connection:
    """One of them. `carries`: a batch is on its way, or its answer."""

    def __init__(self, fate: str, fortune: random.Random) -> None:
        self.fate, self.sent, self.answered = fate, 0, 0
        self.heard = 0  # bytes of the service's since it carries
        self.before = 0  # measurements that the service had when it began to carry
        self.limit = fortune.randrange(1, (8 if fate == "up" else 2) * HELLO)

    @property
    def carries(self) -> bool:
        return self.sent > HELLO


class Relay:
    """`upstream`: the service's port; None: it cannot be reached. `stored`: how many measurements the service has.

    `fates`: how many connections ended how; `unheard`: how many answers were lost to what had just been stored.
    """

    def __init__(self, stored: Callable[[], int], seed: int) -> None:
        self._stored, self._fortune = stored, random.Random(seed)
        self._deck: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.upstream: int | None = None
        self.open: set[Connection] = set()
        self.fates: Counter[str] = Counter()
        self.unheard = 0
        self.port = 0

    @property
    def carries(self) -> bool:
        """Whether a batch is on its way."""
        return any(connection.carries for connection in self.open)

    def _fate(self) -> str:
        if not self._deck:
            self._deck = self._fortune.sample(_DECK, len(_DECK))
        return self._deck.pop()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self.upstream is None:
                self.fates["dark"] += 1
                return
            fate = self._fate()
            self.fates[fate] += 1
            there, back = await asyncio.open_connection("127.0.0.1", self.upstream)
            connection = Connection(fate, self._fortune)
            self.open.add(connection)
            try:
                await self._carry(connection, (reader, back), (there, writer))
            finally:
                self.open.discard(connection)
                back.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _carry(
        self, connection: Connection, up: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        down: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:  # fmt: skip
        """Until one side ends, or the fate is fulfilled."""
        ways = [asyncio.ensure_future(self._up(connection, *up)), asyncio.ensure_future(self._down(connection, *down))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _up(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            if not connection.carries:
                connection.before = self._stored()
            connection.sent += len(data)
            writer.write(data)
            await writer.drain()
            if connection.fate == "up" and connection.sent > connection.limit:
                return

    async def _down(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            if connection.fate == "lost" and connection.carries:
                return await self._lose(connection.before)
            try:
                async with asyncio.timeout(_QUIET):
                    data = await reader.read(1024)
            except TimeoutError:
                if connection.fate == "whole" and connection.heard > _ANSWER:
                    return None  # a link that is good for one exchange
                continue
            if not data:
                return None
            connection.answered += len(data)
            connection.heard += len(data) * connection.carries
            if connection.fate == "lost" and connection.carries:
                continue
            writer.write(data)
            await writer.drain()
            if connection.fate == "down" and connection.answered > connection.limit:
                return None

    async def _lose(self, before: int) -> None:
        """Wait until the service has stored something, and say nothing."""
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        while asyncio.get_running_loop().time() < deadline:
            if self._stored() > before:
                self.unheard += 1
                return
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def relaying(stored: Callable[[], int], *, seed: int) -> AsyncIterator[Relay]:
    """A running one."""
    made = Relay(stored, seed)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        await made.close()
        with suppress(OSError):
            await server.wait_closed()
