"""The sink: a listener that accepts, takes everything and never says a word, so that whatever comes back was put in.

Nothing here may send an RST: what came is read before the socket goes, and the end is a FIN, after the client's own or
at the time limit. The kernel alone still sends one where a process dies or a client goes on after the end; a rule of
the firewall at each end makes it certain (docs/deployment.md, "A sink"). Where all places are taken nobody is accepted
any more: the kernel's queue fills up and new connections wait unanswered, which is silence too.
"""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Sequence

from probes.clock import Clock

from .rate_limit import RateLimit, client_key

MAX_CONNECTIONS = 256  # held at once
MAX_PER_CLIENT = 64  # of one client; a measurement holds at most three at a time
RATE, BURST = 5.0, 120  # connections a second of one client, and how many at once
MAX_READ = 64 * 1024  # bytes of one connection; more is left in the kernel's buffer
DEADLINE = 90.0  # seconds of one connection
_LINGER = 2.0  # seconds in which the client may hang up after us
_BACKLOG = 128
_CHUNK = 16 * 1024
_PAUSE = 1.0  # seconds where the process has no file descriptors left


class Sink:
    """The listeners from `open` to the end of `serve`; `bound` holds their (host, port) with the actual ports."""

    def __init__(
        self, *, deadline: float = DEADLINE, most: int = MAX_CONNECTIONS, per_client: int = MAX_PER_CLIENT,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self.bound: list[tuple[str, int]] = []
        self.taken = 0  # connections accepted so far
        self._deadline, self._per_client = deadline, per_client
        self._listeners: list[socket.socket] = []
        self._places = asyncio.Semaphore(most)
        self._held: Counter[str] = Counter()
        self._rate = RateLimit(RATE, BURST, clock or Clock())

    def open(self, endpoints: Sequence[tuple[str, int]]) -> None:
        """Listen on each (host, port); port 0 takes a free one. Raises OSError, and then nothing listens."""
        try:
            for host, port in endpoints:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
                listener.setblocking(False)
                self._listeners.append(listener)
                self.bound.append((host, int(listener.getsockname()[1])))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Listen no more."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self.bound.clear()

    async def serve(self) -> None:
        """Take connections until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for listener in self._listeners:
                    group.create_task(self._accept(listener, group))
        finally:
            self.close()

    async def _accept(self, listener: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, peer = await loop.sock_accept(listener)
            except OSError:
                await asyncio.sleep(_PAUSE)
                continue
            self.taken += 1
            try:
                await self._places.acquire()  # after the accept: a listener that waits for clients takes no place
            except BaseException:
                client.close()
                raise
            group.create_task(self._hold(client, client_key(peer[0])))

    async def _hold(self, client: socket.socket, who: str) -> None:
        """One connection, from its accept to its end."""
        self._held[who] += 1
        welcome = self._held[who] <= self._per_client and not self._rate.take(who)
        try:
            if welcome:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._deadline):
                        await _swallow(client)
            await _leave(client)
        except OSError:  # the client's affair, or the censor's
            pass
        finally:
            _drain(client)
            client.close()
            self._places.release()
            self._held -= Counter([who])


async def _swallow(client: socket.socket) -> None:
    """Read to the client's FIN; beyond the limit only wait. Raises OSError."""
    loop, room = asyncio.get_running_loop(), MAX_READ
    while data := await loop.sock_recv(client, min(_CHUNK, room)):
        room -= len(data)
        if room <= 0:
            await loop.create_future()  # until the time is over: the window closes, and the client must wait
    return


async def _leave(client: socket.socket) -> None:
    """Our FIN, then what the client still says, for a while. Raises OSError."""
    loop = asyncio.get_running_loop()
    client.shutdown(socket.SHUT_WR)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER):
            while await loop.sock_recv(client, _CHUNK):
                pass


def _drain(client: socket.socket) -> None:
    """Empty the kernel's buffer without waiting: a close over unread bytes sends an RST. Bounded by that buffer."""
    with contextlib.suppress(OSError):
        for _ in range(4096):
            if not client.recv(_CHUNK):
                break
