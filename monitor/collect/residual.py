"""The table of residual blocking: after a hit, an (egress, address, port) rests (judgement row 22).

Censors go on blocking a client's pair of addresses for 60 to 350 seconds after a trigger; who uses the pair in that
time measures the residue of an earlier contact and not the target.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from probes.clock import Clock
from probes.failure import NOT_TRIED_RESIDUAL

REST = timedelta(seconds=360)  # seconds; up to about 350 are reported (GFWeb), 180 is usual
Keep = Callable[[str, str, int, datetime, str], Awaitable[None]]  # egress, address, port, until, uid

_LONG_AGO = datetime.fromtimestamp(0, UTC)


class Residual:
    """The table in memory; every entry is handed to `keep` too, so that it outlives the process."""

    def __init__(self, clock: Clock, keep: Keep | None = None, *, rest: timedelta = REST) -> None:
        self._clock = clock
        self._keep = keep
        self._rest = rest
        self._until: dict[tuple[str, str, int], tuple[datetime, str]] = {}

    def keep_in(self, keep: Keep) -> None:
        """Hand every further entry to `keep`."""
        self._keep = keep

    def load(self, egress: str, entries: Mapping[tuple[str, int], tuple[datetime, str]]) -> None:
        """Take over what an earlier process has kept."""
        for (address, port), entry in entries.items():
            self._until[egress, address, port] = entry

    def refusal(self, egress: str, address: str, port: int, *, uid: str) -> str:
        """`not_tried: residual` where the pair rests for somebody else's sake; the measurement's own tries go on."""
        until, owner = self._until.get((egress, address, port), (_LONG_AGO, ""))
        resting = until > self._clock.now() and owner != uid
        return NOT_TRIED_RESIDUAL if resting else ""

    async def rest(self, egress: str, address: str, port: int, *, uid: str) -> None:
        """Let a pair rest from now on."""
        now = self._clock.now()
        self._until = {key: entry for key, entry in self._until.items() if entry[0] > now}
        self._until[egress, address, port] = (now + self._rest, uid)
        if self._keep is not None:
            await self._keep(egress, address, port, now + self._rest, uid)
