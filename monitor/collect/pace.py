"""At most five packets a second to one address, over all measurements of the process."""

from probes.clock import Clock
from probes.remote.setting import SPACING

_REMEMBERED = 4096  # addresses; those whose turn has long passed are forgotten first


class Pacer:
    """Gives out turns: each at least `spacing` seconds after the one before at the same address."""

    def __init__(self, clock: Clock, *, spacing: float = SPACING) -> None:
        self._clock, self._spacing = clock, spacing
        self._next: dict[str, float] = {}  # address -> when its next turn may be (monotonic)

    async def turn(self, address: str) -> None:
        """Wait for a turn at the address; turns are given in the order in which they were asked for."""
        now = self._clock.monotonic()
        mine = max(now, self._next.get(address, now))
        self._next[address] = mine + self._spacing
        if len(self._next) > _REMEMBERED:
            self._next = {a: at for a, at in self._next.items() if at > now}
        if mine > now:
            await self._clock.sleep(mine - now)
