"""Nobody is contacted by many at once: a global limit is the collector's, this one is per address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """At most `width` contacts with one address at a time."""

    def __init__(self, width: int = 2) -> None:
        self._width = width
        self._doors: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def __call__(self, address: str) -> AsyncIterator[None]:
        """Wait for a place at the address and give it back."""
        door, waiting = self._doors.get(address, (asyncio.Semaphore(self._width), 0))
        self._doors[address] = (door, waiting + 1)
        try:
            async with door:
                yield
        finally:
            door, waiting = self._doors[address]
            if waiting == 1:
                del self._doors[address]
            else:
                self._doors[address] = (door, waiting - 1)
