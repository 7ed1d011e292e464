"""One measurement's place among those on the network: given up while only the control is waited for."""

from typing import Self

from .slots import Slots


class Seat:
    """Taken on entering, and given back at the latest on leaving."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._taken = False

    async def __aenter__(self) -> Self:
        await self._slots.__aenter__()
        self._taken = True
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the place to somebody else, if it has not been given up yet."""
        if self._taken:
            self._taken = False
            self._slots.give_back()

    async def back(self) -> None:
        """Take a place again where it was given up, before all who have not begun."""
        if not self._taken:
            await self._slots.take(first=True)
            self._taken = True
