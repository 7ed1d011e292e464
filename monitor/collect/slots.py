"""How many measurements are on the network at once: a limit that can change while they are."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class Slots:
    """At most `size` holders. `async with slots` takes one; where the task has one reserved, it takes that."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = _Places(size)
        self._surplus = 0  # places that are gone as soon as they are given back
        self._reserved: set[asyncio.Task[Any] | None] = set()

    def resize(self, size: int) -> None:
        """Change the limit. Nobody is turned out: where it falls, places given back are not given out again."""
        change, self._size = size - self._size, size
        back = max(0, change - self._surplus)
        self._surplus = max(0, self._surplus - change)
        for _ in range(back):
            self._free.release()

    @asynccontextmanager
    async def reserved(self) -> AsyncIterator[None]:
        """Wait for a slot and keep it for this task's next `async with`; what queues here has not begun."""
        await self.take()
        task = asyncio.current_task()
        self._reserved.add(task)
        try:
            yield
        finally:
            if task in self._reserved:
                self._reserved.discard(task)
                self.give_back()

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        if task in self._reserved:
            self._reserved.discard(task)
        else:
            await self.take()

    async def __aexit__(self, *_exception: object) -> None:
        self.give_back()

    async def take(self, *, first: bool = False) -> None:
        """Wait for a slot; `first`: before all others that wait."""
        await self._free.acquire(first=first)
        while self._surplus:  # it was free when the limit fell
            self._surplus -= 1
            await self._free.acquire(first=first)

    def give_back(self) -> None:
        """Give a slot to who waits."""
        if self._surplus:
            self._surplus -= 1
        else:
            self._free.release()


class _Places:
    """A semaphore in whose queue some go first."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, first: bool) -> None:
        if self._free:  # then nobody waits
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        (self._waiting.appendleft if first else self._waiting.append)(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had been given a place already
                self.release()
            raise

    def release(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
